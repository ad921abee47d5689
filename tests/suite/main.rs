//! All integration tests, one module per behaviour over `support`.

mod badinput;
mod capture;
mod chat;
mod connection;
mod echo;
mod feed;
mod film;
mod hostile;
mod house;
mod killed;
mod meeting;
mod page;
mod recorded;
mod rooms;
mod senders;
mod support;
mod talk;
mod turn;
