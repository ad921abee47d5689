//! Keys of clients: random, and kept as SHA-256 only. Nothing can be guessed from a stolen database, and a slow hash would gain nothing
//! against 190 random bits.

use crate::room::file::Digest;
use rand::Rng;
use rand::distr::Alphanumeric;

/// Characters of a key behind its prefix.
const SECRET_CHARS: usize = 32;

/// A new key: `rb_` and 32 random letters and digits.
pub fn new_secret() -> String {
    let secret: String = rand::rng().sample_iter(Alphanumeric).take(SECRET_CHARS).map(char::from).collect();
    format!("rb_{secret}")
}

/// What is kept of a key: its SHA-256 in hex.
pub fn digest(secret: &str) -> String {
    Digest::of(secret.as_bytes()).to_string()
}
