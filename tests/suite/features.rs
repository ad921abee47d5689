//! What Cargo features leave out. `./test` also compiles the crate without any of them.

use std::process::Command;

/// The normal dependencies with these flags, one crate a line.
fn dependencies(flags: &[&str]) -> String {
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
    let fixed = ["tree", "--manifest-path", manifest, "--locked", "--offline", "-e", "normal", "--prefix", "none"];
    let output = Command::new(env!("CARGO")).args(fixed).args(flags).output().expect("cargo");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8")
}

#[test]
fn without_features_neither_gstreamer_nor_a_server_is_linked() {
    let is_there = |tree: &str, name: &str| tree.lines().any(|line| line.starts_with(name));
    let all = dependencies(&[]);
    let none = dependencies(&["--no-default-features"]);
    for name in ["gstreamer", "glib", "image ", "axum", "toml ", "mp4-atom "] {
        assert!(is_there(&all, name), "{name} is no dependency at all:\n{all}");
        assert!(!is_there(&none, name), "{name} is needed without features:\n{none}");
    }
    assert!(is_there(&none, "webrtc "), "{none}");
    let server = dependencies(&["--no-default-features", "--features", "server"]);
    assert!(is_there(&server, "axum") && !is_there(&server, "gstreamer"), "{server}");
}
