//! A Janus of the test's own: its configuration, ports and recordings in a folder of its own, on 127.0.0.1; ends with its value.

use super::moment;
use super::needs::{find, not_installed};
use super::within;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// Where Debian has its modules.
const MODULES: [&str; 2] = ["/usr/lib/x86_64-linux-gnu/janus", "/usr/lib/aarch64-linux-gnu/janus"];
/// What is not needed of it.
const PLUGINS: [&str; 11] = [
    "audiobridge",
    "duktape",
    "echotest",
    "lua",
    "nosip",
    "recordplay",
    "sip",
    "streaming",
    "textroom",
    "videocall",
    "voicemail",
];
const TRANSPORTS: [&str; 5] = ["http", "mqtt", "nanomsg", "pfunix", "rabbitmq"];

pub struct Janus {
    child: Child,
    port: u16,
    dir: tempfile::TempDir,
}

impl Janus {
    /// With these rooms, as `janus.plugin.videoroom.jcfg` has them, where Janus is installed.
    pub async fn start(rooms: &str) -> Result<Janus, String> {
        let modules = MODULES.into_iter().find(|folder| Path::new(folder).is_dir());
        let (Some(program), Some(modules)) = (find("janus"), modules) else { return Err(not_installed("janus")) };
        let dir = tempfile::tempdir().expect("a folder");
        let port = TcpListener::bind("127.0.0.1:0").and_then(|s| s.local_addr()).expect("a free port").port();
        let janus = Janus { child: configured(&program, dir.path(), modules, port, rooms), port, dir };
        let answers = async {
            while tokio::net::TcpStream::connect(janus.address()).await.is_err() {
                moment().await;
            }
        };
        within(20, "Janus answers", answers).await;
        Ok(janus)
    }

    pub fn address(&self) -> SocketAddr {
        ([127, 0, 0, 1], self.port).into()
    }

    /// A room's address for a bot.
    pub fn room(&self, rest: &str) -> String {
        format!("janus+ws://{}/{rest}", self.address())
    }

    /// The lines of its log in which this is.
    pub fn says(&self, what: &str) -> Vec<String> {
        let log = std::fs::read(self.dir.path().join("log")).unwrap_or_default();
        String::from_utf8_lossy(&log).lines().filter(|line| line.contains(what)).map(str::to_owned).collect()
    }

    /// Waits until it says this of what it does.
    pub async fn until_it_says(&self, what: &str) {
        let said = async {
            while self.says(what).is_empty() {
                moment().await;
            }
        };
        within(30, what, said).await;
    }

    /// What it wrote itself of a publisher: the first `audio` or `video`, as the time and the number in the names say.
    pub fn recorded(&self, feed: u64, kind: &str) -> PathBuf {
        let marks = [format!("-user-{feed}-"), format!("-{kind}-")];
        let files = std::fs::read_dir(self.dir.path().join("rec")).expect("recordings");
        let found = files.map(|file| file.expect("a file").path()).filter(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            marks.iter().all(|mark| name.contains(mark.as_str())) && name.ends_with(".mjr")
        });
        found.min().unwrap_or_else(|| panic!("Janus has no {kind} of {feed}"))
    }

    /// When what such a file holds began, in seconds since 1970, by the packet that was fastest on its way. `rate`: of its clock, in Hz.
    pub fn begun(mjr: &Path, rate: f64) -> f64 {
        let bytes = std::fs::read(mjr).expect("a recording");
        let number = |at: usize, length: usize| {
            bytes[at..at + length].iter().fold(0u32, |number, byte| number << 8 | u32::from(*byte))
        };
        // A magic number, the length of some JSON, that, in which `u` is when the first packet was written, in microseconds.
        let head = 10 + number(8, 2) as usize;
        let header: serde_json::Value = serde_json::from_slice(&bytes[10..head]).expect("JSON");
        // Then the packets, each with a word, when it was written in milliseconds, and its length.
        let (mut at, mut first, mut fastest) = (head, None, f64::MAX);
        while at + 22 <= bytes.len() {
            let (written, length, stamp) = (number(at + 4, 4), number(at + 8, 2) as usize, number(at + 14, 4));
            let (written_first, stamp_first) = *first.get_or_insert((written, stamp));
            let since = f64::from(written - written_first) / 1e3;
            fastest = fastest.min(since - f64::from(stamp.wrapping_sub(stamp_first) as i32) / rate);
            at += 10 + length;
        }
        header["u"].as_f64().expect("a time") / 1e6 + fastest
    }

    /// SIGKILL, at once.
    pub fn kill(&mut self) {
        self.child.kill().expect("it was running");
        self.child.wait().expect("it ends");
    }
}

impl Drop for Janus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn configured(program: &Path, dir: &Path, modules: &str, port: u16, rooms: &str) -> Child {
    let conf = dir.join("conf");
    std::fs::create_dir_all(&conf).expect("a folder");
    std::fs::create_dir_all(dir.join("rec")).expect("a folder");
    let disabled =
        |names: &[&str]| names.iter().map(|name| format!("libjanus_{name}.so")).collect::<Vec<_>>().join(",");
    // Ports of media: two hundred from one that is free now.
    let first = UdpSocket::bind("127.0.0.1:0").and_then(|s| s.local_addr()).expect("a free port").port().min(65_000);
    let (folder, none, last) = (conf.display(), dir.join("none"), first + 200);
    let write = |name: &str, text: String| std::fs::write(conf.join(name), text).expect("written");
    write(
        "janus.jcfg",
        format!(
            "general: {{ configs_folder = \"{folder}\"\n plugins_folder = \"{modules}/plugins\"\n \
             transports_folder = \"{modules}/transports\"\n events_folder = \"{none}\"\n loggers_folder = \"{none}\"\n \
             protected_folders = []\n debug_level = 5\n debug_colors = false\n debug_timestamps = true\n \
             reclaim_session_timeout = 20 }}\n\
             media: {{ rtp_port_range = \"{first}-{last}\" }}\n\
             nat: {{ full_trickle = true\n ice_enforce_list = \"127.0.0.1\" }}\n\
             plugins: {{ disable = \"{}\" }}\n transports: {{ disable = \"{}\" }}\n",
            disabled(&PLUGINS),
            disabled(&TRANSPORTS),
            none = none.display(),
        ),
    );
    let websockets =
        format!("general: {{ json = \"compact\"\n ws = true\n ws_port = {port}\n ws_ip = \"127.0.0.1\" }}\n");
    write("janus.transport.websockets.jcfg", websockets);
    let rooms = rooms.replace("REC", &dir.join("rec").display().to_string());
    write("janus.plugin.videoroom.jcfg", format!("general: {{ }}\n{rooms}\n"));
    let log = std::fs::File::create(dir.join("log")).expect("a log");
    Command::new(program)
        .arg("-F")
        .arg(&conf)
        .arg("-C")
        .arg(conf.join("janus.jcfg"))
        .current_dir(dir)
        .stdin(Stdio::null())
        .stdout(log.try_clone().expect("a log"))
        .stderr(log)
        .spawn()
        .expect("Janus starts")
}
