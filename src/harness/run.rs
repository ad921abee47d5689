//! Runs a scenario: makes the media files, opens a room, lets participants join and leave, records, and judges the recording. Everything is in
//! one folder and on 127.0.0.1.

use super::browser_driver::BrowserDriver;
use super::client_driver::drive_client;
use super::player::{LATE, SendStats, VERY_LATE};
use super::scenario::{Participant, Scenario};
use super::schedule::{DRAIN, MediaFiles};
use super::task::blocking;
use crate::client::RoomObserver;
use crate::error::{Error, Result};
use crate::film;
use crate::media::Library;
use crate::record::destination::{Destination, Place};
use crate::record::{RecordConfig, Recording};
use crate::room::end::EndReason;
use crate::room::participant::Role;
use crate::rtc::{Impairment, Wake};
use crate::server::{RoomServer, RoomServerConfig};
use crate::signal::{self, JoinAs};
use crate::verify::expect::Expectation;
use crate::verify::quality::{ComparedFrame, Quality};
use crate::verify::target::{self, SCREEN_OFFSET, StampNumbers, TargetParticipant};
use crate::verify::verdict::{Report, TargetReport, Verdict, judge};
use crate::verify::watch::{self, Clocks, Delays, Watch};
use crate::verify::{Format, Job, make};
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::Instant;
use url::Url;

/// Time between the end of all preparations and the scenario's start.
const LEAD: Duration = Duration::from_millis(200);
/// With a larger share of late frames, a result says more about this machine than about the recorder.
const MAX_LATE: f64 = 0.02;
/// Limit for the end of the room server.
const SERVER_TIMEOUT: Duration = Duration::from_secs(2);
/// Frame rate of the film: the default of `compose`.
const FILM_FPS: u32 = 30;
const ROOM: &str = "check";

/// The result of one run of a scenario.
pub struct ScenarioRun {
    /// What was run.
    pub scenario: Scenario,
    /// Seed of the network impairments.
    pub seed: u64,
    /// Verdicts on the recording and its film.
    pub report: Report,
    /// The recording folder.
    pub folder: PathBuf,
    /// Per participant whose frames were compared with their source: name and the frame with the lowest PSNR.
    pub worst: Vec<(String, ComparedFrame)>,
}

/// Runs a scenario in `folder`. The same seed impairs the network in the same way. Media files from an earlier run are reused.
///
/// # Errors
/// The user's: a missing package, the folder cannot be created. The machine's and ours: the run was aborted.
pub async fn run_scenario(library: &Library, scenario: &Scenario, folder: &Path, seed: u64) -> Result<ScenarioRun> {
    let cannot = |e| Error::user(format!("cannot create the folder {}", folder.display())).because(e);
    std::fs::create_dir_all(folder).map_err(cannot)?;
    let media = blocking({
        let (library, scenario, folder) = (library.clone(), scenario.clone(), folder.to_owned());
        move || make_files(&library, &scenario, &folder)
    })
    .await?;
    let call = run_call(library, scenario, folder, &media, seed).await?;
    let (library, copy, recording) = (library.clone(), scenario.clone(), call.recording.clone());
    let (report, worst) = blocking(move || judge_call(&library, &copy, call)).await?;
    Ok(ScenarioRun { scenario: scenario.clone(), seed, report, folder: recording, worst })
}

/// What is left of a call.
struct Call {
    recording: PathBuf,
    /// Of all participants.
    stats: SendStats,
    /// End-to-end delays by participant number, if an expectation needs them.
    delays: BTreeMap<u8, Delays>,
}

