//! What a participant sends or labels and what is not recorded of it: told while it happens, and accounted for at its end.

use super::ledger::PATIENCE;
use super::log::RecordingLog;
use super::stream::{TrackCapture, TrackStream};
use crate::recording::account::{PAUSED, TOO_MANY_FILES, Unrecorded, in_words, losses};
use crate::recording::manifest::TrackEntry;
use crate::recording::timeline::Event;
use crate::room::media::{MediaKind, Source};
use crate::room::participant::TrackLabel;
use crate::rtc::subscriber::{PacketAccount, Subscriber};
use std::collections::HashMap;
use std::time::Instant;

/// What is watched of one connection.
pub(super) struct Notices {
    /// The participant's key in the manifest.
    participant: String,
    /// Labels without packets count: a bot may send what it labels to others.
    labels_count: bool,
    opened: Instant,
    labels: Vec<LabelWatch>,
    /// Of streams that have been told, by SSRC: the last text, and what they are taken for.
    told: HashMap<u32, (String, Option<Source>)>,
    /// The same of packets that did not reach their stream, which has a file.
    rests: HashMap<u32, String>,
}

/// A label of a track that is not muted.
struct LabelWatch {
    label: TrackLabel,
    since: Instant,
    /// A stream of it has begun.
    begun: bool,
    told: Option<Unrecorded>,
}

impl Notices {
    /// Of a connection that was opened now.
    pub fn new(participant: String, labels_count: bool, opened: Instant) -> Notices {
        Notices { participant, labels_count, opened, labels: Vec::new(), told: HashMap::new(), rests: HashMap::new() }
    }

    /// Looks what comes and is not recorded. Called about once a second.
    pub fn watch(&mut self, subscriber: &mut Subscriber<TrackCapture>, now: Instant, log: &mut RecordingLog) {
        self.watch_streams(subscriber, now, log);
        self.watch_labels(subscriber, now, log);
        let waiting: Vec<usize> = (0..self.labels.len()).filter(|at| !self.labels[*at].begun).collect();
        let others: Vec<PacketAccount> = subscriber.other_packets().filter(|a| loses_media(a)).cloned().collect();
        for account in &others {
            if self.watch_rest(account, now, log) {
                continue;
            }
            let first = account.first.unwrap_or(now);
            if now.saturating_duration_since(first) < PATIENCE || self.told.contains_key(&account.ssrc) {
                continue;
            }
            let source = if let [only] = waiting[..] { Some(self.labels[only].label.source) } else { None };
            let stream = self.of_account(account, source, log);
            self.tell(stream, true, now, log);
        }
        if others.is_empty() && subscriber.early_packets() == 0 {
            waiting.iter().for_each(|at| self.watch_label(*at, "labelled, nothing arrived", now, log));
        } else if waiting.len() > 1 {
            let why = "labelled, and no stream that arrives is known to be it";
            waiting.iter().for_each(|at| self.watch_label(*at, why, now, log));
        }
    }

    /// The recorder goes on after a pause: labels are waited for from now on.
    pub fn resume(&mut self, now: Instant) {
        self.opened = now;
        let waiting = self.labels.iter_mut().filter(|watch| !watch.begun && watch.told.is_none());
        waiting.for_each(|watch| watch.since = now);
    }

    fn watch_streams(&mut self, subscriber: &mut Subscriber<TrackCapture>, now: Instant, log: &mut RecordingLog) {
        for stream in subscriber.streams().0 {
            let source = stream.info.source;
            let account = stream.account();
            let Some((stalled, is_new)) = stream.state.ledger.stall(&account, now) else { continue };
            if log.muted(&self.participant, source) {
                continue;
            }
            let entry = self.of_account(&stalled, Some(source), log);
            if stream.state.has_file() {
                self.tell_stall(entry, is_new, now, log);
            } else {
                self.tell(entry, is_new, now, log);
            }
        }
    }

