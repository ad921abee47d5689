//! All integration tests, one module per behaviour over `support`.

mod badinput;
mod capture;
mod connection;
mod hostile;
mod house;
mod killed;
mod page;
mod rooms;
mod senders;
mod support;
mod turn;
