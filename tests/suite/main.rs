//! All integration tests, one module per behaviour over `support`.

mod badinput;
mod capture;
mod connection;
mod film;
mod hostile;
mod house;
mod judge;
mod killed;
mod meeting;
mod page;
mod recorded;
mod rooms;
mod scenarios;
mod senders;
mod support;
mod talk;
mod turn;
