//! `roombot demo`: a room, three fed people (one shares a screen for a while), a recording of it, a film, and what came of it.
//!
//! The people are processes of their own, as they would be elsewhere; the room and the recorder are in this one.

use super::args::duration;
use super::say::{say, tell};
use super::{compose, live, record, show};
use crate::error::{Error, Result};
use crate::record::recorder::RecorderConfig;
use crate::record::{Limits, RecordConfig, Recording};
use crate::room::end::EndReason;
use crate::room::participant::Role;
use crate::rtc::Wake;
use crate::server::{RoomServer, RoomServerConfig};
use crate::signal::{self, JoinAs};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::process::{Child, Command};
use tokio::sync::oneshot;

const ROOM: &str = "demo";
/// Where a browser is told to look, unless somebody else is there already.
const PORT: u16 = 8080;

/// Run a room with three fed people, record it, show the recording and make a film of it.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  roombot demo                  # 20 seconds, then the recording and its film
  roombot demo --keep           # the room stays open for your browser until Ctrl-C")]
pub struct DemoArgs {
    /// How long to record.
    #[arg(long = "for", value_name = "TIME", value_parser = duration, default_value = "20s")]
    duration: Duration,
    /// Leave the room open afterwards, with the three in it, until Ctrl-C.
    #[arg(long)]
    keep: bool,
    /// Address and port of the room server; without it port 8080, or a free one.
    #[arg(long, value_name = "ADDR:PORT")]
    listen: Option<SocketAddr>,
    /// The folder in which the recording's folder is made.
    #[arg(long, value_name = "DIR", default_value = "recordings")]
    out: PathBuf,
    /// The folder with alice.webm, bob.webm, carol.mkv and slides.webm.
    #[arg(long, value_name = "DIR")]
    fixtures: Option<PathBuf>,
    /// Make no film of the recording.
    #[arg(long)]
    no_film: bool,
    /// Print one JSON object with the summary instead of the table.
    #[arg(long)]
    json: bool,
}

/// Runs the demo.
///
/// # Errors
/// The user's for missing fixtures or a bad folder; the machine's where a process or the disk fails.
pub async fn run(args: DemoArgs) -> Result<()> {
    let mut stop = std::pin::pin!(super::interrupted()?);
    let fixtures = fixtures(args.fixtures.as_deref())?;
    let server = bind(args.listen).await?;
    let address = crate::server::reachable(server.local_addr());
    let (page, url) = (format!("http://{address}/rooms/{ROOM}"), format!("ws://{address}/rooms/{ROOM}"));
    let (close, closed) = oneshot::channel::<()>();
    let serving = tokio::spawn(server.run(async move {
        let _ = closed.await;
    }));
    tell!("The room is open: watch it at {page}");

    let mut people = People::default();
    let config = RecordConfig {
        recorder: RecorderConfig { parent: args.out, room: ROOM.into(), url: url.clone() },
        how: JoinAs { name: "Recorder".into(), role: Role::Recorder, token: None },
        wake: Wake::default(),
        relay_only: false,
        impairment: None,
        files: Some(Default::default()),
        observer: None,
    };
    let mut recording = Recording::start(signal::for_url(&url)?.as_ref(), config).await?;
    people.add(&url, "Alice", &fixtures.join("alice.webm"), &[])?;
    let slides = fixtures.join("slides.webm");
    let (from, until) = (args.duration.mul_f64(0.2), args.duration.mul_f64(0.7));
    let during = format!("{}ms..{}ms", from.as_millis(), until.as_millis());
    let share = ["--screen".as_ref(), slides.as_os_str(), "--screen-during".as_ref(), during.as_ref()];
    people.add(&url, "Bob", &fixtures.join("bob.webm"), &share)?;
    // Carol comes a little late.
    let late = tokio::time::sleep(args.duration.mul_f64(0.1).min(Duration::from_secs(3)));
    let display = live::show(recording.status(), args.json);
    let limits = Limits { duration: Some(args.duration), until_empty: None };
    let (added, reason) = {
        let carol = async {
            late.await;
            people.add(&url, "Carol", &fixtures.join("carol.mkv"), &[])
        };
        let mut until = std::pin::pin!(recording.until(limits, stop.as_mut()));
        tokio::select! {
            reason = &mut until => (Ok(()), reason),
            added = carol => (added, until.await),
        }
    };
    display.close().await;
    let summary = recording.finish(reason.clone()).await?;
    added?;
    if !args.json {
        show::print(&summary.folder)?;
        say!("\nThe recording is in {}", summary.folder.display());
        say!("Its tracks play in any browser or player:  ls {}/tracks", summary.folder.display());
    }
    let stays = args.keep && reason != EndReason::Stopped;
    if !stays {
        // The film needs the machine more than the empty room does.
        std::mem::take(&mut people).leave().await;
    }
    let mut film = None;
    if !args.no_film && reason != EndReason::Stopped {
        film = Some(compose::film(summary.folder.clone(), args.json).await?);
    }
    if args.json {
        record::report(&summary, &reason.to_string(), true, film.as_ref().map(|film| film.film.as_path()));
    } else if let Some(film) = &film {
        compose::report(film);
    }
    if stays {
        tell!("\nThe room stays open at {page}; Ctrl-C ends it.");
        stop.await;
    }
    people.leave().await;
    let _ = close.send(());
    match serving.await {
        Ok(ended) => ended,
        Err(e) => Err(Error::us("the room server failed").because(e)),
    }
}

/// The fixtures beside the sources, unless told otherwise.
fn fixtures(given: Option<&Path>) -> Result<PathBuf> {
    let beside_sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    let candidates = match given {
        Some(given) => vec![given.to_owned()],
        None => vec![PathBuf::from("fixtures"), beside_sources],
    };
    let found = candidates.iter().find(|dir| dir.join("alice.webm").is_file()).cloned();
    found.ok_or_else(|| {
        let tried: Vec<String> = candidates.iter().map(|dir| dir.display().to_string()).collect();
        Error::user(format!(
            "no fixtures in {}: run it in the project's folder or give --fixtures DIR",
            tried.join(" or ")
        ))
    })
}

async fn bind(listen: Option<SocketAddr>) -> Result<RoomServer> {
    if let Some(listen) = listen {
        return RoomServer::bind(RoomServerConfig::new(listen)).await;
    }
    let local = |port| RoomServerConfig::new((Ipv4Addr::LOCALHOST, port).into());
    match RoomServer::bind(local(PORT)).await {
        Ok(server) => Ok(server),
        Err(_) => RoomServer::bind(local(0)).await,
    }
}

/// The fed people. Killed when dropped, so that nobody stays behind.
#[derive(Default)]
struct People(Vec<Child>);

impl People {
    fn add(&mut self, url: &str, name: &str, media: &Path, more: &[&std::ffi::OsStr]) -> Result<()> {
        let failed = |e: std::io::Error| Error::machine(format!("{name} cannot be started")).because(e);
        let child = Command::new(std::env::current_exe().map_err(failed)?)
            .args(["feed", url, "--as", name, "--loop"])
            .arg(media)
            .args(more)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            // A Ctrl-C on the terminal is for us; they are told to leave.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(failed)?;
        self.0.push(child);
        Ok(())
    }

    /// Asks everybody to leave, and waits a little for it.
    async fn leave(mut self) {
        for child in &self.0 {
            let pid = child.id().and_then(|id| i32::try_from(id).ok()).and_then(rustix::process::Pid::from_raw);
            if let Some(pid) = pid {
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
            }
        }
        for child in &mut self.0 {
            let _ = tokio::time::timeout(Duration::from_secs(3), child.wait()).await;
        }
    }
}
