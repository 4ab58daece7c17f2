//! `/etc/resolv.conf` (resolv.conf(5)).

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// Limits of resolv.conf(5): `MAXNS`, `RES_MAXNDOTS`, `RES_MAXRETRANS`, `RES_MAXRETRY`; a bound of our own for the search list.
const MOST_SERVERS: usize = 3;
const MOST_DOTS: usize = 15;
const LONGEST_TIMEOUT: u64 = 30;
const MOST_ATTEMPTS: usize = 5;
const MOST_SEARCHED: usize = 32;

/// What the file says, with resolv.conf(5)'s defaults.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Name servers, in order.
    pub servers: Vec<SocketAddr>,
    /// Domains to search.
    pub search: Vec<String>,
    /// So many dots make a name to be tried as it is first.
    pub ndots: usize,
    /// For each question.
    pub timeout: Duration,
    /// How often servers that fail are asked; with `timeout`, how long silent ones are.
    pub attempts: usize,
}

impl Config {
    /// Reads the file; lines that are not understood are ignored, as every resolver does.
    pub fn parse(text: &str) -> Self {
        let mut config =
            Self { servers: Vec::new(), search: Vec::new(), ndots: 1, timeout: Duration::from_secs(5), attempts: 2 };
        for line in text.lines().filter(|line| !line.starts_with(['#', ';'])) {
            let mut words = line.split_ascii_whitespace();
            match words.next() {
                Some("nameserver") => config.server(words.next().unwrap_or_default()),
                Some("search" | "domain") => {
                    config.search =
                        words.take(MOST_SEARCHED).map(|word| word.trim_end_matches('.').to_owned()).collect();
                }
                Some("options") => words.for_each(|word| config.option(word)),
                _ => {}
            }
        }
        if config.servers.is_empty() {
            config.servers.push(SocketAddr::from(([127, 0, 0, 1], 53)));
        }
        config
    }

    fn server(&mut self, word: &str) {
        // A zone (`fe80::1%eth0`) is not understood.
        if let (Ok(address), true) = (word.parse::<IpAddr>(), self.servers.len() < MOST_SERVERS) {
            self.servers.push(SocketAddr::new(address, 53));
        }
    }

    fn option(&mut self, word: &str) {
        let Some((name, value)) = word.split_once(':') else { return };
        let Ok(value) = value.parse::<usize>() else { return };
        match name {
            "ndots" => self.ndots = value.min(MOST_DOTS),
            "timeout" => self.timeout = Duration::from_secs((value as u64).clamp(1, LONGEST_TIMEOUT)),
            "attempts" => self.attempts = value.clamp(1, MOST_ATTEMPTS),
            _ => {}
        }
    }

    /// The full names to ask for, in order.
    pub fn candidates(&self, host: &str) -> Vec<String> {
        if let Some(absolute) = host.strip_suffix('.') {
            return vec![absolute.to_owned()];
        }
        let searched = self.search.iter().filter(|domain| !domain.is_empty()).map(|domain| format!("{host}.{domain}"));
        let as_is = std::iter::once(host.to_owned());
        if host.matches('.').count() >= self.ndots {
            as_is.chain(searched).collect()
        } else {
            searched.chain(as_is).collect()
        }
    }
}
