//! Asks name servers.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use ring::rand::{SecureRandom, SystemRandom};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::{Instant, timeout_at};

use super::Failure;
use super::config::Config;
use super::message::{Answer, Kind, answer, question};

/// A packet that got lost is sent again after this long, then twice as long: a step's whole budget is half a second.
const FIRST_WAIT: Duration = Duration::from_millis(200);
/// Servers that refuse or fail are asked again after this.
const BETWEEN_ROUNDS: Duration = Duration::from_millis(20);
/// An answer that was cut is fetched over TCP within this.
const TCP_ROOM: Duration = Duration::from_millis(200);
/// Larger answers come over TCP (we do not offer EDNS).
const LONGEST_PACKET: usize = 4_096;

/// The addresses of a full name, IPv4 first: what both families have is tried in order.
pub async fn addresses(name: &str, config: &Config) -> Result<Vec<IpAddr>, Failure> {
    let mut wait = FIRST_WAIT.min(config.timeout);
    let end = Instant::now() + config.timeout * u32::try_from(config.attempts).unwrap_or(1);
    let mut useless = 0;
    loop {
        let mut silent = false;
        for server in &config.servers {
            let until = (Instant::now() + wait).min(end);
            match timeout_at(until + TCP_ROOM, ask(*server, name, until)).await {
                Ok(Ok(Some(found))) if found.is_empty() => return Err(Failure::NotFound),
                Ok(Ok(Some(found))) => return Ok(found),
                Ok(Ok(None)) => return Err(Failure::NotAName),
                // No answer, or none of use: the next server.
                Ok(Err(error)) if error.kind() != io::ErrorKind::TimedOut => {}
                Ok(Err(_)) | Err(_) => silent = true,
            }
        }
        useless += usize::from(!silent);
        if useless >= config.attempts {
            return Err(Failure::ServersFailed);
        }
        wait = (wait * 2).min(config.timeout);
        if Instant::now() + Duration::from_millis(1) >= end {
            return Err(Failure::NoAnswer);
        }
        tokio::time::sleep(BETWEEN_ROUNDS).await;
    }
}

/// Both questions to one server; `None` for what is no name. Some servers never answer one of them: what there is at `until` counts.
async fn ask(server: SocketAddr, name: &str, until: Instant) -> io::Result<Option<Vec<IpAddr>>> {
    let mut ids = [0; 4];
    SystemRandom::new().fill(&mut ids).map_err(|_| io::Error::other("no randomness"))?;
    let asked = [(Kind::A, u16::from_be_bytes([ids[0], ids[1]])), (Kind::Aaaa, u16::from_be_bytes([ids[2], ids[3]]))];
    let any = if server.is_ipv4() { IpAddr::from(Ipv4Addr::UNSPECIFIED) } else { IpAddr::from(Ipv6Addr::UNSPECIFIED) };
    let socket = UdpSocket::bind((any, 0)).await?;
    socket.connect(server).await?;
    for (kind, id) in asked {
        let Some(message) = question(id, name, kind) else { return Ok(None) };
        socket.send(&message).await?;
    }
    let mut answers = [None, None];
    let mut packet = vec![0; LONGEST_PACKET];
    while answers.iter().any(Option::is_none) {
        let length = match timeout_at(until, socket.recv(&mut packet)).await {
            Ok(received) => received?,
            Err(_)
                if answers
                    .iter()
                    .any(|answer| matches!(answer, Some(Answer::Addresses(found)) if !found.is_empty())) =>
            {
                break;
            }
            Err(_) => return Err(io::ErrorKind::TimedOut.into()),
        };
        let bytes = packet.get(..length).unwrap_or_default();
        for ((kind, id), place) in asked.iter().zip(&mut answers) {
            *place = place.take().or_else(|| answer(bytes, *id, name, *kind));
        }
    }
    let mut found = Vec::new();
    let mut failed = 0;
    for ((kind, id), place) in asked.into_iter().zip(answers) {
        let settled = if place == Some(Answer::Cut) { over_tcp(server, name, kind, id).await? } else { place };
        match settled {
            Some(Answer::Addresses(addresses)) => found.extend(addresses),
            Some(Answer::NoSuchName) => {}
            _ => failed += 1,
        }
    }
    if found.is_empty() && failed > 0 {
        return Err(io::Error::other("the server failed"));
    }
    Ok(Some(found))
}

/// The same question over TCP (RFC 1035, section 4.2.2).
async fn over_tcp(server: SocketAddr, name: &str, kind: Kind, id: u16) -> io::Result<Option<Answer>> {
    let Some(message) = question(id, name, kind) else { return Ok(None) };
    let length = u16::try_from(message.len()).unwrap_or_default();
    let mut stream = TcpStream::connect(server).await?;
    stream.write_all(&[&length.to_be_bytes()[..], &message].concat()).await?;
    let length = stream.read_u16().await?;
    let mut bytes = vec![0; usize::from(length)];
    stream.read_exact(&mut bytes).await?;
    Ok(answer(&bytes, id, name, kind))
}
