//! The rules of the house, held over the source text: which room may import which, who names the big libraries, how long a
//! file may be, where a panic may hide, and that what is shipped is checked and documented.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The longest file, in lines.
const LONGEST: usize = 400;

/// A room of the crate, its floor, and by what word it may be imported. A room may import lower floors; those on one floor
/// never import each other. `error` is the ground that everybody stands on.
const FLOORS: &[(&str, u32)] = &[
    ("error", 0),
    ("room", 1),
    ("signal", 2),
    ("rtc", 2),
    ("media", 2),
    ("transfer", 2),
    ("container", 2),
    ("recording", 3),
    ("client", 4),
    ("record", 5),
    ("bot", 5),
    ("verify", 5),
    ("relay", 5),
    ("output", 6),
    ("film", 7),
    ("server", 8),
    ("harness", 9),
    ("cli", 10),
    ("lib", 11),
    ("main", 11),
];

/// Crates that one room only may name.
const SECRETS: &[(&str, &[&str])] =
    &[("rtc", &["webrtc", "rtc"]), ("media", &["gstreamer", "gstreamer_app", "gstreamer_video", "gst", "gst_video"])];

/// `unwrap` and `expect` in product code: the file, what stands in the line, and why it cannot panic.
const PROVEN: &[(&str, &str, &str)] = &[];

struct Source {
    /// From `src` on.
    path: String,
    text: String,
}

impl Source {
    /// The room that the file is in.
    fn room(&self) -> &str {
        let first = self.path.split('/').next().unwrap_or_default();
        first.strip_suffix(".rs").unwrap_or(first)
    }

    /// Its lines of product code, numbered from 1: no comments, and nothing of `#[cfg(test)]` modules.
    fn code(&self) -> Vec<(usize, String)> {
        let mut code = Vec::new();
        let (mut in_test, mut pending) = (false, false);
        for (index, line) in self.text.lines().enumerate() {
            let bare = without_comment(line);
            if bare.trim() == "#[cfg(test)]" {
                pending = true;
                continue;
            }
            if pending {
                // A module of its own file ends in its line, one in this file at the next brace in the first column.
                pending = bare.trim().starts_with("#[");
                in_test = !pending && bare.trim_end().ends_with('{');
                continue;
            }
            if in_test {
                in_test = !line.starts_with('}');
                continue;
            }
            code.push((index + 1, bare));
        }
        code
    }

    /// A file that only a `#[cfg(test)] mod` declares.
    fn is_test(&self) -> bool {
        ["/tests.rs", "_tests.rs", "/testing.rs"].iter().any(|end| self.path.ends_with(end))
    }
}

/// The line without what follows `//` outside of a string.
fn without_comment(line: &str) -> String {
    let (mut quoted, mut escaped) = (false, false);
    for (at, c) in line.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            '/' if !quoted && line[at..].starts_with("//") => return line[..at].to_owned(),
            _ => {}
        }
    }
    line.to_owned()
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn files_below(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path()) {
        if entry.is_dir() {
            found.extend(files_below(&entry, extension));
        } else if entry.extension().is_some_and(|e| e == extension) {
            found.push(entry);
        }
    }
    found.sort();
    found
}

fn sources() -> Vec<Source> {
    let folder = root().join("src");
    let read = |path: PathBuf| {
        let text = std::fs::read_to_string(&path).expect("UTF-8");
        Source { path: path.strip_prefix(&folder).expect("below src").display().to_string(), text }
    };
    files_below(&folder, "rs").into_iter().map(read).collect()
}

fn floor(room: &str) -> Option<u32> {
    FLOORS.iter().find(|(name, _)| *name == room).map(|(_, floor)| *floor)
}

/// Paths named in a line that begin with `root::`, each as what follows it; a group (`crate::{a, b::c}`) gives several.
fn named_after<'a>(line: &'a str, root: &str) -> Vec<&'a str> {
    let mut found = Vec::new();
    let start = format!("{root}::");
    for (at, _) in line.match_indices(&start) {
        let before = line[..at].chars().next_back();
        if before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':') {
            continue;
        }
        let rest = &line[at + start.len()..];
        match rest.strip_prefix('{') {
            Some(group) => found.extend(group.split(['{', '}', ',']).map(str::trim).filter(|part| !part.is_empty())),
            None => found.push(rest),
        }
    }
    found
}

fn first_word(path: &str) -> &str {
    path.split(|c: char| !(c.is_alphanumeric() || c == '_')).next().unwrap_or_default()
}

