//! The user's browser.

use super::print::print_err;
use std::process::{Command, Stdio};

/// Opens an address in the browser of the desktop, which goes on by itself; does nothing where there is no desktop.
pub(super) fn open(url: &str) {
    if !has_display() {
        return;
    }
    let mut command = Command::new("xdg-open");
    let started = command.arg(url).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    match started {
        // It ends when the browser has the address; somebody has to ask how, or it stays as a zombie.
        Ok(mut child) => drop(std::thread::spawn(move || child.wait())),
        Err(_) => print_err!("warning: no browser could be opened (xdg-open is missing)"),
    }
}

fn has_display() -> bool {
    ["DISPLAY", "WAYLAND_DISPLAY"].iter().any(|name| std::env::var_os(name).is_some_and(|value| !value.is_empty()))
}
