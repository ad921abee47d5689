//! All integration tests, one module per behaviour over `support`.

mod badinput;
mod capture;
mod connection;
mod film;
mod film_command;
mod film_live;
mod film_looks;
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
