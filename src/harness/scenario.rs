//! Scenario files (TOML), parsed and validated: participants, network and expectations. Pure except for reading the file.

use crate::error::{Error, Result};
use crate::rtc::ImpairmentPeriod;
use crate::verify::expect::Expectation;
use crate::verify::stamp::{FRAME_RATES, SIDES};
use serde::Deserialize;
use std::path::Path;
use std::time::Duration;

/// Maximum size of a scenario file, bytes.
const MAX_FILE: u64 = 1 << 20;
/// Maximum duration of a scenario.
const MAX_DURATION: Duration = Duration::from_secs(3600);
/// Maximum number of participants.
const MAX_PEOPLE: usize = 32;

/// A valid scenario. docs/verify.md describes the file format.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// Name in reports.
    pub name: String,
    /// Duration of the call, 1 s to 1 h.
    pub duration: Duration,
    /// Width and height of the cameras, pixels.
    pub size: (u32, u32),
    /// Frame rate of all video.
    pub fps: u32,
    /// Bitrate of each camera, kbit/s.
    pub kilobits: u32,
    /// Everybody sends to everybody, not only to the recorder.
    pub mesh: bool,
    /// The participants, at least one.
    pub people: Vec<Participant>,
    /// Impairments during the whole call.
    pub network: Network,
    /// Additional impairments for a part of the call.
    pub troubles: Vec<ImpairmentPeriod>,
    /// Expectations on the recording, at least one.
    pub expect: Vec<Expectation>,
    /// Expectations on the film of the recording. If empty, no film is made.
    pub film: Vec<Expectation>,
}

/// A participant of a scenario. Times count from the scenario's start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Participant {
    /// Letters a to z and digits.
    pub name: String,
    /// When the participant joins the room.
    pub join: Duration,
    /// When the participant leaves the room.
    pub leave: Duration,
    /// When the screen is shared.
    pub screen: Option<TimeRange>,
    /// When the microphone is off.
    pub mute: Option<TimeRange>,
    /// When the camera is off.
    pub hide: Option<TimeRange>,
    /// When ICE is restarted.
    pub restart_ice: Option<Duration>,
    /// A headless Chromium with the room's own page instead of a roombot client.
    pub browser: bool,
}

/// Start (inclusive) and end (exclusive).
pub type TimeRange = (Duration, Duration);

/// Impairments of the datagrams that the recorder receives. Probabilities are 0.0 to 1.0.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Network {
    /// Probability of loss.
    pub loss: f64,
    /// Probability that a datagram is delayed by `delay_ms`, so that later ones overtake it.
    pub reorder: f64,
    /// Delay of reordered datagrams, ms.
    pub delay_ms: u32,
    /// Probability that a datagram arrives twice.
    pub duplicate: f64,
    /// Time after a connection is established without impairments, ms.
    pub grace_ms: u32,
}

impl Default for Network {
    fn default() -> Network {
        Network { loss: 0.0, reorder: 0.0, delay_ms: 30, duplicate: 0.0, grace_ms: 1000 }
    }
}

impl Network {
    /// True if there are no impairments.
    pub fn is_clean(&self) -> bool {
        self.loss <= 0.0 && self.reorder <= 0.0 && self.duplicate <= 0.0
    }
}

/// The file as written.
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
    people: Vec<RawParticipant>,
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
struct RawParticipant {
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
    /// Reads and validates a scenario file.
    ///
    /// # Errors
    /// The user's: it cannot be read or is invalid; the message has the line of a syntax error.
    pub fn load(path: &Path) -> Result<Scenario> {
        let shown = path.display();
        let cannot = |e: std::io::Error| Error::user(format!("cannot read the scenario {shown}: {e}"));
        if std::fs::metadata(path).map_err(cannot)?.len() > MAX_FILE {
            return Err(Error::user(format!("{shown} is too large for a scenario")));
        }
        let text = std::fs::read_to_string(path).map_err(cannot)?;
        Scenario::parse(&text).map_err(|e| Error::user(format!("{shown}: {e}")))
    }