/// Makes the media files of each participant, except those that an earlier run has made.
fn make_files(library: &Library, scenario: &Scenario, folder: &Path) -> Result<Vec<MediaFiles>> {
    let seconds = u32::try_from(scenario.duration.as_secs() + 1).unwrap_or(u32::MAX);
    let Scenario { size, fps, kilobits, .. } = *scenario;
    let file = |name: &str, participant: u8, raw: bool| -> Result<PathBuf> {
        let (out, format) = if raw { ("y4m", Format::Raw) } else { ("webm", Format::Vp8) };
        let out = folder.join(format!("{name}.{out}"));
        let job = Job { participant, size, fps, seconds, format, kilobits, out: out.clone() };
        if !out.exists() {
            make(library, &job, |_| Ok(()))?;
        }
        Ok(out)
    };
    let files_of = |(index, participant): (usize, &Participant)| {
        let (name, number) = (&participant.name, number(index));
        let screen =
            participant.screen.map(|_| file(&format!("{name}.screen"), number + SCREEN_OFFSET, false)).transpose()?;
        let camera_query = format!("width={}&height={}&fps={fps}", size.0, size.1);
        Ok(MediaFiles { camera: file(name, number, participant.browser)?, screen, camera_query })
    };
    scenario.people.iter().enumerate().map(files_of).collect()
}

/// The stamp number of a participant: position in the scenario, from 1.
fn number(index: usize) -> u8 {
    u8::try_from(index + 1).unwrap_or(u8::MAX - SCREEN_OFFSET)
}

/// Runs the call: room server, participants and recorder.
async fn run_call(
    library: &Library,
    scenario: &Scenario,
    folder: &Path,
    media: &[MediaFiles],
    seed: u64,
) -> Result<Call> {
    let server = RoomServer::bind(RoomServerConfig::new((Ipv4Addr::LOCALHOST, 0).into())).await?;
    let server_address = server.local_addr();
    let url = format!("ws://{server_address}/rooms/{ROOM}");
    let (stop_server, server_stopped) = oneshot::channel::<()>();
    let server = tokio::spawn(server.run(async move {
        let _ = server_stopped.await;
    }));
    let impairment_start = Arc::new(OnceLock::new());
    let impairment = impairment(scenario, impairment_start.clone(), seed);
    // Decoding takes CPU time from the recorder, so it is done only if an expectation needs it.
    let watch = scenario.expect.iter().any(Expectation::needs_delay).then(|| Watch::new(library));
    let config = RecordConfig {
        destination: Destination { place: Place::In(folder.to_owned()), room: ROOM.into(), url: url.clone() },
        how: JoinAs { name: "recorder".into(), role: Role::Recorder, token: None },
        wake: Wake::default(),
        relay_only: false,
        impairment,
        files: None,
        join_for: None,
        reception: Default::default(),
        observer: watch.clone().map(|watch| watch as Arc<dyn RoomObserver>),
    };
    let page = Url::parse(&format!("http://{server_address}/rooms/{ROOM}"));
    let page = page.map_err(|e| Error::internal("the room's page has no valid URL").because(e))?;
    let browsers = scenario.people.iter().zip(media).map(|(participant, media)| {
        let page = &page;
        async move {
            if !participant.browser {
                return Ok(None);
            }
            let log = folder.join(format!("{}.chromium.log", participant.name));
            BrowserDriver::prepare(page, participant, media, log).await.map(Some)
        }
    });
    let browsers = futures_util::future::try_join_all(browsers).await?;
    let recording = Recording::start(signal::for_url(&url)?.as_ref(), config).await?;
    let start = Instant::now() + LEAD;
    let _ = impairment_start.set(start.into_std());
    let participants = scenario.people.iter().zip(media).zip(browsers);
    let (url, page) = (url.as_str(), &page);
    let drivers = participants.map(|((participant, media), browser)| async move {
        match browser {
            Some(browser) => browser.drive(page, participant, media, start).await,
            None => drive_client(library, url, participant, media, start, scenario.mesh).await,
        }
    });
    let driven = futures_util::future::join_all(drivers).await;
    tokio::time::sleep_until(start + scenario.duration).await;
    tokio::time::sleep(DRAIN).await;
    let zero = recording.zero();
    let summary = recording.finish(EndReason::Stopped).await?;
    let (watched, trouble) = match watch {
        Some(watch) => watch.finish().await,
        None => Default::default(),
    };
    let _ = stop_server.send(());
    // How the server ends is not part of the test.
    let _ = tokio::time::timeout(SERVER_TIMEOUT, server).await;
    let mut stats = SendStats::default();
    for driven in driven {
        stats.merge(driven?);
    }
    let delays = watch::delays(&watched, &clocks(scenario, start), zero, |_| true);
    stats.trouble.extend(trouble);
    Ok(Call { recording: summary.folder, stats, delays })
}

