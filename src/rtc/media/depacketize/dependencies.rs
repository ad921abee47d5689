//! What a loss makes undecodable: which frames can still be decoded after packets were lost, as far as the payload descriptors
//! prove it. Where they prove nothing, everything up to the next key frame is undecodable.

/// A VP8 or VP9 picture id of 7 or 15 bits; counts pictures, wraps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PictureId {
    pub value: u16,
    pub long: bool,
}

impl PictureId {
    /// The M bit, then 7 or 15 bits.
    pub fn read(next: &mut impl FnMut() -> Option<u8>) -> Option<Self> {
        let first = next()?;
        let high = u16::from(first & 0x7f);
        if first & 0x80 == 0 {
            return Some(Self { value: high, long: false });
        }
        Some(Self { value: high << 8 | u16::from(next()?), long: true })
    }
    /// How many pictures after `before` this one is.
    fn since(self, before: Self) -> u16 {
        self.value.wrapping_sub(before.value) & if self.long { 0x7fff } else { 0x7f }
    }
}

/// The pictures that a frame refers to, as distances back (VP9 flexible mode).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct References {
    back: [u8; 3],
    count: usize,
}

impl References {
    /// `None` when there are three already.
    pub fn push(&mut self, back: u8) -> Option<()> {
        *self.back.get_mut(self.count)? = back;
        self.count += 1;
        Some(())
    }
    pub fn as_slice(&self) -> &[u8] {
        self.back.get(..self.count).unwrap_or_default()
    }
}

/// What a payload descriptor says about its frame and those it depends on.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct FrameDependencies {
    pub picture: Option<PictureId>,
    /// TL0PICIDX: counts the frames of the lowest temporal layer.
    pub tl0_pic_idx: Option<u8>,
    /// Temporal layer (TID). A frame depends on no higher layer.
    pub layer: Option<u8>,
    /// VP8 Y: depends on the lowest layer only.
    pub sync: bool,
    /// VP9 U: from here on no higher layer depends on anything of a higher layer before this frame.
    pub up: bool,
    /// VP8 N: no other frame depends on it.
    pub discardable: bool,
    pub references: Option<References>,
}

/// Whether a frame is worth assembling.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Decodability {
    Decodable,
    /// Decodable if it turns out to be a key frame.
    IfKeyFrame,
    /// LayerUndecodable, but lower layers go on.
    LayerUndecodable,
    /// LayerUndecodable, and only a key frame helps.
    NeedsKeyFrame,
}

/// No temporal layer is undecodable.
const NO_LAYER: u8 = u8::MAX;
/// After so many frames of higher layers dropped without a switching point, a key frame is asked for all the same:
/// one second at 30 frames a second with half of them in higher layers.
const MAX_DROPPED_UPPER: u32 = 15;

/// Follows one video stream through its losses.
pub(crate) struct DependencyTracker {
    /// Nothing but a key frame helps.
    needs_key_frame: bool,
    /// Packets were lost, and no frame has come since that shows what was in them.
    loss_unattributed: bool,
    /// Something was lost since the last key frame.
    lost_since_key_frame: bool,
    /// The lowest temporal layer whose frames may refer to one that is not there.
    undecodable_from: u8,
    dropped_upper: u32,
    last: Option<PictureId>,
    last_tl0_pic_idx: Option<u8>,
    /// Bit n: the picture n before `last` was given out.
    history: u128,
}

impl DependencyTracker {
    /// At the start nothing can be decoded before a key frame.
    pub fn new() -> Self {
        Self {
            needs_key_frame: true,
            loss_unattributed: false,
            lost_since_key_frame: false,
            undecodable_from: NO_LAYER,
            dropped_upper: 0,
            last: None,
            last_tl0_pic_idx: None,
            history: 0,
        }
    }

    /// Packets are missing before the next frame.
    pub fn on_loss(&mut self) {
        self.loss_unattributed = true;
        self.lost_since_key_frame = true;
    }

    /// Of the first packet of any frame after a loss: works out what the loss took. True: nothing (padding).
    pub fn on_packet_after_loss(&mut self, dependencies: &FrameDependencies) -> bool {
        if !std::mem::take(&mut self.loss_unattributed) || self.needs_key_frame {
            return false;
        }
        if let (Some(now), Some(last)) = (dependencies.picture, self.last)
            && matches!(now.since(last), 0 | 1)
        {
            return true;
        }
        if dependencies.references.is_some() && dependencies.picture.is_some() {
            return false; // each frame names what it needs
        }
        let base_layer_whole = match (dependencies.layer, dependencies.tl0_pic_idx, self.last_tl0_pic_idx) {
            (Some(0), Some(now), Some(last)) => now == last.wrapping_add(1),
            (Some(_), Some(now), Some(last)) => now == last,
            _ => false,
        };
        if base_layer_whole {
            self.undecodable_from = self.undecodable_from.min(1);
        } else {
            self.needs_key_frame = true;
        }
        false
    }

