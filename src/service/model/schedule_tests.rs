//! Times of schedules, above all where the clocks change.

use super::*;

const HOUR: SignedDuration = SignedDuration::from_hours(1);

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// The first times after `after`.
fn times(cron: &str, zone: &str, after: &str, count: usize) -> Vec<String> {
    let timetable = Timetable::new(cron, zone).map_err(|e| e.problem).unwrap();
    let next = |at: &Timestamp| timetable.next(*at);
    std::iter::successors(timetable.next(at(after)), next).take(count).map(|at| at.to_string()).collect()
}

#[test]
fn a_time_of_day_is_that_of_its_place_in_summer_and_winter() {
    let days = times("30 9 * * *", "Europe/Berlin", "2026-03-27T12:00:00Z", 3);
    assert_eq!(days, ["2026-03-28T08:30:00Z", "2026-03-29T07:30:00Z", "2026-03-30T07:30:00Z"]);
    let days = times("30 9 * * MON-FRI", "America/New_York", "2026-10-30T14:00:00Z", 2);
    assert_eq!(days, ["2026-11-02T14:30:00Z", "2026-11-03T14:30:00Z"]);
}

#[test]
fn a_time_that_the_clock_leaves_out_is_made_once_after_it() {
    // 02:30 does not exist on that day.
    let days = times("30 2 * * *", "Europe/Berlin", "2026-03-28T12:00:00Z", 2);
    assert_eq!(days, ["2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"]);
}

#[test]
fn a_time_that_comes_twice_is_made_once_and_an_interval_goes_on() {
    // 02:30 is at 00:30Z and at 01:30Z.
    let days = times("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z", 2);
    assert_eq!(days, ["2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"]);
    let halves = times("*/30 * * * *", "Europe/Berlin", "2026-10-24T23:45:00Z", 5);
    let minutes = ["00:00", "00:30", "01:00", "01:30", "02:00"];
    assert_eq!(halves, minutes.map(|time| format!("2026-10-25T{time}:00Z")));
}

#[test]
fn what_cannot_be_used_is_named() {
    let field = |cron: &str, zone: &str| Timetable::new(cron, zone).err().map(|e| e.field);
    for cron in ["", "x", "* * * *", "* * * * * *", "61 * * * *", "0 0 0 1 1 * 2030", "* * * * * * * *", "½ * * * *"] {
        assert_eq!(field(cron, "UTC"), Some("cron"), "{cron}");
    }
    for zone in ["", "Berlin", "../../etc/passwd", "/etc/localtime"] {
        assert_eq!(field("0 9 * * *", zone), Some("time_zone"), "{zone}");
    }
    assert_eq!(field("15 0 9 * * *", "UTC"), None);
    let request = |cron: &str| ScheduleRequest {
        name: "a".into(),
        cron: cron.into(),
        time_zone: "UTC".into(),
        duration_s: 60,
        enabled: true,
        recording: RecordingRequest::new("ws://127.0.0.1/rooms/a"),
    };
    let now = at("2026-01-01T00:00:00Z");
    assert_eq!(request("0 0 30 2 *").check(now).err().map(|e| e.problem), Some("this time never comes".into()));
    let mut late = request("0 9 * * *");
    late.recording.start_at = Some(now);
    assert_eq!(late.check(now).err().map(|e| e.field), Some("recording.start_at"));
    late.recording.start_at = None;
    assert!(late.check(now).is_ok());
    // A minute late, it lasts a minute less.
    late.duration_s = 100;
    assert_eq!(late.recording_at(now, now + SignedDuration::from_secs(60)).auto_stop.max_duration_s, 40);
}

#[test]
fn what_is_due_is_made_once_and_what_is_too_late_is_said() {
    let timetable = Timetable::new("0 * * * *", "UTC").ok().unwrap();
    let due = |next: &str, duration: SignedDuration, now: &str| {
        let due = timetable.due(at(next), duration, at(now));
        (due.make.map(|at| at.to_string()), due.missed.map(|missed| (missed.at.to_string(), missed.count)), due.next)
    };
    let (nine, ten) = ("2026-01-01T09:00:00Z", "2026-01-01T10:00:00Z");
    assert_eq!(due(nine, HOUR, "2026-01-01T08:59:59Z"), (None, None, Some(at(nine))));
    assert_eq!(due(nine, HOUR, nine), (Some(nine.into()), None, Some(at(ten))));
    assert_eq!(due(nine, HOUR, "2026-01-01T09:59:59Z"), (Some(nine.into()), None, Some(at(ten))));
    // Half an hour was enough for it, and the service was away for longer.
    assert_eq!(due(nine, HOUR / 2, "2026-01-01T09:45:00Z"), (None, Some((nine.into(), 1)), Some(at(ten))));
    // Of three hours that were missed, the last is still worth it.
    let three = due(nine, HOUR * 3, "2026-01-01T11:10:00Z");
    let eleven = "2026-01-01T11:00:00Z".to_owned();
    assert_eq!(three, (Some(eleven), Some((ten.into(), 2)), Some(at("2026-01-01T12:00:00Z"))));
}

#[test]
fn a_year_of_downtime_is_passed_over_quickly() {
    let timetable = Timetable::new("* * * * *", "Europe/Berlin").ok().unwrap();
    let due = timetable.due(at("2025-01-01T00:00:00Z"), HOUR, at("2026-01-01T00:00:00Z"));
    assert_eq!(due.make, Some(at("2026-01-01T00:00:00Z")));
    assert_eq!(due.next, Some(at("2026-01-01T00:01:00Z")));
    assert_eq!(due.missed.map(|missed| missed.count), Some(1000));
}
