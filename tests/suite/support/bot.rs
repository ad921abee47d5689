//! The real binary as a child process; killed with its value.

use super::moment;
use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// What a run came to.
#[derive(Debug)]
pub struct Outcome {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

/// A running `roombot`.
pub struct Bot {
    child: Child,
    stdout: Option<Output>,
    stderr: Option<Output>,
}

impl Bot {
    /// `roombot` with these arguments.
    pub fn start(args: &[&str]) -> Bot {
        let mut command = Command::new(env!("CARGO_BIN_EXE_roombot"));
        command.args(args);
        Bot::spawn(command)
    }

    /// A command that ends in `roombot`.
    pub fn spawn(mut command: Command) -> Bot {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Bot::as_it_is(command)
    }

    /// The same, with what it reads and writes as the command says.
    pub fn as_it_is(mut command: Command) -> Bot {
        Bot::of(command.spawn().expect("it starts"))
    }

    /// A process that runs already.
    pub fn of(mut child: Child) -> Bot {
        let (stdout, stderr) = (child.stdout.take().map(Output::read), child.stderr.take().map(Output::read));
        Bot { child, stdout, stderr }
    }

    /// A recorder of `room` into `out`.
    pub fn record(room: &str, out: &Path, more: &[&str]) -> Bot {
        let out = out.to_str().expect("UTF-8");
        Bot::start(&[&["record", room, "--out", out], more].concat())
    }

    /// The most memory that it has had so far, in bytes (`VmHWM`).
    pub fn peak_memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("a process");
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a figure");
        line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") * 1024
    }

    /// Waits until this is in what it has written to stdout so far.
    pub async fn says(&self, text: &str, within: Duration) {
        let until = Instant::now() + within;
        loop {
            let said = self.stdout.as_ref().map(Output::so_far).unwrap_or_default();
            if said.contains(text) {
                return;
            }
            assert!(Instant::now() < until, "no {text:?} within {within:?}: {said}");
            moment().await;
        }
    }

    /// SIGKILL, at once.
    pub fn kill(&mut self) {
        self.child.kill().expect("it was running");
    }

    /// SIGINT, as Ctrl-C sends it.
    pub fn interrupt(&self) {
        let pid = i32::try_from(self.child.id()).ok().and_then(rustix::process::Pid::from_raw).expect("a process id");
        rustix::process::kill_process(pid, rustix::process::Signal::INT).expect("it was running");
    }

    /// Waits for its end; a deadline and no measure ([`super::deadline`]).
    pub async fn ended(mut self, within: Duration) -> Outcome {
        let within = super::deadline(within.as_secs());
        let until = Instant::now() + within;
        let status: ExitStatus = loop {
            match self.child.try_wait().expect("a child") {
                Some(status) => break status,
                None if Instant::now() > until => panic!("roombot has not ended within {within:?}"),
                None => moment().await,
            }
        };
        let text = |output: Option<Output>| output.map(Output::whole).unwrap_or_default();
        Outcome { code: status.code(), stdout: text(self.stdout.take()), stderr: text(self.stderr.take()) }
    }
}

impl Drop for Bot {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs it to its end.
pub async fn run(args: &[&str]) -> Outcome {
    Bot::start(args).ended(Duration::from_secs(30)).await
}

/// What a process writes, read as it comes.
struct Output {
    text: Arc<Mutex<Vec<u8>>>,
    reader: JoinHandle<()>,
}

impl Output {
    fn read(mut pipe: impl Read + Send + 'static) -> Output {
        let text: Arc<Mutex<Vec<u8>>> = Arc::default();
        let shared = text.clone();
        let reader = std::thread::spawn(move || {
            let mut block = [0; 8192];
            while let Ok(length @ 1..) = pipe.read(&mut block) {
                shared.lock().expect("lock").extend_from_slice(&block[..length]);
            }
        });
        Output { text, reader }
    }

    fn so_far(&self) -> String {
        String::from_utf8_lossy(&self.text.lock().expect("lock")).into_owned()
    }

    fn whole(self) -> String {
        let _ = self.reader.join();
        String::from_utf8_lossy(&self.text.lock().expect("lock")).into_owned()
    }
}
