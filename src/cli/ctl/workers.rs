//! `roombot ctl workers` and `drain`: the machines of a service.

use super::service::{Service, encoded};
use super::text::{print_table, word};
use crate::cli::print::print_err;
use crate::error::Result;
use reqwest::Method;

const HEADER: [&str; 7] = ["WORKER", "STATE", "LOAD", "CAPACITY", "RECORDINGS", "SEEN", "LABELS"];

/// Lists the workers.
pub(super) async fn list(service: &Service) -> Result<()> {
    let answer = service.get("/v1/workers").await?;
    service.print(&answer, |answer| {
        print_table(HEADER, &answer["workers"], |worker| {
            let labels = worker["labels"].as_object().into_iter().flatten();
            let labels: Vec<_> = labels.map(|(key, value)| format!("{}={}", key.escape_debug(), word(value))).collect();
            let seen = format!("{:.1} s ago", worker["seen_ms"].as_f64().unwrap_or_default() / 1000.0);
            let [id, state, load, capacity, recordings] =
                ["id", "state", "load", "capacity", "recordings"].map(|key| word(&worker[key]));
            [id, state, load, capacity, recordings, seen, labels.join(" ")]
        });
    });
    Ok(())
}

/// Has a worker take nothing new.
pub(super) async fn drain(service: &Service, id: &str) -> Result<()> {
    service.answer(service.request(Method::POST, &format!("/v1/workers/{}/drain", encoded(id)))).await?;
    print_err!(
        "{} takes nothing new; stop it when `roombot ctl workers` shows no recordings of it.",
        id.escape_debug()
    );
    Ok(())
}
