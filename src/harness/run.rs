//! Runs a scenario: makes the media, opens a room, lets people come and go, records, and has what was recorded judged. Everything happens in
//! one folder and on 127.0.0.1.

use super::attend::{Media, attend};
use super::browser::Ready;
use super::player::{LATE, Played, VERY_LATE};
use super::scenario::{Person, Scenario};
use crate::client::RoomObserver;
use crate::error::{Error, Result};
use crate::film;
use crate::media::Library;
use crate::record::recorder::RecorderConfig;
use crate::record::{RecordConfig, Recording};
use crate::room::end::EndReason;
use crate::room::participant::Role;
use crate::rtc::{Impairment, Wake};
use crate::server::{RoomServer, RoomServerConfig};
use crate::signal::{self, JoinAs};
use crate::verify::expect::Expectation;
use crate::verify::quality::{Pair, Quality};
use crate::verify::target::{self, Names, SCREEN, Subject};
use crate::verify::verdict::{Judged, Report, Verdict, judge};
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

/// What was sent last is given so long to arrive.
pub(super) const GRACE: Duration = Duration::from_millis(500);
/// From the moment that everything is ready to the scenario's start.
const LEAD: Duration = Duration::from_millis(200);
/// More late frames than this part say more of the machine than of the recorder.
const TOO_MANY: f64 = 0.02;
/// Pictures a second of the film: as `compose` makes it unless told otherwise.
const FILM_FPS: u32 = 30;
const ROOM: &str = "check";

/// A scenario that was run.
pub struct Run {
    pub scenario: Scenario,
    pub seed: u64,
    pub report: Report,
    /// The recording, and all else that was made.
    pub folder: PathBuf,
    /// Of each participant whose pictures were compared, the worst one beside its source.
    pub worst: Vec<(String, Pair)>,
}

/// Runs a scenario in `folder`; the same seed spoils the network in the same way.
///
/// # Errors
/// The user's: a missing package, a folder that cannot be made. The machine's and ours where the run breaks off.
pub async fn run(library: &Library, scenario: &Scenario, folder: &Path, seed: u64) -> Result<Run> {
    let cannot = |e| Error::user(format!("cannot make the folder {}", folder.display())).because(e);
    std::fs::create_dir_all(folder).map_err(cannot)?;
    let media = blocking({
        let (library, scenario, folder) = (library.clone(), scenario.clone(), folder.to_owned());
        move || files(&library, &scenario, &folder)
    })
    .await?;
    let met = meet(library, scenario, folder, &media, seed).await?;
    let (library, copy, recording) = (library.clone(), scenario.clone(), met.recording.clone());
    let (report, worst) = blocking(move || verdict(&library, &copy, met)).await?;
    Ok(Run { scenario: scenario.clone(), seed, report, folder: recording, worst })
}

/// What a meeting left.
struct Met {
    recording: PathBuf,
    /// What all of them played, and what this machine could not do.
    played: Played,
    /// How long pictures took, by participants' numbers, where that is expected to be something.
    delays: BTreeMap<u8, Delays>,
}

/// Makes what is not there yet: a repetition needs nothing new.
fn files(library: &Library, scenario: &Scenario, folder: &Path) -> Result<Vec<Media>> {
    let seconds = u32::try_from(scenario.duration.as_secs() + 1).unwrap_or(u32::MAX);
    let Scenario { size, fps, kilobits, .. } = *scenario;
    let file = |name: &str, participant: u8, raw: bool| {
        let (out, format) = if raw { ("y4m", Format::Raw) } else { ("webm", Format::Vp8) };
        let out = folder.join(format!("{name}.{out}"));
        let job = Job { participant, size, fps, seconds, format, kilobits, out: out.clone() };
        if !out.exists() {
            make(library, &job, |_| Ok(()))?;
        }
        Ok(out)
    };
    let of = |(index, person): (usize, &Person)| {
        let number = number(index);
        let screen =
            person.screen.map(|_| file(&format!("{}.screen", person.name), number + SCREEN, false)).transpose()?;
        let wish = format!("width={}&height={}&fps={fps}", size.0, size.1);
        Ok(Media { camera: file(&person.name, number, person.browser)?, screen, wish })
    };
    scenario.people.iter().enumerate().map(of).collect()
}

/// People are numbered as they are listed, from 1.
fn number(index: usize) -> u8 {
    u8::try_from(index + 1).unwrap_or(u8::MAX - SCREEN)
}