    /// Keeps the list of labels that are not muted.
    fn watch_labels(&mut self, subscriber: &mut Subscriber<TrackCapture>, now: Instant, log: &mut RecordingLog) {
        if !self.labels_count {
            return;
        }
        let labels: Vec<TrackLabel> = subscriber.labels().iter().filter(|label| !label.muted).cloned().collect();
        let is_label = |watch: &LabelWatch, label: &TrackLabel| {
            watch.label.stream == label.stream && watch.label.kind == label.kind && watch.label.source == label.source
        };
        let gone = |watch: &mut LabelWatch| !labels.iter().any(|label| is_label(watch, label));
        for gone in self.labels.extract_if(.., gone).collect::<Vec<_>>() {
            self.end_label(gone, now, log);
        }
        let since = if self.labels.is_empty() { self.opened } else { now };
        for label in labels {
            if !self.labels.iter().any(|watch| is_label(watch, &label)) {
                self.labels.push(LabelWatch { label, since, begun: false, told: None });
            }
        }
        self.opened = now;
        let mut begun: Vec<(String, MediaKind)> = Vec::new();
        for stream in subscriber.streams().0 {
            begun.push((stream.info.track.stream.clone(), stream.kind()));
        }
        for watch in &mut self.labels {
            let is_begun =
                begun.iter().any(|(stream, kind)| *stream == watch.label.stream && *kind == watch.label.kind);
            if is_begun && !std::mem::replace(&mut watch.begun, true) {
                // It was late, and is no loss.
                watch.told.take().into_iter().for_each(|told| log.withdraw(&told));
            }
        }
    }

    fn watch_label(&mut self, at: usize, reason: &str, now: Instant, log: &mut RecordingLog) {
        let Some(watch) = self.labels.get_mut(at) else { return };
        if now.saturating_duration_since(watch.since) < PATIENCE {
            return;
        }
        let entry = Unrecorded {
            participant: self.participant.clone(),
            source: Some(watch.label.source),
            codec: None,
            ssrc: 0,
            packets: 0,
            bytes: 0,
            start_ms: log.session(watch.since).as_ms(),
            end_ms: log.session(now).as_ms(),
            dropped: Default::default(),
            reason: reason.to_owned(),
        };
        let before = watch.told.replace(entry.clone());
        log.not_recorded(entry, before.as_ref().map(Unrecorded::text).as_deref(), before.is_none(), now);
    }

    fn end_label(&self, watch: LabelWatch, now: Instant, log: &mut RecordingLog) {
        let Some(told) = watch.told else { return };
        let entry = Unrecorded { end_ms: log.session(now).as_ms(), ..told.clone() };
        log.not_recorded(entry, Some(&told.text()), true, now);
    }

    /// A stream has ended, and its file is closed: what is left of its packets.
    pub fn ended(&mut self, stream: &TrackStream, at: Instant, log: &mut RecordingLog) {
        let account = stream.account();
        let ledger = &stream.state.ledger;
        let mut rest = ledger.sums(&account.counts, (0, 0));
        rest.add_unaccounted(ledger.unaccounted(&account));
        if rest.arrived == 0 {
            return;
        }
        if let Some(entry) = stream.state.before().and_then(|index| log.manifest.tracks.get_mut(index)) {
            entry.arrived += rest.arrived;
            entry.in_frames += rest.in_frames;
            entry.unwritten_frames += rest.unwritten_frames;
            for (reason, n) in rest.dropped {
                *entry.dropped.entry(reason).or_default() += n;
            }
            return;
        }
        let entry = self.of_account(&account, Some(stream.info.source), log);
        let mut entry = Unrecorded { dropped: rest.dropped, ..entry };
        if entry.dropped.contains_key(TOO_MANY_FILES) {
            entry.reason = in_words(TOO_MANY_FILES).to_owned();
        } else if rest.unwritten_frames > 0 {
            entry.reason = "it could not be written".to_owned();
        } else if entry.dropped.contains_key(PAUSED) {
            entry.reason = in_words(PAUSED).to_owned();
        }
        self.tell(entry, true, at, log);
    }

