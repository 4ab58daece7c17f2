//! Ways to the API server: from replicas, which a trial can cut while the API server goes on calling them, and by a proxy.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use anyhow::Result;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, copy_bidirectional},
    net::{TcpListener, TcpStream},
    runtime::Handle,
    sync::watch,
    task::JoinHandle,
};

/// A relay of connections; open at first.
pub struct Way {
    pub port: u16,
    open: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Way {
    /// To a port of this host.
    pub fn to(target: u16, runtime: &Handle) -> Result<Self> {
        let listener = runtime.block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))?;
        let port = listener.local_addr()?.port();
        let (open, opened) = watch::channel(true);
        let task = runtime.spawn(relay(listener, (Ipv4Addr::LOCALHOST, target).into(), opened));
        Ok(Self { port, open, task })
    }

    /// Breaks off every connection, and lets none through until it is opened again.
    pub fn cut(&self) {
        self.open.send_replace(false);
    }

    pub fn open(&self) {
        self.open.send_replace(true);
    }
}

impl Drop for Way {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn relay(listener: TcpListener, target: SocketAddr, opened: watch::Receiver<bool>) {
    while let Ok((mut client, _)) = listener.accept().await {
        let mut opened = opened.clone();
        tokio::spawn(async move {
            if !*opened.borrow() {
                return;
            }
            let Ok(mut server) = TcpStream::connect(target).await else { return };
            tokio::select! {
                _ = copy_bidirectional(&mut client, &mut server) => {}
                _ = opened.wait_for(|open| !open) => {}
            }
        });
    }
}

/// A proxy that takes `CONNECT` (RFC 9110, section 9.3.6), and counts.
pub struct Proxy {
    pub port: u16,
    connected: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Proxy {
    pub fn start(runtime: &Handle) -> Result<Self> {
        let listener = runtime.block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))?;
        let port = listener.local_addr()?.port();
        let connected = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&connected);
        let task = runtime.spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(tunnel(client, Arc::clone(&count)));
            }
        });
        Ok(Self { port, connected, task })
    }

    /// How many connections it has made.
    pub fn connected(&self) -> usize {
        self.connected.load(Ordering::Relaxed)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn tunnel(client: TcpStream, count: Arc<AtomicUsize>) -> Option<()> {
    let mut client = BufReader::new(client);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        client.read_line(&mut head).await.ok().filter(|read| *read > 0)?;
    }
    let target = head.strip_prefix("CONNECT ")?.split(' ').next()?;
    let mut server = TcpStream::connect(target).await.ok()?;
    count.fetch_add(1, Ordering::Relaxed);
    client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.ok()?;
    copy_bidirectional(&mut client, &mut server).await.ok().map(drop)
}
