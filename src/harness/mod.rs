//! Scenario tests: a room server, participants with stamped media and a recorder in one process, over an impaired loopback network, followed
//! by a verdict on the recording. It uses no network but 127.0.0.1 and does not measure media itself (that is `verify`).
#![deny(missing_docs)]

mod browser_driver;
pub mod chromium;
mod client_driver;
pub mod devtools;
mod html;
mod junit;
mod markdown;
mod player;
mod plot;
mod run;
mod scenario;
mod schedule;
mod task;

pub use html::html;
pub use junit::junit;
pub use markdown::markdown;
pub use run::{ScenarioRun, run_scenario};
pub use scenario::{Network, Participant, Scenario, TimeRange};
