//! Secrets and signatures as Standard Webhooks has them.

use crate::service::model::Secrets;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use rand::Rng;
use standardwebhooks::{Webhook, WebhookError};

/// Random bytes of a secret.
const SECRET_BYTES: usize = 32;

/// A new secret: `whsec_` and 32 random bytes in base64.
pub fn new_secret() -> String {
    let mut bytes = [0; SECRET_BYTES];
    rand::rng().fill(&mut bytes);
    format!("whsec_{}", STANDARD.encode(bytes))
}

/// The `webhook-signature` of a body: one signature for each valid secret, separated by spaces.
pub(super) fn sign(secrets: &Secrets, id: &str, now: Timestamp, body: &str) -> Result<String, WebhookError> {
    let signatures: Result<Vec<_>, _> =
        secrets.valid(now).map(|secret| Webhook::new(secret)?.sign(id, now.as_second(), body.as_bytes())).collect();
    Ok(signatures?.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::SignedDuration;
    use reqwest::header::HeaderMap;

    #[test]
    fn each_valid_secret_verifies_and_no_other() {
        let now = Timestamp::now();
        let (first, second, other) = (new_secret(), new_secret(), new_secret());
        let mut secrets = Secrets::new(first.clone());
        secrets.rotate(second.clone(), now + SignedDuration::from_hours(1));
        let verifies = |secret: &str, signature: &str| {
            let mut headers = HeaderMap::new();
            headers.insert("webhook-id", "evt_1".parse().unwrap());
            headers.insert("webhook-timestamp", now.as_second().into());
            headers.insert("webhook-signature", signature.parse().unwrap());
            Webhook::new(secret).unwrap().verify(b"{}", &headers).is_ok()
        };
        let signature = sign(&secrets, "evt_1", now, "{}").unwrap();
        assert!(verifies(&first, &signature) && verifies(&second, &signature) && !verifies(&other, &signature));
        secrets.rotate(other.clone(), now);
        let signature = sign(&secrets, "evt_1", now, "{}").unwrap();
        assert!(verifies(&other, &signature) && !verifies(&first, &signature) && !verifies(&second, &signature));
    }
}
