//! A kind of room of one's own, here one that hides names: `cargo run --example own_signaller -- ws://127.0.0.1:8080/rooms/standup`

use roombot::signal::{JoinAs, Link, SignalEvent, for_url};
use roombot::{Error, Recorder, Result, Signaller};

struct Anonymous(String);

#[async_trait::async_trait]
impl Signaller for Anonymous {
    async fn join(&self, how: JoinAs) -> Result<Link> {
        let mut link = for_url(&self.0)?.join(how).await?;
        link.peers.iter_mut().for_each(|peer| peer.name = "Guest".into());
        link.map_events(|event| {
            if let SignalEvent::Joined(peer) = event {
                peer.name = "Guest".into()
            }
        });
        Ok(link)
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let room = std::env::args().nth(1).ok_or_else(|| Error::user("name a room"))?;
    let mut recorder = Recorder::builder(&room).signaller(Anonymous(room)).start().await?;
    recorder.until(tokio::signal::ctrl_c()).await;
    println!("{}", recorder.finish().await?.folder.display());
    Ok(())
}
