//! How much the machine may do at once. Pure. Capture comes first: a film never keeps a recorder waiting, only itself.

use std::collections::BTreeMap;

/// Thousandths of a core that a recorder of a usual meeting takes.
const RECORDER: u32 = 100;
/// The same of a film.
const FILM: u32 = 1000;
/// The same of a bot that encodes, and of one that only sends.
const ENCODING_BOT: u32 = 1000;
const SENDING_BOT: u32 = 100;
/// The same of a check: it encodes, records and judges.
const CHECK: u32 = 2000;

/// What a job needs the machine for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    /// A recorder.
    Record,
    /// Films and other outputs of a recording that ends.
    Process,
    /// A film that is asked for afterwards.
    Film,
    /// Anything that mostly waits.
    Upload,
    /// A bot in a room.
    Bot { encodes: bool },
    /// A meeting that is made to be judged.
    Check,
}

/// What is used of the machine, in thousandths of a core.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Capacity {
    total: u32,
    used: u32,
    films: u32,
}

impl Capacity {
    /// Of so many cores.
    pub fn new(cores: f64) -> Capacity {
        let mut capacity = Capacity { total: 0, used: 0, films: 0 };
        capacity.resize(cores);
        capacity
    }

    /// Has so many cores from now on. What runs goes on, also beyond that.
    pub fn resize(&mut self, cores: f64) {
        // At most 4 million cores.
        self.total = (cores.clamp(0.1, 4e6) * 1000.0) as u32;
    }

    /// Takes what `work` needs, if it is free. One film may always be made: it runs at a low priority, beside whatever records.
    pub fn admit(&mut self, work: Work) -> bool {
        let free = self.total.saturating_sub(self.used);
        let fits = match work {
            Work::Record => free >= RECORDER,
            Work::Process | Work::Film => free >= FILM || self.films == 0,
            // On a machine smaller than one bot, one may run alone.
            Work::Bot { .. } | Work::Check => free >= work.cost() || self.used == 0,
            Work::Upload => true,
        };
        if fits {
            self.take(work);
        }
        fits
    }

    /// Takes what `work` needs, also beyond what there is: it runs already.
    pub fn take(&mut self, work: Work) {
        self.used += work.cost();
        self.films += u32::from(work.is_film());
    }

    /// Gives it back.
    pub fn release(&mut self, work: Work) {
        self.used = self.used.saturating_sub(work.cost());
        self.films = self.films.saturating_sub(u32::from(work.is_film()));
    }

    /// Whether one more recorder fits.
    pub fn has_room(&self) -> bool {
        self.total.saturating_sub(self.used) >= RECORDER
    }

    /// Used and total, in cores.
    pub fn load(&self) -> (f64, f64) {
        (f64::from(self.used) / 1000.0, f64::from(self.total) / 1000.0)
    }
}

/// How many recordings of a project may run at once. What is over waits in the queue.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Quota {
    /// For projects that are not named; none: any number.
    pub usual: Option<u32>,
    pub projects: BTreeMap<String, u32>,
}

impl Quota {
    /// Whether one more may begin where so many of the project run.
    pub fn allows(&self, project: &str, running: u32) -> bool {
        self.projects.get(project).copied().or(self.usual).is_none_or(|most| running < most)
    }
}

impl Work {
    fn is_film(self) -> bool {
        matches!(self, Work::Process | Work::Film)
    }

    fn cost(self) -> u32 {
        match self {
            Work::Record => RECORDER,
            Work::Process | Work::Film => FILM,
            Work::Bot { encodes: true } => ENCODING_BOT,
            Work::Bot { encodes: false } => SENDING_BOT,
            Work::Check => CHECK,
            Work::Upload => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recorders_are_cheap_and_films_dear() {
        let mut capacity = Capacity::new(2.0);
        assert!(capacity.admit(Work::Process) && (0..10).all(|_| capacity.admit(Work::Record)));
        assert!(!capacity.admit(Work::Record) && !capacity.has_room() && !capacity.admit(Work::Process));
        capacity.release(Work::Record);
        assert!(capacity.admit(Work::Record));
        assert_eq!(capacity.load(), (2.0, 2.0));
    }

    #[test]
    fn a_film_is_never_kept_waiting_for_ever() {
        let mut capacity = Capacity::new(0.5);
        assert!((0..5).all(|_| capacity.admit(Work::Record)));
        assert!(capacity.admit(Work::Process) && !capacity.admit(Work::Process));
        capacity.release(Work::Process);
        assert!(capacity.admit(Work::Process));
    }
}
