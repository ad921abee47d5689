//! Short-lived tokens (JWT, RFC 7519) in place of keys: signed by somebody whom the configuration names, for one project, good for an hour
//! at most. Nothing of them is kept here.

use crate::error::{Error, Result};
use crate::service::config::JwtConfig;
use crate::service::database::keys::{self, ApiKey, Scope};
use crate::service::model::Id;
use jiff::Timestamp;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use serde::Deserialize;

/// The longest life of a token, and how far clocks may differ, in seconds.
const LONGEST_S: u64 = 3600;
const LEEWAY_S: u64 = 30;
/// Characters of a token.
const LONGEST: usize = 8192;
/// Characters of a shared secret.
const SHORTEST_SECRET: usize = 32;
/// Bytes of the modulus of an RSA key.
const SHORTEST_MODULUS: usize = 256;

/// What a token says.
#[derive(Debug, Deserialize)]
struct Claims {
    exp: u64,
    #[serde(default)]
    sub: Option<String>,
    project: String,
    /// Scopes of keys, separated by spaces (RFC 8693 4.2).
    scope: String,
}

/// Whose tokens are taken.
#[derive(Default)]
pub struct TokenKeys {
    keys: Vec<(Algorithm, DecodingKey, Validation)>,
}

impl TokenKeys {
    /// Those of the configuration.
    ///
    /// # Errors
    /// The user's: a key that cannot be used.
    pub fn new(config: Option<&JwtConfig>) -> Result<TokenKeys> {
        let mut keys = Vec::new();
        let Some(config) = config else { return Ok(TokenKeys::default()) };
        let mut add = |algorithm: Algorithm, key: DecodingKey| {
            let mut validation = Validation::new(algorithm);
            validation.leeway = LEEWAY_S;
            validation.validate_nbf = true;
            let mut required = vec!["exp"];
            match &config.audience {
                Some(audience) => {
                    validation.set_audience(&[audience]);
                    required.push("aud");
                }
                None => validation.validate_aud = false,
            }
            if let Some(issuer) = &config.issuer {
                validation.set_issuer(&[issuer]);
                required.push("iss");
            }
            validation.set_required_spec_claims(&required);
            keys.push((algorithm, key, validation));
        };
        if config.secret.is_none() && config.public_key.is_none() {
            return Err(Error::user("jwt: needs secret or public_key"));
        }
        if let Some(secret) = &config.secret {
            if secret.chars().count() < SHORTEST_SECRET {
                return Err(Error::user(format!("jwt.secret: must have at least {SHORTEST_SECRET} characters")));
            }
            let key = DecodingKey::from_secret(secret.as_bytes());
            add(Algorithm::HS256, key.map_err(|e| Error::user(format!("jwt.secret: {e}")).because(e))?);
        }
        if let Some(pem) = &config.public_key {
            let (algorithm, key) = public_key(pem)?;
            add(algorithm, key);
        }
        Ok(TokenKeys { keys })
    }

    /// Whether a bearer's text looks like a token rather than a key.
    pub(super) fn is_token(text: &str) -> bool {
        text.bytes().filter(|byte| *byte == b'.').count() == 2
    }

    /// What a token is in place of.
    ///
    /// # Errors
    /// Why it is not taken, for whoever sent it.
    pub(super) fn key(&self, token: &str, now: Timestamp) -> Result<ApiKey, &'static str> {
        if self.keys.is_empty() {
            return Err("this service takes no tokens: send an API key");
        }
        if token.len() > LONGEST {
            return Err("the token is too long");
        }
        let header = decode_header(token).map_err(|_| "this is no token")?;
        let found = self.keys.iter().find(|(algorithm, ..)| *algorithm == header.alg);
        let (_, key, validation) = found.ok_or("the token is signed by an algorithm that is not configured")?;
        let claims = decode::<Claims>(token, key, validation).map_err(|e| {
            use jsonwebtoken::errors::ErrorKind;
            match e.kind() {
                ErrorKind::ExpiredSignature => "the token has expired",
                ErrorKind::InvalidSignature => "the token is signed by somebody else",
                ErrorKind::InvalidAudience | ErrorKind::InvalidIssuer => "the token is for or of somebody else",
                ErrorKind::MissingRequiredClaim(_) => "the token lacks a claim: exp, aud or iss",
                _ => "the token needs exp, project and scope",
            }
        })?;
        let claims = claims.claims;
        let latest = u64::try_from(now.as_second()).unwrap_or(0) + LONGEST_S + LEEWAY_S;
        if claims.exp > latest {
            return Err("the token is good for more than an hour: give it an earlier exp");
        }
        let is_project = keys::is_project(&claims.project);
        // What a later version knows is none of ours.
        let scopes = claims.scope.split_ascii_whitespace();
        let scopes: Vec<Scope> = scopes.filter_map(|word| serde_json::from_value(word.into()).ok()).collect();
        if !is_project || scopes.is_empty() {
            return Err("the token needs a project and at least one scope");
        }
        let name = claims.sub.unwrap_or_else(|| "token".to_owned());
        let created_at = now;
        let id = Id::of_token(&name);
        Ok(ApiKey { id, name, project: claims.project, scopes, rate_limit: None, created_at, revoked_at: None })
    }
}

