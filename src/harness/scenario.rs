//! A scenario as it is written down (TOML), read and checked: who is there when, over what network, and what is expected. Pure but for
//! reading its file.

use crate::error::{Error, Result};
use crate::rtc::Trouble;
use crate::verify::expect::Expectation;
use crate::verify::stamp::{RATES, SIDES};
use serde::Deserialize;
use std::path::Path;
use std::time::Duration;

/// The largest file that is read.
const LARGEST: u64 = 1 << 20;
/// The longest scenario, and how many people may be in one.
const LONGEST: Duration = Duration::from_secs(3600);
const PEOPLE: usize = 32;

/// A scenario that can be run.
#[derive(Debug, Clone)]
pub struct Scenario {
    pub name: String,
    pub duration: Duration,
    /// Of the cameras, pixels.
    pub size: (u32, u32),
    pub fps: u32,
    /// kbit/s of each camera.
    pub kilobits: u32,
    /// Everybody sends to everybody, not to the recorder only.
    pub mesh: bool,
    pub people: Vec<Person>,
    pub network: Network,
    /// What the network does for a while only, on top of it.
    pub troubles: Vec<Trouble>,
    pub expect: Vec<Expectation>,
    /// What is expected of the film that is made of the recording; empty: none is made.
    pub film: Vec<Expectation>,
}

/// Somebody in it. Times count from its start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    pub name: String,
    pub join: Duration,
    pub leave: Duration,
    pub screen: Option<Span>,
    /// When the microphone is off.
    pub mute: Option<Span>,
    /// When the camera is off.
    pub hide: Option<Span>,
    /// When new network paths are looked for (ICE restart).
    pub restart_ice: Option<Duration>,
    /// A headless Chromium with the room's own page.
    pub browser: bool,
}

/// From when until when.
pub type Span = (Duration, Duration);

/// What the network does to what the recorder receives. Probabilities are 0.0 to 1.0.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Network {
    pub loss: f64,
    /// Held back by `delay_ms`, and so overtaken.
    pub reorder: f64,
    pub delay_ms: u32,
    pub duplicate: f64,
    /// The first part of a connection's life, in which all is well.
    pub grace_ms: u32,
}

impl Default for Network {
    fn default() -> Network {
        Network { loss: 0.0, reorder: 0.0, delay_ms: 30, duplicate: 0.0, grace_ms: 1000 }
    }
}

impl Network {
    /// True where it does nothing.
    pub fn is_clean(&self) -> bool {
        self.loss <= 0.0 && self.reorder <= 0.0 && self.duplicate <= 0.0
    }
}

