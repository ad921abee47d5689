//! All integration tests, one module per behaviour over `support`.

mod page;
mod rooms;
mod support;
