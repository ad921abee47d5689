//! All integration tests, one module per behaviour over `support`.
