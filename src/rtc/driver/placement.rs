//! The first interceptor that a packet meets, around all others: it gives streams that no description names to the section that they belong
//! to, and binds the chain to them. The library knows only those that are named (or carry a RID), in the codecs of the first section of a kind.
//! It also sends what is asked of such streams: the library has no track of them.

use crate::room::media::{Codec, MediaKind, RemoteTrack};
use crate::room::sdp::Sdp;
use crate::rtc::driver::tap::{AUDIO_LEVEL_URI, PLAYOUT_DELAY_URI};
use crate::rtc::driver::wire::Wire;
use crate::rtc::header_extensions::ExtensionIds;
use crate::rtc::sections::{Agreed, Extension, Facts, Place, Sections};
use bytes::Bytes;
use rtc::interceptor::{
    AttributedPacket, Interceptor, Packet, RTCPFeedback, RTPHeaderExtension, StreamInfo, TaggedPacket,
};
use rtc::rtcp::payload_feedbacks::picture_loss_indication::PictureLossIndication;
use rtc::sansio::Protocol;
use rtc::sdp::extmap::{SDES_MID_URI, SDES_RTP_STREAM_ID_URI};
use rtc::shared::error::Error;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;
use tokio::sync::mpsc;

/// What the connection's actor and its packets both know of.
#[derive(Debug, Default)]
pub(crate) struct Shared(Mutex<State>);

#[derive(Debug, Default)]
pub(crate) struct State {
    pub sections: Sections,
    /// Numbers of header extensions in the library and in its interceptors; those in packets are those of the sections.
    library_extensions: ExtensionIds,
    /// Key frames to be requested, by SSRC.
    requests: Vec<u32>,
    /// Streams to be unbound.
    ended: Vec<u32>,
}

impl Shared {
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Requests a key frame, with the next packet that comes: where none comes there is nothing to begin.
    pub(crate) fn request_key_frame(&mut self, ssrc: u32) {
        if !self.requests.contains(&ssrc) {
            self.requests.push(ssrc);
        }
    }
    /// How a source of ours is sent, as both have agreed; none: it is in no section of theirs.
    pub(crate) fn sends(&self, ssrc: u32, codec: Codec) -> Option<Sends> {
        let section = self.sections.of_own(ssrc)?;
        let number = section.sends_as(codec).map(|(number, _)| number);
        let unsupported = section.sends && number.is_none();
        let extension = |uri: &str| section.sent_extension(uri).and_then(|_| self.library_extensions.get(uri));
        let (audio_level, playout_delay) = (extension(AUDIO_LEVEL_URI), extension(PLAYOUT_DELAY_URI));
        Some(Sends { payload_type: number.filter(|_| section.sends), unsupported, audio_level, playout_delay })
    }
    /// Both descriptions are in force, and the library numbers header extensions so. Returns the streams, placed here, that no longer come.
    pub(crate) fn agree(&mut self, ours: &Sdp, theirs: &Sdp, library_extensions: &ExtensionIds) -> Vec<u32> {
        self.library_extensions.clone_from(library_extensions);
        let ended = self.sections.agree(ours, theirs);
        self.ended.extend_from_slice(&ended);
        ended
    }
    /// Whether there is a section of this kind on which we receive, should they send.
    pub(crate) fn receives(&self, kind: MediaKind) -> bool {
        self.sections.receives(kind)
    }
    /// Whether both have described a section in which a source of ours is sent.
    pub(crate) fn is_sent(&self, ssrc: u32) -> bool {
        self.sections.of_own(ssrc).is_some_and(|section| section.sends)
    }
}

/// How a source of ours is sent.
pub(crate) struct Sends {
    /// None: it is not.
    pub payload_type: Option<u8>,
    /// They would receive, but not this codec.
    pub unsupported: bool,
    /// Numbers of header extensions in the library.
    pub audio_level: Option<u8>,
    pub playout_delay: Option<u8>,
}

