//! A connection to the Collector: name, TCP, TLS, HTTP.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::Verdict;
use super::client::{Client, plain};
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
    let stream = Listening(tcp(target).await.map_err(later)?);
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

/// A stream whose other side is gone is read to its end before it is given up: why it went (a TLS alert, an HTTP answer) was
/// sent before, and a failed write alone would hide it. After it, a read gives that or the end.
struct Listening(TcpStream);

impl AsyncRead for Listening {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Listening {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes).map(|written| match written {
            Err(error) if matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset) => {
                Ok(bytes.len())
            }
            other => other,
        })
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