#[test]
fn imports_run_one_way() {
    let mut wrong = Vec::new();
    let mut seen = 0;
    for source in sources() {
        let room = source.room().to_owned();
        let mine = floor(&room).unwrap_or_else(|| panic!("{}: the table knows no room {room:?}", source.path));
        for (number, line) in source.code() {
            let inside = named_after(&line, "crate").into_iter().chain(named_after(&line, "roombot"));
            for target in inside.map(first_word) {
                let Some(theirs) = floor(target) else { continue };
                seen += 1;
                if target != room && theirs >= mine {
                    wrong.push(format!("{}:{number}: {room} imports {target}: {}", source.path, line.trim()));
                }
            }
        }
    }
    assert!(seen > 100, "only {seen} imports were found: the test looks at the wrong text");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_libraries_have_one_room_each() {
    let mut wrong = Vec::new();
    for source in sources() {
        for (owner, crates) in SECRETS {
            if source.room() == *owner {
                continue;
            }
            for (number, line) in source.code() {
                let outside = line.replace("crate::rtc::", "").replace("roombot::rtc::", "");
                for name in *crates {
                    // `rtc::x` within the crate's root is our own room; a use of the crate begins a path.
                    let own = *name == "rtc" && (source.path == "lib.rs" || outside.contains("crate::{"));
                    if !own && !named_after(&outside, name).is_empty() {
                        wrong.push(format!("{}:{number}: only {owner} names {name}: {}", source.path, line.trim()));
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_pure_room_names_no_runtime() {
    for source in sources().iter().filter(|source| source.room() == "room") {
        for (number, line) in source.code() {
            for name in ["tokio", "std::fs", "std::net", "webrtc", "gstreamer"] {
                assert!(!line.contains(&format!("{name}::")), "{}:{number}: {line}", source.path);
            }
            for question in ["Instant::now(", "SystemTime::now(", "Timestamp::now("] {
                assert!(!line.contains(question) || source.is_test(), "{}:{number} asks for the time", source.path);
            }
        }
    }
}

#[test]
fn files_can_be_read_in_one_sitting_and_say_what_they_are() {
    let mut wrong = Vec::new();
    for source in sources() {
        let lines = source.text.lines().count();
        if lines > LONGEST {
            wrong.push(format!("src/{}: {lines} lines, at most {LONGEST}", source.path));
        }
        if !source.text.starts_with("//! ") {
            wrong.push(format!("src/{}: its first line does not say what it is", source.path));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn product_code_does_not_panic_on_purpose() {
    let mut wrong = Vec::new();
    let mut used = vec![false; PROVEN.len()];
    for source in sources().iter().filter(|source| !source.is_test()) {
        for (number, line) in source.code() {
            let panics = [".unwrap()", ".expect(", "panic!(", "todo!(", "unimplemented!(", "unreachable!("];
            if !panics.iter().any(|word| line.contains(word)) {
                continue;
            }
            match PROVEN.iter().position(|(file, text, _)| *file == source.path && line.contains(text)) {
                Some(index) => used[index] = true,
                None => wrong.push(format!("src/{}:{number}: {}", source.path, line.trim())),
            }
        }
    }
    let stale = PROVEN.iter().zip(used).filter(|(_, used)| !used).map(|((file, text, _), _)| format!("{file}: {text}"));
    wrong.extend(stale.map(|entry| format!("no longer there, take it off the list: {entry}")));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_judge_of_this_house_sees() {
    let source = |text: &str| Source { path: "room/x.rs".into(), text: text.into() };
    let code = source("a\n#[cfg(test)]\nmod tests {\n    x.unwrap();\n}\nb // c.unwrap()\n").code();
    assert_eq!(code, [(1, "a".to_owned()), (6, "b ".to_owned())]);
    let code = source("#[cfg(test)]\nmod tests;\nb\n").code();
    assert_eq!(code, [(3, "b".to_owned())]);
    assert_eq!(named_after("use crate::{room::a, rtc};", "crate"), ["room::a", "rtc", ";"]);
    assert_eq!(named_after("use other_crate::x;", "crate"), Vec::<&str>::new());
    assert_eq!(without_comment(r#"let a = "http://x"; // why"#), r#"let a = "http://x"; "#);
    assert!(floor("client") > floor("rtc") && floor("record") == floor("bot"));
}

#[test]
fn every_pipeline_that_is_shipped_is_checked() {
    let folder = root().join("pipelines");
    let output = Command::new(env!("CARGO_BIN_EXE_roombot")).args(["pipelines", "check"]).output().expect("it runs");
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let listed = Command::new(env!("CARGO_BIN_EXE_roombot")).args(["pipelines", "list"]).output().expect("it runs");
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    for file in files_below(&folder, "gst") {
        let name = file.strip_prefix(&folder).expect("below").with_extension("").display().to_string();
        assert!(listed.contains(&name), "{name} is not compiled in: {listed}");
    }
}

/// The verbs that `roombot --help` lists.
fn verbs() -> Vec<String> {
    let output = Command::new(env!("CARGO_BIN_EXE_roombot")).arg("--help").output().expect("it runs");
    let help = String::from_utf8(output.stdout).expect("UTF-8");
    let list = help.split("Commands:\n").nth(1).expect("a list of commands");
    let names = list.lines().take_while(|line| line.starts_with(' ')).filter(|line| !line.starts_with("   "));
    names.filter_map(|line| line.split_whitespace().next()).filter(|verb| *verb != "help").map(str::to_owned).collect()
}

#[test]
fn the_readme_names_every_verb() {
    let verbs = verbs();
    assert!(verbs.iter().any(|verb| verb == "record"), "{verbs:?}");
    let readme = std::fs::read_to_string(root().join("README.md")).expect("there is a README.md");
    for verb in verbs {
        let named = [format!("roombot {verb} "), format!("`{verb}`"), format!("`{verb} ")]
            .iter()
            .any(|name| readme.contains(name));
        assert!(named, "README.md does not name the verb {verb}");
    }
}
