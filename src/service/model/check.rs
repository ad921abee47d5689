//! Checks: scenarios of `roombot check` that the service runs.

use super::id::Id;
use super::invalid_field::InvalidField;
use crate::recording::utc_ms;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Runs of one check, and of one that was inconclusive.
const MOST_RUNS: u32 = 20;
const MOST_RETRIES: u32 = 5;

/// A check that a client asks for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CheckRequest {
    /// The scenario, as in the TOML file of `roombot check` (docs/verify.md), as an object of the same fields.
    #[schema(value_type = Object)]
    pub scenario: serde_json::Map<String, serde_json::Value>,
    /// The random seed of impairments.
    #[serde(default = "one")]
    #[schema(maximum = 4_294_967_295u64)]
    pub seed: u32,
    /// How often it is run, with consecutive seeds.
    #[serde(default = "one")]
    #[schema(minimum = 1, maximum = 20)]
    pub repeat: u32,
    /// How often an inconclusive run is tried again.
    #[serde(default)]
    #[schema(maximum = 5)]
    pub retry: u32,
}

fn one() -> u32 {
    1
}

/// Where a check is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum CheckState {
    /// Waits for room on the machine, or runs.
    Open,
    /// There is a report.
    Done,
    /// It could not be run: the scenario, or this machine.
    Failed,
    Cancelled,
}

/// A check.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Check {
    pub id: Id,
    pub project: String,
    pub state: CheckState,
    /// The worst verdict of all runs: `pass`, `warn`, `fail`, `inconclusive`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<String>,
    /// Why it could not be run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    #[schema(value_type = String, format = DateTime)]
    #[serde(with = "utc_ms")]
    pub created_at: Timestamp,
    #[schema(value_type = Option<String>, format = DateTime)]
    #[serde(default, with = "utc_ms::option", skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Timestamp>,
    pub request: CheckRequest,
}

impl CheckRequest {
    /// Checks the numbers; `roombot check` reads the scenario.
    ///
    /// # Errors
    /// The first field that cannot be used.
    pub fn check(&self) -> Result<(), InvalidField> {
        let invalid = |field, problem: String| Err(InvalidField { field, problem });
        if !(1..=MOST_RUNS).contains(&self.repeat) {
            return invalid("repeat", format!("must be 1 to {MOST_RUNS}"));
        }
        if self.retry > MOST_RETRIES {
            return invalid("retry", format!("must be 0 to {MOST_RETRIES}"));
        }
        self.toml().map(drop).or_else(|problem| invalid("scenario", problem))
    }

    /// The scenario as a file.
    ///
    /// # Errors
    /// Why it cannot be one: TOML has no null.
    pub fn toml(&self) -> Result<String, String> {
        toml::to_string(&self.scenario).map_err(|e| format!("cannot be written as TOML: {e}"))
    }
}

impl Check {
    /// One that was just asked for.
    pub fn new(project: &str, request: CheckRequest, now: Timestamp) -> Check {
        Check {
            id: Id::new(Id::CHECK),
            project: project.to_owned(),
            state: CheckState::Open,
            verdict: None,
            reason: None,
            created_at: now,
            ended_at: None,
            request,
        }
    }

    /// Ends it, once.
    pub fn end(&mut self, state: CheckState, verdict: Option<String>, reason: Option<String>, now: Timestamp) {
        if self.state == CheckState::Open {
            (self.state, self.verdict, self.reason, self.ended_at) = (state, verdict, reason, Some(now));
        }
    }
}
