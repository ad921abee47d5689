//! When a recording ends by itself. Values and their limits only.

use super::invalid_field::InvalidField;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The longest recording, in seconds: a week.
pub(super) const LONGEST_S: u64 = 7 * 24 * 3600;
/// The largest recording, in bytes: a pebibyte, which every reader of JSON can count.
const MOST_BYTES: u64 = 1 << 50;

/// When a recording ends by itself, in seconds or bytes; 0 never.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AutoStop {
    /// Nobody came.
    pub nobody_joined_s: u64,
    /// Everybody has left.
    pub empty_s: u64,
    /// Nobody spoke.
    pub silence_s: u64,
    /// Only bots are in the room.
    pub only_bots_s: u64,
    /// Whatever happens.
    pub max_duration_s: u64,
    /// Media and shared files are so large together.
    pub max_bytes: u64,
}

impl Default for AutoStop {
    fn default() -> Self {
        AutoStop {
            nobody_joined_s: 1200,
            empty_s: 30,
            silence_s: 3600,
            only_bots_s: 600,
            max_duration_s: 14_400,
            max_bytes: 0,
        }
    }
}

impl AutoStop {
    /// Checks the values.
    ///
    /// # Errors
    /// The first field that cannot be used.
    pub(super) fn check(&self) -> Result<(), InvalidField> {
        let invalid = |field, problem: String| Err(InvalidField { field, problem });
        for (field, seconds) in [
            ("auto_stop.nobody_joined_s", self.nobody_joined_s),
            ("auto_stop.empty_s", self.empty_s),
            ("auto_stop.silence_s", self.silence_s),
            ("auto_stop.only_bots_s", self.only_bots_s),
            ("auto_stop.max_duration_s", self.max_duration_s),
        ] {
            if seconds > LONGEST_S {
                return invalid(field, format!("is at most {LONGEST_S} (a week)"));
            }
        }
        if self.max_bytes > MOST_BYTES {
            return invalid("auto_stop.max_bytes", format!("is at most {MOST_BYTES} (a pebibyte)"));
        }
        Ok(())
    }
}
