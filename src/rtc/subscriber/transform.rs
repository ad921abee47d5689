//! A stream whose frames are transformed (decrypted): what is in them is known only afterwards.

use super::info::StreamInfo;
use crate::room::media::{Codec, Frame, MediaKind};
use crate::rtc::media::inspect::inspector::Inspector;
use crate::rtc::media::packet_counts::DropReason;

/// Changes frames between assembly and their consumers: decryption (W3C WebRTC Encoded Transform, RFC 9605).
pub trait FrameTransform: Send {
    /// Changes the frame's bytes. What is known of them (`key`, `size`, `config`) is found out afterwards.
    ///
    /// # Errors
    /// Why the frame is to be dropped, for people.
    fn transform(&mut self, info: &StreamInfo, frame: &mut Frame) -> Result<(), String>;
}

/// A transform, and what assembly cannot know of the frames that it takes.
pub(super) struct Transforming {
    transform: Box<dyn FrameTransform>,
    codec: Codec,
    inspector: Inspector,
    begun: bool,
    /// Nothing can be decoded before a key frame.
    needs_key_frame: bool,
}

/// Why a frame is dropped.
pub(super) enum Untransformed {
    /// The transform failed, or what came out is no frame.
    Failed(String),
    /// It depends on a frame that is not there.
    NeedsKeyFrame(DropReason),
}

impl Transforming {
    pub fn new(transform: Box<dyn FrameTransform>, codec: Codec) -> Transforming {
        let needs_key_frame = codec.kind() == MediaKind::Video;
        Transforming { transform, codec, inspector: Inspector::new(codec), begun: false, needs_key_frame }
    }

    /// The stream goes on in another codec.
    pub fn with_codec(self, codec: Codec) -> Transforming {
        Transforming::new(self.transform, codec)
    }

    /// Frames are missing.
    pub fn on_gap(&mut self) {
        self.needs_key_frame = self.codec.kind() == MediaKind::Video;
    }

    /// Transforms a frame and inspects what came out.
    pub fn apply(&mut self, info: &StreamInfo, frame: &mut Frame) -> Result<(), Untransformed> {
        self.transform.transform(info, frame).map_err(Untransformed::Failed)?;
        let Ok(Some(inspected)) = self.inspector.inspect(&frame.parts) else {
            self.on_gap();
            return Err(Untransformed::Failed(format!("what came out is not {}", self.codec.name())));
        };
        (frame.key, frame.size, frame.config) = (inspected.key, inspected.size, inspected.config);
        self.needs_key_frame &= !frame.key;
        if self.needs_key_frame {
            let reason = match (inspected.lacks_config, self.begun) {
                (true, _) => DropReason::NoParameterSets,
                (_, true) => DropReason::Undecodable,
                (_, false) => DropReason::NoKeyFrame,
            };
            return Err(Untransformed::NeedsKeyFrame(reason));
        }
        self.begun = true;
        Ok(())
    }
}
