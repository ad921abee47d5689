//! What the service keeps and its rules: recordings, their states and events, requests, schedules, bots. Pure: no database, no network, told the time.

mod auto_stop;
mod bot;
mod bot_request;
mod check;
mod event;
mod film_job;
mod id;
mod invalid_field;
mod recording;
mod request;
mod schedule;
mod state;
mod storage;
mod webhook;

pub use bot::{Bot, BotState};
pub use bot_request::{BotKind, BotRequest, FilterChoice, ParamValue, SendTo};
pub use check::{Check, CheckRequest, CheckState};
pub use event::{Event, EventDraft, EventType};
pub use film_job::{FilmJob, FilmState};
pub use id::Id;
pub use invalid_field::InvalidField;
pub use recording::{Media, MediaKind, Outcome, Recording, Wanted};
pub use request::{FilmCodec, FilmRequest, Outputs, RecordingRequest, labels_fit};
pub use schedule::{LastRun, Schedule, ScheduleRequest};
pub use state::{State, SubCode};
pub use storage::{Storage, StorageState, StoreName};
pub use webhook::{Delivery, DeliveryState, Secrets, Webhook};
