//! How the parts of a step get out: each hands its span to the step's own shim, which has a connection, the policy's credentials and
//! the one budget. A part so waits for nobody, whatever the Collector does.
//!
//! One datagram is one `ExportTraceServiceRequest`. The socket has a random name in Linux' abstract namespace (unix(7)): it needs no
//! folder that can be written, and only processes of the pod's network can see it: with `hostNetwork`, the node's.

use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use crate::identity;
use crate::otlp::wire;

/// So much is kept until it is sent; it is sent long before, unless the Collector is away.
const LONGEST: usize = 256 * 1024;
/// Kernels take no longer datagram by default (`net.core.wmem_default`).
const LONGEST_PART: usize = 208 * 1024;

/// The receiving end, kept by the step's shim.
#[derive(Debug)]
pub struct Relay {
    socket: UnixDatagram,
    /// Its name, for `STEPSPAN_RELAY`.
    pub name: String,
}

impl Relay {
    /// Opens it; `None` where the system has no such sockets.
    pub fn open() -> Option<Self> {
        let name = identity::random(32);
        let socket = UnixDatagram::bind_addr(&address(&name).ok()?).ok()?;
        socket.set_nonblocking(true).ok()?;
        Some(Self { socket, name })
    }

    /// Begins to listen; needs a runtime with IO around it.
    ///
    /// # Errors
    /// The system's.
    pub fn listen(self) -> io::Result<Parts> {
        let socket = tokio::net::UnixDatagram::from_std(self.socket)?;
        Ok(Parts { socket, room: vec![0; LONGEST_PART], waiting: Vec::new(), lost: 0 })
    }
}

/// Hands a request to the step's shim.
///
/// # Errors
/// There is nobody, or no room within `patience`.
pub fn hand_over(name: &str, request: &[u8], patience: Duration) -> io::Result<()> {
    let socket = UnixDatagram::unbound()?;
    socket.set_write_timeout(Some(patience))?;
    socket.connect_addr(&address(name)?)?;
    socket.send(request).map(drop)
}

fn address(name: &str) -> io::Result<SocketAddr> {
    SocketAddr::from_abstract_name(format!("stepspan/{name}"))
}

/// The spans of parts that wait to be sent.
#[derive(Debug)]
pub struct Parts {
    socket: tokio::net::UnixDatagram,
    room: Vec<u8>,
    waiting: Vec<u8>,
    lost: usize,
}

impl Parts {
    /// Waits for the next one; nothing is lost where the caller stops waiting.
    pub async fn next(&mut self) {
        // An error of one datagram is no reason to stop.
        if let Ok(length) = self.socket.recv(&mut self.room).await {
            self.keep(length);
        }
    }

    /// All that wait, those that nobody has read yet too; and how many found no room.
    pub fn take(&mut self) -> (Vec<u8>, usize) {
        while let Ok(length) = self.socket.try_recv(&mut self.room) {
            self.keep(length);
        }
        (std::mem::take(&mut self.waiting), std::mem::take(&mut self.lost))
    }

    /// Whether there is anything to send.
    pub fn are_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    fn keep(&mut self, length: usize) {
        let part = self.room.get(..length).unwrap_or_default();
        // Requests laid end to end are one request (protobuf, "Last One Wins"): one that is none would spoil the others.
        if !wire::is_list_of_messages(part, 1) {
            return;
        }
        if self.waiting.len() + part.len() > LONGEST {
            self.lost += 1;
        } else {
            self.waiting.extend_from_slice(part);
        }
    }
}
