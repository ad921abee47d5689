//! The rules of the house, held over the source text: which room may import which, that no files import each other, who names the big
//! libraries, how long a file may be, where a panic may hide, and that what is shipped is checked and documented.

mod graph;
mod judged;
mod read;
mod source;

use graph::{Circle, Graph};
use read::Kind;
use source::{files_below, room, root, sources};
use std::process::Command;

/// The longest file, in lines.
const LONGEST: usize = 400;

/// A room of the crate, and its floor. A room may import lower floors; those on one floor
/// never import each other. `error` is the ground that everybody stands on.
const FLOORS: &[(&str, u32)] = &[
    ("error", 0),
    ("log", 1),
    ("room", 1),
    ("signal", 2),
    ("rtc", 2),
    ("media", 2),
    ("transfer", 2),
    ("container", 2),
    ("pages", 2),
    ("recording", 3),
    ("client", 4),
    ("record", 5),
    ("bot", 5),
    ("verify", 5),
    ("relay", 5),
    ("output", 6),
    ("film", 7),
    ("server", 8),
    ("viewer", 8),
    ("service", 9),
    ("harness", 9),
    ("cli", 10),
    ("lib", 11),
    ("main", 11),
];

/// Crates that only the files of one folder may name.
const LIBRARIES: &[(&str, &[&str])] =
    &[("rtc/driver/", &["webrtc", "rtc"]), ("media/", &["gstreamer", "gstreamer_app", "gstreamer_video"])];

/// `unwrap` and `expect` in product code: the file, what stands in the line, and why it cannot panic.
const PROVEN: &[(&str, &str, &str)] = &[];

fn graph() -> Graph {
    let sources = sources();
    Graph::of(sources.iter().map(|source| (source.path.as_str(), source.text.as_str())))
}

fn floor(room: &str) -> Option<u32> {
    FLOORS.iter().find(|(name, _)| *name == room).map(|(_, floor)| *floor)
}

/// How many imports there are between rooms, and those that do not lead down.
fn uphill(graph: &Graph) -> (usize, Vec<String>) {
    let (mut seen, mut wrong) = (0, Vec::new());
    for (index, path) in graph.files.iter().enumerate() {
        let mine = floor(room(path)).unwrap_or_else(|| panic!("{path}: the table knows no room {:?}", room(path)));
        for (target, named) in graph.imports(index).filter(|(target, _)| room(target) != room(path)) {
            seen += 1;
            if floor(room(target)).is_none_or(|theirs| theirs >= mine) {
                wrong.push(format!("{path}:{}: {} is in {target}", named.line, named.segments.join("::")));
            }
        }
    }
    (seen, wrong)
}

