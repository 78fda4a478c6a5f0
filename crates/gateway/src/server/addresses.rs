//! What one address may do before anybody knows who calls: connections at a time, requests a second, wrong keys a minute.
//!
//! An IPv6 address counts as its /64, which one customer usually has whole. The tables are bounded: beyond a number of
//! addresses, those that are forgotten first are the ones that have nothing against them.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ipnet::IpNet;

/// Most addresses in a table.
const MOST: usize = 65_536;

/// A rate with a burst: `burst` requests at once, then one every `interval` microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rate {
    pub(crate) interval: i64,
    pub(crate) burst: i64,
}

impl Rate {
    /// So many events in so many microseconds, after `burst` at once.
    pub(crate) fn new(events: u32, micros: i64, burst: u32) -> Self {
        Self {
            interval: micros
                .checked_div(i64::from(events))
                .unwrap_or(micros)
                .max(1),
            burst: i64::from(burst.max(1)),
        }
    }
}

/// Counts events by address.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    /// When all that an address has taken so far is paid for, microseconds.
    paid: Mutex<HashMap<IpAddr, i64>>,
}

impl Pace {
    /// Takes one event at `now` (microseconds), or says after how many microseconds there is one again.
    pub(crate) fn take(&self, address: IpAddr, rate: Rate, now: i64) -> Result<(), i64> {
        let mut paid = locked(&self.paid);
        if paid.len() >= MOST {
            paid.retain(|_, until| *until > now);
        }
        if paid.len() >= MOST {
            // Every remembered address is behind with its payment: a flood from everywhere. New ones are let in.
            paid.clear();
        }
        let slot = paid.entry(counted(address)).or_insert(now);
        let from = (*slot).max(now);
        // A clock that went back must not shut anybody out for long.
        let most = rate.burst.saturating_mul(rate.interval);
        let from = from.min(now.saturating_add(most));
        let wait = from
            .saturating_add(rate.interval)
            .saturating_sub(now.saturating_add(most));
        if wait > 0 {
            return Err(wait);
        }
        *slot = from.saturating_add(rate.interval);
        Ok(())
    }
}

/// Counts open connections by address.
#[derive(Debug, Default)]
pub(crate) struct Door {
    most: Option<u32>,
    exempt: Vec<IpNet>,
    open: Mutex<HashMap<IpAddr, u32>>,
}

/// One connection in the count.
#[derive(Debug)]
pub(crate) struct Entered {
    door: Arc<Door>,
    address: IpAddr,
}

impl Door {
    /// At most `most` connections of one address; those of `exempt` (proxies in front) are not counted.
    pub(crate) fn new(most: Option<u32>, exempt: Vec<IpNet>) -> Arc<Self> {
        Arc::new(Self {
            most,
            exempt,
            open: Mutex::default(),
        })
    }

    /// Lets a connection in: `Some(None)` when nobody counts it, `None` when its address has too many.
    pub(crate) fn enter(self: &Arc<Self>, address: IpAddr) -> Option<Option<Entered>> {
        let Some(most) = self.most else {
            return Some(None);
        };
        let address = address.to_canonical();
        if self.exempt.iter().any(|net| net.contains(&address)) {
            return Some(None);
        }
        let address = counted(address);
        let mut open = locked(&self.open);
        let count = open.entry(address).or_insert(0);
        if *count >= most {
            return None;
        }
        *count += 1;
        drop(open);
        Some(Some(Entered {
            door: Arc::clone(self),
            address,
        }))
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        let mut open = locked(&self.door.open);
        if let Some(count) = open.get_mut(&self.address) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                open.remove(&self.address);
            }
        }
    }
}

/// The address that is counted.
fn counted(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let network = address.to_bits() & !u128::from(u64::MAX);
            IpAddr::V6(Ipv6Addr::from_bits(network))
        }
        four => four,
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic elsewhere leaves counters that are at worst too high.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::{Door, Pace, Rate};

    fn ip(text: &str) -> std::net::IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_burst_and_then_the_rate() {
        let (pace, rate) = (Pace::default(), Rate::new(10, 1_000_000, 3));
        let one = ip("192.0.2.1");
        for _ in 0..3 {
            assert_eq!(pace.take(one, rate, 0), Ok(()));
        }
        assert_eq!(pace.take(one, rate, 0), Err(100_000));
        assert_eq!(pace.take(one, rate, 99_999), Err(1));
        assert_eq!(pace.take(one, rate, 100_000), Ok(()));
        assert_eq!(pace.take(one, rate, 100_000), Err(100_000));
        // Others are not touched, and after a pause the burst is there again.
        assert_eq!(pace.take(ip("192.0.2.2"), rate, 100_000), Ok(()));
        for _ in 0..3 {
            assert_eq!(pace.take(one, rate, 60_000_000), Ok(()));
        }
        // A clock that is set back an hour shuts nobody out for longer than a burst lasts.
        assert_eq!(pace.take(one, rate, -3_600_000_000), Err(100_000));
    }

    #[test]
    fn a_network_of_ipv6_is_one_address() {
        let (pace, rate) = (Pace::default(), Rate::new(1, 1_000_000, 1));
        assert_eq!(pace.take(ip("2001:db8:1:2::1"), rate, 0), Ok(()));
        assert!(pace.take(ip("2001:db8:1:2:ffff::9"), rate, 0).is_err());
        assert_eq!(pace.take(ip("2001:db8:1:3::1"), rate, 0), Ok(()));
        assert_eq!(pace.take(ip("192.0.2.1"), rate, 0), Ok(()));
        assert!(pace.take(ip("::ffff:192.0.2.1"), rate, 0).is_err());
    }

    #[test]
    fn connections_are_counted_until_they_end() {
        let door = Door::new(Some(2), vec!["10.0.0.0/8".parse().unwrap()]);
        let (first, second) = (door.enter(ip("192.0.2.1")), door.enter(ip("192.0.2.1")));
        assert!(first.is_some() && second.is_some());
        assert!(door.enter(ip("192.0.2.1")).is_none());
        assert!(door.enter(ip("192.0.2.9")).is_some());
        for _ in 0..5 {
            assert!(matches!(door.enter(ip("10.1.1.1")), Some(None)));
        }
        drop(first);
        assert!(door.enter(ip("192.0.2.1")).is_some());
        drop(second);
    }
}
