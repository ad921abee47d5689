//! `roombot demo`: a room with three participants who send files (one also shares a screen), recorded by the recorder service, which makes
//! the film and shows it in its dashboard.
//!
//! The participants are separate processes, as they would be elsewhere; the room server and the service run in this one.

mod participants;
mod recorder;

use super::args::duration;
use super::ctl::service::is_final;
use super::print::{print_err, print_out};
use super::runtime::interrupted;
use super::{browser, record, show, status_display};
use crate::error::{Error, Result};
use crate::record::status::Status;
use crate::recording::manifest::Manifest;
use crate::server::{RoomServer, RoomServerConfig};
use participants::Participants;
use recorder::DemoService;
use serde_json::Value;
use std::ffi::OsStr;
use std::io::IsTerminal;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::sync::{oneshot, watch};
use tokio::time::{Instant, sleep};

const ROOM: &str = "demo";
/// The port of the room server, if it is free.
const PORT: u16 = 8080;
/// How often it is looked how far the recording is.
const LOOK: Duration = Duration::from_millis(500);
/// Carol joins so late, or later than a tenth of a short recording.
const LATE: Duration = Duration::from_secs(3);

/// Run a room with three test participants, record it with the recorder service, make a film, and show it in the dashboard.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  roombot demo                  # records 20 seconds, makes a film, shows it in the dashboard
  roombot demo --no-open        # ends when the film is made
  roombot demo --keep           # keeps the room open for your browser until Ctrl-C
  roombot serve --data roombot-demo    # later; its key is in roombot-demo/admin-key

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
    /// The data folder of the recorder service: each recording gets a folder below its `recordings`.
    #[arg(long, value_name = "DIR", default_value = "roombot-demo")]
    data: PathBuf,
    /// Folder with alice.webm, bob.webm, carol.mkv and slides.webm.
    #[arg(long, value_name = "DIR")]
    fixtures: Option<PathBuf>,
    /// Do not make a film.
    #[arg(long)]
    no_film: bool,
    /// End when the film is made, without showing it in the browser.
    #[arg(long)]
    no_open: bool,
    /// Print a JSON summary instead of the table, and do not show the film.
    #[arg(long)]
    json: bool,
}

/// Where the demo takes place.
struct Place {
    /// The room, for participants and for people.
    url: String,
    page: String,
    fixtures: PathBuf,
}

/// Runs the demo.
///
/// # Errors
/// [`Error::User`]: missing fixtures or a bad folder. [`Error::Machine`]: a process or the disk failed.
pub async fn run(args: DemoArgs) -> Result<()> {
    let mut stop = stopped()?;
    let fixtures = fixtures(args.fixtures.as_deref())?;
    let server = bind(args.listen).await?;
    let address = crate::server::reachable(server.local_addr());
    let place =
        Place { url: format!("ws://{address}/rooms/{ROOM}"), page: format!("http://{address}/rooms/{ROOM}"), fixtures };
    let service = DemoService::start(&args.data).await?;
    let (close, closed) = oneshot::channel::<()>();
    let serving = tokio::spawn(server.run(async move {
        let _ = closed.await;
    }));
    print_err!("The room is open at {}", place.page);
    let mut participants = Participants::default();
    let shown = play(&args, &place, &service, &mut participants, &mut stop).await;
    participants.leave().await;
    let ended = service.end().await;
    let _ = close.send(());
    let served = serving.await.unwrap_or_else(|e| Err(Error::internal("the room server failed").because(e)));
    shown.and(ended).and(served)
}

/// Has people meet and be recorded, and shows what came of it, until `stop` where somebody watches.
async fn play(
    args: &DemoArgs,
    place: &Place,
    service: &DemoService,
    participants: &mut Participants,
    stop: &mut watch::Receiver<bool>,
) -> Result<()> {
    let id = service.record(&place.url, args.duration, !args.no_film).await?;
    let (status, displayed) = watch::channel(Status::default());
    let display = status_display::show(displayed, args.json, false);
    let met = async {
        until(service, &id, |recording| is_in_room(recording) || !is_live(recording), None).await?;
        invite(participants, place, args.duration)?;
        let late = Instant::now() + args.duration.mul_f64(0.1).min(LATE);
        until(service, &id, |recording| Instant::now() >= late || !is_live(recording), Some(&status)).await?;
        participants.add(&place.url, "Carol", &place.fixtures.join("carol.mkv"), &[])?;
        until(service, &id, |recording| !is_live(recording), Some(&status)).await
    };
    let met = or_cancelled(service, &id, met, stop).await;
    display.close().await;
    met?;
    let keep = args.keep && !*stop.borrow();
    if !keep {
        // The film needs the cores.
        participants.leave().await;
    }
    if !args.no_film && !*stop.borrow() {
        print_err!("The film is being made …");
    }
    let recording = or_cancelled(service, &id, until(service, &id, is_final, None), stop).await?;
    let outcome = report(args, service, &id, &recording);
    if *stop.borrow() {
        return outcome;
    }
    if keep {
        print_err!("\nThe room stays open at {}.", place.page);
    }
    let is_watched = !args.no_open && !args.json && std::io::stdout().is_terminal();
    if is_watched {
        open(service, &id);
    } else if keep {
        print_err!("Stop with Ctrl-C.");
    }
    if is_watched || keep {
        let _ = stop.wait_for(|stop| *stop).await;
    }
    outcome
}

