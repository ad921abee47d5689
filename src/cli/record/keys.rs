//! The keys of a recorder on a terminal: `p` pauses and resumes. The terminal gets its modes back at the end, however that comes.

use super::session::Session;
use rustix::process::getpgrp;
use rustix::stdio::stdin;
use rustix::termios::{
    LocalModes, OptionalActions, SpecialCodeIndex, Termios, isatty, tcgetattr, tcgetpgrp, tcsetattr,
};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// How the terminal was before.
static BEFORE: Mutex<Option<Termios>> = Mutex::new(None);

/// Keys are read; dropped, the terminal is as it was.
pub(super) struct Keys;

impl Keys {
    /// Reads keys if stdin is a terminal and this process is in its foreground. Signals (Ctrl-C, Ctrl-Z) go on to work.
    pub fn read(session: Arc<Session>) -> Option<Keys> {
        if !isatty(stdin()) || !is_foreground() {
            return None;
        }
        let before = tcgetattr(stdin()).ok()?;
        let mut modes = before.clone();
        modes.local_modes -= LocalModes::ICANON | LocalModes::ECHO;
        // A read returns after 0.2 s without a key.
        modes.special_codes[SpecialCodeIndex::VMIN] = 0;
        modes.special_codes[SpecialCodeIndex::VTIME] = 2;
        *BEFORE.lock().unwrap_or_else(PoisonError::into_inner) = Some(before);
        tcsetattr(stdin(), OptionalActions::Now, &modes).ok()?;
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            restore();
            usual(panic);
        }));
        // Not a thread of the runtime, which would wait for it at its end.
        std::thread::spawn(move || read(&session));
        Some(Keys)
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        restore();
    }
}

/// Gives the terminal its modes back, once.
fn restore() {
    let before = BEFORE.lock().unwrap_or_else(PoisonError::into_inner).take();
    // Whoever sets the modes of a terminal from the background is stopped.
    if let Some(before) = before.filter(|_| is_foreground()) {
        let _ = tcsetattr(stdin(), OptionalActions::Now, &before);
    }
}

fn is_foreground() -> bool {
    tcgetpgrp(stdin()).is_ok_and(|group| group == getpgrp())
}

fn read(session: &Session) {
    let mut key = [0];
    loop {
        if BEFORE.lock().unwrap_or_else(PoisonError::into_inner).is_none() {
            return;
        }
        if !is_foreground() {
            std::thread::sleep(Duration::from_millis(200));
            continue;
        }
        match rustix::io::read(stdin(), &mut key) {
            Ok(1) if key == *b"p" || key == *b"P" => session.toggle_pause(),
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            // The terminal is gone.
            Err(_) => return,
        }
    }
}
