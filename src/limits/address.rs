//! Where a call comes from, and how many connections each address has. What a header says of that is believed only
//! of proxies that were named. No I/O.

use std::net::IpAddr;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use ipnet::{IpNet, Ipv6Net};

use crate::telemetry;

/// When it may be worth a try for an address that has too many connections.
const FEWER: Duration = Duration::from_secs(5);
/// Bits of an IPv6 address that tell customers of a network apart; the rest is theirs to choose.
const IPV6_PREFIX: u8 = 64;

/// The other end of a connection, as the accept loop saw it.
#[derive(Debug, Clone, Copy)]
pub struct Peer {
    /// Its address.
    pub address: IpAddr,
    /// Set if it has more connections than an address may have: its requests are refused for so long.
    pub refused: Option<Duration>,
}

/// Whoever made a call, behind whatever proxies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Client {
    /// Their address: the last one that no trusted proxy has.
    pub address: IpAddr,
    /// Whether they came by TLS, as far as a trusted proxy says.
    pub by_tls: bool,
}

/// Proxies whose word about who calls is taken.
#[derive(Debug, Clone, Default)]
pub struct TrustedProxies(Vec<IpNet>);

impl TrustedProxies {
    /// These networks.
    pub fn new(networks: Vec<IpNet>) -> Self {
        Self(networks)
    }

    /// Whether an address is one of theirs.
    pub fn contain(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }

    /// Who calls: each proxy adds the address it was called from to the end of `X-Forwarded-For`, so the list is read
    /// backwards for as long as trusted proxies wrote it. Of a peer that is none of them nothing is read.
    pub fn client<'a>(
        &self,
        peer: IpAddr,
        forwarded_for: impl DoubleEndedIterator<Item = &'a str>,
        forwarded_proto: Option<&str>,
    ) -> Client {
        let mut address = peer.to_canonical();
        if !self.contain(address) {
            return Client { address, by_tls: false };
        }
        let by_tls = forwarded_proto
            .and_then(|list| list.rsplit(',').next())
            .is_some_and(|proto| proto.trim().eq_ignore_ascii_case("https"));
        for hop in forwarded_for.rev().flat_map(|list| list.rsplit(',')) {
            // What is no address was not written by a proxy that knows whom it talks to.
            let Some(before) = hop_address(hop.trim()) else { break };
            address = before;
            if !self.contain(address) {
                break;
            }
        }
        Client { address, by_tls }
    }
}

/// An address as proxies write it: alone, with a port, in brackets.
fn hop_address(text: &str) -> Option<IpAddr> {
    let alone = IpAddr::from_str(text).ok();
    let with_port = || std::net::SocketAddr::from_str(text).ok().map(|address| address.ip());
    let in_brackets = || IpAddr::from_str(text.strip_prefix('[')?.strip_suffix(']')?).ok();
    alone.or_else(with_port).or_else(in_brackets).map(|address| address.to_canonical())
}

/// How many connections each address has, and the most it may have.
#[derive(Debug, Clone)]
pub struct Connections(Arc<Counts>);

#[derive(Debug)]
struct Counts {
    most: usize,
    by_address: DashMap<IpAddr, usize>,
}

/// A connection's place among those of its address, until it is dropped.
#[derive(Debug)]
pub struct Place(Option<(Arc<Counts>, IpAddr)>);

impl Connections {
    /// At most so many of each address; 0 is no limit.
    pub fn new(most: usize) -> Self {
        Self(Arc::new(Counts { most, by_address: DashMap::new() }))
    }

    /// A place for one more connection of this address, or when to ask for one again.
    pub fn take(&self, address: IpAddr) -> Result<Place, Duration> {
        if self.0.most == 0 {
            return Ok(Place(None));
        }
        let network = network_of(address);
        let mut count = self.0.by_address.entry(network).or_default();
        if *count >= self.0.most {
            telemetry::limit_hit("connections_per_address");
            return Err(FEWER);
        }
        *count += 1;
        Ok(Place(Some((self.0.clone(), network))))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let Some((counts, network)) = self.0.take() else { return };
        // The last one takes the entry along, so that the map holds only who is here.
        if let Entry::Occupied(mut count) = counts.by_address.entry(network) {
            if *count.get() <= 1 {
                count.remove();
            } else {
                *count.get_mut() -= 1;
            }
        }
    }
}

