//! Bars over a time axis: a row each for the presence, microphone, camera and screen of every participant. Pure.

use crate::cli::terminal::printable;
use crate::recording::intervals::{Activity, Interval};
use console::{Style, measure_text_width, truncate_str};

/// Columns of a participant's name at most.
pub(super) const LONGEST_NAME: usize = 20;
/// Columns between two ticks, at least.
const TICK_COLUMNS: u64 = 10;
/// Seconds between two ticks.
const TICKS: [u64; 14] = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200];

/// All rows, `width` columns wide, for a session of `duration_ms`.
pub fn render(activities: &[Activity], duration_ms: u64, width: usize, colours: bool) -> String {
    let names = activities.iter().map(|activity| measure_text_width(&printable(&activity.name)));
    let label = names.max().unwrap_or(0).clamp("  camera".len(), LONGEST_NAME) + 1;
    let columns = width.saturating_sub(label).max(10);
    let duration_ms = duration_ms.max(1);
    let cells = |full: &[Interval], light: &[Interval]| -> String {
        (0..columns as u64).map(|column| cell(column, columns as u64, duration_ms, full, light)).collect()
    };
    let mut out = axis(label, columns, duration_ms);
    for activity in activities {
        let rows = [
            (printable(&activity.name), Style::new(), &activity.present, &Vec::new()),
            ("  mic".into(), Style::new().green(), &activity.spoke, &activity.mic),
            ("  camera".into(), Style::new().blue(), &activity.camera, &Vec::new()),
            ("  screen".into(), Style::new().magenta(), &activity.screen, &Vec::new()),
        ];
        for (n, (name, style, full, light)) in rows.into_iter().enumerate() {
            if n > 0 && full.is_empty() && light.is_empty() {
                continue;
            }
            let name = truncate_str(&name, label - 1, "…");
            let gap = " ".repeat(label - measure_text_width(&name));
            let bar = cells(full, light);
            out.push_str(&format!("{name}{gap}{}\n", style.force_styling(colours).apply_to(bar.trim_end())));
        }
    }
    let legend = "█ there, speaking, sending  ▒ briefly  ░ mic open";
    out + &" ".repeat(label) + legend + "\n"
}

/// One cell: full where an interval of `full` covers half of it, shaded where it only touches, light where `light` touches.
fn cell(column: u64, columns: u64, duration_ms: u64, full: &[Interval], light: &[Interval]) -> char {
    // In 128 bits: a manifest may claim any duration.
    let at = |column: u64| (u128::from(column) * u128::from(duration_ms) / u128::from(columns)) as u64;
    let cell = Interval { start_ms: at(column), end_ms: at(column + 1).max(at(column) + 1) };
    let length = cell.end_ms - cell.start_ms;
    let covered = |by: &[Interval]| {
        let first = by.partition_point(|interval| interval.end_ms <= cell.start_ms);
        let touching = by[first..].iter().take_while(|interval| interval.start_ms < cell.end_ms);
        touching.map(|interval| interval.overlap(&cell)).fold(0, u64::saturating_add)
    };
    match covered(full) {
        0 if covered(light) > 0 => '░',
        0 => ' ',
        ms if ms.saturating_mul(2) >= length => '█',
        _ => '▒',
    }
}

/// Two lines: times, and ticks below them.
fn axis(label: usize, columns: usize, duration_ms: u64) -> String {
    let columns = columns as u64;
    let least_ms = duration_ms / columns * TICK_COLUMNS;
    let hour = TICKS[TICKS.len() - 1];
    let step_ms = TICKS.iter().map(|seconds| seconds * 1000).find(|ms| *ms >= least_ms);
    let step_ms = step_ms.unwrap_or_else(|| least_ms.div_ceil(hour * 1000) * hour * 1000);
    let mut times = " ".repeat(label);
    let mut ticks = times.clone();
    for tick_ms in (0..duration_ms).step_by(usize::try_from(step_ms).unwrap_or(usize::MAX)) {
        let column = label + (u128::from(tick_ms) * u128::from(columns) / u128::from(duration_ms)) as usize;
        let time = seconds(tick_ms / 1000);
        if column + time.len() > label + columns as usize || column < times.len() {
            continue;
        }
        times.push_str(&" ".repeat(column - times.len()));
        times.push_str(&time);
        ticks.push_str(&" ".repeat(column.saturating_sub(ticks.chars().count())));
        ticks.push('╷');
    }
    format!("{times}\n{ticks}\n")
}

fn seconds(seconds: u64) -> String {
    match seconds {
        0..3600 => format!("{}:{:02}", seconds / 60, seconds % 60),
        _ => format!("{}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60),
    }
}
