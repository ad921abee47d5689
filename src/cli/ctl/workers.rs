//! `roombot ctl workers` and `drain`: the machines of a service.

use super::{Service, encoded, word};
use crate::cli::print::{print_err, print_out};
use crate::error::Result;
use comfy_table::{Table, presets};
use reqwest::Method;

impl Service {
    /// Lists the workers.
    pub(super) async fn workers(&self) -> Result<()> {
        let answer = self.json(self.request(Method::GET, "/v1/workers")).await?;
        if self.json {
            print_out!("{answer}");
            return Ok(());
        }
        let mut table = Table::new();
        table.load_preset(presets::NOTHING);
        table.set_header(["WORKER", "STATE", "LOAD", "CAPACITY", "RECORDINGS", "SEEN", "LABELS"]);
        for worker in answer["workers"].as_array().into_iter().flatten() {
            let labels = worker["labels"].as_object().into_iter().flatten();
            let labels: Vec<_> = labels.map(|(key, value)| format!("{}={}", key.escape_debug(), word(value))).collect();
            let cells = ["id", "state", "load", "capacity", "recordings"].map(|key| word(&worker[key]));
            let seen = format!("{:.1} s ago", worker["seen_ms"].as_f64().unwrap_or_default() / 1000.0);
            table.add_row(cells.into_iter().chain([seen, labels.join(" ")]));
        }
        print_out!("{table}");
        Ok(())
    }

    /// Has a worker take nothing new.
    pub(super) async fn drain(&self, id: &str) -> Result<()> {
        self.answer(self.request(Method::POST, &format!("/v1/workers/{}/drain", encoded(id)))).await?;
        print_err!(
            "{} takes nothing new; stop it when `roombot ctl workers` shows no recordings of it.",
            id.escape_debug()
        );
        Ok(())
    }
}
