//! Compares tokens and secrets in constant time. Keeps none.

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// Whether two secrets are equal. The time it takes does not depend on where they differ, nor on their lengths, as digests are compared.
pub(super) fn secrets_match(a: &str, b: &str) -> bool {
    Sha256::digest(a).ct_eq(&Sha256::digest(b)).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_compared_whole() {
        assert!(secrets_match("abc", "abc"));
        assert!(!secrets_match("abc", "abd") && !secrets_match("abc", "ab") && !secrets_match("", "a"));
    }
}
