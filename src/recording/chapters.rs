//! Where the chapters of a meeting begin: participants join, screens are shared and unshared. Pure.

use crate::recording::manifest::Manifest;
use crate::room::media::Source;
use crate::room::participant::Role;

/// Events within this time share a chapter, in milliseconds.
pub const TOGETHER_MS: u64 = 3000;

/// The beginnings of chapters in session milliseconds, each with its title, sorted. `without` are the keys of participants who are left
/// out; what happens at `until_ms` or later is too.
pub fn starts(manifest: &Manifest, without: &[String], until_ms: u64) -> Vec<(u64, String)> {
    let mut events: Vec<(u64, String)> = Vec::new();
    let is_in = |key: &String| !without.contains(key);
    for person in manifest.participants.iter().filter(|p| p.role != Role::Recorder && is_in(&p.key)) {
        events.extend(person.present.iter().map(|span| (span.start_ms, format!("{} joins", person.name))));
    }
    for track in manifest.tracks.iter().filter(|t| t.source == Source::Screen && is_in(&t.participant)) {
        let owner = manifest.participants.iter().find(|p| p.key == track.participant);
        let owner = owner.map_or(&track.participant, |owner| &owner.name);
        events.push((track.start_ms, format!("{owner} shares a screen")));
        events.push((track.until_ms(), format!("after {owner}'s screen")));
    }
    events.sort();
    let mut starts: Vec<(u64, String)> = Vec::new();
    for (at, title) in events.into_iter().filter(|(at, _)| *at < until_ms) {
        match starts.last_mut() {
            Some((since, titles)) if at < *since + TOGETHER_MS => {
                titles.push_str(", ");
                titles.push_str(&title);
            }
            _ => starts.push((at, title)),
        }
    }
    starts
}
