//! Somebody in a scenario who is a headless Chromium: the room's own page, with stamped files for camera and microphone, and a tab that plays
//! a stamped file to share. It does what a user would click, and leaves as a crash would have it. It judges nothing.

use super::attend::{Act, Media, acts};
use super::devtools::{DevTools, Tab};
use super::player::{Played, TARDY};
use super::scenario::Person;
use crate::error::{Error, Result};
use crate::room::media::MediaKind;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tokio::time::{Instant, timeout};
use url::Url;

/// Where Chromium is, unless `CHROMIUM` says otherwise.
const CHROMIUM: &str = "chromium";
/// How often it is looked whether this machine still keeps up, and whether the browser still runs.
const BEAT: Duration = Duration::from_millis(20);
/// How long a page may take to be ready to do anything.
const OPENING: Duration = Duration::from_secs(30);
/// How long a killed browser's children may take to let go of its profile.
const LETTING_GO: Duration = Duration::from_secs(3);

/// Media without devices, questions or a network, and a page that goes on although nobody looks at it.
const FLAGS: &[&str] = &[
    "--headless=new",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--no-default-browser-check",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-extensions",
    "--disable-dev-shm-usage",
    "--use-fake-device-for-media-stream",
    // Permission is given to the room's page alone; a fake user would share a fake screen.
    "--remote-debugging-port=0",
    "--allow-loopback-in-peer-connection",
    "--autoplay-policy=no-user-gesture-required",
    "--disable-background-timer-throttling",
    "--disable-backgrounding-occluded-windows",
    "--disable-renderer-backgrounding",
    "--window-size=1280,720",
];

/// A running browser with its profile; killed when dropped, and all that it started with it.
struct Browser {
    child: Child,
    profile: tempfile::TempDir,
}

/// A browser before its stay: it has what it is to show, and nothing left to do but to open the room's page.
pub struct Ready {
    browser: Browser,
    tools: DevTools,
    screen: Option<Tab>,
    log: PathBuf,
}

impl Ready {
    /// Starts a browser for somebody who will open the page at `page`. That takes seconds, so it is done before the scenario begins.
    ///
    /// # Errors
    /// The user's: there is no Chromium. The machine's: it does not get ready; what it said lies in `log`.
    pub async fn make(page: &Url, person: &Person, media: &Media, log: PathBuf) -> Result<Ready> {
        let browser = Browser::open(person, media, &log)?;
        let mut tools = DevTools::connect(browser.profile.path()).await?;
        tools.grant(&page.origin().ascii_serialization()).await?;
        let screen = match &media.screen {
            Some(film) => {
                let shown = browser.profile.path().join("screen.html");
                let cannot = |e| Error::machine("cannot write what a browser shows").because(e);
                std::fs::write(&shown, screen_page(&person.name, &file_url(film)?)).map_err(cannot)?;
                let tab = tools.open(&file_url(&shown)?).await?;
                // A tab behind another one would not even load it.
                tools.until(&tab, "document.querySelector('video')?.readyState >= 3", OPENING).await?;
                Some(tab)
            }
            None => None,
        };
        Ok(Ready { browser, tools, screen, log })
    }

    /// One person's stay, from joining to leaving. What is played is the beat of this machine: a browser says not itself whether it was given
    /// the time that it needs.
    ///
    /// # Errors
    /// The machine's: it ended by itself.
    pub async fn stay(self, page: &Url, person: &Person, media: &Media, start: Instant) -> Result<Played> {
        let Ready { mut browser, mut tools, screen, log } = self;
        let mut played = Played::default();
        browser.until(start + person.join, &mut played, &log).await?;
        let room = tools.open(&format!("{page}?name={}&auto=1&raw=1&{}", person.name, media.wish)).await?;
        let entered = tools.until(&room, "window.roombot?.state.phase === 'joined'", OPENING).await;
        played.entered(&person.name, (start + person.join).elapsed());
        let acts = acts(person);
        if !acts.is_empty() {
            entered?;
        }
        for (at, act) in acts {
            browser.until(start + at, &mut played, &log).await?;
            let begun = Instant::now();
            match act {
                Act::Mute(MediaKind::Audio, off) => tools.eval(&room, &format!("roombot.mute({off})")).await?,
                Act::Mute(MediaKind::Video, off) => tools.eval(&room, &format!("roombot.camera({})", !off)).await?,
                Act::Share => {
                    tools.eval(&room, "roombot.share(true)").await?;
                    match &screen {
                        // Not waited for: it plays when the tab counts as seen, which a shared one does.
                        Some(screen) => tools.eval(screen, "void document.querySelector('video').play()").await?,
                        None => continue,
                    }
                }
                Act::StopSharing => tools.eval(&room, "roombot.share(false)").await?,
                Act::RestartIce => continue,
            };
            let late = (start + at).elapsed();
            if late > TARDY {
                let (at, late, took) = (at.as_secs_f64(), late.as_secs_f64(), begun.elapsed().as_secs_f64());
                let name = &person.name;
                played.trouble.push(format!(
                    "what {name}'s browser should have done at {at} s was done {late:.1} s later, and took {took:.1} s"
                ));
            }
        }
        browser.until(start + person.leave, &mut played, &log).await?;
        // Its end takes a moment, which is not the others' to wait for.
        let _ = timeout(LETTING_GO * 2, tokio::task::spawn_blocking(move || drop(browser))).await;
        Ok(played)
    }
}

