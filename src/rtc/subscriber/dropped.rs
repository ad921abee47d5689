//! What belongs to no stream is dropped, and counted by SSRC.

use super::Subscriber;
use super::early::WaitedInVain;
use super::handler::{MediaHandler, Problem};
use crate::room::media::PacketFormat;
use crate::rtc::inbox::Inbound;
use crate::rtc::media::packet_counts::DropReason;

impl<S> Subscriber<S> {
    /// What arrived belongs to no stream.
    pub(super) fn drop_item(&mut self, item: Inbound, reason: DropReason) {
        let ssrc = item.ssrc();
        match item {
            Inbound::Rtp(packet) => self.others.drop(ssrc, reason, |account| account.arrive(&packet)),
            Inbound::Dropped { packets, bytes, first, last, reason, .. } => {
                self.others.drop(ssrc, reason, |account| account.arrived(packets, bytes, first, last));
            }
            Inbound::SenderReport { .. } | Inbound::Goodbye { .. } => {}
        }
    }

    /// What waited for streams in vain.
    pub(super) fn drop_early(&mut self, waited: Vec<WaitedInVain>, handler: &mut impl MediaHandler<State = S>) {
        for WaitedInVain { ssrc, items, packets } in waited {
            let reason = self.others.waited_in_vain(ssrc);
            for item in items {
                // Nothing can be announced in a format that was not negotiated.
                let is_unknown =
                    matches!(&item, Inbound::Rtp(packet) if matches!(packet.format, PacketFormat::Unknown));
                let reason = match reason {
                    DropReason::Unannounced if is_unknown => DropReason::PayloadType,
                    other => other,
                };
                self.drop_item(item, reason);
            }
            handler.on_problem(Problem::Unannounced { ssrc, packets });
        }
    }

    /// From now on what arrives of a stream is dropped, and so is what waits.
    pub(super) fn refuse(&mut self, ssrc: u32, reason: DropReason) {
        self.others.set_standing(ssrc, Some(reason));
        for item in self.early.take(ssrc) {
            self.drop_item(item, reason);
        }
    }
}
