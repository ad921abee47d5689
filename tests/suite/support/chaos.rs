//! What tests share that kill everything at random by a seed: their length, and what must be true of every recording in the end.
//!
//! For longer: `ROOMBOT_CHAOS_MINUTES=60 ROOMBOT_CHAOS_RECORDINGS=200 cargo test --test suite -- whatever_is_killed --nocapture`. A run is repeated by
//! its `ROOMBOT_KILL_SEED`, as far as the machine lets it.

use super::probe::{length, probe};
use super::receiver::Receiver;
use super::service::{Service, events_in};
use super::{moment, within};
use rand::Rng;
use rustix::process::{Pid, Signal, kill_process};
use std::collections::HashSet;
use std::path::Path;
use std::time::{Duration, Instant};

/// Recordings that run at once.
pub const AT_ONCE: usize = 10;
/// Recordings at the start.
pub const FIRST: usize = 4;

/// How much chaos.
pub struct Dose {
    pub seed: u64,
    pub length: Duration,
    /// Recordings.
    pub most: usize,
    begun: Instant,
}

impl Dose {
    /// As the environment says; little without.
    pub fn read() -> Dose {
        let seed = number("ROOMBOT_KILL_SEED", rand::rng().random());
        println!("ROOMBOT_KILL_SEED={seed}");
        let length = Duration::from_secs_f64(number("ROOMBOT_CHAOS_MINUTES", 1.0 / 3.0) * 60.0);
        Dose { seed, length, most: number("ROOMBOT_CHAOS_RECORDINGS", 8), begun: Instant::now() }
    }

    /// It begins now.
    pub fn begin(&mut self) {
        self.begun = Instant::now();
    }
    /// Frames of a track, by ffprobe: decoded, or after a long run counted.
    pub fn frames(&self, track: &Path) -> u64 {
        if self.length > Duration::from_secs(60) { length(track).1 } else { probe(track).frames }
    }

    pub fn elapsed(&self) -> Duration {
        self.begun.elapsed()
    }
    pub fn is_over(&self) -> bool {
        self.elapsed() >= self.length
    }

    /// How many recordings there may be by now: they are spread over the whole time.
    pub fn allowed(&self) -> usize {
        let share = self.elapsed().as_secs_f64() / self.length.as_secs_f64();
        FIRST + (self.most.saturating_sub(FIRST) as f64 * (share * 1.25).min(1.0)) as usize
    }
}

fn number<T: std::str::FromStr>(variable: &str, default: T) -> T {
    let Ok(text) = std::env::var(variable) else { return default };
    text.parse().unwrap_or_else(|_| panic!("{variable} is no number: {text}"))
}

/// SIGKILL for all of them that still run.
pub fn kill(pids: impl IntoIterator<Item = i32>) {
    for pid in pids.into_iter().filter_map(Pid::from_raw) {
        let _ = kill_process(pid, Signal::KILL);
    }
}

/// Keeps those of these recordings that have not ended; returns how many there are.
pub async fn open(service: &Service, ids: &mut Vec<String>) -> usize {
    let mut open = Vec::new();
    for id in ids.drain(..) {
        if !service.has_ended(&id).await {
            open.push(id);
        }
    }
    *ids = open;
    ids.len()
}

/// The events of a recording that has ended: each was told once, in order, and its webhook arrived on this path in that order.
pub async fn told_in_order(what: &str, service: &Service, id: &str, receiver: &Receiver, path: &str) {
    let stream = service.get(&format!("/v1/recordings/{id}/events")).await;
    let events = events_in(&stream.text);
    let sequence: Vec<_> = events.iter().filter_map(|event| event["sequence"].as_i64()).collect();
    assert_eq!(sequence, (1..=events.len() as i64).collect::<Vec<_>>(), "{what}: {id}");
    let ended = events.iter().filter(|event| {
        ["recording.completed", "recording.failed", "recording.cancelled"].iter().any(|kind| event["type"] == *kind)
    });
    assert_eq!(ended.count(), 1, "{what}: {id} ended once: {events:#?}");
    let told: Vec<&str> = events.iter().filter_map(|event| event["id"].as_str()).collect();
    let arrived = async {
        loop {
            let received = receiver.received(path);
            let mut known = HashSet::new();
            // One may come twice; that it came later again says nothing of the order.
            let came: Vec<&str> = received.iter().map(|one| one.id()).filter(|id| known.insert(*id)).collect();
            let came: Vec<&str> = came.into_iter().filter(|id| told.contains(id)).collect();
            if came.len() == told.len() {
                assert_eq!(came, told, "{what}: webhooks of {id} in order");
                return;
            }
            moment().await;
        }
    };
    within(180, &format!("{what}: every webhook of {id} arrives"), arrived).await;
}
