//! A TCP proxy whose connections can be cut as a bad network does: without a goodbye.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// A proxy to one address; ends with its value.
pub struct Proxy {
    pub address: SocketAddr,
    /// Counts the cuts; every connection that is older than the last one dies.
    cuts: Arc<watch::Sender<u32>>,
    shut: Arc<AtomicBool>,
    task: JoinHandle<()>,
}

impl Proxy {
    /// Listens on a port of its own.
    pub async fn start(target: SocketAddr) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("its address");
        let cuts = Arc::new(watch::channel(0).0);
        let sender = Arc::clone(&cuts);
        let shut = Arc::new(AtomicBool::new(false));
        let is_shut = Arc::clone(&shut);
        let task = tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                if !is_shut.load(Ordering::Acquire) {
                    tokio::spawn(carry(near, target, sender.subscribe()));
                }
            }
        });
        Proxy { address, cuts, shut, task }
    }

    /// Kills every connection of this moment, and lets nobody through until it is opened again.
    pub fn shut(&self) {
        self.shut.store(true, Ordering::Release);
        self.cut();
    }

    /// Lets people through again.
    pub fn open(&self) {
        self.shut.store(false, Ordering::Release);
    }

    /// Kills every connection of this moment; new ones work.
    pub fn cut(&self) {
        self.cuts.send_modify(|cuts| *cuts += 1);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
        self.cut();
    }
}

async fn carry(mut near: TcpStream, target: SocketAddr, mut cuts: watch::Receiver<u32>) {
    let Ok(mut far) = TcpStream::connect(target).await else { return };
    tokio::select! {
        _ = cuts.changed() => {}
        _ = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
    }
}
