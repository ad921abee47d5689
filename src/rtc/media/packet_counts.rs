//! Where packets went: into frames, or away for a named reason. Values only.
//!
//! Every place between the socket and a recorded frame where a packet can end, in the order in which it passes them. What fails SRTP's
//! authentication, or is no RTP inside, is no packet of the participant's: the library drops it.
//!
//! | place | counted as |
//! |---|---|
//! | `driver/rtx`: a retransmission without a payload | `Padding`, of the stream that it would repair |
//! | `inbox`: full | `InboxFull` |
//! | `inbox` of a server's connection: nobody's stream | `Unowned`, or `AfterEnd` where a participant owned it before |
//! | `subscriber`: no stream yet | `EarlyOverflow`, `Unannounced`, `AfterEnd`, `Retransmission` |
//! | `subscriber`: a stream that is not taken | `TooManyStreams`, `Refused`, `OtherLayer` |
//! | `depacketize/reorder_buffer` | `Duplicate`, `Late`, `OutOfRange` |
//! | `depacketize/frame_builder`: the packet | `Padding`, `PayloadType`, `Malformed`, `NoKeyFrame`, `Undecodable`, `Incomplete` |
//! | `depacketize/frame_builder`: its frame | `Incomplete`, `Unfinished`, `Malformed`, `TooLarge`, `NoPicture`, `NoParameterSets`, `NoKeyFrame`, `Undecodable` |
//! | `subscriber/layers`: its frame | `OtherLayer` |
//! | `subscriber/transform`: its frame | `Transform`, `NoKeyFrame`, `NoParameterSets`, `Undecodable` |
//! | `record/stream`, `recording/track`: its frame | the recorder's own: `disk`, `too-many-files` (`recording/account`) |

/// Why a packet did not end in a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
#[non_exhaustive]
pub enum DropReason {
    /// Its payload type was not negotiated, or is not one of a codec that is recorded.
    PayloadType,
    /// Nothing could be decoded yet: no key frame had come.
    NoKeyFrame,
    /// It belongs to a key frame whose parameter sets (H.264) or sequence header (AV1) never came.
    NoParameterSets,
    /// It, or its frame, does not follow its codec's payload format.
    Malformed,
    /// Other packets of its frame were lost.
    Incomplete,
    /// Its frame depends on one that was lost or dropped.
    Undecodable,
    /// It was there already.
    Duplicate,
    /// It came after its place in the sequence had been given up.
    Late,
    /// Its sequence number is far from all others.
    OutOfRange,
    /// It carries no picture or sound: parameter sets or delimiters by themselves. Nothing is lost by it.
    NoPicture,
    /// It has no payload: padding (a bandwidth probe). Nothing is lost by it.
    Padding,
    /// It repeats a packet of a stream that is not known. Nothing is lost by it.
    Retransmission,
    /// No description of the connection announced its stream.
    Unannounced,
    /// It came after its stream had been taken away.
    AfterEnd,
    /// Too many packets waited for their stream to begin.
    EarlyOverflow,
    /// The connection had as many streams as are received.
    TooManyStreams,
    /// Its frame is larger than is received.
    TooLarge,
    /// The inbox of the connection was full.
    InboxFull,
    /// The consumer does not take its stream.
    Refused,
    /// Its frame could not be transformed (decrypted).
    Transform,
    /// It belongs to another simulcast layer than the one that was taken. Nothing is lost by it.
    OtherLayer,
    /// A server that forwards media sent it, and no participant owns its stream.
    Unowned,
    /// Its sender changed the codec before it had sent all of the frame.
    Unfinished,
}

impl DropReason {
    /// Every reason.
    pub const ALL: [DropReason; 23] = [
        DropReason::PayloadType,
        DropReason::NoKeyFrame,
        DropReason::NoParameterSets,
        DropReason::Malformed,
        DropReason::Incomplete,
        DropReason::Undecodable,
        DropReason::Duplicate,
        DropReason::Late,
        DropReason::OutOfRange,
        DropReason::NoPicture,
        DropReason::Padding,
        DropReason::Retransmission,
        DropReason::Unannounced,
        DropReason::AfterEnd,
        DropReason::EarlyOverflow,
        DropReason::TooManyStreams,
        DropReason::TooLarge,
        DropReason::InboxFull,
        DropReason::Refused,
        DropReason::Transform,
        DropReason::OtherLayer,
        DropReason::Unowned,
        DropReason::Unfinished,
    ];

