//! Which addresses webhooks may be sent to: public ones, unless the configuration allows others. Whoever may name a webhook's URL could
//! otherwise make the service send requests to what only it can reach.

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use url::{Host, Url};

/// Bytes of a URL.
const LONGEST_URL: usize = 4096;

/// The URL, if deliveries can be sent there as far as it shows.
///
/// # Errors
/// What is wrong with it.
pub fn check_url(url: &str, allow_private: bool) -> Result<Url, String> {
    if url.len() > LONGEST_URL {
        return Err(format!("is longer than {LONGEST_URL} bytes"));
    }
    let parsed = Url::parse(url).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
    let Some(parsed) = parsed else { return Err("must be an http or https URL".to_owned()) };
    let literal = match parsed.host() {
        None => return Err("must be an http or https URL".to_owned()),
        Some(Host::Domain(_)) => None,
        Some(Host::Ipv4(ip)) => Some(IpAddr::V4(ip)),
        Some(Host::Ipv6(ip)) => Some(IpAddr::V6(ip)),
    };
    match literal.filter(|ip| !allow_private && !is_public(*ip)) {
        Some(ip) => Err(private(&ip.to_string())),
        None => Ok(parsed),
    }
}

fn private(what: &str) -> String {
    format!("{what} is no public address; allow_private_webhooks = true in the service's configuration allows it")
}

/// Whether an address is reachable in the whole internet, by IANA's registries of special-purpose addresses. Addresses that stand for
/// an IPv4 address (mapped, NAT64) are judged by that one.
fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => is_public_v4(ip),
        IpAddr::V6(ip) => is_public_v6(ip),
    }
}

fn is_public_v4(ip: Ipv4Addr) -> bool {
    let [a, b, c, _] = ip.octets();
    let special = match (a, b, c) {
        (0 | 10 | 127, ..) => true,
        // Shared by carriers.
        (100, 64..=127, _) => true,
        (169, 254, _) => true,
        (172, 16..=31, _) => true,
        // Protocols, documentation, relays of 6to4.
        (192, 0, 0 | 2) | (192, 88, 99) | (192, 168, _) => true,
        // Benchmarks.
        (198, 18 | 19, _) => true,
        (198, 51, 100) | (203, 0, 113) => true,
        // Multicast, reserved, broadcast.
        (224.., ..) => true,
        _ => false,
    };
    // What Azure answers its machines with, although it looks public.
    !special && ip != Ipv4Addr::new(168, 63, 129, 16)
}

fn is_public_v6(ip: Ipv6Addr) -> bool {
    let [s0, s1, s2, s3, s4, s5, s6, s7] = ip.segments();
    let inner = || {
        let ([a, b], [c, d]) = (s6.to_be_bytes(), s7.to_be_bytes());
        Ipv4Addr::new(a, b, c, d)
    };
    match (s0, s1) {
        // IPv4-mapped.
        (0, 0) if [s2, s3, s4, s5] == [0, 0, 0, 0xffff] => is_public_v4(inner()),
        // NAT64 (RFC 6052). The prefix for local use (RFC 8215) is private.
        (0x64, 0xff9b) => [s2, s3, s4, s5] == [0; 4] && is_public_v4(inner()),
        // Protocols (Teredo among them), documentation, 6to4.
        (0x2001, 0..=0x1ff | 0xdb8) | (0x2002, _) | (0x3fff, 0..=0xfff) => false,
        // The only block of global unicast addresses.
        _ => s0 & 0xe000 == 0x2000,
    }
}

/// Looks names up and gives out public addresses only. The connection is made to what was checked here, so a name that changes its
/// address between a check and the connection gains nothing.
pub(super) struct PublicResolver {
    pub(super) allow_private: bool,
}

impl Resolve for PublicResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let allow_private = self.allow_private;
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            let allowed: Vec<_> =
                found.iter().copied().filter(|address| allow_private || is_public(address.ip())).collect();
            if let (true, Some(first)) = (allowed.is_empty(), found.first()) {
                return Err(private(&format!("{} ({})", name.as_str(), first.ip())).into());
            }
            let addresses: Addrs = Box::new(allowed.into_iter());
            Ok(addresses)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_public_addresses_are_public() {
        let public = [
            "1.1.1.1",
            "8.8.8.8",
            "100.63.255.255",
            "100.128.0.1",
            "172.15.0.1",
            "172.32.0.1",
            "192.0.1.1",
            "198.17.0.1",
            "198.20.0.1",
            "223.255.255.255",
            "2606:4700::1111",
            "2a00:1450::1",
            "2001:4860::8888",
            "::ffff:1.1.1.1",
            "64:ff9b::1.1.1.1",
        ];
        let private = [
            "0.0.0.0",
            "0.1.2.3",
            "10.1.2.3",
            "100.64.0.1",
            "100.127.255.255",
            "127.0.0.1",
            "127.255.0.1",
            "169.254.169.254",
            "168.63.129.16",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.192",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.1.1",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "239.255.255.255",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::127.0.0.1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "64:ff9b::10.0.0.1",
            "64:ff9b::a9fe:a9fe",
            "64:ff9b:1::1.1.1.1",
            "100::1",
            "2001::1",
            "2001:db8::1",
            "2002:7f00:1::1",
            "3fff::1",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "fec0::1",
            "ff02::1",
            "5f00::1",
        ];
        for (ips, expected) in [(&public[..], true), (&private[..], false)] {
            for ip in ips {
                assert_eq!(is_public(ip.parse().unwrap()), expected, "{ip}");
            }
        }
    }

    #[test]
    fn literal_addresses_are_refused_in_every_spelling() {
        for url in [
            "http://127.0.0.1/",
            "http://2130706433/",
            "http://0x7f.1/",
            "http://0177.0.0.1/",
            "http://127.1:80/x",
            "https://[::1]/",
            "https://[::ffff:7f00:1]/",
            "https://[64:ff9b::a00:1]/",
            "http://user@10.0.0.1/",
            "http://１２７.0.0.1/",
        ] {
            let refused = check_url(url, false).unwrap_err();
            assert!(refused.contains("allow_private_webhooks"), "{url}: {refused}");
            assert!(check_url(url, true).is_ok(), "{url}");
        }
        for url in ["ftp://example.org/", "example.org", "http://", "file:///etc/passwd", ""] {
            assert!(check_url(url, true).is_err(), "{url}");
        }
        assert!(check_url("https://example.org/hook?a=b", false).is_ok());
    }

    #[tokio::test]
    async fn names_of_private_addresses_are_not_given_out() {
        let resolve = async |allow_private| {
            let resolver = PublicResolver { allow_private };
            resolver.resolve("localhost".parse().unwrap()).await.map(Iterator::count).map_err(|e| e.to_string())
        };
        let refused = resolve(false).await.unwrap_err();
        assert!(refused.contains("localhost (") && refused.contains("allow_private_webhooks"), "{refused}");
        assert!(resolve(true).await.unwrap() > 0);
    }
}
