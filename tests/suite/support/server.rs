//! A room server in this process, on a port of its own; ends with its value.

use roombot::server::{RoomServer, RoomServerConfig};
use std::net::SocketAddr;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// A running room server.
pub struct TestServer {
    pub address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<roombot::error::Result<()>>,
}

impl TestServer {
    /// With the default configuration.
    pub async fn start() -> TestServer {
        TestServer::start_with(|_| {}).await
    }

    /// With a configuration of its own.
    pub async fn start_with(change: impl FnOnce(&mut RoomServerConfig)) -> TestServer {
        let mut config = RoomServerConfig::new(([127, 0, 0, 1], 0).into());
        change(&mut config);
        let server = RoomServer::bind(config).await.expect("a free port");
        let address = server.local_addr();
        let (stop, stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(server.run(async { drop(stopped.await) }));
        TestServer { address, stop: Some(stop), task }
    }

    /// The address of a room for a bot.
    pub fn room(&self, name: &str) -> String {
        format!("ws://{}/rooms/{name}", self.address)
    }

    /// The address of a room's page, with its query.
    pub fn page(&self, name: &str, query: &str) -> String {
        format!("http://{}/rooms/{name}?{query}", self.address)
    }

    /// Stops the server as Ctrl-C does, and waits for its end.
    pub async fn stop(mut self) {
        self.end().await;
    }

    /// The same, where another is to take its place.
    pub async fn end(&mut self) {
        drop(self.stop.take());
        super::within(10, "the server ends", &mut self.task).await.expect("the task ran").expect("a clean end");
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}