    /// Its name in manifests and JSON.
    pub fn word(self) -> &'static str {
        match self {
            DropReason::PayloadType => "payload-type",
            DropReason::NoKeyFrame => "no-key-frame",
            DropReason::NoParameterSets => "no-parameter-sets",
            DropReason::Malformed => "malformed",
            DropReason::Incomplete => "incomplete",
            DropReason::Undecodable => "undecodable",
            DropReason::Duplicate => "duplicate",
            DropReason::Late => "late",
            DropReason::OutOfRange => "out-of-range",
            DropReason::NoPicture => "no-picture",
            DropReason::Padding => "padding",
            DropReason::Retransmission => "retransmission",
            DropReason::Unannounced => "unannounced",
            DropReason::AfterEnd => "after-end",
            DropReason::EarlyOverflow => "early-overflow",
            DropReason::TooManyStreams => "too-many-streams",
            DropReason::TooLarge => "too-large",
            DropReason::InboxFull => "inbox-full",
            DropReason::Refused => "refused",
            DropReason::Transform => "transform",
            DropReason::OtherLayer => "other-layer",
            DropReason::Unowned => "unowned",
            DropReason::Unfinished => "unfinished",
        }
    }

    /// Whether a packet that is dropped for this reason carried media that nobody has now and somebody had sent: repeated and empty ones did not.
    pub fn loses_media(self) -> bool {
        !matches!(
            self,
            DropReason::Duplicate
                | DropReason::Retransmission
                | DropReason::NoPicture
                | DropReason::Padding
                | DropReason::AfterEnd
                | DropReason::OtherLayer
                | DropReason::Unfinished
        )
    }
}

/// Where packets went.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PacketCounts {
    /// Packets whose frame was given to the consumer.
    pub in_frames: u64,
    dropped: [u64; DropReason::ALL.len()],
}

impl PacketCounts {
    /// Packets that were dropped for a reason.
    pub fn dropped(&self, reason: DropReason) -> u64 {
        self.dropped[reason as usize]
    }

    /// The reasons for which packets were dropped, and how many.
    pub fn reasons(&self) -> impl Iterator<Item = (DropReason, u64)> + '_ {
        DropReason::ALL.into_iter().map(|reason| (reason, self.dropped(reason))).filter(|(_, count)| *count > 0)
    }

    /// Packets that were dropped although they carried media.
    pub fn lost_media(&self) -> u64 {
        self.reasons().filter(|(reason, _)| reason.loses_media()).map(|(_, count)| count).sum()
    }

    /// All packets that are counted here.
    pub fn total(&self) -> u64 {
        self.in_frames + self.dropped.iter().sum::<u64>()
    }

    /// Counts packets that were dropped.
    pub fn drop(&mut self, reason: DropReason, packets: u64) {
        self.dropped[reason as usize] += packets;
    }

    /// Packets of a frame were given out and dropped then.
    pub fn take_back(&mut self, reason: DropReason, packets: u64) {
        let packets = packets.min(self.in_frames);
        self.in_frames -= packets;
        self.drop(reason, packets);
    }

    /// Packets that were counted one way will be counted another way later.
    pub fn uncount(&mut self, reason: Option<DropReason>, packets: u64) {
        let count = reason.map_or(&mut self.in_frames, |reason| &mut self.dropped[reason as usize]);
        *count = count.saturating_sub(packets);
    }

    /// What was counted since `base`, an earlier state of these counts.
    pub fn since(&self, base: &PacketCounts) -> PacketCounts {
        let mut since = PacketCounts { in_frames: self.in_frames.saturating_sub(base.in_frames), ..*self };
        for (count, before) in since.dropped.iter_mut().zip(base.dropped) {
            *count = count.saturating_sub(before);
        }
        since
    }

    /// Adds the counts of other packets.
    pub fn add(&mut self, other: &PacketCounts) {
        self.in_frames += other.in_frames;
        for (count, more) in self.dropped.iter_mut().zip(other.dropped) {
            *count += more;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_a_place_and_a_word_of_its_own() {
        let mut counts = PacketCounts::default();
        for (index, reason) in DropReason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, index);
            counts.drop(reason, 1 << index);
        }
        let words: std::collections::HashSet<_> = DropReason::ALL.into_iter().map(DropReason::word).collect();
        assert_eq!(words.len(), DropReason::ALL.len());
        assert_eq!(counts.total(), (1 << DropReason::ALL.len()) - 1);
        assert_eq!(counts.since(&counts).total(), 0);
    }

    #[test]
    fn what_is_taken_back_is_counted_once() {
        let mut counts = PacketCounts { in_frames: 5, ..PacketCounts::default() };
        counts.take_back(DropReason::Transform, 2);
        assert_eq!((counts.in_frames, counts.dropped(DropReason::Transform), counts.total()), (3, 2, 5));
    }
}
