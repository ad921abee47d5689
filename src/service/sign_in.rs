//! Addresses of the dashboard that sign a browser in once.

use super::api::SignInCodes;
use std::net::SocketAddr;
use std::time::Instant;

/// Signs the browser of whoever started the service in.
pub struct SignIn {
    pub(super) address: SocketAddr,
    /// The digest of an administrator's key.
    pub(super) of_key: String,
    pub(super) codes: SignInCodes,
}

impl SignIn {
    /// The address of a page of the dashboard that signs in whoever opens it first, within ten minutes. What signs in stands behind the `#`:
    /// a browser sends that to nobody.
    pub fn link(&self, page: &str) -> String {
        format!("http://{}/#{page}?code={}", self.address, self.codes.issue(&self.of_key, Instant::now()))
    }
}