    /// Of a frame's first packet. `key`: whether it is a key frame, if known.
    pub fn decodability(&mut self, dependencies: &FrameDependencies, key: Option<bool>) -> Decodability {
        if key == Some(true) {
            return Decodability::Decodable;
        }
        let or_key = |decodability| if key.is_none() { Decodability::IfKeyFrame } else { decodability };
        if self.needs_key_frame {
            return or_key(Decodability::NeedsKeyFrame);
        }
        let undecodable = match (dependencies.references, dependencies.picture) {
            (Some(references), Some(picture)) => {
                self.lost_since_key_frame && !references.as_slice().iter().all(|back| self.has(picture, *back))
            }
            _ => dependencies.layer.unwrap_or(0) >= self.undecodable_from && !dependencies.sync,
        };
        if !undecodable {
            return Decodability::Decodable;
        }
        if dependencies.layer.unwrap_or(0) == 0 {
            self.needs_key_frame = true;
            return or_key(Decodability::NeedsKeyFrame);
        }
        self.dropped_upper += 1;
        or_key(if self.dropped_upper == MAX_DROPPED_UPPER {
            Decodability::NeedsKeyFrame
        } else {
            Decodability::LayerUndecodable
        })
    }

    /// A on_whole_frame frame is there. False: it cannot be decoded.
    pub fn on_whole_frame(&mut self, dependencies: &FrameDependencies, key: bool) -> bool {
        if key {
            *self = Self { needs_key_frame: false, ..Self::new() };
        } else if self.needs_key_frame {
            return false;
        }
        let layer = dependencies.layer.unwrap_or(0);
        if layer == 0 {
            self.last_tl0_pic_idx = dependencies.tl0_pic_idx;
        }
        self.advance(dependencies.picture);
        self.history |= 1;
        if dependencies.up && layer < self.undecodable_from {
            self.undecodable_from = NO_LAYER;
            self.dropped_upper = 0;
        } else if dependencies.sync && layer == self.undecodable_from {
            // From a sync point on this layer refers to nothing before it; higher ones have to wait for their own.
            self.undecodable_from = layer.saturating_add(1);
        }
        true
    }

    /// A frame, on_whole_frame or not, will not be given out. True: only a key frame helps now.
    pub fn on_dropped_frame(&mut self, dependencies: &FrameDependencies) -> bool {
        self.lost_since_key_frame = true;
        self.advance(dependencies.picture);
        match dependencies.layer {
            _ if dependencies.discardable || self.needs_key_frame => {}
            _ if dependencies.references.is_some() && dependencies.picture.is_some() => {}
            Some(layer @ 1..) => self.undecodable_from = self.undecodable_from.min(layer),
            _ => self.needs_key_frame = true,
        }
        self.needs_key_frame
    }

    fn advance(&mut self, picture: Option<PictureId>) {
        let by = match (picture, self.last) {
            (Some(now), Some(last)) => now.since(last),
            _ => u16::MAX,
        };
        self.history = self.history.checked_shl(by.into()).unwrap_or(0);
        self.last = picture;
    }

