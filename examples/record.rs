//! Records a room: `cargo run --example record -- ws://127.0.0.1:8080/rooms/standup`

use roombot::{Error, Recorder, Result};
use std::time::Duration;

#[tokio::main]
async fn main() -> Result<()> {
    let room = std::env::args().nth(1).ok_or_else(|| Error::user("name a room"))?;
    let mut recorder = Recorder::builder(room).out("recordings").until_empty(Duration::from_secs(5)).start().await?;
    let reason = recorder.until(tokio::signal::ctrl_c()).await;
    let recording = recorder.finish().await?;
    println!("{} ({reason}):", recording.folder.display());
    for track in recording.manifest.tracks {
        println!("  {}: {} frames", track.file, track.frames);
    }
    Ok(())
}
