//! Spreads what goes out over data channels evenly in time, for receivers that cannot take much at once.
//!
//! A browser's socket holds about 40 KB that nobody has read yet, and one of its threads reads it when it gets to it. A burst of a
//! congestion window overflows that; what is sent again falls into the same burst and is lost again, and then SCTP waits for its
//! timer, a second at least (RFC 9260 15, `RTO.Min`). Even packets lose far less (measured: `benches/files.rs`). Receivers
//! that say they have room are sent to without it ([`Pace::lift`]). How much is on its way at once is [`crate::rtc::congestion::window`]'s.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, OnceLock, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

/// Bytes a second.
const RATE: f64 = 40e6;
/// Bytes that may go at once after a pause.
const BURST: f64 = 24e3;
/// How long who must wait waits: what [`RATE`] sends meanwhile is well below [`BURST`]. The runtime's timers count milliseconds.
const NAP: Duration = Duration::from_micros(200);
/// Shorter datagrams are acknowledgements and talk.
const LONG: usize = 600;

/// The pace of one connection.
#[derive(Debug)]
pub(crate) struct Pace {
    lifted: AtomicBool,
    /// A short critical section, never held across an await; contended by nobody (one driver sends).
    bucket: Mutex<Bucket>,
}

#[derive(Debug)]
struct Bucket {
    /// Bytes that may go; below zero after one that did.
    tokens: f64,
    at: Instant,
}

impl Bucket {
    /// Whether a datagram of this length may go now; then it counts.
    fn takes(&mut self, length: usize, now: Instant) -> bool {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.tokens = (self.tokens + passed * RATE).min(BURST);
        self.at = now;
        let takes = self.tokens >= 0.0;
        if takes {
            self.tokens -= length as f64;
        }
        takes
    }
}

impl Default for Pace {
    fn default() -> Self {
        let bucket = Mutex::new(Bucket { tokens: BURST, at: Instant::now() });
        Self { lifted: AtomicBool::new(false), bucket }
    }
}

impl Pace {
    /// Everything goes at once from now on.
    pub fn lift(&self) {
        self.lifted.store(true, Ordering::Relaxed);
    }

    pub fn is_lifted(&self) -> bool {
        self.lifted.load(Ordering::Relaxed)
    }

    /// Ready when this datagram may go.
    pub fn poll(&self, cx: &mut Context<'_>, datagram: &[u8]) -> Poll<()> {
        // RFC 7983: 20..=63 is DTLS, which carries the data channels.
        let bulk = datagram.len() >= LONG && matches!(datagram.first(), Some(20..=63));
        if !bulk || self.lifted.load(Ordering::Relaxed) {
            return Poll::Ready(());
        }
        let takes = self.bucket.lock().unwrap_or_else(PoisonError::into_inner).takes(datagram.len(), Instant::now());
        // Where there is no thread to wake us there is no pace.
        if takes || !Metronome::wakes(cx.waker()) { Poll::Ready(()) } else { Poll::Pending }
    }
}

/// A thread that wakes after [`NAP`] whoever waits; it sleeps while nobody does.
#[derive(Default)]
struct Metronome {
    waiting: Mutex<Vec<Waker>>,
    somebody: Condvar,
}

impl Metronome {
    /// Whether the task will be woken.
    fn wakes(waker: &Waker) -> bool {
        static METRONOME: Metronome = Metronome { waiting: Mutex::new(Vec::new()), somebody: Condvar::new() };
        static STARTED: OnceLock<bool> = OnceLock::new();
        let start = || std::thread::Builder::new().name("pace".into()).spawn(|| METRONOME.run()).is_ok();
        if !*STARTED.get_or_init(start) {
            return false;
        }
        let mut waiting = METRONOME.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if !waiting.iter().any(|other| other.will_wake(waker)) {
            waiting.push(waker.clone());
        }
        METRONOME.somebody.notify_one();
        true
    }

    fn run(&self) {
        loop {
            let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            drop(self.somebody.wait_while(waiting, |waiting| waiting.is_empty()));
            std::thread::sleep(NAP);
            let woken = std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner));
            woken.into_iter().for_each(Waker::wake);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_is_even() {
        let begun = Instant::now();
        let mut bucket = Bucket { tokens: BURST, at: begun };
        let at = |micros: u64| begun + Duration::from_micros(micros);
        let gone = |bucket: &mut Bucket, now| (0..).take_while(|_| bucket.takes(1200, now)).count();
        assert_eq!(gone(&mut bucket, begun), 21, "a burst, and the one that empties it");
        assert_eq!(gone(&mut bucket, at(10)), 0);
        let second: usize = (1..=5000).map(|nap| gone(&mut bucket, at(nap * 200))).sum();
        assert!((second * 1200).abs_diff(RATE as usize) < 3 * 1200, "{second}");
        assert_eq!(gone(&mut bucket, at(60_000_000)), 21, "a pause saves up no more than a burst");
    }

    #[tokio::test]
    async fn who_waits_is_woken_and_who_has_room_never_waits() {
        let pace = Pace::default();
        let datagram = [23; 1200];
        let begun = Instant::now();
        for _ in 0..200 {
            std::future::poll_fn(|cx| pace.poll(cx, &datagram)).await;
        }
        assert!(begun.elapsed() >= Duration::from_millis(5), "{:?}", begun.elapsed());
        let ready = |datagram: &[u8]| pace.poll(&mut Context::from_waker(Waker::noop()), datagram).is_ready();
        assert!((0..1000).all(|_| ready(&[128; 1200]) && ready(&[23; 100])), "media and acknowledgements");
        assert!((0..1000).any(|_| !ready(&datagram)));
        pace.lift();
        assert!((0..1000).all(|_| ready(&datagram)));
    }
}
