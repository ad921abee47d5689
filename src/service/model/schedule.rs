//! Schedules: recordings that are made at the times of a cron expression. Pure: it is told the time.

use super::auto_stop::LONGEST_S;
use super::id::Id;
use super::invalid_field::InvalidField;
use super::request::RecordingRequest;
use crate::recording::utc_ms;
use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Characters of a cron expression and of a time zone's name.
const LONGEST_CRON: usize = 200;
const LONGEST_ZONE: usize = 64;
/// Missed times that are counted one by one.
const MOST_COUNTED: u32 = 1000;

/// A schedule that a client asks for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ScheduleRequest {
    /// What it is for, 1 to 64 characters.
    #[schema(example = "Daily standup")]
    pub name: String,
    /// When, as in cron(5): minute, hour, day of the month, month, day of the week. A sixth field before them is the second, one number.
    #[schema(example = "30 9 * * MON-FRI")]
    pub cron: String,
    /// The time zone of these times, as in the IANA database.
    #[serde(default = "utc")]
    #[schema(example = "Europe/Berlin")]
    pub time_zone: String,
    /// The longest duration of each recording, in seconds, counted from its time.
    #[schema(minimum = 1, maximum = 604_800)]
    pub duration_s: u64,
    /// Nothing is recorded while it is false.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// What is asked for at each time, without `start_at`.
    pub recording: RecordingRequest,
}

fn utc() -> String {
    "UTC".to_owned()
}

fn yes() -> bool {
    true
}

/// A schedule.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Schedule {
    pub id: Id,
    pub project: String,
    #[schema(value_type = String, format = DateTime)]
    #[serde(with = "utc_ms")]
    pub created_at: Timestamp,
    /// What was asked for, without the secrets of its recording.
    pub request: ScheduleRequest,
    /// When it records next; absent while it is not enabled.
    #[schema(value_type = Option<String>, format = DateTime)]
    #[serde(default, with = "utc_ms::option", skip_serializing_if = "Option::is_none")]
    pub next_at: Option<Timestamp>,
    /// The last time at which it recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<LastRun>,
    /// The last time that passed without a recording, because the service did not run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_missed: Option<Missed>,
}

/// A time at which a schedule recorded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LastRun {
    #[schema(value_type = String, format = DateTime)]
    #[serde(with = "utc_ms")]
    pub at: Timestamp,
    pub recording: Id,
}

/// Times that passed without a recording.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Missed {
    /// The last of them.
    #[schema(value_type = String, format = DateTime)]
    #[serde(with = "utc_ms")]
    pub at: Timestamp,
    /// How many they were, at most 1000.
    pub count: u32,
}

/// What a schedule has to do now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due {
    /// The time for which a recording is made.
    pub make: Option<Timestamp>,
    /// Times for which none is made any more.
    pub missed: Option<Missed>,
    /// The time that follows.
    pub next: Option<Timestamp>,
}

/// The times of a cron expression in a time zone. Around a change of the clocks, as cron does it: what is at a time of day that the change
/// leaves out is made right after it, and what is at a time of day that comes twice is made at the first, but for intervals (`*/10`).
pub struct Timetable {
    cron: Cron,
    zone: TimeZone,
}

impl Timetable {
    /// Reads the expression and finds the time zone.
    ///
    /// # Errors
    /// The field that cannot be used.
    pub fn new(cron: &str, zone: &str) -> Result<Timetable, InvalidField> {
        let invalid = |field, problem: String| InvalidField { field, problem };
        if cron.chars().count() > LONGEST_CRON || !cron.is_ascii() {
            return Err(invalid("cron", format!("has at most {LONGEST_CRON} characters, all of them ASCII")));
        }
        let fields: Vec<&str> = cron.split_whitespace().collect();
        if fields.len() == 6 && !fields[0].bytes().all(|b| b.is_ascii_digit()) {
            return Err(invalid("cron", "its second must be one number: times are at least a minute apart".into()));
        }
        let parser = CronParser::builder().seconds(Seconds::Optional).year(Year::Disallowed).build();
        let cron = parser.parse(&fields.join(" ")).map_err(|e| invalid("cron", e.to_string()))?;
        let unknown = || invalid("time_zone", "is no name of the IANA database, such as Europe/Berlin".into());
        let zone = Some(zone).filter(|zone| zone.len() <= LONGEST_ZONE);
        Ok(Timetable { cron, zone: zone.and_then(|zone| TimeZone::get(zone).ok()).ok_or_else(unknown)? })
    }

