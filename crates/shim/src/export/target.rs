//! Where and how to export.

use std::time::Duration;

/// How OTLP is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Protocol {
    /// `grpc`.
    #[default]
    Grpc,
    /// `http/protobuf`.
    Http,
}

impl Protocol {
    /// Reads the word of `OTEL_EXPORTER_OTLP_PROTOCOL`; `http/json` is not spoken.
    pub fn parse(word: &str) -> Option<Self> {
        match word {
            "grpc" => Some(Self::Grpc),
            "http/protobuf" => Some(Self::Http),
            _ => None,
        }
    }
}

/// A Collector, and how it is spoken to. Header values are secrets: they are in no message.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Target {
    /// TLS or plain.
    pub tls: bool,
    /// A name or an address, without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
    /// The path of the URL, without a `/` at its end.
    pub path: String,
    /// The path is whole: no signal's own is added to it (the per-signal variables over HTTP).
    pub whole_path: bool,
    /// How OTLP is spoken.
    pub protocol: Protocol,
    /// Headers, by lower-case name.
    pub headers: Vec<(String, String)>,
    /// PEM file of the CA; else the system's.
    pub ca_file: Option<String>,
    /// PEM files of a client certificate and its key.
    pub identity: Option<(String, String)>,
    /// Compress requests with gzip.
    pub gzip: bool,
    /// For one request.
    pub timeout: Option<Duration>,
}

impl Target {
    /// Reads a URL of `http` or `https`; a port that is not there is the scheme's own, 80 or 443, as for the SDKs
    /// inside the step.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn of_url(url: &str, protocol: Protocol) -> Result<Self, String> {
        let wrong = |why: &str| format!("{why} in the Collector's address");
        let (scheme, rest) = url.split_once("://").ok_or_else(|| wrong("no http:// or https://"))?;
        let tls = match scheme.to_ascii_lowercase().as_str() {
            "http" => false,
            "https" => true,
            _ => return Err(wrong("neither http nor https")),
        };
        let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        if authority.contains('@') || path.contains(['?', '#']) || url.chars().any(|c| c.is_control() || c == ' ') {
            return Err(wrong("user, query, fragment or blank"));
        }
        let (host, port) = match authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((host, port)) => (host, port.strip_prefix(':').or(port.is_empty().then_some(""))),
            None => authority.split_once(':').map_or((authority, Some("")), |(host, port)| (host, Some(port))),
        };
        let port = match port.ok_or_else(|| wrong("no port"))? {
            "" if tls => 443,
            "" => 80,
            digits => digits.parse().ok().filter(|port| *port > 0).ok_or_else(|| wrong("no port"))?,
        };
        if host.is_empty() {
            return Err(wrong("no host"));
        }
        let (host, path) = (host.to_owned(), path.trim_end_matches('/').to_owned());
        Ok(Self { tls, host, port, path, protocol, ..Self::default() })
    }

    /// `host:port`, for messages and the `:authority` header.
    pub fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

impl std::fmt::Debug for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Target").field("authority", &self.authority()).field("tls", &self.tls).finish_non_exhaustive()
    }
}
