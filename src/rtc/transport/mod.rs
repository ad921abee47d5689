//! Below the driver: sockets, when they are read, pacing, and bad networks for tests. It knows no library, and of RTP only
//! what is RTP: that goes to the lane of its connection.

pub(crate) mod addresses;
pub(crate) mod batch;
pub(crate) mod cadence;
pub(crate) mod impair;
pub(crate) mod outlet;
pub(crate) mod pacer;
pub(crate) mod poller;
pub(crate) mod port;
mod pump;
pub(crate) mod reader;
pub(crate) mod route;
pub(crate) mod socket;

pub use addresses::is_local_address;
pub use impair::{Impairment, ImpairmentPeriod};
pub use pump::PumpDriver;
pub use reader::receive_buffer;
pub use socket::Wake;
