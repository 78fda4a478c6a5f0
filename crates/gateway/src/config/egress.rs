//! Which inner addresses may be dialled: those that this configuration names.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use super::problems::{Place, Report};
use super::reader::Section;
use super::url::{BaseUrl, Host, UrlError, parse_host, split_port, unmapped};

/// The allow-list for addresses that are not public. It comes from the
/// configuration read at start and nothing else; a request adds nothing.
#[derive(Clone, Debug, Default)]
pub struct Egress {
    /// Hosts of `api_base`: private addresses are allowed for these.
    bases: BTreeSet<(Host, u16)>,
    /// Hosts of `sealgate.egress.allow`, any address; no port means every port.
    hosts: BTreeSet<(Host, Option<u16>)>,
    /// Networks of `sealgate.egress.allow`.
    nets: Vec<IpNet>,
}

/// Why an entry of the allow-list is of no use.
#[derive(Debug, thiserror::Error)]
enum Unusable {
    #[error(transparent)]
    Host(#[from] UrlError),
    #[error("an address where clouds hand out credentials is never called")]
    Metadata,
}

/// What an address is to the rest of the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressClass {
    /// Reachable from everywhere; always allowed.
    Public,
    /// Loopback, private and shared networks; allowed for configured hosts.
    Private,
    /// Link-local, unspecified, multicast, documentation, reserved and tunnelled
    /// addresses; only when `sealgate.egress.allow` names it.
    Special,
    /// Where clouds hand out credentials; never, whatever names it.
    Metadata,
}

impl Egress {
    /// Whether a connection to this address may be made for this host.
    ///
    /// `host` is the host of the address that the configuration names, `address`
    /// what it resolved to; both are checked at connect time.
    #[must_use]
    pub fn allows(&self, host: &Host, port: u16, address: IpAddr) -> bool {
        let address = unmapped(address);
        let class = classify(address);
        match class {
            AddressClass::Public => return true,
            AddressClass::Metadata => return false,
            AddressClass::Private | AddressClass::Special => {}
        }
        let host = match host {
            Host::Ip(written) => &Host::Ip(unmapped(*written)),
            name @ Host::Name(_) => name,
        };
        let named = self.nets.iter().any(|net| net.contains(&address))
            || [host, &Host::Ip(address)].into_iter().any(|host| {
                [None, Some(port)]
                    .into_iter()
                    .any(|port| self.hosts.contains(&(host.clone(), port)))
            });
        named || (class == AddressClass::Private && self.bases.contains(&(host.clone(), port)))
    }

    /// Allows loopback and nothing else inside.
    #[cfg(test)]
    pub(crate) fn loopback() -> Self {
        Self {
            nets: vec![IpNet::from(ipnet::Ipv4Net::new_assert(
                Ipv4Addr::new(127, 0, 0, 0),
                8,
            ))],
            ..Self::default()
        }
    }

    pub(crate) fn add_base(&mut self, base: &BaseUrl) {
        self.bases.insert((base.host.clone(), base.port));
    }

    /// The entries in words, for `config check`.
    pub(super) fn lines(&self) -> Vec<String> {
        let hosts = self.hosts.iter().map(|(host, port)| match port {
            Some(port) => format!("{host}:{port}"),
            None => host.to_string(),
        });
        hosts
            .chain(self.nets.iter().map(IpNet::to_string))
            .collect()
    }

    /// Reads `sealgate.egress`.
    pub(super) fn read(section: &Section<'_>, report: &mut Report) -> Self {
        let mut egress = Self::default();
        for (text, place) in section.texts("allow", report) {
            if let Err(error) = egress.add(text.trim()) {
                let path = section.path_of("allow");
                let message = format!("{error}: write a host, host:port, an address or a network");
                report.problem(&place, &path, message);
            }
        }
        egress
    }

    fn add(&mut self, text: &str) -> Result<(), Unusable> {
        if let Ok(net) = text.parse::<IpNet>() {
            self.nets.push(net);
            return Ok(());
        }
        if let Ok(address) = text.parse::<IpAddr>() {
            if classify(address) == AddressClass::Metadata {
                return Err(Unusable::Metadata);
            }
            self.hosts.insert((Host::Ip(unmapped(address)), None));
            return Ok(());
        }
        let (host, port) = split_port(text)?;
        let port = match port {
            None => None,
            Some(digits) => Some(digits.parse::<u16>().map_err(|_| UrlError::Port)?),
        };
        self.hosts.insert((parse_host(host)?, port));
        Ok(())
    }

    /// Refuses a base address that could never be dialled.
    pub(crate) fn check_base(
        &self,
        base: &BaseUrl,
        place: &Place,
        path: &str,
        report: &mut Report,
    ) {
        let Host::Ip(address) = base.host else {
            return;
        };
        match classify(address) {
            AddressClass::Metadata => {
                let message = "an address where clouds hand out credentials is never called";
                report.problem(place, path, message);
            }
            AddressClass::Special if !self.allows(&base.host, base.port, address) => {
                let message = "a link-local or reserved address; \
                               name it in sealgate.egress.allow if it is meant";
                report.problem(place, path, message);
            }
            AddressClass::Public | AddressClass::Private | AddressClass::Special => {}
        }
    }
}

/// Where clouds hand out credentials.
const METADATA: [IpAddr; 6] = [
    IpAddr::V4(Ipv4Addr::new(169, 254, 169, 254)),
    IpAddr::V4(Ipv4Addr::new(169, 254, 170, 2)),
    IpAddr::V4(Ipv4Addr::new(169, 254, 170, 23)),
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
];

/// The class of an address. An IPv4 address inside an IPv6 one is judged as
/// what it reaches.
#[must_use]
pub fn classify(address: IpAddr) -> AddressClass {
    let address = unmapped(address);
    if METADATA.contains(&address) {
        return AddressClass::Metadata;
    }
    match address {
        IpAddr::V4(v4) => classify_v4(v4),
        IpAddr::V6(v6) => classify_v6(v6),
    }
}

fn classify_v4(v4: Ipv4Addr) -> AddressClass {
    let [a, b, c, _] = v4.octets();
    let special = a == 0
        || v4.is_link_local()
        || v4.is_broadcast()
        || v4.is_documentation()
        || a >= 224
        || (a == 192 && b == 0 && c == 0)
        || (a == 192 && b == 88 && c == 99)
        || (a == 198 && (b & 0xfe) == 18);
    let private = v4.is_private() || v4.is_loopback() || (a == 100 && (b & 0xc0) == 64);
    match (special, private) {
        (true, _) => AddressClass::Special,
        (_, true) => AddressClass::Private,
        _ => AddressClass::Public,
    }
}

fn classify_v6(v6: Ipv6Addr) -> AddressClass {
    let segments = v6.segments();
    let inside = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        classify(IpAddr::V4(Ipv4Addr::new(a, b, c, d)))
    };
    match segments {
        // NAT64: networks without IPv4 reach the IPv4 address behind it.
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => inside(high, low),
        _ if v6.is_loopback() => AddressClass::Private,
        [first, ..] if (first & 0xfe00) == 0xfc00 => AddressClass::Private,
        // Tunnels and documentation, inside the range that is given out.
        [0x2002 | 0x3fff, ..] | [0x2001, 0 | 0xdb8, ..] => AddressClass::Special,
        [first, ..] if (first & 0xe000) == 0x2000 => AddressClass::Public,
        _ => AddressClass::Special,
    }
}

#[cfg(test)]
#[path = "tests/egress.rs"]
mod tests;
