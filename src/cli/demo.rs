//! `roombot demo`: a room with three participants who send files (one also shares a screen), its recording and film.
//!
//! The participants are separate processes, as they would be elsewhere; the room server and the recorder run in this one.

use super::args::duration;
use super::print::{print_err, print_out};
use super::runtime::interrupted;
use super::{browser, compose, record, show, status_display};
use crate::error::{Error, Result};
use crate::record::Recorder;
use crate::room::end::EndReason;
use crate::server::{RoomServer, RoomServerConfig, reachable};
use crate::viewer::Viewer;
use std::io::IsTerminal;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::process::{Child, Command};
use tokio::sync::oneshot;

const ROOM: &str = "demo";
/// The port of the room server, if it is free.
const PORT: u16 = 8080;

/// Run a room with three test participants, record it, compose a film, and show it in the browser.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  roombot demo                  # records 20 seconds, composes the film and shows it until Ctrl-C
  roombot demo --no-open        # ends when the film is made
  roombot demo --keep           # keeps the room open for your browser until Ctrl-C

Where no terminal is (a pipe, CI) it ends when the film is made.")]
pub struct DemoArgs {
    /// Length of the recording.
    #[arg(long = "for", value_name = "TIME", value_parser = duration, default_value = "20s")]
    duration: Duration,
    /// Keep the room and its participants afterwards, until Ctrl-C.
    #[arg(long)]
    keep: bool,
    /// Address and port of the room server; by default port 8080, or a free one if that is taken.
    #[arg(long, value_name = "ADDR:PORT")]
    listen: Option<SocketAddr>,
    /// Output folder; the recording gets a folder in it.
    #[arg(long, value_name = "DIR", default_value = "recordings")]
    out: PathBuf,
    /// Folder with alice.webm, bob.webm, carol.mkv and slides.webm.
    #[arg(long, value_name = "DIR")]
    fixtures: Option<PathBuf>,
    /// Do not compose a film.
    #[arg(long)]
    no_film: bool,
    /// End when the film is made, without showing it in the browser.
    #[arg(long)]
    no_open: bool,
    /// Print a JSON summary instead of the table, and do not show the film.
    #[arg(long)]
    json: bool,
}

/// Runs the demo.
///
/// # Errors
/// [`Error::User`]: missing fixtures or a bad folder. [`Error::Machine`]: a process or the disk failed.
pub async fn run(args: DemoArgs) -> Result<()> {
    let mut stop = std::pin::pin!(interrupted()?);
    let fixtures = fixtures(args.fixtures.as_deref())?;
    let server = bind(args.listen).await?;
    let address = crate::server::reachable(server.local_addr());
    let (page, url) = (format!("http://{address}/rooms/{ROOM}"), format!("ws://{address}/rooms/{ROOM}"));
    let (close, closed) = oneshot::channel::<()>();
    let serving = tokio::spawn(server.run(async move {
        let _ = closed.await;
    }));
    print_err!("The room is open at {page}");

    let mut participants = Participants::default();
    let mut recorder = Recorder::builder(&url).out(&args.out).duration(args.duration).start().await?;
    participants.add(&url, "Alice", &fixtures.join("alice.webm"), &[])?;
    let slides = fixtures.join("slides.webm");
    let (from, until) = (args.duration.mul_f64(0.2), args.duration.mul_f64(0.7));
    let during = format!("{}ms..{}ms", from.as_millis(), until.as_millis());
    let share = ["--screen".as_ref(), slides.as_os_str(), "--screen-during".as_ref(), during.as_ref()];
    participants.add(&url, "Bob", &fixtures.join("bob.webm"), &share)?;
    // Carol joins late.
    let late = tokio::time::sleep(args.duration.mul_f64(0.1).min(Duration::from_secs(3)));
    let display = status_display::show(recorder.status(), args.json, false);
    let (added, reason) = {
        let carol = async {
            late.await;
            participants.add(&url, "Carol", &fixtures.join("carol.mkv"), &[])
        };
        let mut until = std::pin::pin!(recorder.until(stop.as_mut()));
        tokio::select! {
            reason = &mut until => (Ok(()), reason),
            added = carol => (added, until.await),
        }
    };
    display.close().await;
    let summary = recorder.finish().await?;
    added?;
    if !args.json {
        show::print(&summary.folder)?;
        print_out!("\nThe recording is in {}", summary.folder.display());
        print_out!("Its tracks play in any browser or media player:  ls {}/tracks", summary.folder.display());
    }
    let keep = args.keep && reason != EndReason::Stopped;
    if !keep {
        // Composing needs the CPU.
        std::mem::take(&mut participants).leave().await;
    }
    let mut film = None;
    if !args.no_film && reason != EndReason::Stopped {
        film = Some(compose::film(summary.folder.clone(), args.json).await?);
    }
    if args.json {
        record::report(&summary, &reason, true, film.as_ref().map(|film| film.film.as_path()), None);
    } else if let Some(film) = &film {
        compose::report(film);
    }
    if keep {
        print_err!("\nThe room stays open at {page}.");
    }
    let watched = !args.no_open && !args.json && reason != EndReason::Stopped && std::io::stdout().is_terminal();
    let shown = if watched { show_film(summary.folder.clone(), stop.as_mut()).await } else { Ok(()) };
    if keep && !watched {
        print_err!("Stop with Ctrl-C.");
        stop.await;
    }
    participants.leave().await;
    let _ = close.send(());
    let served = serving.await.unwrap_or_else(|e| Err(Error::internal("the room server failed").because(e)));
    shown.and(served)
}

/// Opens the player on the recording and serves it until `stop`.
async fn show_film(folder: PathBuf, stop: impl Future<Output = ()>) -> Result<()> {
    let viewer = Viewer::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), folder.clone()).await?;
    let url = format!("http://{}{}", reachable(viewer.local_addr()), viewer.path());
    let again = folder.display();
    print_out!("\nWatch it at {url} until Ctrl-C; later with  roombot view {again}");
    browser::open(&url);
    let (end, ended) = oneshot::channel::<()>();
    let mut serving = std::pin::pin!(viewer.run(async move { drop(ended.await) }));
    tokio::select! {
        result = &mut serving => return result,
        () = stop => {}
    }
    drop(end);
    serving.await
}

/// The folder of fixtures: the given one, or the one in the working directory or in the sources.
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
            "no fixtures in {}: run it in the project's folder or use --fixtures DIR",
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

/// The participants' processes. Killed when dropped.
#[derive(Default)]
struct Participants(Vec<Child>);

impl Participants {
    fn add(&mut self, url: &str, name: &str, media: &Path, more: &[&std::ffi::OsStr]) -> Result<()> {
        let failed = |e: std::io::Error| Error::machine(format!("{name} cannot be started")).because(e);
        let child = Command::new(std::env::current_exe().map_err(failed)?)
            .args(["feed", url, "--as", name, "--loop"])
            .arg(media)
            .args(more)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            // Not stopped by Ctrl-C on the terminal, but by `leave`.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(failed)?;
        self.0.push(child);
        Ok(())
    }

    /// Asks all processes to leave, and waits a few seconds for each.
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
