//! Webhooks: endpoints that are told of events, their secrets, and deliveries.

use super::event::EventType;
use super::id::Id;
use crate::recording::utc_ms;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// An endpoint that gets the events of its project.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Webhook {
    pub id: Id,
    pub project: String,
    /// Where events are sent to, with POST.
    #[schema(example = "https://example.org/hooks/roombot")]
    pub url: String,
    /// The types of events that are sent; none means all.
    pub events: Vec<EventType>,
    pub description: String,
    /// Nothing is sent to it.
    pub disabled: bool,
    /// Why the service disabled it by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disabled_reason: Option<String>,
    #[schema(value_type = String, format = DateTime)]
    #[serde(with = "utc_ms")]
    pub created_at: Timestamp,
    /// Until when deliveries are signed with the secret before as well.
    #[schema(value_type = Option<String>, format = DateTime)]
    #[serde(with = "utc_ms::option")]
    pub rotating_until: Option<Timestamp>,
}

/// The secrets of an endpoint: the present one, and the one before it while receivers change over.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Secrets {
    /// `whsec_…`
    current: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    previous: Option<Previous>,
}

#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Previous {
    secret: String,
    #[serde(with = "utc_ms")]
    until: Timestamp,
}

impl Secrets {
    /// With this secret alone.
    pub fn new(secret: String) -> Secrets {
        Secrets { current: secret, previous: None }
    }

    /// The one that receivers should use.
    pub fn current(&self) -> &str {
        &self.current
    }

    /// Replaces the present one, which stays valid until `until`. One that was replaced before is dropped.
    pub fn rotate(&mut self, secret: String, until: Timestamp) {
        let before = std::mem::replace(&mut self.current, secret);
        self.previous = Some(Previous { secret: before, until });
    }

    /// Those to sign with, the present one first.
    pub fn valid(&self, now: Timestamp) -> impl Iterator<Item = &str> {
        let previous = self.previous.iter().filter(move |previous| now < previous.until);
        std::iter::once(self.current.as_str()).chain(previous.map(|previous| previous.secret.as_str()))
    }

    /// Until when there are two.
    pub fn rotating_until(&self, now: Timestamp) -> Option<Timestamp> {
        self.previous.as_ref().map(|previous| previous.until).filter(|until| now < *until)
    }
}

/// Secrets are not logged.
impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secrets")
    }
}

/// How far a delivery came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum DeliveryState {
    /// It is sent next, or tried again.
    Pending,
    /// An earlier event of the same recording has to be delivered first.
    Waiting,
    /// The endpoint answered 2xx.
    Delivered,
    /// It is not tried any more.
    Dead,
}

impl DeliveryState {
    /// All.
    pub const ALL: [DeliveryState; 4] =
        [DeliveryState::Pending, DeliveryState::Waiting, DeliveryState::Delivered, DeliveryState::Dead];

    /// As in the API.
    pub fn word(self) -> &'static str {
        match self {
            DeliveryState::Pending => "pending",
            DeliveryState::Waiting => "waiting",
            DeliveryState::Delivered => "delivered",
            DeliveryState::Dead => "dead",
        }
    }
}

/// An event on its way to one endpoint.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Delivery {
    pub id: Id,
    /// The event: its `webhook-id`.
    pub event: Id,
    #[serde(rename = "type")]
    pub kind: EventType,
    /// The endpoint; absent: the recording's own `webhook_url`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub webhook: Option<Id>,
    /// The recording; absent for a ping.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recording: Option<Id>,
    pub project: String,
    pub url: String,
    pub state: DeliveryState,
    /// How often it was sent since it was made or redelivered.
    pub attempts: u32,
    /// The endpoint's last answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Why the last attempt failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    #[schema(value_type = String, format = DateTime)]
    #[serde(with = "utc_ms")]
    pub created_at: Timestamp,
    /// When a pending one is due.
    #[schema(value_type = Option<String>, format = DateTime)]
    #[serde(with = "utc_ms::option")]
    pub next_attempt_at: Option<Timestamp>,
    /// When it was delivered or given up.
    #[schema(value_type = Option<String>, format = DateTime)]
    #[serde(with = "utc_ms::option")]
    pub done_at: Option<Timestamp>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_secrets_are_valid_while_they_rotate() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let mut secrets = Secrets::new("a".into());
        secrets.rotate("b".into(), at(10));
        assert_eq!(secrets.valid(at(9)).collect::<Vec<_>>(), ["b", "a"]);
        assert_eq!(secrets.rotating_until(at(9)), Some(at(10)));
        assert_eq!(secrets.valid(at(10)).collect::<Vec<_>>(), ["b"]);
        assert_eq!(secrets.rotating_until(at(10)), None);
        secrets.rotate("c".into(), at(20));
        assert_eq!(secrets.valid(at(9)).collect::<Vec<_>>(), ["c", "b"]);
        let kept = serde_json::to_string(&secrets).unwrap();
        assert_eq!(serde_json::from_str::<Secrets>(&kept).unwrap(), secrets);
        assert_eq!(format!("{secrets:?}"), "Secrets");
    }

    #[test]
    fn words_are_those_of_the_api() {
        for state in DeliveryState::ALL {
            assert_eq!(serde_json::to_value(state).unwrap(), state.word());
        }
    }
}