/// A public key in PEM, and what it checks.
fn public_key(pem: &str) -> Result<(Algorithm, DecodingKey)> {
    let refused = |problem: String| Error::user(format!("jwt.public_key: {problem}"));
    // The library takes a private key of RSA too; whoever has that can sign.
    if pem.contains("PRIVATE KEY") {
        return Err(refused("is a private key: give its public key, and keep the private one with the signer".into()));
    }
    let (algorithm, key) = match (DecodingKey::from_rsa_pem(pem.as_bytes()), DecodingKey::from_ec_pem(pem.as_bytes())) {
        (Ok(key), _) => (Algorithm::RS256, key),
        (_, Ok(key)) => (Algorithm::ES256, key),
        (Err(e), _) => return Err(refused("is no public key of RSA or P-256 in PEM".into()).because(e)),
    };
    let bytes = key.try_get_as_bytes().map_err(|e| refused(e.to_string()).because(e))?.len();
    // The modulus is most of it.
    if algorithm == Algorithm::RS256 && bytes < SHORTEST_MODULUS {
        return Err(refused("an RSA key must have at least 2048 bits (RFC 7518 3.3)".into()));
    }
    // Every curve is read; points of P-256, whole and compressed, have these lengths.
    if algorithm == Algorithm::ES256 && ![65, 33].contains(&bytes) {
        return Err(refused("is on another curve than P-256: ES256 needs that one".into()));
    }
    Ok((algorithm, key))
}

#[cfg(test)]
mod tests {
    use super::*;
    use jsonwebtoken::{EncodingKey, Header, encode};
    use serde_json::{Value, json};

    const SECRET: &str = "0123456789abcdef0123456789abcdef";

    fn keys() -> TokenKeys {
        let config =
            JwtConfig { secret: Some(SECRET.into()), audience: Some("roombot".into()), ..JwtConfig::default() };
        TokenKeys::new(Some(&config)).unwrap()
    }

    fn token(secret: &str, claims: &Value) -> String {
        encode(&Header::default(), claims, &EncodingKey::from_secret(secret.as_bytes()).unwrap()).unwrap()
    }

    #[test]
    fn a_token_is_a_key_for_an_hour_at_most() {
        let now = Timestamp::now();
        let claims = |exp: i64| json!({ "exp": now.as_second() + exp, "sub": "alice", "aud": "roombot", "project": "blue", "scope": "recordings:read later" });
        let of = |claims: &Value| keys().key(&token(SECRET, claims), now);
        let key = of(&claims(60)).unwrap();
        assert_eq!((key.project.as_str(), key.id.as_str()), ("blue", "jwt_alice"));
        assert_eq!(key.scopes, [Scope::RecordingsRead]);
        assert!(of(&claims(4000)).unwrap_err().contains("more than an hour"));
        assert!(of(&claims(-60)).unwrap_err().contains("expired"));
        let mut other = claims(60);
        other["aud"] = "others".into();
        assert!(of(&other).unwrap_err().contains("somebody else"));
        let mut endless = claims(60);
        endless.as_object_mut().unwrap().remove("exp");
        assert!(of(&endless).is_err());
        let mut powerless = claims(60);
        powerless["scope"] = "".into();
        assert!(of(&powerless).unwrap_err().contains("scope"));
        let forged = token("another secret of thirty-two byte", &claims(60));
        assert!(keys().key(&forged, now).unwrap_err().contains("somebody else"));
        assert!(TokenKeys::default().key(&forged, now).unwrap_err().contains("no tokens"));
    }

    #[test]
    fn an_unsigned_token_is_none() {
        // {"alg":"none"} {"exp":9999999999,"project":"blue","scope":"admin"}
        let token = "eyJhbGciOiJub25lIn0.eyJleHAiOjk5OTk5OTk5OTksInByb2plY3QiOiJibHVlIiwic2NvcGUiOiJhZG1pbiJ9.";
        assert!(TokenKeys::is_token(token) && !TokenKeys::is_token("rb_0123"));
        assert!(keys().key(token, Timestamp::now()).is_err());
    }

    #[test]
    fn weak_and_wrong_keys_are_refused() {
        let with = |secret: Option<&str>, public_key: Option<&str>| {
            let of = |text: Option<&str>| text.map(str::to_owned);
            let config = JwtConfig { secret: of(secret), public_key: of(public_key), ..JwtConfig::default() };
            TokenKeys::new(Some(&config)).map(|keys| keys.keys[0].0)
        };
        assert!(with(None, None).is_err() && with(Some("short"), None).is_err() && with(None, Some("PEM")).is_err());
        let ec = "-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEEVs/o5+uQbTjL3chynL4wXgUg2R9\n\
                  q9UU8I5mEovUf86QZ7kOBIjJwqnzD1omageEHWwHdBO6B+dFabmdT9POxg==\n-----END PUBLIC KEY-----\n";
        assert_eq!(with(None, Some(ec)).ok(), Some(Algorithm::ES256));
    }
}
