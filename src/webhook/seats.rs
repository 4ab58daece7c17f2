//! How many connections a port serves at once, in all and from one address.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::config::Limits;

/// All connections of a port.
#[derive(Debug)]
pub(super) struct Seats {
    all: usize,
    each: usize,
    taken: Mutex<HashMap<IpAddr, usize>>,
}

/// One connection; free again when it is dropped.
#[derive(Debug)]
pub(super) struct Seat {
    seats: Arc<Seats>,
    address: IpAddr,
}

impl Seats {
    pub(super) fn new(limits: &Limits) -> Arc<Self> {
        let Limits { connections: all, connections_per_address: each, .. } = *limits;
        Arc::new(Self { all, each, taken: Mutex::default() })
    }

    /// A seat, unless all are taken, or all that one address may have.
    pub(super) fn take(self: &Arc<Self>, address: IpAddr) -> Option<Seat> {
        // On a port for both, a client of IPv4 has an address of IPv6.
        let address = address.to_canonical();
        let mut taken = self.taken();
        let own = taken.get(&address).copied().unwrap_or_default();
        if taken.values().sum::<usize>() >= self.all || own >= self.each {
            return None;
        }
        taken.insert(address, own + 1);
        drop(taken);
        Some(Seat { seats: Arc::clone(self), address })
    }

    fn taken(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        // Nothing is done under it that could leave it half done.
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = self.seats.taken();
        if let Some(own) = taken.get_mut(&self.address) {
            *own = own.saturating_sub(1);
            if *own == 0 {
                taken.remove(&self.address);
            }
        }
    }
}
