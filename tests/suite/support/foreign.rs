//! Members of a room on WebRTC stacks of other people (`tests/foreign`), each in a process of its own that ends with its value. They are
//! written from `docs/protocol.md` alone. What they need comes from PyPI and npm once, into the folder of this build.

use super::moment;
use super::needs::tools;
use super::others::installed_by_npm;
use serde_json::{Value, json};
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

/// Two cores that are shared with other tests: what takes a second may take many.
const PATIENCE: Duration = Duration::from_secs(30);

/// Whose WebRTC it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stack {
    Aiortc,
    Libdatachannel,
}

impl Stack {
    /// As `docs/interop.md` names it, with its version.
    pub fn name(self) -> String {
        let (file, mark, name) = match self {
            Stack::Aiortc => ("aiortc/requirements.txt", "aiortc==", "aiortc"),
            Stack::Libdatachannel => ("libdatachannel/package.json", "\"node-datachannel\": \"", "node-datachannel"),
        };
        let text = std::fs::read_to_string(sources().join(file)).expect("a file of ours");
        let rest = text.split(mark).nth(1).expect("a version");
        format!("{name} {}", rest.split(['"', '\n']).next().unwrap_or_default())
    }

    /// Finds what it needs, or installs that.
    async fn command(self) -> Result<Command, String> {
        let found = tokio::task::spawn_blocking(move || match self {
            Stack::Aiortc => AIORTC.get_or_init(|| python("aiortc")),
            Stack::Libdatachannel => LIBDATACHANNEL.get_or_init(libdatachannel),
        });
        let folder = found.await.expect("it ran").as_ref()?;
        let (program, script) = match self {
            Stack::Aiortc => (folder.join("venv/bin/python"), "aiortc/member.py"),
            Stack::Libdatachannel => ("node".into(), "member.js"),
        };
        let mut command = Command::new(program);
        // Node looks for packages beside the script.
        command.arg(if self == Stack::Aiortc { sources().join(script) } else { folder.join(script) });
        command.env("PYTHONDONTWRITEBYTECODE", "1");
        Ok(command)
    }
}

fn sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/foreign")
}

static AIORTC: OnceLock<Result<PathBuf, String>> = OnceLock::new();
static LIBDATACHANNEL: OnceLock<Result<PathBuf, String>> = OnceLock::new();

/// A folder of this build, locked while `install` fills it; that is done once for the same `list` of packages.
fn prepared(name: &str, list: &str, install: impl FnOnce(&Path) -> Result<(), String>) -> Result<PathBuf, String> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::create_dir_all(&folder).expect("a folder");
    let lock = File::create(folder.join("lock")).expect("a file");
    lock.lock().expect("a lock");
    let list = std::fs::read(sources().join(list)).expect("a file of ours");
    let done = folder.join("done");
    if std::fs::read(&done).ok().as_ref() != Some(&list) {
        let _ = std::fs::remove_file(&done);
        install(&folder)?;
        std::fs::write(&done, list).expect("written");
    }
    Ok(folder)
}

/// Python in an environment of its own, with what `requirements.txt` in that folder of `tests/foreign` lists.
pub fn python(name: &str) -> Result<PathBuf, String> {
    tools(&["python3"])?;
    let list = format!("{name}/requirements.txt");
    prepared(&format!("foreign-{name}"), &list, |folder| {
        let venv = folder.join("venv");
        said(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&venv))
            .map_err(|words| format!("python3 makes no environment (package python3-venv): {words}"))?;
        let mut pip = Command::new(venv.join("bin/python"));
        pip.args([
            "-m",
            "pip",
            "install",
            "--quiet",
            "--no-input",
            "--disable-pip-version-check",
            "--only-binary",
            ":all:",
        ]);
        match said(pip.args(["--retries", "2", "--timeout", "30", "-r"]).arg(sources().join(&list))) {
            Ok(()) => Ok(()),
            Err(words) if UNREACHABLE.iter().any(|mark| words.contains(mark)) => {
                Err(format!("pip reaches no registry, and {name} is not installed"))
            }
            Err(words) if words.contains("Requires-Python") => {
                Err(format!("python3 is not of a version for which there is this {name}"))
            }
            Err(words) => panic!("pip install: {words}"),
        }
    })
}

/// What pip says where no registry answers.
const UNREACHABLE: &[&str] =
    &["NewConnectionError", "ConnectTimeoutError", "ReadTimeoutError", "ProxyError", "Connection refused"];

/// The program beside the packages of its lock file.
fn libdatachannel() -> Result<PathBuf, String> {
    tools(&["node", "npm"])?;
    let folder = prepared("foreign-libdatachannel", "libdatachannel/package-lock.json", |folder| {
        for name in ["package.json", "package-lock.json"] {
            std::fs::copy(sources().join("libdatachannel").join(name), folder.join(name)).expect("copied");
        }
        installed_by_npm(folder)
    })?;
    for name in ["member.js", "files.js", "frames.js"] {
        let text = std::fs::read(sources().join("libdatachannel").join(name)).expect("a file of ours");
        // Another test may be running it: it is replaced as a whole, and only if it is another.
        if std::fs::read(folder.join(name)).ok().as_ref() != Some(&text) {
            let new = tempfile::NamedTempFile::new_in(&folder).expect("a file");
            std::fs::write(new.path(), text).expect("written");
            new.persist(folder.join(name)).expect("renamed");
        }
    }
    Ok(folder)
}

