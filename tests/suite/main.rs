//! All integration tests, one module per behaviour over `support`.

mod connection;
mod support;
