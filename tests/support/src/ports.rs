//! Free ports for servers that must come back on the same port after a restart.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::net::{Ipv4Addr, TcpListener};

use anyhow::{Result, bail};

/// Below the range from which the kernel takes the ports of outgoing connections: nothing takes a port while its server is down.
const FIRST: u16 = 20_000;
const COUNT: u16 = 12_000;

/// Returns `N` different ports of 127.0.0.1 that nobody listens on.
///
/// Another process may take one before the server does; whoever starts servers tries again with new ports.
pub fn free<const N: usize>() -> Result<[u16; N]> {
    let mut held: Vec<(u16, TcpListener)> = Vec::with_capacity(N);
    for _ in 0..10_000 {
        if held.len() == N {
            break;
        }
        // RandomState is the standard library's only source of randomness.
        let random = RandomState::new().build_hasher().finish();
        let port = FIRST + u16::try_from(random % u64::from(COUNT))?;
        if let Ok(listener) = TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
            held.push((port, listener));
        }
    }
    let ports: Vec<u16> = held.iter().map(|(port, _)| *port).collect();
    match ports.try_into() {
        Ok(ports) => Ok(ports),
        Err(_) => bail!("no {N} free ports between {FIRST} and {}", FIRST + COUNT),
    }
}
