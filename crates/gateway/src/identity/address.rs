//! Where a caller comes from: the peer of the connection, or what a trusted proxy in front says.

use std::net::{IpAddr, SocketAddr};

use http::HeaderMap;
use http::request::Parts;
use ipnet::IpNet;

use crate::config::Budgets;

/// The other end of a connection, put into each request by the listener.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer(pub(crate) SocketAddr);

/// The caller's address. `X-Forwarded-For` counts only from a trusted proxy, and then its rightmost hop that is none.
pub(crate) fn of(head: &Parts, settings: &Budgets) -> Option<IpAddr> {
    let peer = head.extensions.get::<Peer>()?.0.ip().to_canonical();
    if !settings.use_forwarded || !trusted(&settings.proxies, peer) {
        return Some(peer);
    }
    Some(forwarded(&head.headers, &settings.proxies).unwrap_or(peer))
}

fn trusted(proxies: &[IpNet], address: IpAddr) -> bool {
    proxies.iter().any(|net| net.contains(&address))
}

/// The rightmost hop that is no trusted proxy. A hop that is no address ends the search: what stands left of it was written
/// by nobody who is trusted.
fn forwarded(headers: &HeaderMap, proxies: &[IpNet]) -> Option<IpAddr> {
    let values = headers.get_all("x-forwarded-for");
    let mut hops: Vec<&str> = Vec::new();
    for value in values {
        hops.extend(value.to_str().ok()?.split(','));
    }
    let mut last = None;
    for hop in hops.into_iter().rev() {
        let hop = hop.trim();
        let address = hop
            .parse::<IpAddr>()
            .or_else(|_| hop.parse::<SocketAddr>().map(|address| address.ip()))
            .ok()?
            .to_canonical();
        if !trusted(proxies, address) {
            return Some(address);
        }
        last = Some(address);
    }
    last
}

#[cfg(test)]
mod tests {
    use super::{Peer, of};
    use crate::config::Budgets;

    fn from(peer: &str, forwarded: &[&str], trust: bool) -> String {
        let mut request = http::Request::new(());
        request
            .extensions_mut()
            .insert(Peer(format!("{peer}:1").parse().unwrap()));
        for value in forwarded {
            request
                .headers_mut()
                .append("x-forwarded-for", value.parse().unwrap());
        }
        request
            .headers_mut()
            .insert("x-real-ip", "127.0.0.1".parse().unwrap());
        let settings = Budgets {
            use_forwarded: trust,
            proxies: vec!["10.0.0.0/8".parse().unwrap()],
            ..Budgets::default()
        };
        of(&request.into_parts().0, &settings).unwrap().to_string()
    }

    #[test]
    fn the_rightmost_hop_that_is_no_proxy_counts() {
        assert_eq!(from("10.0.0.1", &["1.2.3.4"], true), "1.2.3.4");
        assert_eq!(
            from("10.0.0.1", &["9.9.9.9, 1.2.3.4, 10.0.0.2"], true),
            "1.2.3.4"
        );
        assert_eq!(from("10.0.0.1", &["9.9.9.9", "1.2.3.4"], true), "1.2.3.4");
        assert_eq!(from("10.0.0.1", &["1.2.3.4:443"], true), "1.2.3.4");
        // Nobody said anything that can be trusted.
        assert_eq!(from("10.0.0.1", &[], true), "10.0.0.1");
        assert_eq!(
            from("10.0.0.1", &["9.9.9.9, nonsense, 10.0.0.2"], true),
            "10.0.0.1"
        );
        // Not from a proxy, or not asked to look.
        assert_eq!(from("8.8.8.8", &["127.0.0.1"], true), "8.8.8.8");
        assert_eq!(from("10.0.0.1", &["127.0.0.1"], false), "10.0.0.1");
    }
}
