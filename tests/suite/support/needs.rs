//! What a test needs of a machine that may not have it: a tool, a server of somebody else's, a permission. Where that is missing the test
//! is skipped by its name, and under `CI=true` it fails. `./test` sets `ROOMBOT_SKIPPED` to a file that gets the same lines.

use std::io::Write;
use std::path::{Path, PathBuf};

/// What an expression that gives a `Result<_, String>` found, or the end of the test: the error says what is missing.
#[allow(unused_macros, reason = "benches take what is missing for an error")]
macro_rules! needed {
    ($found:expr) => {
        match $found {
            Ok(found) => found,
            Err(missing) => {
                fn here() {}
                return $crate::support::needs::skip(std::any::type_name_of_val(&here), &missing);
            }
        }
    };
}
#[allow(unused_imports, reason = "the same")]
pub(crate) use needed;

/// Debian's package of each tool.
const PACKAGES: &[(&str, &str)] = &[
    ("chromium", "chromium"),
    ("ffmpeg", "ffmpeg"),
    ("ip", "iproute2"),
    ("janus", "janus"),
    ("janus-pp-rec", "janus-tools"),
    ("node", "nodejs"),
    ("npm", "npm"),
    ("turnserver", "coturn"),
];

/// Finds these tools, or says which are missing.
pub fn tools(names: &[&str]) -> Result<(), String> {
    let missing: Vec<&str> = names.iter().copied().filter(|name| find(name).is_none()).collect();
    match missing.is_empty() {
        true => Ok(()),
        false => Err(missing.into_iter().map(not_installed).collect::<Vec<_>>().join(", ")),
    }
}

/// A library's path below the folders of this architecture, or the package that has it.
pub fn library(name: &str, package: &str) -> Result<PathBuf, String> {
    let folders = ["/usr/lib", &format!("/usr/lib/{}-linux-gnu", std::env::consts::ARCH)].map(PathBuf::from);
    let found = folders.into_iter().map(|folder| folder.join(name)).find(|file| file.is_file());
    found.ok_or_else(|| format!("{name} is not installed (package {package})"))
}

/// A tool's path: `CHROMIUM` for Chromium, otherwise by `PATH`.
pub fn find(name: &str) -> Option<PathBuf> {
    if name == "chromium"
        && let Some(own) = std::env::var_os("CHROMIUM")
    {
        return Some(own.into());
    }
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| is_program(file))
}

/// The words for a tool that is not there.
pub fn not_installed(name: &str) -> String {
    match PACKAGES.iter().find(|(tool, _)| *tool == name) {
        Some((_, package)) if *package != name => format!("{name} is not installed (package {package})"),
        _ => format!("{name} is not installed"),
    }
}

fn is_program(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    file.metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

/// Ends a test that cannot run here. `place`: a function in it.
pub fn skip(place: &str, missing: &str) {
    let thread = std::thread::current();
    let line = match verdict(std::env::var("CI").is_ok_and(|ci| ci == "true"), &name(thread.name(), place), missing) {
        Ok(line) => line,
        Err(failure) => panic!("{failure}"),
    };
    // Past the harness, which keeps what tests print to itself.
    let _ = std::io::stderr().write_all(line.as_bytes());
    if let Some(list) = std::env::var_os("ROOMBOT_SKIPPED") {
        let list = std::fs::OpenOptions::new().append(true).create(true).open(list);
        list.and_then(|mut list| list.write_all(line.as_bytes())).expect("the list of skipped tests can be written");
    }
}

/// The line that is written, or what the test fails with.
fn verdict(ci: bool, test: &str, missing: &str) -> Result<String, String> {
    match ci {
        true => Err(format!("{missing}, and under CI=true nothing is skipped")),
        false => Ok(format!("skipped: {test} ({missing})\n")),
    }
}

/// A test runs in a thread of its name, but for where there is one thread for all.
fn name(thread: Option<&str>, place: &str) -> String {
    match thread {
        Some(thread) if thread != "main" => thread.to_owned(),
        _ => {
            let place = place.split_once("::").map_or(place, |(_, place)| place);
            place.trim_end_matches("::here").trim_end_matches("::{{closure}}").to_owned()
        }
    }
}

#[test]
fn what_is_missing_is_told_by_name_and_fails_in_ci() {
    assert_eq!(verdict(false, "turn::x", "coturn is not there"), Ok("skipped: turn::x (coturn is not there)\n".into()));
    assert!(verdict(true, "turn::x", "coturn is not there").is_err_and(|failure| failure.contains("coturn")));
    assert_eq!(name(Some("turn::x"), "suite::turn::x::{{closure}}::here"), "turn::x");
    assert_eq!(name(Some("main"), "suite::turn::x::{{closure}}::here"), "turn::x");
    assert_eq!(tools(&["sh"]), Ok(()));
    assert_eq!(tools(&["sh", "turnserver-of-nobody"]), Err("turnserver-of-nobody is not installed".into()));
    assert_eq!(not_installed("turnserver"), "turnserver is not installed (package coturn)");
}
