//! What a loss spoils: which frames can still be decoded after packets were lost, as far as the payload descriptors
//! prove it. Where they prove nothing, everything up to the next key frame is spoilt.

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
pub(crate) struct Refs {
    back: [u8; 3],
    count: usize,
}

impl Refs {
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
pub(crate) struct Deps {
    pub picture: Option<PictureId>,
    /// TL0PICIDX: counts the frames of the lowest temporal layer.
    pub base: Option<u8>,
    /// Temporal layer (TID). A frame depends on no higher layer.
    pub layer: Option<u8>,
    /// VP8 Y: depends on the lowest layer only.
    pub sync: bool,
    /// VP9 U: from here on no higher layer depends on anything of a higher layer before this frame.
    pub up: bool,
    /// VP8 N: no other frame depends on it.
    pub discardable: bool,
    pub refs: Option<Refs>,
}

/// Whether a frame is worth assembling.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Decodable,
    /// Decodable if it turns out to be a key frame.
    IfKey,
    /// Spoilt, but lower layers go on.
    Spoilt,
    /// Spoilt, and only a key frame helps.
    NeedKey,
}

/// No temporal layer is spoilt.
const NONE: u8 = u8::MAX;
/// After so many frames of higher layers dropped without a switching point, a key frame is asked for all the same:
/// one second at 30 frames a second with half of them in higher layers.
const STARVED: u32 = 15;

/// Follows one video stream through its losses.
pub(crate) struct Continuity {
    /// Nothing but a key frame helps.
    waiting: bool,
    /// Packets were lost, and no frame has come since that shows what was in them.
    unexplained: bool,
    /// Something was lost since the last key frame.
    tainted: bool,
    /// The lowest temporal layer whose frames may refer to one that is not there.
    spoilt_from: u8,
    dropped_above: u32,
    last: Option<PictureId>,
    last_base: Option<u8>,
    /// Bit n: the picture n before `last` was given out.
    history: u128,
}

impl Continuity {
    /// At the start nothing can be decoded before a key frame.
    pub fn new() -> Self {
        Self {
            waiting: true,
            unexplained: false,
            tainted: false,
            spoilt_from: NONE,
            dropped_above: 0,
            last: None,
            last_base: None,
            history: 0,
        }
    }

    /// Packets are missing before the next frame.
    pub fn lost(&mut self) {
        self.unexplained = true;
        self.tainted = true;
    }

    /// Of the first packet of any frame after a loss: works out what the loss took. True: nothing (padding).
    pub fn explain(&mut self, deps: &Deps) -> bool {
        if !std::mem::take(&mut self.unexplained) || self.waiting {
            return false;
        }
        if let (Some(now), Some(last)) = (deps.picture, self.last)
            && matches!(now.since(last), 0 | 1)
        {
            return true;
        }
        if deps.refs.is_some() && deps.picture.is_some() {
            return false; // each frame names what it needs
        }
        let base_whole = match (deps.layer, deps.base, self.last_base) {
            (Some(0), Some(now), Some(last)) => now == last.wrapping_add(1),
            (Some(_), Some(now), Some(last)) => now == last,
            _ => false,
        };
        if base_whole {
            self.spoilt_from = self.spoilt_from.min(1);
        } else {
            self.waiting = true;
        }
        false
    }

    /// Of a frame's first packet. `key`: whether it is a key frame, if known.
    pub fn judge(&mut self, deps: &Deps, key: Option<bool>) -> Verdict {
        if key == Some(true) {
            return Verdict::Decodable;
        }
        let or_key = |verdict| if key.is_none() { Verdict::IfKey } else { verdict };
        if self.waiting {
            return or_key(Verdict::NeedKey);
        }
        let spoilt = match (deps.refs, deps.picture) {
            (Some(refs), Some(picture)) => self.tainted && !refs.as_slice().iter().all(|back| self.has(picture, *back)),
            _ => deps.layer.unwrap_or(0) >= self.spoilt_from && !deps.sync,
        };
        if !spoilt {
            return Verdict::Decodable;
        }
        if deps.layer.unwrap_or(0) == 0 {
            self.waiting = true;
            return or_key(Verdict::NeedKey);
        }
        self.dropped_above += 1;
        or_key(if self.dropped_above == STARVED { Verdict::NeedKey } else { Verdict::Spoilt })
    }

    /// A whole frame is there. False: it cannot be decoded.
    pub fn whole(&mut self, deps: &Deps, key: bool) -> bool {
        if key {
            *self = Self { waiting: false, ..Self::new() };
        } else if self.waiting {
            return false;
        }
        let layer = deps.layer.unwrap_or(0);
        if layer == 0 {
            self.last_base = deps.base;
        }
        self.advance(deps.picture);
        self.history |= 1;
        if deps.up && layer < self.spoilt_from {
            self.spoilt_from = NONE;
            self.dropped_above = 0;
        } else if deps.sync && layer == self.spoilt_from {
            // From a sync point on this layer refers to nothing before it; higher ones have to wait for their own.
            self.spoilt_from = layer.saturating_add(1);
        }
        true
    }

