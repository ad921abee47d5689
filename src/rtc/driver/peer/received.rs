//! Tracks that arrive on a connection: which streams they have, in which codec, and key-frame requests for them. No packet passes here.

use crate::room::media::{Codec, RemoteTrack};
use crate::room::sdp::{Sdp, Section};
use crate::rtc::driver::peer::callbacks::Callback;
use crate::rtc::driver::placement::Shared;
use crate::rtc::driver::tap::StreamCodecs;
use crate::rtc::feedback::KeyFrameRequests;
use crate::rtc::header_extensions::ExtensionIds;
use crate::rtc::payload_types::PayloadTypes;
use rtc::rtcp::payload_feedbacks::picture_loss_indication::PictureLossIndication;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use webrtc::media_stream::track_remote::{TrackRemote, TrackRemoteEvent};

/// At least this long between two key-frame requests for one stream.
const KEY_FRAME_PAUSE: Duration = Duration::from_millis(400);

/// A stream that arrives.
struct ReceivedStream {
    track: String,
    library: Arc<dyn TrackRemote>,
}

/// The streams that arrive on a connection, by SSRC.
pub(crate) struct ReceivedTracks {
    streams: HashMap<u32, ReceivedStream>,
    /// Kept when a stream ends.
    codecs: HashMap<u32, Codec>,
    negotiated: Arc<StreamCodecs>,
    /// Name of a section (MID) -> the track that they send in it.
    sections: HashMap<String, String>,
    /// Where streams belong that no description names.
    shared: Arc<Shared>,
    /// Such streams, with their track.
    placed: HashMap<u32, String>,
    key_frame_requests: KeyFrameRequests,
}

impl ReceivedTracks {
    pub(crate) fn new(negotiated: Arc<StreamCodecs>, shared: Arc<Shared>) -> Self {
        let key_frame_requests = KeyFrameRequests::new(KEY_FRAME_PAUSE);
        let (streams, codecs, sections, placed) = Default::default();
        Self { streams, codecs, negotiated, sections, shared, placed, key_frame_requests }
    }

    /// What the payload types of the connection mean.
    pub(crate) fn payload_types(&self) -> Arc<PayloadTypes> {
        self.negotiated.payload_types.clone()
    }

    /// A stream begins to arrive. Returns it if it is new, or arrives in another codec: the library opens a stream again after each
    /// negotiation.
    ///
    /// # Errors
    /// Why it cannot be received.
    pub(crate) async fn add(
        &mut self,
        library: Arc<dyn TrackRemote>,
        ssrc: u32,
        rid: Option<String>,
    ) -> Result<Option<RemoteTrack>, String> {
        let described = match library.codec(ssrc).await.map(|codec| (codec.mime_type, codec.channels)) {
            Some((mime, channels)) if !mime.is_empty() => Some((mime, channels)),
            _ => self.negotiated.codec(ssrc),
        };
        let Some((mime, channels)) = described else {
            return Err(format!("a stream without a codec (SSRC {ssrc}) is ignored"));
        };
        let codec = Codec::from_mime(&mime).ok_or_else(|| format!("codec {mime:?} cannot be recorded"))?;
        let track = library.track_id().await;
        let stream = library.stream_id().await;
        let remote = RemoteTrack { ssrc, codec, stream, track: track.clone(), channels, rid };
        let same_codec = self.codecs.insert(ssrc, codec) == Some(codec);
        let before = self.streams.insert(ssrc, ReceivedStream { track: track.clone(), library });
        let known = same_codec && before.is_some_and(|before| before.track == track);
        Ok((!known).then_some(remote))
    }

