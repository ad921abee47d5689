//! All integration tests, one module per behaviour over `support`.

mod capture;
mod connection;
mod meeting;
mod page;
mod recorded;
mod rooms;
mod support;
