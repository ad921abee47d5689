//! Reads all sockets of the process that are on a tick, in one thread. A thread that has a tick of its own anyway (the recorder's) drives it;
//! otherwise, or while that one is held up, a thread of the pump's does.

use crate::rtc::transport::reader::Reader;
use std::marker::PhantomData;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::{Duration, Instant};

/// So long after it was due the pump's thread takes over from one that drives.
const HELD_UP: Duration = Duration::from_millis(100);

/// A socket that is read on a tick.
pub(super) trait Pumped: Send + Sync {
    /// When it is to be read; none while somebody else reads it.
    fn due(&self) -> Option<Instant>;
    /// Reads everything that is there, if it is due, and hands it on.
    fn round(&self, reader: &mut Reader, now: Instant);
}

static PUMP: OnceLock<Pump> = OnceLock::new();

fn pump() -> &'static Pump {
    PUMP.get_or_init(|| Pump {
        ports: Mutex::default(),
        generation: AtomicU64::new(0),
        drivers: AtomicUsize::new(0),
        turn: Mutex::new(()),
        changed: Condvar::new(),
        thread: OnceLock::new(),
    })
}

struct Pump {
    ports: Mutex<Vec<Weak<dyn Pumped>>>,
    /// Grows with every change of `ports`.
    generation: AtomicU64,
    /// Threads that drive.
    drivers: AtomicUsize,
    /// Whose turn it is to read.
    turn: Mutex<()>,
    changed: Condvar,
    /// Whether the pump's own thread runs.
    thread: OnceLock<bool>,
}

impl Pump {
    fn lock(&self) -> MutexGuard<'_, Vec<Weak<dyn Pumped>>> {
        self.ports.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// From now on a port is read here, until it is dropped.
pub(super) fn register(port: &Arc<dyn Pumped>) {
    let pump = pump();
    {
        let mut ports = pump.lock();
        ports.retain(|port| port.strong_count() > 0);
        ports.push(Arc::downgrade(port));
    }
    pump.thread.get_or_init(|| {
        let started = std::thread::Builder::new().name("pump".into()).spawn(run);
        if let Err(e) = &started {
            tracing::error!("media is read only while something is recorded: {e}");
        }
        started.is_ok()
    });
    notify();
}

/// A port is due earlier than it was.
pub(super) fn notify() {
    let pump = pump();
    let ports = pump.lock();
    pump.generation.fetch_add(1, Ordering::Release);
    drop(ports);
    pump.changed.notify_all();
}

/// The pump's own thread: sleeps while somebody drives, and while there are no ports.
fn run() {
    let (pump, mut rounds) = (pump(), Rounds::default());
    loop {
        let now = Instant::now();
        let wait = rounds.next().map(|due| {
            let patience = if pump.drivers.load(Ordering::Acquire) > 0 { HELD_UP } else { Duration::ZERO };
            (due + patience).saturating_duration_since(now)
        });
        match wait {
            Some(Duration::ZERO) => rounds.round(now),
            _ => {
                let ports = pump.lock();
                if pump.generation.load(Ordering::Acquire) == rounds.generation {
                    let longest = wait.unwrap_or(Duration::from_secs(3600));
                    drop(pump.changed.wait_timeout(ports, longest).unwrap_or_else(PoisonError::into_inner));
                }
            }
        }
    }
}

/// What a thread needs for its turns.
#[derive(Default)]
struct Rounds {
    reader: Reader,
    ports: Vec<Weak<dyn Pumped>>,
    generation: u64,
}

impl Rounds {
    fn look(&mut self) {
        let pump = pump();
        let generation = pump.generation.load(Ordering::Acquire);
        if generation != self.generation {
            self.ports.clone_from(&pump.lock());
            self.generation = generation;
        }
    }

    /// When the next port is due; none: there is nothing to read.
    fn next(&mut self) -> Option<Instant> {
        self.look();
        self.ports.retain(|port| port.strong_count() > 0);
        self.ports.iter().filter_map(|port| port.upgrade()?.due()).min()
    }

    fn round(&mut self, now: Instant) {
        self.look();
        let _turn = pump().turn.lock().unwrap_or_else(PoisonError::into_inner);
        for port in self.ports.iter().filter_map(Weak::upgrade) {
            port.round(&mut self.reader, now);
        }
    }
}

/// The pump in the hands of a thread with a tick of its own, which it gives its time to: from [`PumpDriver::new`] until this is dropped.
pub struct PumpDriver {
    rounds: Rounds,
    /// It stays on its thread.
    here: PhantomData<*const ()>,
}

impl PumpDriver {
    /// The calling thread drives the pump.
    #[expect(clippy::new_without_default, reason = "it begins to drive")]
    pub fn new() -> PumpDriver {
        pump().drivers.fetch_add(1, Ordering::AcqRel);
        PumpDriver { rounds: Rounds::default(), here: PhantomData }
    }
    /// When there is something to read next; none: nothing is read on a tick.
    pub fn next(&mut self) -> Option<Instant> {
        self.rounds.next()
    }
    /// Reads all that is due, and hands it on.
    pub fn round(&mut self, now: Instant) {
        self.rounds.round(now);
    }
}

impl Drop for PumpDriver {
    fn drop(&mut self) {
        pump().drivers.fetch_sub(1, Ordering::AcqRel);
        notify();
    }
}