/// Places streams, around `inner`.
pub(crate) struct Placement<I> {
    inner: I,
    shared: Arc<Shared>,
    /// Streams that have been placed are told here. Unbounded, but there is a limit to their number.
    placed: mpsc::UnboundedSender<RemoteTrack>,
    /// SSRCs that `inner` is bound to.
    bound: HashSet<u32>,
    /// How it is bound to streams that were placed here.
    infos: HashMap<u32, StreamInfo>,
    /// Sources of ours: their codec, and what repeats them.
    own: HashMap<u32, (Codec, Option<u32>)>,
    /// How packets go out and come in, as of this generation of the sections.
    wire: Wire,
    generation: u64,
}

impl<I: Interceptor> Placement<I> {
    pub(crate) fn new(inner: I, shared: Arc<Shared>, placed: mpsc::UnboundedSender<RemoteTrack>) -> Placement<I> {
        Placement {
            inner,
            shared,
            placed,
            bound: HashSet::new(),
            infos: HashMap::new(),
            own: HashMap::new(),
            wire: Wire::default(),
            generation: 0,
        }
    }

    /// What the sections say of packets, if it has changed.
    fn refresh(&mut self) {
        let state = self.shared.lock();
        if self.generation != state.sections.generation() {
            self.generation = state.sections.generation();
            self.wire = Wire::new(&state.sections, &state.library_extensions, &self.own);
        }
    }

    fn place(&mut self, packet: &rtc::rtp::Packet) {
        let header = &packet.header;
        let shared = self.shared.clone();
        let mut state = shared.lock();
        let carried = |uri: &str| -> Option<Bytes> { header.get_extension(state.library_extensions.get(uri)?) };
        let (mid, rid) = (carried(SDES_MID_URI), carried(SDES_RTP_STREAM_ID_URI));
        let mid = mid.as_ref().and_then(|mid| std::str::from_utf8(mid).ok());
        let facts = Facts { ssrc: header.ssrc, payload_type: header.payload_type, mid };
        let Some(place) = state.sections.place(facts) else { return };
        match place {
            Place::Media { section, format, codec, repair } => {
                let Some(section) = state.sections.get(section) else { return };
                let channels = if codec.kind() == MediaKind::Audio { format.channels() } else { 0 };
                let info = StreamInfo {
                    ssrc_rtx: repair,
                    payload_type_rtx: repair.and_then(|_| section.repair_type(header.payload_type)),
                    mime_type: codec.mime().to_owned(),
                    clock_rate: codec.clock_rate(),
                    channels,
                    sdp_fmtp_line: format.parameters.clone(),
                    rtcp_feedback: format.feedback.iter().map(|one| feedback(one)).collect(),
                    rtp_header_extensions: library_extensions(section, &state.library_extensions),
                    ssrc: header.ssrc,
                    payload_type: header.payload_type,
                    ..Default::default()
                };
                let (stream, track) = (section.stream.clone(), section.track.clone());
                let rid = rid.and_then(|rid| Some(std::str::from_utf8(&rid).ok()?.to_owned()));
                let rid = rid.or_else(|| state.sections.layer(header.ssrc));
                let track = RemoteTrack { ssrc: header.ssrc, codec, stream, track, channels, rid };
                drop(state);
                self.bound.insert(header.ssrc);
                self.bound.extend(repair);
                self.inner.bind_remote_stream(&info);
                self.infos.insert(header.ssrc, info);
                let _ = self.placed.send(track);
            }
            Place::Repair { primary } => {
                drop(state);
                self.bound.insert(header.ssrc);
                if let Some(info) = self.infos.get_mut(&primary) {
                    (info.ssrc_rtx, info.payload_type_rtx) = (Some(header.ssrc), Some(header.payload_type));
                    self.inner.bind_remote_stream(info);
                }
            }
        }
    }

    /// Does what was asked in the meantime.
    fn act(&mut self, now: Instant) -> Result<(), Error> {
        let (requests, ended) = {
            let mut state = self.shared.lock();
            (std::mem::take(&mut state.requests), std::mem::take(&mut state.ended))
        };
        for ssrc in ended {
            self.bound.remove(&ssrc);
            if let Some(info) = self.infos.remove(&ssrc) {
                info.ssrc_rtx.map(|repair| self.bound.remove(&repair));
                self.inner.unbind_remote_stream(&info);
            }
        }
        for media_ssrc in requests {
            let request = PictureLossIndication { sender_ssrc: 0, media_ssrc };
            let message = AttributedPacket::new(Packet::Rtcp(vec![Box::new(request)]));
            self.inner.handle_write(TaggedPacket { now, transport: Default::default(), message })?;
        }
        Ok(())
    }
}

