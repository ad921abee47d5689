//! All integration tests, one module per behaviour over `support`.

mod capture;
mod connection;
mod film;
mod page;
mod rooms;
mod support;