    /// Their description is in force: returns the tracks that they send no longer, with their streams.
    fn on_sections(&mut self, theirs: &Sdp) -> Vec<(String, Vec<u32>)> {
        let mut before = Vec::new();
        for section in &theirs.sections {
            let Some(mid) = section.mid() else { continue };
            match sent_track(theirs, section) {
                Some(track) => {
                    before.extend(self.sections.insert(mid.to_owned(), track.to_owned()).filter(|was| was != track));
                }
                None => before.extend(self.sections.remove(mid)),
            }
        }
        before.retain(|track| !self.sections.values().any(|sent| sent == track));
        before
            .into_iter()
            .map(|track| {
                let ssrcs = self.remove(&track);
                (track, ssrcs)
            })
            .filter(|(_, ssrcs)| !ssrcs.is_empty())
            .collect()
    }

    /// What the two sides have agreed on.
    pub(crate) fn shared(&self) -> &Shared {
        &self.shared
    }

    /// A stream has been placed that no description names.
    pub(crate) fn add_placed(&mut self, remote: &RemoteTrack) {
        self.streams.remove(&remote.ssrc);
        self.codecs.insert(remote.ssrc, remote.codec);
        self.placed.insert(remote.ssrc, remote.track.clone());
    }

    /// Both descriptions are in force. Returns tracks that are sent no longer, with their streams.
    pub(crate) fn agree(
        &mut self,
        ours: &Sdp,
        theirs: &Sdp,
        library_extensions: &ExtensionIds,
    ) -> Vec<(String, Vec<u32>)> {
        let ended = self.shared.lock().agree(ours, theirs, library_extensions);
        let mut closed = self.on_sections(theirs);
        closed.extend(ended.into_iter().filter_map(|ssrc| Some((self.placed.remove(&ssrc)?, vec![ssrc]))));
        closed
    }

    /// A track has ended; returns the SSRCs of its streams.
    pub(crate) fn remove(&mut self, track: &str) -> Vec<u32> {
        let ended = self.streams.iter().filter(|(_, stream)| stream.track == track);
        let ssrcs = ended.map(|(ssrc, _)| *ssrc).collect();
        self.streams.retain(|_, stream| stream.track != track);
        ssrcs
    }

    /// Requests a key frame (PLI); does nothing for an unknown stream, or if one was requested just before.
    pub(crate) async fn request_key_frame(&mut self, ssrc: u32) {
        if !self.streams.contains_key(&ssrc) && !self.placed.contains_key(&ssrc) {
            return;
        }
        if !self.key_frame_requests.request(&ssrc, Instant::now()) {
            return;
        }
        let Some(stream) = self.streams.get(&ssrc) else { return self.shared.lock().request_key_frame(ssrc) };
        let request = PictureLossIndication { sender_ssrc: 0, media_ssrc: ssrc };
        if let Err(e) = stream.library.write_rtcp(vec![Box::new(request)]).await {
            tracing::debug!(ssrc, "requesting a key frame: {e}");
        }
    }
}

/// The id of the track that they send in a section; none where they send nothing, or nothing that has a name.
fn sent_track<'a>(theirs: &Sdp, section: &'a Section) -> Option<&'a str> {
    let direction = section.direction().or(theirs.direction()).unwrap_or_default();
    let refused = section.port() == 0 && !section.attributes().any(|(name, _)| name == "bundle-only");
    if !direction.sends() || refused {
        return None;
    }
    let by_source = || {
        let of_source = |(name, value): (&str, Option<&'a str>)| value.filter(|_| name == "ssrc")?.split_once(" msid:");
        section.attributes().find_map(of_source)?.1.split_ascii_whitespace().nth(1)
    };
    section.msid().and_then(|(_, track)| track).or_else(by_source)
}

/// Forwards the events of a track until it ends.
pub(crate) async fn watch_track(track: Arc<dyn TrackRemote>, callbacks: mpsc::UnboundedSender<Callback>) {
    let id = track.track_id().await;
    while let Some(event) = track.poll().await {
        match event {
            TrackRemoteEvent::OnOpen(init) => {
                let _ = callbacks.send(Callback::Open { track: track.clone(), ssrc: init.ssrc, rid: init.rid });
            }
            TrackRemoteEvent::OnEnded => break,
            _ => {}
        }
    }
    let _ = callbacks.send(Callback::Ended { track: id });
}
