//! What the shared suite of adapters needs of a kind of room: a server of it, and a word on what such rooms have. A new adapter's test
//! implements this once.

use super::janus::Janus;
use super::others::Others;
use super::proxy::Proxy;
use super::server::TestServer;
use async_trait::async_trait;
use roombot::room::participant::Role;
use std::net::SocketAddr;

/// What there is in a kind of room. What is not there is not asked for.
#[derive(Debug, Clone, Copy)]
pub struct Has {
    /// Sound and picture.
    pub media: bool,
    /// More than two members.
    pub many: bool,
    /// Others are told who is muted.
    pub mute: bool,
    /// A screen of who was there first arrives in mid-call.
    pub screen: bool,
    pub chat: bool,
}

/// A server of a kind of room, on this machine; ends with its value.
#[async_trait]
pub trait Venue: Send + Sync + Sized {
    const HAS: Has;
    /// As what members join who send and receive.
    const ROLE: Role = Role::Participant;
    /// Starts it, or says what it needs that is not there.
    async fn open() -> Result<Self, String>;
    /// Where the member with this number (from 0) joins: one room for all, by a way that [`Venue::cut`] can cut.
    fn url(&self, number: usize) -> String;
    /// The same with credentials that are wrong.
    fn wrong(&self) -> String;
    /// How many others the member with this number sees and hears, where there are so many: none where it can only send.
    fn heard(_number: usize, others: usize) -> usize {
        others
    }
    /// Cuts the way to the room for everybody who is there; others come through.
    async fn cut(&mut self);
    /// Nobody comes through any more, and nobody says goodbye.
    async fn stop(self);
}

/// Our own rooms.
pub struct Own {
    server: TestServer,
    proxy: Proxy,
}

#[async_trait]
impl Venue for Own {
    const HAS: Has = Has { media: true, many: true, mute: true, screen: true, chat: true };

    async fn open() -> Result<Own, String> {
        let server = TestServer::start_with(|config| config.token = Some("open sesame".into())).await;
        let proxy = Proxy::start(server.address).await;
        Ok(Own { server, proxy })
    }
    fn url(&self, _: usize) -> String {
        format!("ws://{}/rooms/all?token=open%20sesame", self.proxy.address)
    }
    fn wrong(&self) -> String {
        format!("ws://{}/rooms/all?token=guess", self.proxy.address)
    }
    async fn cut(&mut self) {
        self.proxy.cut();
    }
    async fn stop(self) {
        drop(self.proxy);
        self.server.stop().await;
    }
}

/// A room of the WebRTC guide: `MESH` is lesson 2, otherwise it is lesson 3.
pub struct Guide<const MESH: bool> {
    _others: Others,
    proxy: Proxy,
}

#[async_trait]
impl<const MESH: bool> Venue for Guide<MESH> {
    const HAS: Has = Has { media: !MESH, many: MESH, mute: false, screen: !MESH, chat: true };

    async fn open() -> Result<Self, String> {
        let others = Others::start(&["--locked"]).await?;
        let proxy = Proxy::start(loopback(others.ports().0)).await;
        Ok(Guide { _others: others, proxy })
    }
    fn url(&self, number: usize) -> String {
        let app = match (MESH, number) {
            (true, _) => "full-mesh",
            (false, 0) => "audio-video",
            (false, _) => "audio-video#initiator",
        };
        format!("deepstream+ws://bot:open%20sesame@{}/deepstream?app={app}", self.proxy.address)
    }
    fn wrong(&self) -> String {
        self.url(0).replace("sesame", "barley")
    }
    async fn cut(&mut self) {
        self.proxy.cut();
    }
    async fn stop(self) {}
}

/// A group call of socket.io and simple-peer.
pub struct Call {
    _others: Others,
    proxy: Proxy,
}

#[async_trait]
impl Venue for Call {
    const HAS: Has = Has { media: true, many: true, mute: false, screen: true, chat: true };