#[test]
fn imports_run_one_way() {
    let (seen, wrong) = uphill(&graph());
    assert!(seen > 100, "only {seen} imports were found: the test looks at the wrong text");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Files that import each other cannot be read, tested or moved one at a time. Files that hold one type between them count as one: a
/// parent that defines it, and children with an `impl` of it. `mod x;` and `pub use x::Y;` of a parent are no imports.
#[test]
fn no_files_import_each_other() {
    let told = |circle: &Circle| format!("a circle: {}\n  {}", circle.files.join(" "), circle.way.join("\n  "));
    let wrong: Vec<String> = graph().circles().iter().map(told).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Every path that leads to a library from outside of its folder.
fn with_library(graph: &Graph) -> Vec<String> {
    let mut wrong = Vec::new();
    for (index, path) in graph.files.iter().enumerate() {
        let others = LIBRARIES.iter().filter(|(folder, _)| !path.starts_with(folder));
        let others: Vec<&str> = others.flat_map(|(_, names)| names.iter().copied()).collect();
        for named in graph.named(index) {
            if let Some(name) = graph.library(named).filter(|name| others.contains(&name.as_str())) {
                wrong.push(format!("{path}:{}: {} is of {name}", named.line, named.segments.join("::")));
            }
        }
    }
    wrong
}

#[test]
fn the_libraries_have_one_folder_each() {
    let wrong = with_library(&graph());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    // Nor does anybody else speak of it.
    for source in sources().iter().filter(|source| !source.path.starts_with("rtc/driver/")) {
        let named = ["webrtc::", "rtc::peer_connection"].iter().any(|name| source.text.contains(name));
        assert!(!named, "src/{} names the driver's library", source.path);
    }
}

/// Functions of GStreamer that make plain values, or take an object that is there: these need no proof that GStreamer was started.
const NEEDLESS: &[&str] = &[
    "AppSinkCallbacks::builder",
    "AppSrcCallbacks::builder",
    "ClockTime::from_nseconds",
    "ClockTime::from_seconds",
    "ClockTime::nseconds",
    "ClockTime::try_from",
    "Element::link_many",
    "Fraction::new",
    "Type::from_name",
    "VideoConverter::new",
    "VideoFrameFlags::empty",
    "VideoFrameRef::from_buffer_ref_readable",
    "VideoFrameRef::from_buffer_ref_writable",
    "VideoInfo::from_caps",
    "VideoMeta::add",
];

/// Functions of GStreamer that product code calls without the token of `media/runtime.rs`, which proves that GStreamer was started. A
/// list of the forbidden ones would have gaps: there are hundreds.
fn without_token(graph: &Graph) -> Vec<String> {
    let is_type = |name: &str| name.starts_with(char::is_uppercase);
    let is_function = |name: &str| name.starts_with(char::is_lowercase);
    let mut wrong = Vec::new();
    for (index, path) in graph.files.iter().enumerate().filter(|(_, path)| **path != "media/runtime.rs") {
        for named in graph.named(index).iter().filter(|named| named.kind == Kind::Used) {
            let [.., of, name] = &named.segments[..] else { continue };
            let makes = is_function(name) && is_type(of) && !NEEDLESS.contains(&format!("{of}::{name}").as_str());
            let of_gstreamer = || graph.library(named).is_some_and(|library| library.starts_with("gstreamer"));
            if makes && of_gstreamer() {
                wrong.push(format!("{path}:{}: {} without a `Gst`", named.line, named.segments.join("::")));
            }
        }
    }
    wrong
}

#[test]
fn nothing_of_gstreamer_is_made_before_it_was_started() {
    let wrong = without_token(&graph());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_pure_room_names_no_runtime() {
    for source in sources().iter().filter(|source| source.room() == "room" && !source.is_test()) {
        for (number, line) in source.code() {
            for name in ["tokio", "std::fs", "std::net", "webrtc", "gstreamer"] {
                assert!(!line.contains(&format!("{name}::")), "{}:{number}: {line}", source.path);
            }
            for question in ["Instant::now(", "SystemTime::now(", "Timestamp::now("] {
                assert!(!line.contains(question), "{}:{number} asks for the time", source.path);
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

/// A test that sleeps and then looks fails on a slower machine, and wastes time on a faster one: `support/wait.rs` has what waits for
/// something, and what says why time itself has to pass.
#[test]
fn tests_do_not_sleep_blindly() {
    let folder = root().join("tests/suite");
    let mut wrong = Vec::new();
    for file in files_below(&folder, "rs") {
        let path = file.strip_prefix(&folder).expect("below").display().to_string();
        let text = std::fs::read_to_string(&file).expect("UTF-8");
        let lines = text.lines().enumerate().filter(|(_, line)| line.contains("::sleep("));
        wrong.extend(lines.map(|(index, line)| format!("tests/suite/{path}:{}: {}", index + 1, line.trim())));
    }
    wrong
        .retain(|line| !line.starts_with("tests/suite/support/wait.rs:") && !line.starts_with("tests/suite/house.rs:"));
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

#[test]
fn the_readme_is_read_in_some_minutes() {
    let readme = std::fs::read_to_string(root().join("README.md")).expect("there is a README.md");
    let words = readme.split_whitespace().count();
    assert!(words <= 900, "README.md has {words} words, at most 900: the rest belongs to docs/");
}
