//! Ports for programs that have to be told one.

use std::{
    net::{Ipv4Addr, TcpListener},
    process,
    sync::atomic::{AtomicU32, Ordering},
};

use anyhow::{Context, Result};

/// Below those that the system gives to whoever asks for any (`ip_local_port_range`), so that no connection and no other listener
/// takes one before the program does; above those that programs of a cluster have by default.
const FIRST: u16 = 12_000;
const COUNT: u16 = 16_000;

/// A port of loopback that is free, and that nobody else here is given.
pub fn free() -> Result<u16> {
    static ASKED: AtomicU32 = AtomicU32::new(0);
    let is_free = |port: &u16| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok();
    let next = |_| {
        // Runs beside this one begin elsewhere.
        let number = process::id().wrapping_mul(97).wrapping_add(ASKED.fetch_add(1, Ordering::Relaxed));
        u16::try_from(number % u32::from(COUNT)).map_or(FIRST, |offset| FIRST + offset)
    };
    (0..COUNT).map(next).find(is_free).context("no port is free")
}
