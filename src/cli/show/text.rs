//! A recording as text: header, table of tracks, bars, chat and files, warnings. Pure.

use super::bars::{self, LONGEST_NAME};
use crate::cli::terminal::printable;
use crate::recording::manifest::{FileState, Manifest, Part, Span, TrackEntry, Unrecorded};
use crate::recording::report::{Report, State};
use crate::recording::subtitles::CHAT;
use crate::room::media::MediaKind;
use comfy_table::{CellAlignment, ColumnConstraint, ContentArrangement, Table, TableComponent, presets};
use console::{Style, truncate_str};
use indicatif::HumanBytes;
use std::fmt::Write;

/// From this width on, file names are not wrapped.
const WIDE: usize = 110;

/// The whole text, at most `width` columns wide; the table wraps within its cells.
pub fn render(report: &Report, width: usize, colours: bool) -> String {
    let paint = |style: Style| style.force_styling(colours);
    let manifest = &report.manifest;
    let mut out = String::new();
    let (style, state) = match report.state {
        State::Recording => (Style::new().red(), "being recorded now"),
        State::CutShort => (Style::new().yellow(), "cut short"),
        State::Complete => (Style::new().green(), "complete"),
        State::Partial => (Style::new().yellow(), "with losses"),
        State::Recovered => (Style::new().green(), "cut short, and recovered"),
    };
    let _ = writeln!(
        out,
        "{}  {} UTC, {}, {}",
        paint(Style::new().bold()).apply_to(printable(&manifest.room)),
        manifest.started.strftime("%Y-%m-%d %H:%M:%S"),
        clock(manifest.duration_ms),
        paint(style).apply_to(state)
    );
    let _ = writeln!(out, "{}", printable(&report.path.display().to_string()));
    if report.state == State::CutShort {
        out.push_str("Its files play as they are; the next `roombot record` into the same folder finishes them.\n");
    }
    if manifest.tracks.is_empty() {
        out.push_str("\nNo tracks.\n");
    } else {
        let _ = write!(out, "\n{}\n", table(report, width));
    }
    list(&mut out, "Parts", &parts(manifest), &paint(Style::new().bold()));
    list(&mut out, "Pauses", &pauses(manifest), &paint(Style::new().bold()));
    let losses: Vec<&str> = manifest.reasons.iter().map(|loss| loss.text.as_str()).collect();
    list(&mut out, "Losses", &losses, &paint(Style::new().yellow().bold()));
    let harmless = manifest.unrecorded.iter().filter(|stream| !stream.is_loss()).map(Unrecorded::text);
    let harmless: Vec<String> = harmless.collect();
    list(&mut out, "Not recorded, and no loss", &harmless, &paint(Style::new().bold()));
    if !report.activities.is_empty() {
        let _ = write!(out, "\n{}", bars::render(&report.activities, manifest.duration_ms, width, colours));
    }
    chat_and_files(&mut out, report, width, &paint(Style::new().bold()));
    let missing = report.missing.iter().map(|file| format!("{file} is not there"));
    // What is among the losses is not said twice.
    let others = manifest.warnings.iter().filter(|warning| !losses.contains(&warning.as_str())).cloned();
    let warnings: Vec<String> = missing.chain(others).collect();
    list(&mut out, "Warnings", &warnings, &paint(Style::new().yellow().bold()));
    out
}

/// The parts of a recording that was continued.
fn parts(manifest: &Manifest) -> Vec<String> {
    let line = |part: &Part| {
        let until = part.end_ms.map_or("now".into(), clock);
        let reason = part.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
        format!("{} to {until}{reason}", clock(part.start_ms))
    };
    if manifest.parts.len() < 2 { Vec::new() } else { manifest.parts.iter().map(line).collect() }
}

/// When the recorder was paused.
fn pauses(manifest: &Manifest) -> Vec<String> {
    let line = |pause: &Span| format!("{} to {}", clock(pause.start_ms), pause.end_ms.map_or("now".into(), clock));
    manifest.pauses.iter().map(line).collect()
}

/// A titled list; nothing where it is empty.
fn list(out: &mut String, title: &str, lines: &[impl AsRef<str>], style: &Style) {
    if !lines.is_empty() {
        let _ = writeln!(out, "\n{}", style.apply_to(title));
    }
    for line in lines {
        let _ = writeln!(out, "- {}", printable(line.as_ref()));
    }
}

