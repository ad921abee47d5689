//! All integration tests, one module per behaviour over `support`.

mod badinput;
mod capture;
mod chat;
mod connection;
mod echo;
mod feed;
mod files;
mod film;
mod film_command;
mod film_live;
mod film_looks;
mod hostile;
mod hostile_files;
mod house;
mod judge;
mod killed;
mod live;
mod meeting;
mod page;
mod recorded;
mod rooms;
mod scenarios;
mod senders;
mod support;
mod talk;
mod turn;