/// Whom an address is counted with.
fn network_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => Ipv6Net::new(v6, IPV6_PREFIX).map_or(IpAddr::V6(v6), |network| IpAddr::V6(network.network())),
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    fn client(peer: &str, forwarded_for: &[&str], proto: Option<&str>) -> (IpAddr, bool) {
        let networks = ["10.0.0.0/8", "fd00::/8", "127.0.0.1/32"];
        let proxies = TrustedProxies::new(networks.iter().map(|network| network.parse().expect("a network")).collect());
        let client = proxies.client(ip(peer), forwarded_for.iter().copied(), proto);
        (client.address, client.by_tls)
    }

    #[test]
    fn the_client_is_the_last_hop_that_no_trusted_proxy_has() {
        for (peer, forwarded_for, expected) in [
            ("10.0.0.1", &["203.0.113.7"][..], "203.0.113.7"),
            ("10.0.0.1", &["203.0.113.7, 10.0.0.2"], "203.0.113.7"),
            ("10.0.0.1", &["1.1.1.1, 203.0.113.7,10.0.0.2"], "203.0.113.7"),
            ("10.0.0.1", &["1.1.1.1", "203.0.113.7", "10.0.0.2"], "203.0.113.7"),
            ("10.0.0.1", &["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
            ("::ffff:10.0.0.1", &["203.0.113.7:4711"], "203.0.113.7"),
            ("fd00::1", &["[2001:db8::7]:4711"], "2001:db8::7"),
            ("fd00::1", &["[2001:db8::7]"], "2001:db8::7"),
            ("10.0.0.1", &["203.0.113.7, unknown"], "10.0.0.1"),
            ("10.0.0.1", &["203.0.113.7, <script>, 10.0.0.2"], "10.0.0.2"),
            ("10.0.0.1", &[""], "10.0.0.1"),
            ("10.0.0.1", &[], "10.0.0.1"),
        ] {
            assert_eq!(client(peer, forwarded_for, None).0, ip(expected), "{peer} {forwarded_for:?}");
        }
    }

    #[test]
    fn nothing_that_an_untrusted_peer_says_is_believed() {
        let said = client("203.0.113.9", &["10.0.0.1", "203.0.113.7"], Some("https"));
        assert_eq!(said, (ip("203.0.113.9"), false));
        assert_eq!(client("10.0.0.1", &["203.0.113.7"], Some("https")), (ip("203.0.113.7"), true));
        assert_eq!(client("10.0.0.1", &["203.0.113.7"], Some("https, http")), (ip("203.0.113.7"), false));
    }

    #[test]
    fn places_are_counted_by_address_and_given_back() {
        let connections = Connections::new(2);
        let first = connections.take(ip("203.0.113.7"));
        let second = connections.take(ip("::ffff:203.0.113.7"));
        assert!(first.is_ok() && second.is_ok() && connections.take(ip("203.0.113.7")).is_err());
        assert!(connections.take(ip("203.0.113.8")).is_ok());
        drop(first);
        assert!(connections.take(ip("203.0.113.7")).is_ok());
        let of_one_customer =
            ["2001:db8::1", "2001:db8::2", "2001:db8:0:0:7::1"].map(|text| connections.take(ip(text)));
        assert_eq!(of_one_customer.iter().flatten().count(), 2);
        assert!(connections.take(ip("2001:db8:0:1::1")).is_ok());
        drop((second, of_one_customer));
        assert!(connections.0.by_address.is_empty(), "who is gone leaves nothing behind");
    }

    #[test]
    fn without_a_limit_nothing_is_counted() {
        let connections = Connections::new(0);
        let places: Vec<_> = (0..10).map(|_| connections.take(ip("203.0.113.7"))).collect();
        assert!(places.iter().all(Result::is_ok) && connections.0.by_address.is_empty());
    }
}