/// Chat and files.
fn chat_and_files(out: &mut String, report: &Report, width: usize, title: &Style) {
    let messages = report.messages;
    if messages > 0 {
        let _ = writeln!(out, "\n{messages} {} in {CHAT}", if messages == 1 { "message" } else { "messages" });
    }
    if !report.manifest.files.is_empty() {
        let _ = writeln!(out, "\n{}", title.apply_to("Files"));
    }
    for file in &report.manifest.files {
        let how = match (file.state, &file.reason) {
            (FileState::Received, _) => format!("{}, received at {}", HumanBytes(file.bytes), clock(file.at_ms)),
            (FileState::Incomplete, reason) => {
                let reason = reason.as_deref().unwrap_or("still coming");
                format!("{} of {}: {}", HumanBytes(file.bytes), HumanBytes(file.size), printable(reason))
            }
        };
        let line = format!("- {}  {how}", printable(&file.file));
        let _ = writeln!(out, "{}", truncate_str(&line, width, "…"));
    }
}

fn table(report: &Report, width: usize) -> String {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_style(TableComponent::HeaderLines, '─').force_no_tty();
    table.set_content_arrangement(ContentArrangement::Dynamic).set_width(u16::try_from(width).unwrap_or(u16::MAX));
    table.set_header(["who", "source", "codec", "size", "duration", "frames", "bitrate", "loss", "sync", "file"]);
    // Each participant's tracks together, in the order of joining.
    let people = &report.manifest.participants;
    let mut tracks: Vec<_> = report.manifest.tracks.iter().collect();
    tracks.sort_by_key(|track| people.iter().position(|person| person.key == track.participant));
    for track in tracks {
        let person = people.iter().find(|person| person.key == track.participant);
        let length_ms = track.until_ms().saturating_sub(track.start_ms);
        table.add_row([
            truncate_str(&printable(person.map_or(&track.participant, |person| &person.name)), LONGEST_NAME, "…")
                .into_owned(),
            track.source.word().to_owned(),
            track.codec.name().to_owned(),
            size(track),
            clock(length_ms),
            track.frames.to_string(),
            bitrate(track.bytes, length_ms),
            share(track.lost, track.packets),
            track.sync_error_ms.map_or("-".into(), |error| format!("±{error:.1} ms")),
            printable(&track.file),
        ]);
    }
    for (n, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, 1));
        if (4..9).contains(&n) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        if n == 9 && width >= WIDE {
            // A wrapped file name cannot be copied.
            column.set_constraint(ColumnConstraint::ContentWidth);
        }
    }
    table.trim_fmt()
}

/// The picture's first and last size.
fn size(track: &TrackEntry) -> String {
    let one = |size: &crate::recording::manifest::Resolution| format!("{}x{}", size.width, size.height);
    match track.resolutions.as_slice() {
        [] if track.kind == MediaKind::Audio => String::new(),
        [] => "-".into(),
        [first, .., last] if one(first) != one(last) => format!("{} → {}", one(first), one(last)),
        [first, ..] => one(first),
    }
}

fn bitrate(bytes: u64, length_ms: u64) -> String {
    let kilobits = bytes as f64 * 8.0 / length_ms.max(1) as f64;
    match kilobits {
        _ if length_ms == 0 => "-".into(),
        1000.0.. => format!("{:.1} Mbit/s", kilobits / 1000.0),
        _ => format!("{kilobits:.0} kbit/s"),
    }
}

/// Lost packets in percent.
fn share(lost: u64, received: u64) -> String {
    let all = lost.saturating_add(received);
    if all == 0 { "-".into() } else { format!("{:.2} %", lost as f64 * 100.0 / all as f64) }
}

/// `1:02:03` or `2:03`; below ten seconds with a tenth.
fn clock(ms: u64) -> String {
    let seconds = ms / 1000;
    match seconds {
        0..10 => format!("0:{:04.1}", (ms / 100) as f64 / 10.0),
        10..3600 => format!("{}:{:02}", seconds / 60, seconds % 60),
        _ => format!("{}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60),
    }
}
