//! How `roombot ctl` prints what a service answers.

use crate::cli::print::print_out;
use comfy_table::{Table, presets};
use serde_json::Value;

/// A value as a word: what peers chose has no control characters.
pub(super) fn word(value: &Value) -> String {
    match value {
        Value::String(text) => text.escape_debug().to_string(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

/// Prints a table: a header, and a row for each value of `rows`.
pub(super) fn print_table<const N: usize>(header: [&str; N], rows: &Value, cells: impl Fn(&Value) -> [String; N]) {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_header(header);
    for row in rows.as_array().into_iter().flatten() {
        table.add_row(cells(row));
    }
    print_out!("{table}");
}
