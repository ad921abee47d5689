//! How long each step of joining took, from a recording's timeline. Pure except for reading that file.

use crate::recording::timeline::{Event, PATH_FOUND, TimelineReader};
use std::collections::BTreeMap;
use std::path::Path;

/// Names of these figures; [`super::measure::PARTICIPANT_FIGURES`] explains them.
pub(super) const JOIN_FIGURES: [&str; 4] = ["signalling_ms", "ice_ms", "dtls_ms", "first_packet_ms"];

/// When each step happened, ms since the recording's start.
#[derive(Debug, Clone, Copy, Default)]
struct Steps {
    joined: Option<u64>,
    connecting: Option<u64>,
    path_found: Option<u64>,
    connected: Option<u64>,
    first_packet: Option<u64>,
}

/// Figures of each participant's first stay, by participant key. Empty without a timeline.
pub(super) fn join_figures(timeline: &Path) -> BTreeMap<String, Vec<(&'static str, f64)>> {
    let mut all: BTreeMap<String, Steps> = BTreeMap::new();
    let entries = TimelineReader::open(timeline).into_iter().flatten();
    for entry in entries {
        let at = entry.t_ms;
        let (participant, event) = match entry.event {
            Event::Joined { participant, .. } => (participant, "joined".to_owned()),
            Event::IceState { participant, state } => (participant, state),
            Event::TrackOn { participant, .. } => (participant, "packet".to_owned()),
            _ => continue,
        };
        let steps = all.entry(participant).or_default();
        let step = match event.as_str() {
            "joined" => &mut steps.joined,
            "connecting" => &mut steps.connecting,
            PATH_FOUND => &mut steps.path_found,
            "connected" => &mut steps.connected,
            "packet" => &mut steps.first_packet,
            _ => continue,
        };
        step.get_or_insert(at);
    }
    all.into_iter().map(|(participant, steps)| (participant, steps.figures())).collect()
}

impl Steps {
    fn figures(self) -> Vec<(&'static str, f64)> {
        let spans = [
            (self.joined, self.connecting),
            (self.connecting, self.path_found),
            (self.path_found, self.connected),
            (self.joined, self.first_packet),
        ];
        let figures = JOIN_FIGURES.into_iter().zip(spans);
        figures.filter_map(|(name, (from, until))| Some((name, until?.saturating_sub(from?) as f64))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_stay_counts_and_missing_steps_have_no_figure() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("timeline.jsonl");
        let state = |at: u32, who: &str, state: &str| {
            format!(
                r#"{{"t_ms":{at},"at":"2026-11-26T03:27:48.473Z","event":"ice-state","participant":"{who}","state":"{state}"}}"#
            )
        };
        let lines = [
            r#"{"t_ms":200,"at":"2026-11-26T03:27:48.473Z","event":"joined","participant":"a","id":"x","name":"A"}"#.to_owned(),
            state(214, "a", "connecting"),
            state(250, "a", PATH_FOUND),
            state(400, "a", "connected"),
            r#"{"t_ms":410,"at":"2026-11-26T03:27:48.473Z","event":"track-on","participant":"a","file":"f","source":"mic","codec":"opus"}"#.to_owned(),
            state(9000, "a", "connecting"),
            state(9000, "b", "connecting"),
        ];
        std::fs::write(&path, lines.join("\n") + "\n").unwrap();
        let found = join_figures(&path);
        let values: Vec<f64> = found["a"].iter().map(|(_, value)| *value).collect();
        assert_eq!(values, [14.0, 36.0, 150.0, 210.0]);
        assert!(found["b"].is_empty() && join_figures(&folder.path().join("none")).is_empty());
    }
}
