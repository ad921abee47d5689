//! All integration tests, one module per behaviour over `support`.

mod connection;
mod page;
mod rooms;
mod support;