    /// Parses and validates a scenario.
    ///
    /// # Errors
    /// One line that says what is invalid.
    pub fn parse(text: &str) -> Result<Scenario, String> {
        let raw: Raw = toml::from_str(text).map_err(|e| {
            let line = e.span().map(|span| text.get(..span.start).unwrap_or_default().matches('\n').count() + 1);
            let at = line.map(|line| format!("line {line}: ")).unwrap_or_default();
            format!("{at}{}", e.message().replace('\n', " "))
        })?;
        let duration = parse_time(&raw.duration)?;
        if duration < Duration::from_secs(1) || duration > MAX_DURATION {
            return Err(format!("`{}`: a scenario lasts 1 s to 1 h", raw.duration));
        }
        let sides = raw.size.split_once('x').and_then(|(w, h)| Some((w.parse().ok()?, h.parse().ok()?)));
        let fits = |(w, h): &(u32, u32)| [*w, *h].iter().all(|side| SIDES.contains(side) && side % 2 == 0);
        let size =
            sides.filter(fits).ok_or_else(|| format!("`{}` is not a valid size; write it as 640x360", raw.size))?;
        if !FRAME_RATES.contains(&raw.fps) {
            return Err(format!("a frame rate of {} cannot be stamped", raw.fps));
        }
        if !(20..=50_000).contains(&raw.kilobits) {
            return Err(format!("{} kbit/s is out of range: 20 to 50000", raw.kilobits));
        }
        let network = raw.network;
        if [network.loss, network.reorder, network.duplicate].iter().any(|part| !(0.0..=1.0).contains(part)) {
            return Err("network: probabilities must be 0.0 to 1.0".into());
        }
        let parse = |lines: Vec<String>| lines.iter().map(|line| line.parse()).collect::<Result<Vec<Expectation>, _>>();
        let (expect, film) = (parse(raw.expect)?, parse(raw.film)?);
        if expect.is_empty() {
            return Err("no expectations: add `expect = [\"…\"]`".into());
        }
        let people = raw.people.into_iter().map(|p| Participant::parse(p, duration)).collect::<Result<Vec<_>, _>>()?;
        let names: std::collections::BTreeSet<&str> = people.iter().map(|p| p.name.as_str()).collect();
        if people.is_empty() || people.len() > MAX_PEOPLE || names.len() < people.len() {
            return Err(format!("people: 1 to {MAX_PEOPLE} with unique names"));
        }
        let troubles = raw.trouble.into_iter().map(|t| parse_trouble(t, duration)).collect::<Result<Vec<_>, _>>()?;
        let Raw { name, fps, kilobits, mesh, .. } = raw;
        Ok(Scenario { name, duration, size, fps, kilobits, mesh, people, network, troubles, expect, film })
    }
}

/// Validates a temporary impairment.
fn parse_trouble(raw: RawTrouble, end: Duration) -> Result<ImpairmentPeriod, String> {
    let (from, until) =
        raw.at.as_deref().map_or(Ok((Duration::ZERO, end)), |at| parse_range(at, (Duration::ZERO, end)))?;
    if [raw.loss, raw.duplicate].iter().any(|part| !(0.0..=1.0).contains(part)) {
        return Err("trouble: probabilities must be 0.0 to 1.0".into());
    }
    if !(0.0..=1000.0).contains(&raw.burst) || raw.delay_ms > 10_000 || raw.jitter_ms > raw.delay_ms {
        return Err(
            "trouble: `burst` must be at most 1000, `delay_ms` at most 10000, and `jitter_ms` at most `delay_ms`"
                .into(),
        );
    }
    let ms = |ms: u32| Duration::from_millis(ms.into());
    let RawTrouble { loss, burst, duplicate, cut, .. } = raw;
    let (delay, jitter, rate) = (ms(raw.delay_ms), ms(raw.jitter_ms), u64::from(raw.kbps) * 1000);
    Ok(ImpairmentPeriod { from, until, loss, burst, delay, jitter, duplicate, rate, cut })
}

impl Participant {
    fn parse(raw: RawParticipant, end: Duration) -> Result<Participant, String> {
        let RawParticipant { name, join, leave, screen, mute, hide, restart_ice, browser } = raw;
        if browser && restart_ice.is_some() {
            return Err(format!("{name}: a browser cannot restart ICE on request"));
        }
        // Names become keys of the manifest, and thereby file names, unchanged.
        let is_plain =
            !name.is_empty() && name.len() <= 32 && name.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
        if !is_plain || name == "recorder" {
            return Err(format!("`{name}`: names have 1 to 32 characters a to z and 0 to 9; `recorder` is reserved"));
        }
        let join = join.as_deref().map_or(Ok(Duration::ZERO), parse_time)?;
        let leave = leave.as_deref().map_or(Ok(end), parse_time)?.min(end);
        if join >= leave {
            return Err(format!("{name} leaves before joining"));
        }
        let within = |text: Option<String>| text.map(|text| parse_range(&text, (join, leave))).transpose();
        let (screen, mute, hide) = (within(screen)?, within(mute)?, within(hide)?);
        let restart_ice = restart_ice.as_deref().map(parse_time).transpose()?;
        if restart_ice.is_some_and(|at| !(join..leave).contains(&at)) {
            return Err(format!("{name} is not in the room when ICE is to be restarted"));
        }
        Ok(Participant { name, join, leave, screen, mute, hide, restart_ice, browser })
    }
}

fn parse_time(text: &str) -> Result<Duration, String> {
    let signed = text.parse::<jiff::SignedDuration>().ok();
    signed
        .and_then(|signed| Duration::try_from(signed).ok())
        .ok_or_else(|| format!("`{text}` is not a time; write it as 5s or 1500ms"))
}

/// A time range within `limits`.
fn parse_range(text: &str, limits: TimeRange) -> Result<TimeRange, String> {
    let (from, until) = text.split_once("..").ok_or_else(|| format!("`{text}` is not a range; write it as 2s..6s"))?;
    let from = if from.is_empty() { limits.0 } else { parse_time(from)? };
    let until = if until.is_empty() { limits.1 } else { parse_time(until)? };
    let fits = from < until && from >= limits.0 && until <= limits.1;
    let (first, last) = (limits.0.as_secs_f64(), limits.1.as_secs_f64());
    if fits { Ok((from, until)) } else { Err(format!("`{text}` is not a range within {first}s..{last}s")) }
}

#[cfg(test)]
#[path = "scenario_tests.rs"]
mod tests;
