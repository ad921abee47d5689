//! What a participant of a scenario sends and does during the call, in order of time. Pure; the drivers carry it out.

use super::scenario::{Participant, TimeRange};
use crate::room::media::MediaKind;
use std::path::PathBuf;
use std::time::Duration;

/// Time for the media sent last to arrive.
pub(super) const DRAIN: Duration = Duration::from_millis(500);

/// A participant's media files.
pub(super) struct MediaFiles {
    /// Camera and microphone. For a browser, raw video, with the audio in a WAV file of the same name.
    pub camera: PathBuf,
    /// The shared screen.
    pub screen: Option<PathBuf>,
    /// URL query that makes the room's page request this camera format.
    pub camera_query: String,
}

/// Something a participant does during the call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    Mute(MediaKind),
    Unmute(MediaKind),
    StartScreen,
    StopScreen,
    RestartIce,
}

/// A participant's actions, sorted by time since the start of the scenario.
pub(super) fn actions(participant: &Participant) -> Vec<(Duration, Action)> {
    let pair = |range: Option<TimeRange>, begin: Action, end: Action| {
        range.into_iter().flat_map(move |(from, until)| [(from, begin), (until, end)])
    };
    let mute = |range, kind| pair(range, Action::Mute(kind), Action::Unmute(kind));
    let mut actions: Vec<(Duration, Action)> = pair(participant.screen, Action::StartScreen, Action::StopScreen)
        .chain(mute(participant.mute, MediaKind::Audio))
        .chain(mute(participant.hide, MediaKind::Video))
        .chain(participant.restart_ice.map(|at| (at, Action::RestartIce)))
        .collect();
    actions.sort_by_key(|(at, _)| *at);
    actions
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn actions_are_sorted_by_time() {
        let range = |from, until| Some((Duration::from_secs(from), Duration::from_secs(until)));
        let participant = Participant {
            name: "alice".into(),
            join: Duration::ZERO,
            leave: Duration::from_secs(9),
            screen: range(3, 7),
            mute: range(2, 5),
            hide: None,
            restart_ice: Some(Duration::from_secs(4)),
            browser: false,
        };
        let order: Vec<Action> = actions(&participant).into_iter().map(|(_, action)| action).collect();
        let expected = [
            Action::Mute(MediaKind::Audio),
            Action::StartScreen,
            Action::RestartIce,
            Action::Unmute(MediaKind::Audio),
            Action::StopScreen,
        ];
        assert_eq!(order, expected);
    }
}
