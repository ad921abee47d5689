//! What the service keeps and its rules: recordings, their states and events, requests. Pure: no database, no network, told the time.

mod event;
mod film_job;
mod id;
mod recording;
mod request;
mod state;
mod storage;
mod webhook;

pub use event::{Event, EventDraft, EventType};
pub use film_job::{FilmJob, FilmState};
pub use id::Id;
pub use recording::{Media, MediaKind, Outcome, Recording, Wanted};
pub use request::{FilmCodec, FilmRequest, Outputs, RecordingRequest, labels_fit};
pub use state::{State, SubCode};
pub use storage::{Storage, StorageState, StoreName};
pub use webhook::{Delivery, DeliveryState, Secrets, Webhook};
