//! Codes that sign a browser in: for whoever started the service and opens its dashboard. A code is good once and for minutes, so an address
//! with one in it that others see later, in a list of processes or a history, is worth nothing.

use super::secret::{digest, new_secret};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long a code is good.
const GOOD_FOR: Duration = Duration::from_secs(10 * 60);
/// Codes that are good at once; the oldest go.
const MOST: usize = 16;

/// The codes that were given out and not used. Its clones share them.
#[derive(Clone, Default)]
pub struct SignInCodes {
    open: Arc<Mutex<Vec<Code>>>,
}

struct Code {
    /// Of the code: it is kept no longer than needed, and never in plain.
    digest: String,
    /// Of the key in whose place it is.
    of_key: String,
    until: Instant,
}

impl SignInCodes {
    /// A new code in place of the key with this digest.
    pub fn issue(&self, of_key: &str, now: Instant) -> String {
        let code = new_secret();
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let room = open.len().saturating_sub(MOST - 1);
        open.drain(..room);
        open.push(Code { digest: digest(&code), of_key: of_key.to_owned(), until: now + GOOD_FOR });
        code
    }

    /// The digest of the key in whose place a code is. It is used up by this.
    pub(super) fn redeem(&self, code: &str, now: Instant) -> Option<String> {
        let digest = digest(code);
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|code| code.until > now);
        let at = open.iter().position(|code| code.digest == digest)?;
        Some(open.remove(at).of_key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_good_once_and_not_for_long() {
        let (codes, now) = (SignInCodes::default(), Instant::now());
        let code = codes.issue("key", now);
        assert_eq!(codes.redeem("rb_other", now), None);
        assert_eq!(codes.redeem(&code, now).as_deref(), Some("key"));
        assert_eq!(codes.redeem(&code, now), None, "it is used up");
        let late = codes.issue("key", now);
        assert_eq!(codes.redeem(&late, now + GOOD_FOR), None);
        let first = codes.issue("key", now);
        let others: Vec<_> = (0..MOST).map(|_| codes.issue("key", now)).collect();
        assert_eq!(codes.redeem(&first, now), None, "others have its place");
        assert!(others.iter().all(|code| codes.redeem(code, now).is_some()));
    }
}
