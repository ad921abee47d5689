//! What links are signed with: a token of their own kind, which nothing else is taken for.

use crate::service::model::Id;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, encode};
use serde::{Deserialize, Serialize};

/// Bytes of a link's token.
const LONGEST_TOKEN: usize = 4096;

/// What a link's token says.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct LinkClaims {
    pub exp: u64,
    pub recording: Id,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
}

/// Signs links and checks them.
#[derive(Clone)]
pub struct LinkKey {
    sign: EncodingKey,
    check: DecodingKey,
}

impl LinkKey {
    /// With this secret; none where it is empty.
    pub fn new(secret: &str) -> Option<LinkKey> {
        let (sign, check) = (EncodingKey::from_secret(secret.as_bytes()), DecodingKey::from_secret(secret.as_bytes()));
        Some(LinkKey { sign: sign.ok()?, check: check.ok()? })
    }

    pub(super) fn token(&self, claims: &LinkClaims) -> Option<String> {
        encode(&Header::new(Algorithm::HS256), claims, &self.sign).ok()
    }

    pub(super) fn claims(&self, token: &str) -> Option<LinkClaims> {
        let mut validation = Validation::new(Algorithm::HS256);
        validation.leeway = 0;
        let token = Some(token).filter(|token| token.len() <= LONGEST_TOKEN)?;
        decode(token, &self.check, &validation).ok().map(|token| token.claims)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::Timestamp;

    #[test]
    fn a_link_is_good_for_what_it_was_made_for() {
        let key = LinkKey::new("a secret").unwrap();
        let now = u64::try_from(Timestamp::now().as_second()).unwrap();
        let claims = |exp| LinkClaims { exp, recording: Id::new(Id::RECORDING), path: Some("film.mp4".into()) };
        let token = key.token(&claims(now + 60)).unwrap();
        assert_eq!(key.claims(&token).unwrap().path.as_deref(), Some("film.mp4"));
        assert!(key.claims(&key.token(&claims(now - 1)).unwrap()).is_none());
        assert!(LinkKey::new("another").unwrap().claims(&token).is_none());
        let changed = token.replacen('.', "x.", 1);
        assert!(key.claims(&changed).is_none() && key.claims("").is_none());
    }
}
