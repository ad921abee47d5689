//! What a connection sends, as arithmetic on packets: headers, sealing, what may be asked for again, transport-wide numbers, sender reports.
//! Pure: told the time; it names no socket.

pub(crate) mod datagrams;
pub(crate) mod format;
mod history;
mod numbers;
mod stream;
pub(crate) mod streams;
#[cfg(test)]
pub(crate) mod tests;
