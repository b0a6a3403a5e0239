//! Ports for servers that cannot choose one themselves, or whose port others must know before they begin.

use std::net::{Ipv4Addr, TcpListener};
use std::sync::atomic::{AtomicU16, Ordering};

/// Below what systems give to sockets that ask for no port of their own (from 32,768 on Linux, 49,152 elsewhere): between this
/// process's look and the server's, nothing takes one of these by chance, not even a client that tries whether the server is there.
const FIRST: u16 = 12_000;
const COUNT: u16 = 20_000;
/// How many were given; each only once.
static GIVEN: AtomicU16 = AtomicU16::new(0);

/// A port that nobody has.
///
/// # Panics
///
/// If there is none.
pub fn free_port() -> u16 {
    // Test programs that run at a time begin at different places.
    let start = std::process::id().wrapping_mul(977) % u32::from(COUNT);
    let start = u16::try_from(start).expect("less than the count");
    for _ in 0..COUNT {
        let turn = GIVEN.fetch_add(1, Ordering::Relaxed) % COUNT;
        let port = FIRST + (start + turn) % COUNT;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
    panic!("no port is free");
}
