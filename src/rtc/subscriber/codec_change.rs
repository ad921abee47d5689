//! The codec may change at any packet of a stream: the stream ends, and one of the new codec begins in its place. Sequence, clock and key go on.

use super::Subscriber;
use super::account::PacketAccount;
use super::config::SubscriberConfig;
use super::handler::MediaHandler;
use super::info::StreamInfo;
use super::stream::{CodecChange, Stream};
use crate::rtc::feedback::KeyFrameNeed;
use crate::rtc::media::depacketize::{AssemblerConfig, FrameAssembler, Received};
use crate::rtc::media::packet_counts::{DropReason, PacketCounts};
use std::time::Instant;

/// A stream that goes on, without what the consumer keeps for it.
pub(super) struct Continued {
    stream: Stream<()>,
    pub change: CodecChange,
}

impl<S> Stream<S> {
    /// Divides the stream: what has ended, and what goes on.
    pub(super) fn divide(mut self, change: CodecChange, config: &SubscriberConfig) -> (Stream<S>, Continued) {
        let cumulated = self.cumulated_stats();
        let stats = self.stats();
        let waiting: u64 = change
            .rest
            .iter()
            .map(|received| match received {
                Received::Frame(frame) => frame.packets.into(),
                _ => 0,
            })
            .sum();
        // Frames that have not been given out are counted already: as frames, or with layers as those of another one.
        let counted_as = self.layers.is_some().then_some(DropReason::OtherLayer);
        let (mut base, mut stats) = (cumulated, stats);
        base.counts.uncount(counted_as, waiting);
        stats.counts.uncount(counted_as, waiting);

        let codec = change.codec;
        let mut info = self.info.clone();
        info.track.codec = codec;
        let dummy = FrameAssembler::new(self.info.track.codec, AssemblerConfig::default());
        let assembler = std::mem::replace(&mut self.assembler, dummy);
        let mut next = Stream::new(info, config, (), change.at);
        next.key_frames = KeyFrameNeed::new(config.key_frames);
        next.assembler = assembler;
        next.layers = self.layers.take();
        next.transform = self.transform.take().map(|transform| transform.with_codec(codec));
        (next.clock, next.mapping, next.newest_rtp) = (self.clock.clone(), self.mapping.clone(), self.newest_rtp);
        next.base = base;
        self.ended_stats = Some(stats);

        let arrived = self.account.packets;
        let taken = self.account.counts.total() + stats.counts.total();
        self.account.packets = taken.min(arrived);
        let mut account = PacketAccount::new(self.account.ssrc, Some(codec));
        if arrived > taken {
            account.arrived(arrived - taken, 0, change.at, change.at);
        }
        next.account = account;
        (self, Continued { stream: next, change })
    }
}

impl Continued {
    pub fn info(&self) -> &StreamInfo {
        &self.stream.info
    }

    /// With what the consumer keeps for it.
    pub fn with_state<S>(self, state: S) -> (Stream<S>, CodecChange) {
        (self.stream.with_state(state), self.change)
    }

    /// The account of what came, if the consumer does not take it.
    pub fn refused(self) -> PacketAccount {
        let mut account = self.stream.account;
        account.counts = PacketCounts::default();
        account.counts.drop(DropReason::Refused, account.packets);
        account
    }
}

impl<S> Subscriber<S> {
    /// A stream goes on in another codec, and perhaps in further ones after it: until nothing waits any more.
    pub(super) fn change_codec(&mut self, ssrc: u32, handler: &mut impl MediaHandler<State = S>) {
        let Some(mut stream) = self.streams.remove(&ssrc) else { return };
        while let Some(change) = stream.change.take() {
            let at = change.at;
            let (ended, continued) = stream.divide(change, &self.config);
            let Some(state) = handler.on_codec(ended, continued.info(), at, &self.sender) else {
                let account = continued.refused();
                self.others.add(&account);
                return self.refuse_announced(ssrc);
            };
            let change;
            (stream, change) = continued.with_state(state);
            stream.go_on(change, &self.sender, handler);
        }
        self.streams.insert(ssrc, stream);
    }

    /// The consumer takes nothing more of an announced stream.
    fn refuse_announced(&mut self, ssrc: u32) {
        let announced = self.announced.get_mut(&ssrc);
        let layers = announced.map(|announced| {
            announced.refused = true;
            std::mem::take(&mut announced.layers)
        });
        for ssrc in layers.into_iter().flatten().chain([ssrc]) {
            self.refuse(ssrc, DropReason::Refused);
        }
    }

    /// A stream ends; everything that came of it is given out before.
    pub(super) fn end_stream(&mut self, ssrc: u32, at: Instant, handler: &mut impl MediaHandler<State = S>) {
        while let Some(stream) = self.streams.get_mut(&ssrc) {
            stream.finish(&self.sender, at, handler);
            if stream.change.is_some() {
                self.change_codec(ssrc, handler);
            } else if let Some(stream) = self.streams.remove(&ssrc) {
                handler.on_end(stream, at, &self.sender);
            }
        }
    }
}