/// Runs a command; what it said if it failed.
fn said(command: &mut Command) -> Result<(), String> {
    let output = command.output().map_err(|error| error.to_string())?;
    let words = [output.stdout, output.stderr].concat();
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&words).into_owned()) }
}

/// A running member.
pub struct Foreign {
    child: Child,
    input: Option<ChildStdin>,
    told: Arc<Mutex<Vec<Value>>>,
    folder: tempfile::TempDir,
}

impl Foreign {
    /// Joins a room and shares these from the beginning: source and codec.
    pub async fn join(stack: Stack, room: &str, name: &str, share: &[(&str, &str)]) -> Result<Foreign, String> {
        let mut command = stack.command().await?;
        let folder = tempfile::tempdir().expect("a folder");
        let files = folder.path().join("files");
        std::fs::create_dir(&files).expect("a folder");
        let share: serde_json::Map<String, Value> = share.iter().map(|(s, c)| ((*s).into(), (*c).into())).collect();
        let frames = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/frames");
        let how = json!({ "room": room, "name": name, "share": share, "files": files, "frames": frames });
        let errors = File::create(folder.path().join("errors")).expect("a file");
        command.arg(how.to_string()).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(errors);
        let mut child = command.spawn().expect("it runs");
        let (input, output) = (child.stdin.take(), child.stdout.take().expect("a pipe"));
        let told: Arc<Mutex<Vec<Value>>> = Arc::default();
        let heard = told.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                let event = serde_json::from_str(&line).unwrap_or_else(|_| json!({ "event": "words", "text": line }));
                heard.lock().expect("lock").push(event);
            }
        });
        let mut member = Foreign { child, input, told, folder };
        member.until("it joins", |event| event["event"] == "joined").await;
        Ok(member)
    }

    /// Where it puts files that it is sent.
    pub fn files(&self) -> PathBuf {
        self.folder.path().join("files")
    }

    /// Has it do something.
    pub fn order(&mut self, order: Value) {
        let input = self.input.as_mut().expect("it has not left");
        writeln!(input, "{order}").unwrap_or_else(|_| panic!("it is gone: {}", self.errors()));
    }

    pub fn share(&mut self, source: &str, codec: &str) {
        self.order(json!({ "do": "share", "source": source, "codec": codec }));
    }

    pub fn unshare(&mut self, source: &str) {
        self.order(json!({ "do": "unshare", "source": source }));
    }

    /// So many events it has told; for [`Foreign::until_after`].
    pub fn so_far(&self) -> usize {
        self.told.lock().expect("lock").len()
    }

    /// Waits until it has told something.
    pub async fn until(&mut self, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
        self.until_after(0, what, holds).await
    }

    /// The same, of what it tells after the first so many events.
    pub async fn until_after(&mut self, first: usize, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
        let mut deadline = Instant::now() + PATIENCE;
        let mut had_ended = false;
        loop {
            if let Some(found) = self.told.lock().expect("lock").iter().skip(first).find(|event| holds(event)) {
                return found.clone();
            }
            let ended = self.child.try_wait().expect("a child");
            // Its last words are read by a thread.
            if ended.is_some() && !std::mem::replace(&mut had_ended, true) {
                deadline = Instant::now() + Duration::from_secs(2);
            }
            if Instant::now() > deadline {
                let mut told = self.told.lock().expect("lock").clone();
                told.retain(|event| event["event"] != "frames");
                panic!("{what}: not within {PATIENCE:?} ({ended:?})\n{}\n{}", json!(told), self.errors());
            }
            moment().await;
        }
    }

    /// Waits for so many frames of somebody's source.
    pub async fn receives(&mut self, of: &str, source: &str, frames: u64) {
        let is = |event: &Value| event["event"] == "frames" && event["of"] == of && event["source"] == source;
        let what = format!("{frames} frames of {of}'s {source}");
        self.until(&what, |event| is(event) && event["frames"].as_u64().is_some_and(|count| count >= frames)).await;
    }

    /// Waits until it is connected to somebody, and its chat with them is open.
    pub async fn meets(&mut self, name: &str) {
        self.until(&format!("a chat with {name}"), |event| event["event"] == "chat-open" && event["of"] == name).await;
    }

    /// Leaves as it should. How its process ends is not looked at: libdatachannel's binding crashes at times when it is unloaded.
    pub async fn leave(mut self) {
        self.order(json!({ "do": "leave" }));
        self.until("the end", |event| event["event"] == "left").await;
    }

    fn errors(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("errors")).unwrap_or_default()
    }
}

impl Drop for Foreign {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