    async fn open() -> Result<Call, String> {
        let others = Others::start(&["--locked"]).await?;
        let proxy = Proxy::start(loopback(others.ports().1)).await;
        Ok(Call { _others: others, proxy })
    }
    fn url(&self, _: usize) -> String {
        format!("socketio+http://{}/all?token=open%20sesame", self.proxy.address)
    }
    fn wrong(&self) -> String {
        self.url(0).replace("sesame", "barley")
    }
    async fn cut(&mut self) {
        self.proxy.cut();
    }
    async fn stop(self) {}
}

/// A VideoRoom of Janus.
pub struct VideoRoom {
    _janus: Janus,
    proxy: Proxy,
}

#[async_trait]
impl Venue for VideoRoom {
    const HAS: Has = Has { media: true, many: true, mute: false, screen: true, chat: false };
    // Others who send only receive nothing there.
    const ROLE: Role = Role::Bot;

    async fn open() -> Result<VideoRoom, String> {
        let rooms = "room-7: { pin = \"open sesame\"\n publishers = 6\n audiocodec = \"opus\"\n videocodec = \"vp8\" }";
        let janus = Janus::start(rooms).await?;
        let proxy = Proxy::start(janus.address()).await;
        Ok(VideoRoom { _janus: janus, proxy })
    }
    fn url(&self, _: usize) -> String {
        format!("janus+ws://{}/7?pin=open%20sesame", self.proxy.address)
    }
    fn wrong(&self) -> String {
        self.url(0).replace("sesame", "barley")
    }
    async fn cut(&mut self) {
        self.proxy.cut();
    }
    async fn stop(self) {}
}

/// A room of ours from outside: Alice is in it, the others come by WHIP (`SENDS`), or watch her by WHEP. They have no chat, no word for a
/// mute, and no second picture; what an endpoint negotiates is settled with the first description.
pub struct Outside<const SENDS: bool> {
    server: TestServer,
    proxy: Proxy,
}

impl<const SENDS: bool> Outside<SENDS> {
    async fn serve(at: SocketAddr) -> TestServer {
        TestServer::start_with(|config| {
            config.listen = at;
            (config.whip, config.whep, config.token) = (true, true, Some("open sesame".into()));
        })
        .await
    }
}

#[async_trait]
impl<const SENDS: bool> Venue for Outside<SENDS> {
    const HAS: Has = Has { media: true, many: true, mute: false, screen: false, chat: false };

    async fn open() -> Result<Self, String> {
        let server = Self::serve(loopback(0)).await;
        let proxy = Proxy::start(server.address).await;
        Ok(Outside { server, proxy })
    }
    fn url(&self, number: usize) -> String {
        let (scheme, path) = match (number, SENDS) {
            (0, _) => ("ws", "rooms/all"),
            (_, true) => ("whip+http", "whip/all"),
            (_, false) => ("whep+http", "whep/all/Alice"),
        };
        format!("{scheme}://{}/{path}?token=open%20sesame", self.proxy.address)
    }
    fn wrong(&self) -> String {
        self.url(1).replace("sesame", "barley")
    }
    /// Who sends hears nothing, and who watches has one on the other side: the endpoint.
    fn heard(number: usize, others: usize) -> usize {
        match (number, SENDS) {
            (0, true) => others,
            (0, false) | (_, true) => 0,
            (_, false) => others.min(1),
        }
    }
    /// Between two requests there is nothing to be cut: the server goes away and comes back, and nobody hears its goodbye.
    async fn cut(&mut self) {
        let at = self.server.address;
        self.proxy.shut();
        self.server.end().await;
        self.server = Self::serve(at).await;
        self.proxy.open();
    }
    async fn stop(self) {
        drop(self.proxy);
        self.server.stop().await;
    }
}

fn loopback(port: u16) -> SocketAddr {
    ([127, 0, 0, 1], port).into()
}