fn impairment(scenario: &Scenario, start: Arc<OnceLock<std::time::Instant>>, seed: u64) -> Option<Impairment> {
    let network = &scenario.network;
    let is_impaired = !network.is_clean() || !scenario.troubles.is_empty();
    is_impaired.then(|| Impairment {
        periods: scenario.troubles.clone(),
        start,
        loss: network.loss,
        reorder: network.reorder,
        delay: Duration::from_millis(network.delay_ms.into()),
        duplicate: network.duplicate,
        grace: Duration::from_millis(network.grace_ms.into()),
        ..Impairment::seeded(seed)
    })
}

/// The start of our own clients' sources is known. Browsers send sender reports with capture times of this machine's clock.
fn clocks(scenario: &Scenario, start: Instant) -> Clocks {
    let clients = scenario.people.iter().enumerate().filter(|(_, participant)| !participant.browser);
    let sources =
        clients.flat_map(|(i, _)| [number(i), number(i) + SCREEN_OFFSET]).map(|number| (number, start.into_std()));
    Clocks { sources: sources.collect(), direct: true, ..Clocks::default() }
}

/// Judges the recording, and its film if the scenario has expectations on it.
fn judge_call(library: &Library, scenario: &Scenario, call: Call) -> Result<(Report, Vec<(String, ComparedFrame)>)> {
    let Call { recording, mut stats, mut delays } = call;
    let names: StampNumbers = scenario
        .people
        .iter()
        .enumerate()
        .flat_map(|(i, p)| [(p.name.clone(), number(i)), (format!("{}.screen", p.name), number(i) + SCREEN_OFFSET)])
        .collect();
    let mut worst = Vec::new();
    let mut look = |path: &Path, expected: &[Expectation]| -> Result<TargetReport> {
        let mut target = target::read(library, path, &names)?;
        target.add_delays(std::mem::take(&mut delays));
        target.trouble.append(&mut stats.trouble);
        target.trouble.extend(too_busy(stats.very_late, stats.frames, VERY_LATE));
        let compares = expected.iter().any(Expectation::needs_quality);
        let quality = if compares { target.quality(library, scenario.size)? } else { Default::default() };
        let figures = |participant: &TargetParticipant| {
            quality.get(&participant.number).map(Quality::figures).unwrap_or_default()
        };
        let mut judged = judge(&target, expected, &names, figures);
        // Late frames and late joins can only worsen the figures, so a pass stands. A failure may be caused by them.
        let delays = stats.delays.iter().cloned().chain(too_busy(stats.late, stats.frames, LATE));
        let delays: Vec<String> = delays.collect();
        if judged.verdict == Verdict::Fail && !delays.is_empty() {
            target.trouble.extend(delays);
            judged = judge(&target, expected, &names, figures);
        }
        let who = |number: u8| target.participants.iter().find(|s| s.number == number).map(|s| s.who.clone());
        worst.extend(quality.iter().filter_map(|(number, q)| Some((who(*number)?, q.worst.clone()?))));
        Ok(judged)
    };
    let mut judged = vec![look(&recording, &scenario.expect)?];
    if !scenario.film.is_empty() {
        let job = film::Job::usual(recording, FILM_FPS);
        let made = film::compose(library, &job, |_| Ok(()))?;
        judged.push(look(&made.film, &scenario.film)?);
    }
    Ok((Report::of(judged), worst))
}

/// A message if too many frames were late by more than `limit` for a verdict on the recorder.
fn too_busy(late: u64, frames: u64, limit: Duration) -> Option<String> {
    let share = late as f64 / frames.max(1) as f64;
    let (percent, ms) = (share * 100.0, limit.as_millis());
    (share > MAX_LATE).then(|| format!("too busy: {percent:.0} % of the frames were sent more than {ms} ms late"))
}
