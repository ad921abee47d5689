//! Where packets go that are ready to be sent.

/// Takes sealed packets, each as one datagram.
pub(crate) trait Datagrams {
    /// A buffer that ends where the next datagram begins.
    fn begin(&mut self) -> &mut Vec<u8>;
    /// What was appended since is a datagram.
    fn end(&mut self);
    /// What was appended since is none.
    fn cancel(&mut self);
}