/// Lets them meet.
async fn meet(library: &Library, scenario: &Scenario, folder: &Path, media: &[Media], seed: u64) -> Result<Met> {
    let server = RoomServer::bind(RoomServerConfig::new((Ipv4Addr::LOCALHOST, 0).into())).await?;
    let server_address = server.local_addr();
    let url = format!("ws://{server_address}/rooms/{ROOM}");
    let (close, closed) = oneshot::channel::<()>();
    let serving = tokio::spawn(server.run(async move {
        let _ = closed.await;
    }));
    let network = &scenario.network;
    let spoils = !network.is_clean() || !scenario.troubles.is_empty();
    let begin = Arc::new(OnceLock::new());
    let impairment = spoils.then(|| Impairment {
        troubles: scenario.troubles.clone(),
        start: begin.clone(),
        loss: network.loss,
        reorder: network.reorder,
        delay: Duration::from_millis(network.delay_ms.into()),
        duplicate: network.duplicate,
        grace: Duration::from_millis(network.grace_ms.into()),
        ..Impairment::seeded(seed)
    });
    // Decoding costs what the recorder might need, so it is done only where somebody asks.
    let watch = scenario.expect.iter().any(Expectation::is_of_delay).then(|| Watch::new(library));
    let config = RecordConfig {
        recorder: RecorderConfig { parent: folder.to_owned(), room: ROOM.into(), url: url.clone() },
        how: JoinAs { name: "recorder".into(), role: Role::Recorder, token: None },
        wake: Wake::default(),
        relay_only: false,
        impairment,
        files: None,
        observer: watch.clone().map(|watch| watch as Arc<dyn RoomObserver>),
    };
    let page = Url::parse(&format!("http://{server_address}/rooms/{ROOM}"));
    let page = page.map_err(|e| Error::us("the room has no address").because(e))?;
    let browsers = scenario.people.iter().zip(media).map(|(person, media)| {
        let page = &page;
        async move {
            if !person.browser {
                return Ok(None);
            }
            let log = folder.join(format!("{}.chromium.log", person.name));
            Ready::make(page, person, media, log).await.map(Some)
        }
    });
    let browsers = futures_util::future::try_join_all(browsers).await?;
    let recording = Recording::start(signal::for_url(&url)?.as_ref(), config).await?;
    let start = Instant::now() + LEAD;
    let _ = begin.set(start.into_std());
    let people = scenario.people.iter().zip(media).zip(browsers);
    let (url, page) = (url.as_str(), &page);
    let present = people.map(|((person, media), browser)| async move {
        match browser {
            Some(browser) => browser.stay(page, person, media, start).await,
            None => attend(library, url, person, media, start, scenario.mesh).await,
        }
    });
    let attended = futures_util::future::join_all(present).await;
    tokio::time::sleep_until(start + scenario.duration).await;
    tokio::time::sleep(GRACE).await;
    let zero = recording.zero();
    let summary = recording.finish(EndReason::Stopped).await?;
    let (watched, trouble) = match watch {
        Some(watch) => watch.finish().await,
        None => Default::default(),
    };
    let _ = close.send(());
    // The server has nothing left to say; its end is not the recorder's.
    let _ = tokio::time::timeout(GRACE * 4, serving).await;
    let mut all = Played::default();
    for played in attended {
        all.add(played?);
    }
    let delays = watch::delays(&watched, &clocks(scenario, start), zero, |_| true);
    all.trouble.extend(trouble);
    Ok(Met { recording: summary.folder, played: all, delays })
}

/// Of ours it is known when their sources began. A browser says itself when its pictures were taken, by this machine's clock.
fn clocks(scenario: &Scenario, start: Instant) -> Clocks {
    let ours = scenario.people.iter().enumerate().filter(|(_, person)| !person.browser);
    let sources = ours.flat_map(|(i, _)| [number(i), number(i) + SCREEN]).map(|number| (number, start.into_std()));
    Clocks { sources: sources.collect(), direct: true, ..Clocks::default() }
}

/// Judges the recording, and its film where one is wanted.
fn verdict(library: &Library, scenario: &Scenario, met: Met) -> Result<(Report, Vec<(String, Pair)>)> {
    let Met { recording, mut played, mut delays } = met;
    let names: Names = scenario
        .people
        .iter()
        .enumerate()
        .flat_map(|(i, p)| [(p.name.clone(), number(i)), (format!("{}.screen", p.name), number(i) + SCREEN)])
        .collect();
    let mut worst = Vec::new();
    let mut look = |path: &Path, expected: &[Expectation]| -> Result<Judged> {
        let mut target = target::read(library, path, &names)?;
        target.take_delays(std::mem::take(&mut delays));
        target.trouble.append(&mut played.trouble);
        target.trouble.extend(busy(played.very_late, played.frames, VERY_LATE));
        let compares = expected.iter().any(Expectation::is_of_quality);
        let quality = if compares { target.quality(library, scenario.size)? } else { Default::default() };
        let figures = |subject: &Subject| quality.get(&subject.number).map(Quality::figures).unwrap_or_default();
        let mut judged = judge(&target, expected, &names, figures);
        // Frames and people that come late make nothing better: what is met in spite of them is met. What is not may be this machine's doing.
        let mut excuses = played.excuses.iter().cloned().chain(busy(played.late, played.frames, LATE)).peekable();
        if judged.verdict == Verdict::Fail && excuses.peek().is_some() {
            target.trouble.extend(excuses);
            judged = judge(&target, expected, &names, figures);
        }
        let who = |number: u8| target.subjects.iter().find(|s| s.number == number).map(|s| s.who.clone());
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

/// Whether so many late frames say more of this machine than of the recorder.
fn busy(late: u64, frames: u64, by: Duration) -> Option<String> {
    let part = late as f64 / frames.max(1) as f64;
    let (percent, ms) = (part * 100.0, by.as_millis());
    (part > TOO_MANY).then(|| format!("{percent:.0} % of the frames were sent more than {ms} ms late: it is too busy"))
}

pub(super) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(|e| Error::us("a run broke off").because(e))?
}
