//! Who may connect: `maxCnxns` for the server, `maxClientCnxns` for one address. Shared by all event loops; touched at
//! accept and close only.

use std::net::IpAddr;
use std::sync::Mutex;

use crate::base::{ConnectionId, HashKey, KeyedHasher, Map};

pub struct Admission {
    total_max: usize,
    per_address_max: Option<u32>,
    counts: Mutex<Counts>,
}

struct Counts {
    total: usize,
    /// Since the start.
    refused: u64,
    by_address: Map<IpAddr, u32>,
}

/// Which address a loop's connections came from.
#[derive(Default)]
pub struct Addresses(Vec<Option<IpAddr>>);

/// Why a connection is closed at accept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    Total(usize),
    PerAddress(u32),
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Refusal::Total(max) => write!(f, "the server has maxCnxns={max} connections"),
            Refusal::PerAddress(max) => write!(f, "the address has maxClientCnxns={max} connections"),
        }
    }
}

impl Admission {
    pub fn new(total_max: usize, per_address_max: Option<u32>, key: HashKey) -> Admission {
        let by_address = Map::with_hasher(KeyedHasher(key));
        Admission {
            total_max,
            per_address_max,
            counts: Mutex::new(Counts { total: 0, refused: 0, by_address }),
        }
    }

    pub fn enter(&self, address: IpAddr) -> Result<(), Refusal> {
        let mut counts = self.counts.lock().expect("nobody panics while holding this lock");
        let counts = &mut *counts;
        if counts.total >= self.total_max {
            counts.refused += 1;
            return Err(Refusal::Total(self.total_max));
        }
        let count = counts.by_address.entry(address).or_insert(0);
        if let Some(max) = self.per_address_max
            && *count >= max
        {
            counts.refused += 1;
            return Err(Refusal::PerAddress(max));
        }
        *count += 1;
        counts.total += 1;
        Ok(())
    }

    /// Connections that were closed at accept.
    pub fn refused(&self) -> u64 {
        self.counts.lock().expect("nobody panics while holding this lock").refused
    }

    pub fn forget(&self, address: IpAddr) {
        let mut counts = self.counts.lock().expect("nobody panics while holding this lock");
        counts.total -= 1;
        if let Some(count) = counts.by_address.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                counts.by_address.remove(&address);
            }
        }
    }

    pub fn remember(&self, addresses: &mut Addresses, connection: ConnectionId, address: IpAddr) {
        let slot = connection.slot as usize;
        if addresses.0.len() <= slot {
            addresses.0.resize(slot + 1, None);
        }
        addresses.0[slot] = Some(address);
    }

    pub fn leave(&self, addresses: &mut Addresses, connection: ConnectionId) {
        if let Some(address) = addresses.0.get_mut(connection.slot as usize).and_then(Option::take) {
            self.forget(address);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_hold_and_places_come_back() {
        let admission = Admission::new(3, Some(2), HashKey(1, 2));
        let (a, b): (IpAddr, IpAddr) = ([127, 0, 0, 1].into(), [127, 0, 0, 2].into());
        assert_eq!((admission.enter(a), admission.enter(a)), (Ok(()), Ok(())));
        assert_eq!(admission.enter(a), Err(Refusal::PerAddress(2)));
        assert_eq!(admission.enter(b), Ok(()));
        assert_eq!(admission.enter(b), Err(Refusal::Total(3)));
        let mut addresses = Addresses::default();
        let connection = ConnectionId { slot: 5, generation: 1 };
        admission.remember(&mut addresses, connection, a);
        admission.leave(&mut addresses, connection);
        admission.leave(&mut addresses, connection);
        assert_eq!(admission.enter(a), Ok(()));
    }
}
