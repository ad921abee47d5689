//! A Janus of the test's own: its configuration, ports and recordings in a folder of its own, on 127.0.0.1; ends with its value.

use super::within;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

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
    /// With these rooms, as `janus.plugin.videoroom.jcfg` has them. None, with a line that says so, where Janus is not installed.
    pub async fn start(rooms: &str) -> Option<Janus> {
        let modules = MODULES.into_iter().find(|folder| Path::new(folder).is_dir());
        let Some(modules) = modules.filter(|_| Path::new("/usr/bin/janus").exists()) else {
            println!("skipped: Janus (package janus) is not installed");
            return None;
        };
        let dir = tempfile::tempdir().expect("a folder");
        let port = TcpListener::bind("127.0.0.1:0").and_then(|s| s.local_addr()).expect("a free port").port();
        let janus = Janus { child: configured(dir.path(), modules, port, rooms), port, dir };
        let answers = async {
            while tokio::net::TcpStream::connect(janus.address()).await.is_err() {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        within(20, "Janus answers", answers).await;
        Some(janus)
    }

    pub fn address(&self) -> SocketAddr {
        ([127, 0, 0, 1], self.port).into()
    }

    /// A room's address for a bot.
    pub fn room(&self, rest: &str) -> String {
        format!("janus+ws://{}/{rest}", self.address())
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

fn configured(dir: &Path, modules: &str, port: u16, rooms: &str) -> Child {
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
             protected_folders = []\n debug_level = 4\n debug_colors = false\n \
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
    Command::new("/usr/bin/janus")
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
