//! Where a recording is in a store. Pure.

use crate::service::model::Recording;
use jiff::tz::TimeZone;

/// Below a recording's place: what machines had of it that had lost it.
pub const LATE: &str = "late";
/// The longest part of a path, in bytes: a local store's names have at most 255.
const LONGEST: usize = 120;

/// `{project}/{yyyy}/{mm}/{dd}/{room}/{recording_id}`, by the day in UTC on which it was to begin.
pub fn location(recording: &Recording) -> String {
    let begin = recording.request.start_at.map_or(recording.created_at, |at| at.max(recording.created_at));
    let day = begin.to_zoned(TimeZone::UTC).date();
    let (project, room) = (part(&recording.project), part(&recording.room));
    format!("{project}/{:04}/{:02}/{:02}/{room}/{}", day.year(), day.month(), day.day(), recording.id)
}

/// A name as one part of a path. Rooms are named by others: what has a meaning in paths, addresses or shells becomes a hyphen.
fn part(name: &str) -> String {
    let mut clean = String::new();
    for c in name.chars() {
        let c = if c.is_alphanumeric() || matches!(c, '-' | '_' | '.') { c } else { '-' };
        if clean.len() + c.len_utf8() > LONGEST {
            break;
        }
        clean.push(c);
    }
    let clean = clean.trim_matches('.');
    if clean.is_empty() { "-".to_owned() } else { clean.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::model::{Id, RecordingRequest};

    #[test]
    fn a_recording_has_a_place_that_nobody_outside_chooses() {
        let request = RecordingRequest::new("ws://h/rooms/stand%20up");
        let at = "2026-03-07T23:59:59Z".parse().unwrap();
        let id = Id::new(Id::RECORDING);
        let mut recording = Recording::new(id.clone(), "blue team", &request, at);
        recording.room = "../../a b/ü#\u{7}".to_owned();
        assert_eq!(location(&recording), format!("blue-team/2026/03/07/-..-a-b-ü--/{id}"));
        recording.room = "..".to_owned();
        recording.request.start_at = Some("2026-04-01T08:00:00+02:00".parse().unwrap());
        assert_eq!(location(&recording), format!("blue-team/2026/04/01/-/{id}"));
    }
}
