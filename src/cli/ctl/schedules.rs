//! `roombot ctl schedules`, `schedule` and `unschedule`: recordings at the times of a cron expression.

use super::recordings::RequestArgs;
use super::service::{Service, encoded};
use super::text::{print_table, word};
use crate::cli::args::duration;
use crate::cli::print::{print_err, print_out};
use crate::error::Result;
use crate::signal;
use clap::Args;
use serde_json::json;
use std::time::Duration;

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  roombot ctl schedules
  roombot ctl schedules --json | jq -r '.schedules[] | select(.last_missed) | .id'")]
pub(super) struct ListArgs {
    /// At most so many.
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=500))]
    limit: u32,
}

impl ListArgs {
    pub async fn run(&self, service: &Service) -> Result<()> {
        let page = service.list("/v1/schedules", self.limit, &[]).await?;
        service.print(&page, |page| {
            print_table(["ID", "NAME", "CRON", "TIME ZONE", "NEXT", "LAST"], &page["schedules"], |schedule| {
                let request = &schedule["request"];
                let next = if schedule["next_at"].is_null() { "never".to_owned() } else { word(&schedule["next_at"]) };
                let [name, cron, zone] = ["name", "cron", "time_zone"].map(|key| word(&request[key]));
                [word(&schedule["id"]), name, cron, zone, next, word(&schedule["last"]["recording"])]
            });
        });
        Ok(())
    }
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  roombot ctl schedule wss://rooms.example.org/rooms/standup --cron '30 9 * * MON-FRI' --time-zone Europe/Berlin --for 30m
  roombot ctl schedule wss://rooms.example.org/rooms/board --cron '0 14 * * FRI#L' --for 2h --name 'Last Friday' --film grid

The expression has minute, hour, day of the month, month and day of the week, as in cron(5).")]
pub(super) struct ScheduleArgs {
    /// When, as in cron(5).
    #[arg(long, value_name = "EXPRESSION")]
    cron: String,
    /// The time zone of these times.
    #[arg(long, value_name = "NAME", default_value = "UTC")]
    time_zone: String,
    /// How long each recording lasts at most: 30m, 1h30m.
    #[arg(long = "for", value_name = "TIME", value_parser = duration)]
    duration: Duration,
    /// The schedule's name; the room's if absent.
    #[arg(long = "name", value_name = "NAME")]
    schedule_name: Option<String>,
    #[command(flatten)]
    request: RequestArgs,
    /// The same key and request give the same schedule for 24 hours.
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
}

impl ScheduleArgs {
    pub async fn run(&self, service: &Service) -> Result<()> {
        let body = json!({
            "name": self.schedule_name.clone().unwrap_or_else(|| signal::room_name(&self.request.room)),
            "cron": self.cron,
            "time_zone": self.time_zone,
            "duration_s": self.duration.as_secs(),
            "recording": self.request.body()?,
        });
        let schedule = service.make("/v1/schedules", &body, self.idempotency_key.as_deref()).await?;
        service
            .print(&schedule, |schedule| print_out!("{} next {}", word(&schedule["id"]), word(&schedule["next_at"])));
        Ok(())
    }
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  roombot ctl unschedule sch_01jdzq4h8v0t3k5m7n9p1r3s5t")]
pub(super) struct UnscheduleArgs {
    /// The schedule's id.
    #[arg(value_name = "SCHEDULE")]
    id: String,
}

impl UnscheduleArgs {
    pub async fn run(&self, service: &Service) -> Result<()> {
        service.delete(&format!("/v1/schedules/{}", encoded(&self.id))).await?;
        print_err!("Deleted {}.", self.id);
        Ok(())
    }
}
