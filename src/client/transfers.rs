//! Chat and file transfer over data channels, one task for each channel. It never blocks the client's actor; disk access runs on blocking threads.

mod channel;
mod file_reader;
mod part_writer;
mod receive;
mod send;
mod shared_file;

pub use channel::{FileDestination, IncomingFiles};
pub(crate) use send::start;
pub use send::{FileSend, Outcome, Progress, Sending};
pub use shared_file::SharedFile;

use crate::client::event::RoomEvent;
use crate::room::participant::ParticipantId;
use crate::rtc::{DataChannel, IncomingChannels};
use crate::transfer::PROTOCOL;
use channel::{Reader, Transfers};
use std::sync::{Arc, Mutex};
use tokio::sync::mpsc;

/// Starts reading the channels that are sent to the returned sender; ends when that is dropped.
pub(crate) fn read_channels(
    files: Option<IncomingFiles>,
    observer: Option<mpsc::Sender<RoomEvent>>,
) -> IncomingChannels {
    let (taker, mut channels) = mpsc::channel::<(ParticipantId, DataChannel)>(64);
    let transfers = Arc::new(Transfers { files, observer, peers: Mutex::default() });
    tokio::spawn(async move {
        while let Some((id, channel)) = channels.recv().await {
            let peer = transfers.peer(&id);
            let reader = Reader { transfers: transfers.clone(), id, peer, channel };
            tokio::spawn(read(reader));
        }
    });
    taker
}

async fn read(reader: Reader) {
    if reader.channel.protocol() == PROTOCOL {
        // It is the sender's to close the channel, whatever the result.
        receive::file(&reader).await;
    } else {
        receive::shared(&reader).await;
    }
}