    /// A frame, whole or not, will not be given out. True: only a key frame helps now.
    pub fn dropped(&mut self, deps: &Deps) -> bool {
        self.tainted = true;
        self.advance(deps.picture);
        match deps.layer {
            _ if deps.discardable || self.waiting => {}
            _ if deps.refs.is_some() && deps.picture.is_some() => {}
            Some(layer @ 1..) => self.spoilt_from = self.spoilt_from.min(layer),
            _ => self.waiting = true,
        }
        self.waiting
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
    fn layered(picture: u16, base: u8, layer: u8) -> Deps {
        Deps { picture: id(picture), base: Some(base), layer: Some(layer), ..Deps::default() }
    }
    fn after_key(deps: Deps) -> Continuity {
        let mut continuity = Continuity::new();
        assert!(continuity.whole(&deps, true));
        continuity
    }
    /// Explains, judges and, if it passes, gives out.
    fn next(continuity: &mut Continuity, deps: Deps) -> Verdict {
        continuity.explain(&deps);
        let verdict = continuity.judge(&deps, Some(false));
        match verdict {
            Verdict::Decodable => assert!(continuity.whole(&deps, false)),
            _ => _ = continuity.dropped(&deps),
        }
        verdict
    }

    #[test]
    fn nothing_before_a_key_frame() {
        let mut continuity = Continuity::new();
        assert_eq!(next(&mut continuity, Deps::default()), Verdict::NeedKey);
        assert!(!continuity.whole(&Deps::default(), false));
        assert!(continuity.whole(&Deps::default(), true));
        assert_eq!(next(&mut continuity, Deps::default()), Verdict::Decodable);
    }

    #[test]
    fn lost_padding_is_proved_by_the_picture_id() {
        let plain = |picture| Deps { picture: id(picture), ..Deps::default() };
        let mut continuity = after_key(plain(0x7fff));
        continuity.lost();
        assert!(continuity.explain(&plain(0)));
        assert_eq!(next(&mut continuity, plain(0)), Verdict::Decodable);
        continuity.lost();
        assert_eq!(next(&mut continuity, plain(2)), Verdict::NeedKey);
    }

    #[test]
    fn a_lost_upper_layer_spoils_only_itself_until_its_sync_point() {
        let mut continuity = after_key(layered(10, 1, 0));
        continuity.lost();
        assert_eq!(next(&mut continuity, layered(12, 2, 0)), Verdict::Decodable);
        assert_eq!(next(&mut continuity, layered(13, 2, 1)), Verdict::Spoilt);
        assert_eq!(next(&mut continuity, Deps { sync: true, ..layered(14, 2, 1) }), Verdict::Decodable);
        assert_eq!(next(&mut continuity, layered(15, 2, 1)), Verdict::Decodable);
        assert_eq!(next(&mut continuity, layered(16, 2, 2)), Verdict::Spoilt, "layer 2 had no sync point yet");
        continuity.lost();
        assert_eq!(next(&mut continuity, layered(20, 4, 0)), Verdict::NeedKey, "base frame 3 is missing");
    }

    #[test]
    fn vp9_switching_up_repairs_all_higher_layers() {
        let mut continuity = after_key(layered(10, 1, 0));
        continuity.lost();
        assert_eq!(next(&mut continuity, layered(12, 1, 2)), Verdict::Spoilt);
        assert_eq!(next(&mut continuity, Deps { up: true, ..layered(13, 2, 0) }), Verdict::Decodable);
        assert_eq!(next(&mut continuity, layered(14, 2, 2)), Verdict::Decodable);
    }

    #[test]
    fn a_damaged_frame_that_nobody_refers_to_does_no_harm() {
        let plain = |picture| Deps { picture: id(picture), ..Deps::default() };
        let mut continuity = after_key(plain(1));
        assert!(!continuity.dropped(&Deps { discardable: true, ..plain(2) }));
        continuity.lost();
        assert_eq!(next(&mut continuity, plain(3)), Verdict::Decodable);
        assert!(continuity.dropped(&plain(4)));
    }

    #[test]
    fn flexible_mode_looks_at_each_reference() {
        let refers = |picture: u16, back: u8, layer: u8| {
            let mut refs = Refs::default();
            refs.push(back).unwrap();
            Deps { picture: id(picture), layer: Some(layer), refs: Some(refs), ..Deps::default() }
        };
        let mut continuity = after_key(Deps { picture: id(100), layer: Some(0), ..Deps::default() });
        assert_eq!(next(&mut continuity, refers(101, 1, 1)), Verdict::Decodable);
        continuity.lost(); // 102 and 103
        assert_eq!(next(&mut continuity, refers(104, 4, 0)), Verdict::Decodable, "100 is there");
        assert_eq!(next(&mut continuity, refers(105, 3, 1)), Verdict::Spoilt, "102 is not");
        assert_eq!(next(&mut continuity, refers(106, 2, 0)), Verdict::Decodable, "104 is");
        assert_eq!(next(&mut continuity, refers(107, 2, 0)), Verdict::NeedKey, "105 was dropped");
    }

    #[test]
    fn a_layer_without_sync_points_asks_for_a_key_frame_in_the_end() {
        let mut continuity = after_key(layered(0, 0, 0));
        continuity.lost();
        let verdicts: Vec<_> = (2..40).map(|n| next(&mut continuity, layered(n, 0, 1))).collect();
        assert_eq!(verdicts.iter().filter(|v| **v == Verdict::NeedKey).count(), 1);
    }
}
