//! Which inner addresses may be dialled: those that this configuration names.

use std::collections::BTreeSet;
use std::net::IpAddr;

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

/// What an address is to the rest of the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressClass {
    /// Reachable from everywhere; always allowed.
    Public,
    /// Loopback, private and shared networks; allowed for configured hosts.
    Private,
    /// Link-local (cloud metadata lives there), unspecified, multicast,
    /// documentation, reserved and translated addresses; only when
    /// `sealgate.egress.allow` names it.
    Special,
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
        if class == AddressClass::Public {
            return true;
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

    pub(super) fn add_base(&mut self, base: &BaseUrl) {
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
                let message = format!("{error}; write a host, host:port, an address or a network");
                report.problem(&place, &path, message);
            }
        }
        egress
    }

    fn add(&mut self, text: &str) -> Result<(), UrlError> {
        if let Ok(net) = text.parse::<IpNet>() {
            self.nets.push(net);
            return Ok(());
        }
        if let Ok(address) = text.parse::<IpAddr>() {
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
    pub(super) fn check_base(
        &self,
        base: &BaseUrl,
        place: &Place,
        path: &str,
        report: &mut Report,
    ) {
        let Host::Ip(address) = base.host else {
            return;
        };
        if classify(address) == AddressClass::Special
            && !self.allows(&base.host, base.port, address)
        {
            let message = "a link-local, metadata or reserved address; \
                           name it in sealgate.egress.allow if it is meant";
            report.problem(place, path, message);
        }
    }
}

/// The class of an address, after an IPv4 address inside an IPv6 one is taken out.
#[must_use]
pub fn classify(address: IpAddr) -> AddressClass {
    match unmapped(address) {
        IpAddr::V4(v4) => {
            let [a, b, c, _] = v4.octets();
            let special = v4.is_unspecified()
                || a == 0
                || v4.is_link_local()
                || v4.is_broadcast()
                || v4.is_documentation()
                || a >= 224
                || (a == 192 && b == 0 && c == 0)
                || (a == 192 && b == 88 && c == 99)
                || (a == 198 && (b & 0xfe) == 18)
                // Where clouds answer beside the link-local address.
                || v4.octets() == [100, 100, 100, 200]
                || v4.octets() == [168, 63, 129, 16];
            let private = v4.is_private() || v4.is_loopback() || (a == 100 && (b & 0xc0) == 64);
            match (special, private) {
                (true, _) => AddressClass::Special,
                (_, true) => AddressClass::Private,
                _ => AddressClass::Public,
            }
        }
        IpAddr::V6(v6) => {
            let [first, second, ..] = v6.segments();
            // The metadata address of one cloud lies inside the unique-local range.
            let metadata = v6.segments() == [0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254];
            if v6.is_loopback() || ((first & 0xfe00) == 0xfc00 && !metadata) {
                return AddressClass::Private;
            }
            // Only 2000::/3 is given out; inside it documentation, and forms
            // that carry an IPv4 address to an unknown translator.
            let given_out = (first & 0xe000) == 0x2000;
            let teredo_or_documentation = first == 0x2001 && (second == 0 || second == 0xdb8);
            if !given_out || first == 0x2002 || teredo_or_documentation {
                return AddressClass::Special;
            }
            AddressClass::Public
        }
    }
}

#[cfg(test)]
#[path = "tests/egress.rs"]
mod tests;
