//! A scenario participant that is a headless Chromium with the room's own page: stamped files replace camera and microphone, and a second
//! tab plays a stamped file to share. It acts as a user would, and leaves by being killed. It measures nothing.

use super::chromium::Chromium;
use super::devtools::{DevTools, Tab};
use super::player::{LATE_ACTION, SendStats};
use super::scenario::Participant;
use super::schedule::{Action, MediaFiles, actions};
use crate::error::{Error, Result};
use crate::room::media::MediaKind;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::time::{Instant, timeout};
use url::Url;

/// Interval at which it is checked that this machine keeps up and the browser still runs.
const HEARTBEAT: Duration = Duration::from_millis(20);
/// Limit for loading a page.
const LOAD_TIMEOUT: Duration = Duration::from_secs(30);
/// Limit for the end of a killed browser; it is killed in any case.
const EXIT_TIMEOUT: Duration = Duration::from_secs(6);

/// A started browser that has not opened the room's page yet.
pub(super) struct BrowserDriver {
    chromium: Chromium,
    devtools: DevTools,
    screen: Option<Tab>,
    log: PathBuf,
}

impl BrowserDriver {
    /// Starts a browser for a participant who will open the page at `page`. This takes seconds, so it is done before the scenario starts.
    ///
    /// # Errors
    /// The user's: there is no Chromium. The machine's: it does not start; its output is in `log`.
    pub async fn prepare(
        page: &Url,
        participant: &Participant,
        media: &MediaFiles,
        log: PathBuf,
    ) -> Result<BrowserDriver> {
        let chromium = Chromium::start(flags(participant, media)?, Some(&log))?;
        let devtools = chromium.devtools().await?;
        // Only the room's page gets the permission. A flag for all pages would also share a fake screen.
        devtools.grant_media(&page.origin().ascii_serialization()).await?;
        let screen = match &media.screen {
            Some(file) => {
                let path = chromium.profile().join("screen.html");
                let cannot = |e| Error::machine(format!("cannot write {}", path.display())).because(e);
                std::fs::write(&path, screen_page(&participant.name, &file_url(file)?)).map_err(cannot)?;
                let tab = devtools.open(&file_url(&path)?).await?;
                // Must load before another tab is opened: a tab in the background does not load it.
                devtools.wait_for(&tab, "document.querySelector('video')?.readyState >= 3", LOAD_TIMEOUT).await?;
                Some(tab)
            }
            None => None,
        };
        Ok(BrowserDriver { chromium, devtools, screen, log })
    }

    /// Takes part in the room from joining to leaving. A browser does not tell whether it got enough CPU time, so the statistics count
    /// the delays of a timer instead of frames.
    ///
    /// # Errors
    /// The machine's: the browser ended or does not respond.
    pub async fn drive(
        mut self,
        page: &Url,
        participant: &Participant,
        media: &MediaFiles,
        start: Instant,
    ) -> Result<SendStats> {
        let mut stats = SendStats::default();
        let name = &participant.name;
        self.wait_until(start + participant.join, &mut stats).await?;
        let url = format!("{page}?name={name}&auto=1&raw=1&{}", media.camera_query);
        let room = self.devtools.open(&url).await?;
        let joined = self.devtools.wait_for(&room, "window.roombot?.state.phase === 'joined'", LOAD_TIMEOUT).await;
        stats.joined(name, (start + participant.join).elapsed());
        let actions = actions(participant);
        if !actions.is_empty() {
            joined?;
        }
        for (at, action) in actions {
            self.wait_until(start + at, &mut stats).await?;
            let begun = Instant::now();
            self.act(&room, action).await?;
            let late_by = (start + at).elapsed();
            if late_by > LATE_ACTION {
                let (at, late_by, took) = (at.as_secs_f64(), late_by.as_secs_f64(), begun.elapsed().as_secs_f64());
                stats.trouble.push(format!(
                    "{name}'s browser carried out its action at {at} s {late_by:.1} s late (it took {took:.1} s)"
                ));
            }
        }
        self.wait_until(start + participant.leave, &mut stats).await?;
        let BrowserDriver { chromium, .. } = self;
        // Killing takes a moment; the other participants need not wait for it.
        let _ = timeout(EXIT_TIMEOUT, tokio::task::spawn_blocking(move || drop(chromium))).await;
        Ok(stats)
    }

    async fn act(&self, room: &Tab, action: Action) -> Result<()> {
        let script = match action {
            Action::Mute(MediaKind::Audio) => "roombot.mute(true)",
            Action::Unmute(MediaKind::Audio) => "roombot.mute(false)",
            Action::Mute(MediaKind::Video) => "roombot.camera(false)",
            Action::Unmute(MediaKind::Video) => "roombot.camera(true)",
            Action::StartScreen => "roombot.share(true)",
            Action::StopScreen => "roombot.share(false)",
            // Refused when the scenario is read.
            Action::RestartIce => return Ok(()),
        };
        self.devtools.eval(room, script).await?;
        if let (Action::StartScreen, Some(screen)) = (action, &self.screen) {
            // Not awaited: it plays once the tab counts as visible, which it does when it is shared.
            self.devtools.eval(screen, "void document.querySelector('video').play()").await?;
        }
        Ok(())
    }

    /// Waits until `until`; meanwhile counts timer delays and fails if the browser has ended.
    async fn wait_until(&mut self, until: Instant, stats: &mut SendStats) -> Result<()> {
        while Instant::now() < until {
            let due = Instant::now() + HEARTBEAT;
            tokio::time::sleep_until(due).await;
            stats.frame(due.elapsed());
            if let Some(status) = self.chromium.exit_status() {
                let log = self.log.display();
                return Err(Error::machine(format!("Chromium ended unexpectedly ({status}); its output is in {log}")));
            }
        }
        Ok(())
    }
}

fn flags(participant: &Participant, media: &MediaFiles) -> Result<Vec<OsString>> {
    let audio = media.camera.with_extension("wav");
    Ok(vec![
        format!("--use-file-for-fake-video-capture={}", absolute(&media.camera)?).into(),
        format!("--use-file-for-fake-audio-capture={}", absolute(&audio)?).into(),
        // Names consist of letters and digits only.
        format!("--auto-select-tab-capture-source-by-title={}", title(&participant.name)).into(),
    ])
}

/// The title of the tab to share.
fn title(name: &str) -> String {
    format!("roombot-screen-{name}")
}

/// A page that shows nothing but a video, which does not play yet.
fn screen_page(name: &str, video: &str) -> String {
    format!(
        "<!doctype html><meta charset=\"utf-8\"><title>{}</title><style>html,body{{margin:0;background:#808080;overflow:hidden}}\
         video{{position:fixed;inset:0;width:100%;height:100%}}</style><video src=\"{video}\" muted preload=\"auto\"></video>",
        title(name)
    )
}

fn file_url(path: &Path) -> Result<String> {
    let path = absolute(path)?;
    let url = Url::from_file_path(&path).map_err(|()| Error::user(format!("{path} has no file URL")))?;
    Ok(url.into())
}

fn absolute(path: &Path) -> Result<String> {
    let cannot = |e| Error::user(format!("cannot find {}", path.display())).because(e);
    Ok(std::fs::canonicalize(path).map_err(cannot)?.display().to_string())
}