/// As it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    name: String,
    duration: String,
    #[serde(default = "size")]
    size: String,
    #[serde(default = "fps")]
    fps: u32,
    #[serde(default = "kilobits")]
    kilobits: u32,
    #[serde(default)]
    mesh: bool,
    #[serde(default)]
    expect: Vec<String>,
    #[serde(default)]
    film: Vec<String>,
    #[serde(default)]
    network: Network,
    #[serde(default)]
    trouble: Vec<RawTrouble>,
    #[serde(default)]
    people: Vec<RawPerson>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawTrouble {
    at: Option<String>,
    loss: f64,
    burst: f64,
    delay_ms: u32,
    jitter_ms: u32,
    duplicate: f64,
    kbps: u32,
    cut: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawPerson {
    name: String,
    #[serde(default)]
    join: Option<String>,
    #[serde(default)]
    leave: Option<String>,
    #[serde(default)]
    screen: Option<String>,
    #[serde(default)]
    mute: Option<String>,
    #[serde(default)]
    hide: Option<String>,
    #[serde(default)]
    restart_ice: Option<String>,
    #[serde(default)]
    browser: bool,
}

fn size() -> String {
    "640x360".into()
}
fn fps() -> u32 {
    30
}
fn kilobits() -> u32 {
    600
}

impl Scenario {
    /// Reads a scenario's file.
    ///
    /// # Errors
    /// The user's: it cannot be read, or says something that cannot be, with the line.
    pub fn load(path: &Path) -> Result<Scenario> {
        let shown = path.display();
        let cannot = |e: std::io::Error| Error::user(format!("cannot read the scenario {shown}: {e}"));
        if std::fs::metadata(path).map_err(cannot)?.len() > LARGEST {
            return Err(Error::user(format!("{shown} is too large to be a scenario")));
        }
        let text = std::fs::read_to_string(path).map_err(cannot)?;
        Scenario::parse(&text).map_err(|e| Error::user(format!("{shown}: {e}")))
    }

    /// Reads a scenario's text; says in one line what is wrong with it.
    pub fn parse(text: &str) -> Result<Scenario, String> {
        let raw: Raw = toml::from_str(text).map_err(|e| {
            let line = e.span().map(|span| text.get(..span.start).unwrap_or_default().matches('\n').count() + 1);
            let at = line.map(|line| format!("line {line}: ")).unwrap_or_default();
            format!("{at}{}", e.message().replace('\n', " "))
        })?;
        let duration = time(&raw.duration)?;
        if duration < Duration::from_secs(1) || duration > LONGEST {
            return Err(format!("`{}`: a scenario lasts a second to an hour", raw.duration));
        }
        let sides = raw.size.split_once('x').and_then(|(w, h)| Some((w.parse().ok()?, h.parse().ok()?)));
        let fits = |(w, h): &(u32, u32)| [*w, *h].iter().all(|side| SIDES.contains(side) && side % 2 == 0);
        let size = sides.filter(fits).ok_or_else(|| format!("`{}` is no size; write it as 640x360", raw.size))?;
        if !RATES.contains(&raw.fps) {
            return Err(format!("{} pictures a second cannot be stamped", raw.fps));
        }
        if !(20..=50_000).contains(&raw.kilobits) {
            return Err(format!("{} kbit/s: 20 to 50000 are possible", raw.kilobits));
        }
        let network = raw.network;
        if [network.loss, network.reorder, network.duplicate].iter().any(|part| !(0.0..=1.0).contains(part)) {
            return Err("network: probabilities are 0.0 to 1.0".into());
        }
        let read = |lines: Vec<String>| lines.iter().map(|line| line.parse()).collect::<Result<Vec<Expectation>, _>>();
        let (expect, film) = (read(raw.expect)?, read(raw.film)?);
        if expect.is_empty() {
            return Err("nothing is expected: add `expect = [\"…\"]`".into());
        }
        let people = raw.people.into_iter().map(|p| Person::of(p, duration)).collect::<Result<Vec<_>, _>>()?;
        let names: std::collections::BTreeSet<&str> = people.iter().map(|p| p.name.as_str()).collect();
        if people.is_empty() || people.len() > PEOPLE || names.len() < people.len() {
            return Err(format!("one to {PEOPLE} people, each with a name of their own"));
        }
        let troubles = raw.trouble.into_iter().map(|t| trouble(t, duration)).collect::<Result<Vec<_>, _>>()?;
        let Raw { name, fps, kilobits, mesh, .. } = raw;
        Ok(Scenario { name, duration, size, fps, kilobits, mesh, people, network, troubles, expect, film })
    }
}

/// What the network does for a while: what cannot be is said in one line.
fn trouble(raw: RawTrouble, end: Duration) -> Result<Trouble, String> {
    let (from, until) = raw.at.as_deref().map_or(Ok((Duration::ZERO, end)), |at| span(at, (Duration::ZERO, end)))?;
    if [raw.loss, raw.duplicate].iter().any(|part| !(0.0..=1.0).contains(part)) {
        return Err("trouble: probabilities are 0.0 to 1.0".into());
    }
    if !(0.0..=1000.0).contains(&raw.burst) || raw.delay_ms > 10_000 || raw.jitter_ms > raw.delay_ms {
        return Err("trouble: bursts of up to 1000, a delay of up to 10000 ms, and a jitter no larger than it".into());
    }
    let ms = |ms: u32| Duration::from_millis(ms.into());
    let RawTrouble { loss, burst, duplicate, cut, .. } = raw;
    let (delay, jitter, rate) = (ms(raw.delay_ms), ms(raw.jitter_ms), u64::from(raw.kbps) * 1000);
    Ok(Trouble { from, until, loss, burst, delay, jitter, duplicate, rate, cut })
}

impl Person {
    fn of(raw: RawPerson, end: Duration) -> Result<Person, String> {
        let RawPerson { name, join, leave, screen, mute, hide, restart_ice, browser } = raw;
        if browser && restart_ice.is_some() {
            return Err(format!(
                "{name} is a browser, whose page looks for new paths when it must, not when it is told"
            ));
        }
        // They become keys of the manifest, and so file names, as they are.
        let is_plain =
            !name.is_empty() && name.len() <= 32 && name.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
        if !is_plain || name == "recorder" {
            return Err(format!("`{name}`: people's names are a to z and 0 to 9, and nobody is called recorder"));
        }
        let join = join.as_deref().map_or(Ok(Duration::ZERO), time)?;
        let leave = leave.as_deref().map_or(Ok(end), time)?.min(end);
        if join >= leave {
            return Err(format!("{name} leaves before coming"));
        }
        let within = |text: Option<String>| text.map(|text| span(&text, (join, leave))).transpose();
        let (screen, mute, hide) = (within(screen)?, within(mute)?, within(hide)?);
        let restart_ice = restart_ice.as_deref().map(time).transpose()?;
        if restart_ice.is_some_and(|at| !(join..leave).contains(&at)) {
            return Err(format!("{name} is not there to restart ICE"));
        }
        Ok(Person { name, join, leave, screen, mute, hide, restart_ice, browser })
    }
}

fn time(text: &str) -> Result<Duration, String> {
    let signed = text.parse::<jiff::SignedDuration>().ok();
    signed
        .and_then(|signed| Duration::try_from(signed).ok())
        .ok_or_else(|| format!("`{text}` is no time; write it as 5s or 1500ms"))
}

/// A span within another one.
fn span(text: &str, (least, most): Span) -> Result<Span, String> {
    let (from, until) = text.split_once("..").ok_or_else(|| format!("`{text}` is no span; write it as 2s..6s"))?;
    let from = if from.is_empty() { least } else { time(from)? };
    let until = if until.is_empty() { most } else { time(until)? };
    let fits = from < until && from >= least && until <= most;
    if fits { Ok((from, until)) } else { Err(format!("`{text}` is not within the time that they are there")) }
}

#[cfg(test)]
#[path = "scenario_tests.rs"]
mod tests;
