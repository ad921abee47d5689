//! What became of a stream's packets: which are in frames of which file, and which are in none, by reason. Values only.

use crate::recording::account::{DISK, PAUSED, STALLED, UNACCOUNTED};
use crate::recording::manifest::Dropped;
use crate::rtc::subscriber::{DropReason, PacketAccount, PacketCounts};
use std::time::{Duration, Instant};

/// Packets that come for so long without a frame are told.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

/// The packets of one stream, as far as they belong to the file that is open or comes next.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    /// What belongs to files that have ended.
    base: PacketCounts,
    /// Packets of frames since then.
    framed: u64,
    /// The same of frames for which there was no file, by reason, and those frames.
    unfiled: Dropped,
    unfiled_frames: u64,
    /// The same of frames that came while the recorder was paused, and of those that came after it and could not be decoded.
    paused: u64,
    after_pause: u64,
    /// When the first packet since then arrived.
    first: Option<Instant>,
    /// Packets that could not be decoded while nothing was for so long that it was told.
    stalled: u64,
    /// Packets of all frames so far.
    all_framed: u64,
    watch: StallWatch,
}

/// Watches whether frames come.
#[derive(Debug, Default)]
struct StallWatch {
    /// [`Ledger::all_framed`] at the last look at which frames had come, and the account then.
    framed: u64,
    counts: PacketCounts,
    packets: u64,
    /// Since when packets have come without a frame.
    since: Option<Instant>,
    told: bool,
}

/// The packets of a file, or of a stream without one.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Sums {
    pub arrived: u64,
    pub in_frames: u64,
    pub dropped: Dropped,
    pub unwritten_frames: u64,
}

impl Ledger {
    /// A packet arrived.
    pub fn packet(&mut self, at: Instant) {
        self.first.get_or_insert(at);
    }

    /// A frame of so many packets came; `unfiled`: why there is no file for it.
    pub fn frame(&mut self, packets: u32, unfiled: Option<&str>) {
        let packets = u64::from(packets);
        self.framed += packets;
        self.all_framed += packets;
        if let Some(reason) = unfiled {
            *self.unfiled.entry(reason.to_owned()).or_default() += packets;
            self.unfiled_frames += 1;
        }
    }

    /// A frame of so many packets came while the recorder was paused; `is_late`: for so long after it without a key frame that it is a
    /// loss. A file that begins later waited for no packet before.
    pub fn withhold(&mut self, packets: u32, is_late: bool) {
        let packets = u64::from(packets);
        self.framed += packets;
        self.all_framed += packets;
        *(if is_late { &mut self.after_pause } else { &mut self.paused }) += packets;
        self.first = None;
    }

    /// When the first packet arrived that the file's first frame waited for.
    pub fn first(&self) -> Option<Instant> {
        self.first
    }

    /// What has come since the last file ended. `unwritten`: packets and frames that the open file could not write.
    pub fn sums(&self, counts: &PacketCounts, unwritten: (u64, u64)) -> Sums {
        let since = counts.since(&self.base);
        let mut dropped: Dropped = since.reasons().map(|(reason, n)| (reason.word().to_owned(), n)).collect();
        let undecodable = since.dropped(DropReason::Undecodable);
        let stalled = (self.stalled + self.stalls_now(counts)).min(undecodable);
        dropped.insert(STALLED.to_owned(), stalled + self.after_pause);
        dropped.insert(DropReason::Undecodable.word().to_owned(), undecodable - stalled);
        dropped.insert(PAUSED.to_owned(), self.paused);
        dropped.extend(self.unfiled.clone());
        *dropped.entry(DISK.to_owned()).or_default() += unwritten.0;
        dropped.retain(|_, n| *n > 0);
        let unfiled = self.unfiled.values().sum::<u64>() + unwritten.0;
        let in_frames = self.framed.saturating_sub(unfiled + self.paused + self.after_pause);
        Sums {
            arrived: in_frames + dropped.values().sum::<u64>(),
            in_frames,
            dropped,
            unwritten_frames: self.unfiled_frames + unwritten.1,
        }
    }

    /// A file ends: what comes now belongs to the next one.
    pub fn close_file(&mut self, counts: &PacketCounts) {
        self.base = *counts;
        (self.framed, self.unfiled_frames, self.first, self.stalled) = (0, 0, None, 0);
        (self.paused, self.after_pause) = (0, 0);
        self.unfiled.clear();
    }

    /// Packets that are in no count at the end of the stream: there must be none.
    pub fn unaccounted(&self, account: &PacketAccount) -> u64 {
        let dropped: u64 = account.counts.reasons().map(|(_, n)| n).sum();
        account.packets.saturating_sub(self.all_framed + dropped)
    }

    /// Looks whether packets have come for [`PATIENCE`] without a frame: what came since the last one, once it is so. True beside it
    /// where that is told for the first time.
    pub fn stall(&mut self, account: &PacketAccount, now: Instant) -> Option<(PacketAccount, bool)> {
        if self.all_framed > self.watch.framed {
            self.end_stall(&account.counts);
            let (framed, told) = (self.all_framed, false);
            self.watch = StallWatch { framed, counts: account.counts, packets: account.packets, since: None, told };
        }
        let counts = account.counts.since(&self.watch.counts);
        let packets = account.packets - self.watch.packets;
        let media = counts.lost_media() + packets.saturating_sub(counts.total());
        if media == 0 {
            return None;
        }
        let first = if self.watch.framed == 0 { account.first.unwrap_or(now) } else { now };
        let since = *self.watch.since.get_or_insert(first);
        if now.saturating_duration_since(since) < PATIENCE {
            return None;
        }
        let is_new = !std::mem::replace(&mut self.watch.told, true);
        let mut stalled = account.clone();
        (stalled.counts, stalled.packets, stalled.first) = (counts, packets, Some(since));
        stalled.counts.in_frames = 0;
        Some((stalled, is_new))
    }

    /// Frames come again, or the stream ends: what could not be decoded for so long is no mere gap.
    pub fn end_stall(&mut self, counts: &PacketCounts) {
        self.stalled += self.stalls_now(counts);
        self.watch.told &= self.watch.framed == 0;
    }

    /// Packets of a stall that was told and goes on.
    fn stalls_now(&self, counts: &PacketCounts) -> u64 {
        let stalls = self.watch.told && self.watch.framed > 0;
        if stalls { counts.since(&self.watch.counts).dropped(DropReason::Undecodable) } else { 0 }
    }
}

impl Sums {
    /// Packets of which it is not known what became of them.
    pub fn add_unaccounted(&mut self, packets: u64) {
        if packets > 0 {
            self.arrived += packets;
            self.dropped.insert(UNACCOUNTED.to_owned(), packets);
        }
    }
}