/// True from Ctrl-C or SIGTERM on.
fn stopped() -> Result<watch::Receiver<bool>> {
    let interrupted = interrupted()?;
    let (stop, stopped) = watch::channel(false);
    tokio::spawn(async move {
        interrupted.await;
        stop.send_replace(true);
    });
    Ok(stopped)
}

/// Alice and Bob, who shares his screen for a while.
fn invite(participants: &mut Participants, place: &Place, length: Duration) -> Result<()> {
    let Place { url, fixtures, .. } = place;
    participants.add(url, "Alice", &fixtures.join("alice.webm"), &[])?;
    let slides = fixtures.join("slides.webm");
    let (from, until) = (length.mul_f64(0.2), length.mul_f64(0.7));
    let during = format!("{}ms..{}ms", from.as_millis(), until.as_millis());
    let share: [&OsStr; 4] = ["--screen".as_ref(), slides.as_os_str(), "--screen-during".as_ref(), during.as_ref()];
    participants.add(url, "Bob", &fixtures.join("bob.webm"), &share)
}

fn state(recording: &Value) -> &str {
    recording["state"].as_str().unwrap_or_default()
}

/// A recorder is in the room, or on its way there.
fn is_live(recording: &Value) -> bool {
    matches!(state(recording), "queued" | "joining" | "waiting" | "recording" | "paused" | "stopping")
}

fn is_in_room(recording: &Value) -> bool {
    matches!(state(recording), "waiting" | "recording")
}

/// Looks at a recording until it is as wanted. `status`: what its recorder says goes there meanwhile.
async fn until(
    service: &DemoService,
    id: &str,
    wanted: impl Fn(&Value) -> bool,
    status: Option<&watch::Sender<Status>>,
) -> Result<Value> {
    loop {
        let recording = service.recording(id).await?;
        if wanted(&recording) {
            return Ok(recording);
        }
        if let Some(status) = status
            && is_in_room(&recording)
            && let Some(live) = service.live(id).await
        {
            status.send_replace(live.into_status());
        }
        sleep(LOOK).await;
    }
}

/// The result of `work`. Where `stop` comes before it, the recording is cancelled first, which ends it soon.
async fn or_cancelled<T>(
    service: &DemoService,
    id: &str,
    work: impl Future<Output = Result<T>>,
    stop: &watch::Receiver<bool>,
) -> Result<T> {
    let (mut work, mut stop) = (std::pin::pin!(work), stop.clone());
    tokio::select! {
        result = &mut work => return result,
        _ = stop.wait_for(|stop| *stop) => {}
    }
    match service.cancel(id).await {
        Ok(()) => work.await,
        // It has ended just now.
        Err(_) if service.recording(id).await.is_ok_and(|recording| is_final(&recording)) => work.await,
        Err(e) => Err(e),
    }
}

/// Prints what was recorded.
fn report(args: &DemoArgs, service: &DemoService, id: &str, recording: &Value) -> Result<()> {
    let folder = service.folder(id);
    let media = recording["outcome"]["media"].as_array().into_iter().flatten();
    let film = media.filter(|media| media["kind"] == "film").find_map(|media| media["path"].as_str());
    let film = film.map(|path| folder.join(path));
    let why = recording["reason"].as_str().unwrap_or("it did not say why").to_owned();
    if state(recording) == "failed" {
        return Err(Error::machine(format!("nothing was recorded: {why}")));
    }
    if args.json {
        let manifest = Manifest::load(&folder)?;
        let mut object = record::summary_object(&folder, &manifest, film.as_deref());
        for (key, value) in
            [("id", id.into()), ("reason", why.clone().into()), ("reason_code", recording["sub_code"].clone())]
        {
            object[key] = value;
        }
        print_out!("{object}");
    } else {
        show::print(&folder)?;
        let folder = folder.display();
        print_out!("\nThe recording is in {folder}");
        print_out!("Its tracks play in any browser or media player:  ls {folder}/tracks");
        film.iter().for_each(|film| print_out!("The film is {}", film.display()));
        let (_, key_file) = service.key();
        let data = args.data.display();
        print_out!("The dashboard shows it:  roombot serve --data {data}  (its key is in {})", key_file.display());
    }
    let has_failed = !args.no_film && film.is_none() && state(recording) != "cancelled";
    if has_failed { Err(Error::machine(format!("there is no film: {why}"))) } else { Ok(()) }
}

/// Opens the dashboard on the recording, and says how others get there.
fn open(service: &DemoService, id: &str) {
    let link = service.link(id);
    print_out!("\nWatch it at {link} until Ctrl-C (signs in once)");
    print_out!("Or sign in at {} with the key {}", service.url(), service.key().0);
    browser::open(&link);
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
