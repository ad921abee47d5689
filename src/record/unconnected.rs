//! Participants who have media and to whom there is no connection: their labels are watched as those of a connection that brings nothing.

use super::connection::{Connection, Shared};
use super::notices::Notices;
use crate::room::participant::ParticipantId;
use std::collections::HashMap;
use std::time::Instant;

/// Stand-ins for connections that there are not.
#[derive(Default)]
pub(super) struct Unconnected {
    stand_ins: HashMap<ParticipantId, Connection>,
}

impl Unconnected {
    /// Looks who is there, has labelled something that is not muted, and is not connected. Called about once a second.
    pub fn watch(&mut self, is_connected: impl Fn(&ParticipantId) -> bool, now: Instant, shared: &mut Shared) {
        let senders = shared.context.log.senders();
        let gone = |id: &ParticipantId, _: &mut Connection| is_connected(id) || !senders.iter().any(|s| s.id == *id);
        for (_, stand_in) in self.stand_ins.extract_if(gone).collect::<Vec<_>>() {
            stand_in.end(now, shared);
        }
        for sender in senders.iter().filter(|sender| !is_connected(&sender.id)) {
            let stand_in = self.stand_ins.entry(sender.id.clone()).or_insert_with(|| {
                let notices = Notices::new(sender.key.clone(), true, now);
                let config = shared.context.reception.subscriber(now);
                let whose = (sender.id.clone(), sender.key.clone());
                Connection::new(whose, Default::default(), sender.labels.clone(), notices, config)
            });
            stand_in.labelled(sender.labels.clone(), now, shared);
            stand_in.watch(now, shared);
        }
    }

    /// The recorder goes on after a pause.
    pub fn resume(&mut self, now: Instant) {
        self.stand_ins.values_mut().for_each(|stand_in| stand_in.resume(now));
    }

    /// The recording ends.
    pub fn end(self, at: Instant, shared: &mut Shared) {
        self.stand_ins.into_values().for_each(|stand_in| stand_in.end(at, shared));
    }
}
