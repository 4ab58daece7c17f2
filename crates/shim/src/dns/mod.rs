//! Names to addresses, without the C library: its resolver loads modules at run time, which a static binary must not do.
//!
//! As `resolv.conf(5)` and `hosts(5)` say, for what a pod needs: `/etc/hosts`, then name servers over UDP, and over TCP where an answer
//! was cut; search list and `ndots`; both families.

mod config;
pub mod hosts;
pub mod message;
mod query;

use std::fs::File;
use std::io::Read;
use std::net::IpAddr;
use std::path::Path;

pub use config::Config;

/// As much of a file as is read: a cluster's files are far smaller.
const LONGEST_FILE: u64 = 256 * 1024;

/// Why a name has no address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// There is no such name, or none that has an address.
    NotFound,
    /// No name server answered.
    NoAnswer,
    /// All name servers answered that they cannot.
    ServersFailed,
    /// What stands there cannot be a name.
    NotAName,
}

/// The addresses of a host: itself where it is one, else by name.
///
/// # Errors
/// Why there is none.
pub async fn resolve(host: &str) -> Result<Vec<IpAddr>, Failure> {
    resolve_with(host, Path::new("/etc/hosts"), &Config::parse(&read(Path::new("/etc/resolv.conf")))).await
}

async fn resolve_with(host: &str, hosts: &Path, config: &Config) -> Result<Vec<IpAddr>, Failure> {
    if let Ok(address) = host.parse() {
        return Ok(vec![address]);
    }
    let known = hosts::addresses(&read(hosts), host);
    if !known.is_empty() {
        return Ok(known);
    }
    // RFC 6761, section 6.3: never asked of a server.
    if host.trim_end_matches('.').eq_ignore_ascii_case("localhost") {
        return Ok(vec![IpAddr::from([127, 0, 0, 1])]);
    }
    let mut worst = Failure::NotFound;
    for name in config.candidates(host) {
        match query::addresses(&name, config).await {
            Ok(found) => return Ok(found),
            Err(Failure::NotFound) => {}
            Err(other) => worst = other,
        }
    }
    Err(worst)
}

fn read(path: &Path) -> String {
    let mut bytes = Vec::new();
    // A file that is not there says nothing.
    if let Ok(file) = File::open(path) {
        let _ = file.take(LONGEST_FILE).read_to_end(&mut bytes);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests;