impl Browser {
    /// Waits until `until`, and sees to it that the browser is still there and this machine keeps up.
    async fn until(&mut self, until: Instant, played: &mut Played, log: &Path) -> Result<()> {
        while Instant::now() < until {
            let due = Instant::now() + BEAT;
            tokio::time::sleep_until(due).await;
            played.note(due.elapsed());
            if let Ok(Some(status)) = self.child.try_wait() {
                let message = format!("Chromium ended by itself ({status}); {} has what it said", log.display());
                return Err(Error::machine(message));
            }
        }
        Ok(())
    }

    fn open(person: &Person, media: &Media, log: &Path) -> Result<Browser> {
        let program = std::env::var_os("CHROMIUM").unwrap_or_else(|| CHROMIUM.into());
        let cannot = |e: std::io::Error| Error::machine("cannot make a profile for Chromium").because(e);
        let profile = tempfile::Builder::new().prefix("roombot-chromium-").tempdir().map_err(cannot)?;
        let log = File::create(log).map_err(|e| Error::user(format!("cannot write {}", log.display())).because(e))?;
        let sound = media.camera.with_extension("wav");
        let mut command = Command::new(&program);
        command.args(FLAGS);
        if rustix::process::geteuid().is_root() {
            // Chromium refuses to have a sandbox then. It sees nothing but our own page.
            command.arg("--no-sandbox");
        }
        command
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .arg(format!("--use-file-for-fake-video-capture={}", absolute(&media.camera)?))
            .arg(format!("--use-file-for-fake-audio-capture={}", absolute(&sound)?))
            // The name has letters and digits only.
            .arg(format!("--auto-select-tab-capture-source-by-title={}", title(&person.name)))
            .arg("about:blank");
        let same = log.try_clone().map_err(cannot)?;
        command.stdin(Stdio::null()).stdout(log).stderr(same);
        // What it leaves in the folder for such things goes with its profile.
        command.env("TMPDIR", profile.path());
        // A group of its own: its children are killed with it, and Ctrl-C is ours to answer.
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let child = command.spawn().map_err(|e| {
            let shown = program.to_string_lossy();
            Error::user(format!("cannot start {shown}: apt install chromium, or say where it is in CHROMIUM"))
                .because(e)
        })?;
        Ok(Browser { child, profile })
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let group = i32::try_from(self.child.id()).ok().and_then(rustix::process::Pid::from_raw);
        if let Some(group) = group {
            // Gone already: then there is nothing to kill.
            let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        }
        let _ = self.child.wait();
        // Its children end a moment after it, and until then may write where it has been deleted.
        let until = std::time::Instant::now() + LETTING_GO;
        while std::fs::remove_dir_all(self.profile.path()).is_err()
            && self.profile.path().exists()
            && std::time::Instant::now() < until
        {
            std::thread::sleep(BEAT);
        }
    }
}

/// What the tab that is shared is called.
fn title(name: &str) -> String {
    format!("roombot-screen-{name}")
}

/// A page that is filled by a film, which waits to be played.
fn screen_page(name: &str, film: &str) -> String {
    format!(
        "<!doctype html><meta charset=\"utf-8\"><title>{}</title><style>html,body{{margin:0;background:#808080;overflow:hidden}}\
         video{{position:fixed;inset:0;width:100%;height:100%}}</style><video src=\"{film}\" muted preload=\"auto\"></video>",
        title(name)
    )
}

fn file_url(path: &Path) -> Result<String> {
    let path = absolute(path)?;
    let url = Url::from_file_path(&path).map_err(|()| Error::user(format!("{path} cannot be shown by a browser")))?;
    Ok(url.into())
}

fn absolute(path: &Path) -> Result<String> {
    let cannot = |e| Error::user(format!("cannot find {}", path.display())).because(e);
    Ok(std::fs::canonicalize(path).map_err(cannot)?.display().to_string())
}