/// `nack pli` as the library has it.
fn feedback(text: &str) -> RTCPFeedback {
    let (typ, parameter) = text.split_once(' ').unwrap_or((text, ""));
    RTCPFeedback { typ: typ.to_owned(), parameter: parameter.to_owned() }
}

/// The header extensions of a section, as the library numbers them.
fn library_extensions(section: &Agreed, ids: &ExtensionIds) -> Vec<RTPHeaderExtension> {
    let extension = |extension: &Extension| {
        Some(RTPHeaderExtension { id: ids.get(&extension.uri)?.into(), uri: extension.uri.clone() })
    };
    section.extensions.iter().filter_map(extension).collect()
}

impl<I: Interceptor> Protocol<TaggedPacket, TaggedPacket, ()> for Placement<I> {
    type Rout = TaggedPacket;
    type Wout = TaggedPacket;
    type Eout = ();
    type Error = Error;
    type Time = Instant;

    fn handle_read(&mut self, mut tagged: TaggedPacket) -> Result<(), Error> {
        self.act(tagged.now)?;
        self.refresh();
        if let Packet::Rtp(packet) = &mut tagged.message.packet {
            self.wire.read(&mut packet.header);
            if !self.bound.contains(&packet.header.ssrc) {
                self.place(packet);
            }
        }
        self.inner.handle_read(tagged)
    }
    fn poll_read(&mut self) -> Option<TaggedPacket> {
        self.inner.poll_read()
    }
    fn handle_write(&mut self, tagged: TaggedPacket) -> Result<(), Error> {
        self.inner.handle_write(tagged)
    }
    fn poll_write(&mut self) -> Option<TaggedPacket> {
        let mut tagged = self.inner.poll_write()?;
        if let Packet::Rtp(packet) = &mut tagged.message.packet {
            self.refresh();
            self.wire.write(&mut packet.header);
        }
        Some(tagged)
    }
    fn handle_event(&mut self, event: ()) -> Result<(), Error> {
        self.inner.handle_event(event)
    }
    fn poll_event(&mut self) -> Option<()> {
        self.inner.poll_event()
    }
    fn handle_timeout(&mut self, now: Instant) -> Result<(), Error> {
        self.act(now)?;
        self.inner.handle_timeout(now)
    }
    fn poll_timeout(&mut self) -> Option<Instant> {
        self.inner.poll_timeout()
    }
    fn close(&mut self) -> Result<(), Error> {
        self.inner.close()
    }
}

impl<I: Interceptor> Interceptor for Placement<I> {
    /// The library has the numbers of the first section of a kind for all of them.
    fn bind_local_stream(&mut self, info: &StreamInfo) {
        let mut info = info.clone();
        let codec = Codec::from_mime(&info.mime_type);
        if let Some(codec) = codec {
            self.own.insert(info.ssrc, (codec, info.ssrc_rtx));
            self.generation = 0;
        }
        let state = self.shared.lock();
        let section = state.sections.of_own(info.ssrc);
        if let Some((number, repair)) = section.zip(codec).and_then(|(section, codec)| section.sends_as(codec)) {
            info.payload_type = number;
            info.payload_type_rtx = info.ssrc_rtx.and(repair);
            if repair.is_none() {
                info.ssrc_rtx = None;
            }
        }
        if let Some(section) = section {
            info.rtp_header_extensions.retain(|extension| section.sent_extension(&extension.uri).is_some());
        }
        drop(state);
        self.inner.bind_local_stream(&info);
    }
    fn unbind_local_stream(&mut self, info: &StreamInfo) {
        self.own.remove(&info.ssrc);
        self.inner.unbind_local_stream(info);
    }
    fn bind_remote_stream(&mut self, info: &StreamInfo) {
        self.bound.insert(info.ssrc);
        self.shared.lock().sections.forget(info.ssrc);
        self.inner.bind_remote_stream(info);
    }
    fn unbind_remote_stream(&mut self, info: &StreamInfo) {
        self.bound.remove(&info.ssrc);
        self.inner.unbind_remote_stream(info);
    }
}
