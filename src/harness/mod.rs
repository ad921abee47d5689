//! Scenarios: a room server, stamped participants and a recorder in one process, the network as bad as asked for, and a verdict over what
//! was recorded. It never leaves this machine, and judges nothing by itself.

mod attend;
mod browser;
mod devtools;
mod html;
mod junit;
mod markdown;
mod player;
mod plot;
mod run;
mod scenario;

pub use html::html;
pub use junit::junit;
pub use markdown::markdown;
pub use run::{Run, run};
pub use scenario::{Network, Person, Scenario, Span};