    /// Whether the picture `back` before `picture` was given out.
    fn has(&self, picture: PictureId, back: u8) -> bool {
        let ahead = self.last.map_or(u16::MAX, |last| picture.since(last));
        u32::from(back)
            .checked_sub(ahead.into())
            .and_then(|index| self.history.checked_shr(index))
            .is_some_and(|history| history & 1 == 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(value: u16) -> Option<PictureId> {
        Some(PictureId { value, long: true })
    }
    fn layered(picture: u16, tl0_pic_idx: u8, layer: u8) -> FrameDependencies {
        FrameDependencies {
            picture: id(picture),
            tl0_pic_idx: Some(tl0_pic_idx),
            layer: Some(layer),
            ..FrameDependencies::default()
        }
    }
    fn after_key(dependencies: FrameDependencies) -> DependencyTracker {
        let mut tracker = DependencyTracker::new();
        assert!(tracker.on_whole_frame(&dependencies, true));
        tracker
    }
    /// Explains, judges and, if it passes, gives out.
    fn next(tracker: &mut DependencyTracker, dependencies: FrameDependencies) -> Decodability {
        tracker.on_packet_after_loss(&dependencies);
        let decodability = tracker.decodability(&dependencies, Some(false));
        match decodability {
            Decodability::Decodable => assert!(tracker.on_whole_frame(&dependencies, false)),
            _ => _ = tracker.on_dropped_frame(&dependencies),
        }
        decodability
    }

    #[test]
    fn nothing_before_a_key_frame() {
        let mut tracker = DependencyTracker::new();
        assert_eq!(next(&mut tracker, FrameDependencies::default()), Decodability::NeedsKeyFrame);
        assert!(!tracker.on_whole_frame(&FrameDependencies::default(), false));
        assert!(tracker.on_whole_frame(&FrameDependencies::default(), true));
        assert_eq!(next(&mut tracker, FrameDependencies::default()), Decodability::Decodable);
    }

    #[test]
    fn lost_padding_is_proved_by_the_picture_id() {
        let plain = |picture| FrameDependencies { picture: id(picture), ..FrameDependencies::default() };
        let mut tracker = after_key(plain(0x7fff));
        tracker.on_loss();
        assert!(tracker.on_packet_after_loss(&plain(0)));
        assert_eq!(next(&mut tracker, plain(0)), Decodability::Decodable);
        tracker.on_loss();
        assert_eq!(next(&mut tracker, plain(2)), Decodability::NeedsKeyFrame);
    }

    #[test]
    fn a_lost_upper_layer_spoils_only_itself_until_its_sync_point() {
        let mut tracker = after_key(layered(10, 1, 0));
        tracker.on_loss();
        assert_eq!(next(&mut tracker, layered(12, 2, 0)), Decodability::Decodable);
        assert_eq!(next(&mut tracker, layered(13, 2, 1)), Decodability::LayerUndecodable);
        assert_eq!(next(&mut tracker, FrameDependencies { sync: true, ..layered(14, 2, 1) }), Decodability::Decodable);
        assert_eq!(next(&mut tracker, layered(15, 2, 1)), Decodability::Decodable);
        assert_eq!(
            next(&mut tracker, layered(16, 2, 2)),
            Decodability::LayerUndecodable,
            "layer 2 had no sync point yet"
        );
        tracker.on_loss();
        assert_eq!(next(&mut tracker, layered(20, 4, 0)), Decodability::NeedsKeyFrame, "base frame 3 is missing");
    }

    #[test]
    fn vp9_switching_up_repairs_all_higher_layers() {
        let mut tracker = after_key(layered(10, 1, 0));
        tracker.on_loss();
        assert_eq!(next(&mut tracker, layered(12, 1, 2)), Decodability::LayerUndecodable);
        assert_eq!(next(&mut tracker, FrameDependencies { up: true, ..layered(13, 2, 0) }), Decodability::Decodable);
        assert_eq!(next(&mut tracker, layered(14, 2, 2)), Decodability::Decodable);
    }

    #[test]
    fn a_damaged_frame_that_nobody_refers_to_does_no_harm() {
        let plain = |picture| FrameDependencies { picture: id(picture), ..FrameDependencies::default() };
        let mut tracker = after_key(plain(1));
        assert!(!tracker.on_dropped_frame(&FrameDependencies { discardable: true, ..plain(2) }));
        tracker.on_loss();
        assert_eq!(next(&mut tracker, plain(3)), Decodability::Decodable);
        assert!(tracker.on_dropped_frame(&plain(4)));
    }

    #[test]
    fn flexible_mode_looks_at_each_reference() {
        let refers = |picture: u16, back: u8, layer: u8| {
            let mut references = References::default();
            references.push(back).unwrap();
            FrameDependencies {
                picture: id(picture),
                layer: Some(layer),
                references: Some(references),
                ..FrameDependencies::default()
            }
        };
        let mut tracker =
            after_key(FrameDependencies { picture: id(100), layer: Some(0), ..FrameDependencies::default() });
        assert_eq!(next(&mut tracker, refers(101, 1, 1)), Decodability::Decodable);
        tracker.on_loss(); // 102 and 103
        assert_eq!(next(&mut tracker, refers(104, 4, 0)), Decodability::Decodable, "100 is there");
        assert_eq!(next(&mut tracker, refers(105, 3, 1)), Decodability::LayerUndecodable, "102 is not");
        assert_eq!(next(&mut tracker, refers(106, 2, 0)), Decodability::Decodable, "104 is");
        assert_eq!(next(&mut tracker, refers(107, 2, 0)), Decodability::NeedsKeyFrame, "105 was dropped");
    }

    #[test]
    fn a_layer_without_sync_points_asks_for_a_key_frame_in_the_end() {
        let mut tracker = after_key(layered(0, 0, 0));
        tracker.on_loss();
        let verdicts: Vec<_> = (2..40).map(|n| next(&mut tracker, layered(n, 0, 1))).collect();
        assert_eq!(verdicts.iter().filter(|v| **v == Decodability::NeedsKeyFrame).count(), 1);
    }
}
