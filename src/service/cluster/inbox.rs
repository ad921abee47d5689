//! Takes over what workers report, in the order of the stream: each report is one write, and is acknowledged after it.

use super::api_node::Cluster;
use super::bus::{Bus, BusError};
use super::merge::apply;
use super::wire::{FilmReport, REPORTS, Report};
use crate::service::database::recordings;
use crate::service::database::{Database, DatabaseError, events};
use crate::service::jobs::end_film;
use async_nats::jetstream::AckKind;
use async_nats::jetstream::consumer::{AckPolicy, pull};
use futures_util::StreamExt;
use jiff::Timestamp;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep;

/// The stream's one reader.
const READER: &str = "api";
/// A report that was not taken over in this time comes again.
const ACK_WAIT: Duration = Duration::from_secs(30);
const RETRY: Duration = Duration::from_millis(500);

/// Takes reports over until it is dropped.
pub async fn receive(cluster: Arc<Cluster>, database: Database) {
    loop {
        if let Some(bus) = cluster.bus()
            && let Err(e) = follow(bus, &database).await
        {
            tracing::warn!("reports of workers cannot be read: {e}");
        }
        sleep(RETRY).await;
    }
}

async fn follow(bus: &Bus, database: &Database) -> Result<(), BusError> {
    let config = pull::Config {
        durable_name: Some(READER.to_owned()),
        ack_policy: AckPolicy::Explicit,
        ack_wait: ACK_WAIT,
        // One after the other: those of a recording are in order.
        max_ack_pending: 1,
        ..pull::Config::default()
    };
    let stream = bus.context.get_stream(REPORTS).await.map_err(BusError::of)?;
    let consumer = stream.get_or_create_consumer(READER, config).await.map_err(BusError::of)?;
    let mut messages = consumer.messages().await.map_err(BusError::of)?;
    while let Some(message) = messages.next().await {
        let message = message.map_err(BusError::of)?;
        let kind = match serde_json::from_slice::<Report>(&message.payload) {
            Ok(report) => match take(database, report).await {
                Ok(()) => AckKind::Ack,
                Err(e) => {
                    tracing::error!("a report cannot be taken over and comes again: {e}");
                    AckKind::Nak(Some(Duration::from_secs(1)))
                }
            },
            Err(e) => {
                tracing::error!("a report is not understood and is left out: {e}");
                AckKind::Term
            }
        };
        message.ack_with(kind).await.map_err(BusError::of)?;
    }
    Ok(())
}

async fn take(database: &Database, mut report: Report) -> Result<(), DatabaseError> {
    if let Some(FilmReport { film, state, reason, media }) = report.film.take() {
        let by = (report.worker, report.session);
        return database.write(move |connection| end_film(connection, &film, Some(&by), (state, reason), media)).await;
    }
    let write = move |connection: &rusqlite::Connection| {
        let (id, now) = (report.recording.clone(), Timestamp::now());
        let taken = recordings::update(connection, &id, now, |stored| {
            let events = apply(stored, report, now);
            ((stored.recording.clone(), events), Vec::new())
        })?;
        // A recording that was deleted has no events.
        let Some((recording, new)) = taken else { return Ok(()) };
        for (at, event) in new {
            events::append(connection, &recording, at, vec![event])?;
        }
        Ok(())
    };
    database.write(write).await
}