    /// Packets that never reached their stream, which has a file all the same: tells the loss. False if it has none.
    fn watch_rest(&mut self, account: &PacketAccount, now: Instant, log: &mut RecordingLog) -> bool {
        let Some(track) = self.track_of(account, log) else { return false };
        let mut rest = TrackEntry::clone(track);
        rest.dropped = account.counts.reasons().map(|(reason, n)| (reason.word().to_owned(), n)).collect();
        (rest.unwritten_frames, rest.finished) = (0, true);
        let text = losses(&[rest], &[]).into_iter().map(|loss| loss.text).next();
        if let Some(text) = text {
            let before = self.rests.insert(account.ssrc, text.clone());
            log.retell(before.as_deref(), text, now);
        }
        true
    }

    /// The file of the stream that the packets are of, unless they were told as those of none.
    fn track_of<'a>(&self, account: &PacketAccount, log: &'a mut RecordingLog) -> Option<&'a mut TrackEntry> {
        // A sender may use an SSRC again that it had before the recording was continued.
        let part = log.manifest.parts.last().map_or(0, |part| part.start_ms);
        let is_it = |track: &&mut TrackEntry| {
            track.participant == self.participant
                && track.ssrc == account.ssrc
                && track.first_packet_ms.is_none_or(|first| first >= part)
        };
        log.manifest.tracks.iter_mut().rev().find(is_it).filter(|_| !self.told.contains_key(&account.ssrc))
    }

    /// The final account of packets that belonged to no stream.
    pub fn other(&mut self, account: &PacketAccount, at: Instant, log: &mut RecordingLog) {
        if let Some(track) = self.track_of(account, log) {
            track.arrived += account.packets;
            for (reason, n) in account.counts.reasons() {
                *track.dropped.entry(reason.word().to_owned()).or_default() += n;
            }
            return;
        }
        let source = self.told.get(&account.ssrc).and_then(|(_, source)| *source);
        let entry = self.of_account(account, source, log);
        self.tell(entry, true, at, log);
    }

    /// The connection has ended.
    pub fn end(mut self, at: Instant, log: &mut RecordingLog) {
        for watch in std::mem::take(&mut self.labels) {
            self.end_label(watch, at, log);
        }
    }

    fn of_account(&self, account: &PacketAccount, source: Option<Source>, log: &RecordingLog) -> Unrecorded {
        let at = |time: Option<Instant>| time.map_or(0, |time| log.session(time).as_ms());
        Unrecorded {
            participant: self.participant.clone(),
            source,
            codec: account.codec,
            ssrc: account.ssrc,
            packets: account.packets,
            bytes: account.bytes,
            start_ms: at(account.first),
            end_ms: at(account.last),
            dropped: account.counts.reasons().map(|(reason, n)| (reason.word().to_owned(), n)).collect(),
            reason: account.why_nothing().unwrap_or_else(|| "no media in it".to_owned()),
        }
    }

    /// Something never became a track, so far or for good.
    fn tell(&mut self, entry: Unrecorded, event: bool, at: Instant, log: &mut RecordingLog) {
        let told = (entry.text(), entry.source);
        let before = self.told.insert(entry.ssrc, told);
        log.not_recorded(entry, before.map(|(text, _)| text).as_deref(), event, at);
    }

    /// A track that was recorded brings packets, and no frames any more.
    fn tell_stall(&mut self, entry: Unrecorded, is_new: bool, at: Instant, log: &mut RecordingLog) {
        let text = entry.stall_text();
        let before = self.told.insert(entry.ssrc, (text.clone(), entry.source)).filter(|_| !is_new);
        log.retell(before.map(|(text, _)| text).as_deref(), text, at);
        if is_new {
            log.event(log.session(at), Event::Unrecorded(entry));
        }
    }
}

fn loses_media(account: &PacketAccount) -> bool {
    account.counts.lost_media() > 0
}
