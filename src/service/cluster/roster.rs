//! What an API node knows of its workers, and which of them are lost. Pure: told the time.

use super::timing::DEAD;
use super::wire::WorkerRecord;
use std::collections::BTreeMap;
use std::time::Instant;

/// All workers, by name.
#[derive(Debug, Default)]
pub struct Roster {
    workers: BTreeMap<String, Member>,
    /// Everything that was there at the start was seen.
    pub is_complete: bool,
}

/// A worker.
#[derive(Debug, Clone, PartialEq)]
pub struct Member {
    pub record: WorkerRecord,
    /// The record's revision.
    pub revision: u64,
    /// When this revision was seen first.
    pub seen: Instant,
}

impl Roster {
    /// Notes a record. An older one than is known changes nothing.
    pub fn observe(&mut self, name: &str, record: WorkerRecord, revision: u64, now: Instant) {
        let is_new = self.workers.get(name).is_none_or(|member| member.revision < revision);
        if is_new {
            self.workers.insert(name.to_owned(), Member { record, revision, seen: now });
        }
    }

    /// Notes the record that is there now, whatever was known.
    pub fn replace(&mut self, name: &str, record: WorkerRecord, revision: u64, now: Instant) {
        if self.workers.get(name).is_none_or(|member| member.revision != revision) {
            self.workers.insert(name.to_owned(), Member { record, revision, seen: now });
        }
    }

    /// Forgets a worker.
    pub fn remove(&mut self, name: &str) {
        self.workers.remove(name);
    }

    /// Sessions that were not renewed for so long that they are to be taken away: name, revision and record.
    pub fn overdue(&self, now: Instant) -> Vec<(String, Member)> {
        let is_overdue = |member: &Member| !member.record.lost && now.saturating_duration_since(member.seen) >= DEAD;
        let overdue = self.workers.iter().filter(|(_, member)| is_overdue(member));
        overdue.map(|(name, member)| (name.clone(), member.clone())).collect()
    }

    /// Whether a worker's session goes on, or may go on. Nobody is given up before it was seen.
    pub fn is_alive(&self, name: &str, session: &str) -> bool {
        match self.workers.get(name) {
            Some(member) => member.record.session == session && !member.record.lost,
            None => !self.is_complete,
        }
    }

    /// All of them.
    pub fn members(&self) -> impl Iterator<Item = (&String, &Member)> {
        self.workers.iter()
    }

    /// Those with a session.
    pub fn alive(&self) -> impl Iterator<Item = (&String, &Member)> {
        self.workers.iter().filter(|(_, member)| !member.record.lost)
    }

    /// One of them.
    pub fn get(&self, name: &str) -> Option<&Member> {
        self.workers.get(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::cluster::timing::RENEW;
    use std::time::Duration;

    fn record(session: &str) -> WorkerRecord {
        WorkerRecord { session: session.into(), ..WorkerRecord::default() }
    }

    #[test]
    fn a_session_is_lost_when_it_was_not_renewed_for_too_long() {
        let (mut roster, start) = (Roster::default(), Instant::now());
        assert!(roster.is_alive("a", "1"), "nobody was seen yet");
        roster.observe("a", record("1"), 5, start);
        roster.observe("b", record("2"), 6, start);
        roster.is_complete = true;
        assert!(roster.is_alive("a", "1") && !roster.is_alive("a", "0") && !roster.is_alive("c", "1"));
        let mut now = start;
        for revision in 7..20 {
            now += RENEW;
            roster.observe("b", record("2"), revision, now);
        }
        let overdue = roster.overdue(now);
        assert_eq!(
            overdue.iter().map(|(name, member)| (name.as_str(), member.revision)).collect::<Vec<_>>(),
            [("a", 5)]
        );
        // An old message that comes late renews nothing.
        roster.observe("a", record("1"), 5, now);
        assert_eq!(roster.overdue(now).len(), 1);
        // A server that has lost everything counts from one again.
        let mut anew = Roster::default();
        anew.observe("a", record("1"), 5, start);
        anew.replace("a", record("2"), 1, now);
        assert!(anew.overdue(now).is_empty() && anew.is_alive("a", "2"));
        roster.observe("a", WorkerRecord { lost: true, ..record("1") }, 21, now);
        assert!(roster.overdue(now + Duration::from_secs(60)).iter().all(|(name, _)| name == "b"));
        assert!(!roster.is_alive("a", "1") && roster.alive().count() == 1 && roster.members().count() == 2);
    }
}
