//! A connection to the Collector: name, TCP, TLS, HTTP.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::Verdict;
use super::client::Client;
use super::target::Target;
use super::tls;
use crate::dns;

/// One address of several is given up on after this; the last has all the time there is.
const ONE_ADDRESS: Duration = Duration::from_millis(150);

/// Connects.
///
/// # Errors
/// What could not be reached and why, in a few words; what is wrong here already is refused, and not tried again.
pub async fn connect(target: &Target) -> Result<Client, Verdict> {
    let later = |why| Verdict::Later(why, None);
    let tls = if target.tls { Some(tls(target).map_err(Verdict::Refused)?) } else { None };
    let stream = tcp(target).await.map_err(later)?;
    let Some((connector, name)) = tls else { return Client::over(stream, target.protocol).await.map_err(later) };
    let stream = connector.connect(name, stream).await;
    let stream = stream.map_err(|error| later(format!("{}: TLS: {}", target.authority(), plain(&error))))?;
    Client::over(stream, target.protocol).await.map_err(later)
}

fn tls(target: &Target) -> Result<(TlsConnector, ServerName<'static>), String> {
    let name = ServerName::try_from(target.host.clone()).map_err(|_| format!("{}: no name for TLS", target.host))?;
    Ok((TlsConnector::from(tls::config(target)?), name))
}

/// The TCP connection alone.
///
/// # Errors
/// What could not be reached and why.
pub async fn tcp(target: &Target) -> Result<TcpStream, String> {
    let addresses = dns::resolve(&target.host).await.map_err(|failure| {
        let why = match failure {
            dns::Failure::NotFound => "no such host",
            dns::Failure::NoAnswer => "no name server answered",
            dns::Failure::ServersFailed => "the name servers failed",
            dns::Failure::NotAName => "not a host's name",
        };
        format!("{}: {why}", target.host)
    })?;
    let mut why = String::new();
    for (at, address) in addresses.iter().enumerate() {
        let attempt = TcpStream::connect(SocketAddr::new(*address, target.port));
        let connected = if at + 1 == addresses.len() {
            attempt.await
        } else {
            timeout(ONE_ADDRESS, attempt).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
        };
        match connected {
            Ok(stream) => {
                let _ = stream.set_nodelay(true);
                return Ok(stream);
            }
            Err(error) => why = format!("{}: {}", target.authority(), plain(&error)),
        }
    }
    Err(why)
}

/// An error without the system's number.
fn plain(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "connection refused".to_owned(),
        io::ErrorKind::TimedOut => "timed out".to_owned(),
        io::ErrorKind::ConnectionReset | io::ErrorKind::UnexpectedEof => "connection lost".to_owned(),
        _ => error.to_string(),
    }
}
