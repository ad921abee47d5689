//! The addresses of this machine: which ones a connection binds to, and whether an address is one of them.

use std::net::{IpAddr, SocketAddr};

/// Whether this is an address of this machine.
pub fn is_local_address(address: IpAddr) -> bool {
    let address = address.to_canonical();
    address.is_loopback() || local_addresses().iter().any(|own| own.ip() == address)
}

/// Addresses to gather host candidates on: every interface's, without link-local ones; loopback too (for peers on this
/// machine), but over IPv4 only.
pub(crate) fn local_addresses() -> Vec<SocketAddr> {
    let usable = |ip: &IpAddr| match ip {
        IpAddr::V4(ip) => !ip.is_link_local() && !ip.is_unspecified(),
        IpAddr::V6(ip) => !ip.is_loopback() && !ip.is_unspecified() && (ip.segments()[0] & 0xffc0) != 0xfe80,
    };
    let mut found: Vec<SocketAddr> = nix::ifaddrs::getifaddrs()
        .into_iter()
        .flatten()
        .filter_map(|interface| {
            let address = interface.address?;
            match (address.as_sockaddr_in(), address.as_sockaddr_in6()) {
                (Some(v4), _) => Some(IpAddr::V4(v4.ip())),
                (_, Some(v6)) => Some(IpAddr::V6(v6.ip())),
                _ => None,
            }
        })
        .filter(usable)
        .map(|ip| SocketAddr::new(ip, 0))
        .collect();
    found.sort();
    found.dedup();
    if found.is_empty() {
        found.push(SocketAddr::new(IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED), 0));
    }
    found
}
