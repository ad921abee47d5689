//! WHIP (RFC 9725) and WHEP (draft-ietf-wish-whep): one offer and answer over HTTP. `fragment`, `link_header`, `description` and
//! `media_types` are for both ends; `endpoint`, `session` and `http` are the client's.

pub mod description;
pub(crate) mod endpoint;
pub mod fragment;
mod http;
pub mod link_header;
mod media_types;
pub(crate) mod session;

pub use media_types::{FRAGMENT, MAX_BODY_BYTES, SDP};
