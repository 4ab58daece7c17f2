//! The way from replicas to the API server, which a trial can cut while the API server goes on calling them.

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::Result;
use tokio::{
    io::copy_bidirectional,
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
