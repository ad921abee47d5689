//! Holds back the datagrams of data channels by a [`TokenBucket`]: one pacer a connection, and one thread that wakes those that wait. Media
//! is never held back. A receiver that says it has room is sent to without pacing ([`Pacer::disable`]).

use crate::rtc::congestion::pacing::TokenBucket;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, OnceLock, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

/// How long a sender waits for tokens: far fewer bytes than a burst become due meanwhile. The runtime's timers count milliseconds.
const INTERVAL: Duration = Duration::from_micros(200);
/// Shorter datagrams are acknowledgements and control.
const MIN_PACED: usize = 600;

/// The pacer of one connection.
#[derive(Debug)]
pub(crate) struct Pacer {
    disabled: AtomicBool,
    /// A short critical section, never held across an await; contended by nobody (one driver sends).
    bucket: Mutex<TokenBucket>,
}

impl Default for Pacer {
    fn default() -> Self {
        Self { disabled: AtomicBool::new(false), bucket: Mutex::new(TokenBucket::new(Instant::now())) }
    }
}

impl Pacer {
    /// Everything goes at once from now on.
    pub fn disable(&self) {
        self.disabled.store(true, Ordering::Relaxed);
    }

    /// Whether everything goes at once.
    pub fn is_disabled(&self) -> bool {
        self.disabled.load(Ordering::Relaxed)
    }

    /// Ready when this datagram may go.
    pub fn poll(&self, cx: &mut Context<'_>, datagram: &[u8]) -> Poll<()> {
        // RFC 7983: 20..=63 is DTLS, which carries the data channels.
        let paced = datagram.len() >= MIN_PACED && matches!(datagram.first(), Some(20..=63));
        if !paced || self.is_disabled() {
            return Poll::Ready(());
        }
        let admitted = self.bucket.lock().unwrap_or_else(PoisonError::into_inner).admit(datagram.len(), Instant::now());
        // Without a thread to wake us there is no pacing.
        if admitted || !PacerThread::will_wake(cx.waker()) { Poll::Ready(()) } else { Poll::Pending }
    }
}

/// Wakes waiting tasks after [`INTERVAL`]; sleeps while there are none.
#[derive(Default)]
struct PacerThread {
    waiting: Mutex<Vec<Waker>>,
    not_empty: Condvar,
}

impl PacerThread {
    /// Registers a task; whether it will be woken.
    fn will_wake(waker: &Waker) -> bool {
        static THREAD: PacerThread = PacerThread { waiting: Mutex::new(Vec::new()), not_empty: Condvar::new() };
        static STARTED: OnceLock<bool> = OnceLock::new();
        let start = || std::thread::Builder::new().name("pace".into()).spawn(|| THREAD.run()).is_ok();
        if !*STARTED.get_or_init(start) {
            return false;
        }
        let mut waiting = THREAD.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if !waiting.iter().any(|other| other.will_wake(waker)) {
            waiting.push(waker.clone());
        }
        THREAD.not_empty.notify_one();
        true
    }

    fn run(&self) {
        loop {
            let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            drop(self.not_empty.wait_while(waiting, |waiting| waiting.is_empty()));
            std::thread::sleep(INTERVAL);
            let woken = std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner));
            woken.into_iter().for_each(Waker::wake);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // In real time: what is tested is the thread that wakes.
    #[tokio::test]
    async fn a_waiting_sender_is_woken_and_others_never_wait() {
        let pacer = Pacer::default();
        let datagram = [23; 1200];
        let begun = Instant::now();
        for _ in 0..200 {
            std::future::poll_fn(|cx| pacer.poll(cx, &datagram)).await;
        }
        assert!(begun.elapsed() >= Duration::from_millis(5), "{:?}", begun.elapsed());
        let ready = |datagram: &[u8]| pacer.poll(&mut Context::from_waker(Waker::noop()), datagram).is_ready();
        assert!((0..1000).all(|_| ready(&[128; 1200]) && ready(&[23; 100])), "media and acknowledgements");
        assert!((0..1000).any(|_| !ready(&datagram)));
        pacer.disable();
        assert!((0..1000).all(|_| ready(&datagram)));
    }
}