    /// The first time after `after`. None: there is none.
    pub fn next(&self, after: Timestamp) -> Option<Timestamp> {
        let after = after.to_zoned(self.zone.clone());
        Some(self.cron.find_next_occurrence(&after, false).ok()?.timestamp())
    }

    /// What is due at `now`, where `next` is the first time that is not done. Of several times that are not older than `duration`, the
    /// last is made; the service did not run at the others.
    pub fn due(&self, next: Timestamp, duration: SignedDuration, now: Timestamp) -> Due {
        let youngest_missed = now.checked_sub(duration).unwrap_or(Timestamp::MIN);
        let (mut at, mut past, mut count) = (Some(next), None, 0);
        while let Some(time) = at.filter(|time| *time <= now) {
            let before = past.replace(time);
            count += 1;
            // After a year of downtime not every minute of it is looked at.
            let far = count == MOST_COUNTED && time < youngest_missed;
            at = self.next(if far { youngest_missed } else { time });
            debug_assert!(before.is_none_or(|before| before < time));
        }
        let Some(last) = past else { return Due { make: None, missed: None, next: at } };
        let make = past.filter(|time| *time > youngest_missed);
        let missed = count - u32::from(make.is_some());
        let missed_at = if make.is_some() { self.previous(last) } else { Some(last) };
        let missed = missed_at.filter(|_| missed > 0).map(|at| Missed { at, count: missed.min(MOST_COUNTED) });
        Due { make, missed, next: at }
    }

    fn previous(&self, before: Timestamp) -> Option<Timestamp> {
        let before = before.to_zoned(self.zone.clone());
        Some(self.cron.find_previous_occurrence(&before, false).ok()?.timestamp())
    }
}

impl ScheduleRequest {
    /// Checks the values; returns its times.
    ///
    /// # Errors
    /// The first field that cannot be used.
    pub fn check(&self, now: Timestamp) -> Result<Timetable, InvalidField> {
        let invalid = |field, problem: &str| Err(InvalidField { field, problem: problem.to_owned() });
        if !(1..=64).contains(&self.name.chars().count()) || self.name.chars().any(char::is_control) {
            return invalid("name", "must have 1 to 64 characters, no control characters");
        }
        let timetable = Timetable::new(&self.cron, &self.time_zone)?;
        if timetable.next(now).is_none() {
            return invalid("cron", "this time never comes");
        }
        if !(1..=LONGEST_S).contains(&self.duration_s) {
            return Err(InvalidField { field: "duration_s", problem: format!("must be 1 to {LONGEST_S} (a week)") });
        }
        if self.recording.start_at.is_some() {
            return invalid("recording.start_at", "the schedule says when");
        }
        // The fields of the request are below `recording`.
        self.recording.check().map_err(|InvalidField { field, problem }| InvalidField {
            field: "recording",
            problem: format!("{field}: {problem}"),
        })?;
        Ok(timetable)
    }

    /// The request without its secrets.
    #[must_use]
    pub fn without_secrets(&self) -> ScheduleRequest {
        ScheduleRequest { recording: self.recording.without_secrets(), ..self.clone() }
    }

    /// How long a recording may last from its time on.
    pub fn duration(&self) -> SignedDuration {
        SignedDuration::from_secs(i64::try_from(self.duration_s).unwrap_or(i64::MAX))
    }

    /// What is asked for at the time `at`. One that is late ends when it would have ended.
    #[must_use]
    pub fn recording_at(&self, at: Timestamp, now: Timestamp) -> RecordingRequest {
        let late = u64::try_from(now.duration_since(at).as_secs()).unwrap_or(0);
        let mut recording = RecordingRequest { start_at: Some(at), ..self.recording.clone() };
        recording.auto_stop.max_duration_s = self.duration_s.saturating_sub(late).max(1);
        recording
    }
}

impl Schedule {
    /// One that was just asked for.
    pub fn new(project: &str, request: &ScheduleRequest, timetable: &Timetable, now: Timestamp) -> Schedule {
        Schedule {
            id: Id::new(Id::SCHEDULE),
            project: project.to_owned(),
            created_at: now,
            next_at: timetable.next(now).filter(|_| request.enabled),
            request: request.without_secrets(),
            last: None,
            last_missed: None,
        }
    }
}

#[cfg(test)]
#[path = "schedule_tests.rs"]
mod tests;
