//! Below the driver: sockets, when they are read, pacing, and bad networks for tests. It knows no library and no RTP.

pub(crate) mod addresses;
pub(crate) mod impair;
pub(crate) mod pacer;
pub(crate) mod poller;
pub(crate) mod socket;

pub use addresses::is_local_address;
pub use impair::{Impairment, ImpairmentPeriod};
pub use socket::{Wake, receive_buffer};
