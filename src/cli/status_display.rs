//! The status of a running recording on stderr: redrawn in place on a terminal, a line now and then elsewhere.

use super::display::Display;
use super::print::print_err;
use super::terminal::printable;
use crate::record::status::{PersonStatus, Status, TrackStatus};
use console::{Term, measure_text_width, style, truncate_str};
use indicatif::HumanBytes;
use tokio::sync::watch;

/// The warnings that are shown on a terminal: the latest.
const SHOWN_WARNINGS: usize = 4;
/// Milliseconds between two lines where there is no terminal and nothing but figures changes.
const LOG_EVERY_MS: u64 = 10_000;

/// Shows `status` on stderr whenever it changes; only new warnings if `quiet`. `keys`: keys are read.
pub(super) fn show(mut status: watch::Receiver<Status>, quiet: bool, keys: bool) -> Display {
    let term = Term::stderr();
    let redraw = term.is_term() && !quiet && !crate::log::is_json();
    Display::start(|mut stopped| async move {
        let (mut drawn, mut warned) = (0, 0);
        let mut logged: Option<(u64, (bool, Vec<String>))> = None;
        loop {
            tokio::select! {
                _ = stopped.changed() => break,
                changed = status.changed() => if changed.is_err() { break },
            }
            let now = status.borrow_and_update().clone();
            if redraw {
                let lines = draw(&now, keys, usize::from(term.size().1).max(20));
                let _ = term.clear_last_lines(drawn);
                let _ = term.write_str(&(lines.join("\n") + "\n"));
                drawn = lines.len();
                continue;
            }
            for warning in now.warnings.iter().skip(warned) {
                print_err!("warning: {}", printable(warning));
            }
            warned = warned.max(now.warnings.len());
            if !quiet {
                let people: Vec<String> = now.people.iter().map(summary_of).collect();
                let state = (now.paused, people);
                let due =
                    logged.as_ref().is_none_or(|(at, before)| *before != state || now.elapsed_ms >= at + LOG_EVERY_MS);
                if due {
                    print_err!("{}", line(&now, &state.1));
                    logged = Some((now.elapsed_ms, state));
                }
            }
        }
        let _ = term.clear_last_lines(drawn);
    })
}

/// The status in one line.
fn line(status: &Status, people: &[String]) -> String {
    let who = if people.is_empty() { "nobody is here".to_owned() } else { people.join(", ") };
    let exchanged = chat_and_files(status).map(|t| format!("; {t}")).unwrap_or_default();
    let trouble = status.trouble.as_ref().map(|t| format!("; {t}")).unwrap_or_default();
    let paused = if status.paused { " paused" } else { "" };
    format!("{}{paused} {}: {who}{exchanged}{trouble}", clock(status.elapsed_ms), HumanBytes(status.bytes))
}

/// How many chat messages and files there are, if any.
fn chat_and_files(status: &Status) -> Option<String> {
    let count = |n: u64, one: &str| format!("{n} {one}{}", if n == 1 { "" } else { "s" });
    let mut parts = Vec::new();
    if status.chats > 0 {
        parts.push(count(status.chats, "message"));
    }
    if status.files > 0 {
        parts.push(format!("{} ({})", count(status.files, "file"), HumanBytes(status.file_bytes)));
    }
    if status.files_coming > 0 {
        parts.push(format!("{} coming", count(status.files_coming, "file")));
    }
    (!parts.is_empty()).then(|| parts.join(", "))
}

/// A participant and their tracks, without figures: the same until tracks come or go.
fn summary_of(person: &PersonStatus) -> String {
    let tracks: Vec<&str> = person.tracks.iter().map(|t| t.source.word()).collect();
    let tracks = if tracks.is_empty() { String::new() } else { format!(" ({})", tracks.join(" ")) };
    format!("{}{tracks}", printable(&person.name))
}

fn clock(ms: u64) -> String {
    let seconds = ms / 1000;
    format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

/// The whole display; no line is as wide as `width` columns.
fn draw(status: &Status, keys: bool, width: usize) -> Vec<String> {
    let (mark, state) =
        if status.paused { (style("‖").yellow(), "paused") } else { (style("●").red(), "recording") };
    let mut lines =
        vec![format!("{mark} {}  {}  {}", style(state).bold(), clock(status.elapsed_ms), HumanBytes(status.bytes))];
    if status.people.is_empty() {
        lines.push(format!("  {}", style("nobody is here yet").dim()));
    }
    let name_width = status.people.iter().map(|p| measure_text_width(&printable(&p.name))).max().unwrap_or(0).min(24);
    for person in &status.people {
        let name = truncate_str(&printable(&person.name), 24, "…").into_owned();
        let pad = " ".repeat(name_width.saturating_sub(measure_text_width(&name)));
        let tracks: Vec<String> = person.tracks.iter().map(track).collect();
        let tracks = if tracks.is_empty() { style("no tracks").dim().to_string() } else { tracks.join("  ") };
        lines.push(format!("  {}{pad}  {tracks}", style(name).cyan()));
    }
    if let Some(exchanged) = chat_and_files(status) {
        lines.push(format!("  {}", style(exchanged).dim()));
    }
    if status.dropped > 0 {
        lines.push(format!("  {}", style(format!("capture dropped {} packets", status.dropped)).red()));
    }
    let earlier = status.warnings.len().saturating_sub(SHOWN_WARNINGS);
    if earlier > 0 {
        lines.push(format!("  {}", style(format!("{earlier} earlier warnings")).yellow()));
    }
    for warning in status.warnings.iter().skip(earlier) {
        lines.push(format!("  {}", style(printable(warning)).yellow()));
    }
    if let Some(trouble) = &status.trouble {
        lines.push(format!("  {}", style(printable(trouble)).red()));
    }
    let pause = match (keys, status.paused) {
        (true, false) => "p pauses, ",
        (true, true) => "p resumes, ",
        (false, _) => "",
    };
    lines.push(style(format!("  {pause}Ctrl-C ends the recording")).dim().to_string());
    lines.into_iter().map(|line| truncate_str(&line, width.saturating_sub(1), "…").into_owned()).collect()
}

fn track(track: &TrackStatus) -> String {
    let size = track.size.map(|(w, h)| format!(" {w}x{h}")).unwrap_or_default();
    let rate = if track.waiting {
        style("waiting for a key frame").yellow().to_string()
    } else if track.bitrate >= 1_000_000 {
        format!("{:.1} Mbit/s", track.bitrate as f64 / 1e6)
    } else {
        format!("{} kbit/s", track.bitrate / 1000)
    };
    let loss = if track.loss >= 0.0005 {
        format!(" {}", style(format!("-{:.1} %", track.loss * 100.0)).yellow())
    } else {
        String::new()
    };
    format!("{} {}{size} {rate}{loss}", style(track.source.word()).bold(), track.codec.name())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::room::media::{Codec, Source};
    use crate::room::participant::Role;

    fn status() -> Status {
        let camera = TrackStatus {
            source: Source::Camera,
            codec: Codec::Vp8,
            bitrate: 2_512_000,
            loss: 0.012,
            size: Some((1280, 720)),
            waiting: false,
        };
        let mic = TrackStatus {
            source: Source::Mic,
            codec: Codec::Opus,
            bitrate: 32_000,
            loss: 0.0,
            size: None,
            ..camera.clone()
        };
        Status {
            elapsed_ms: 3_723_000,
            bytes: 5 << 20,
            people: vec![
                PersonStatus { name: "Alice".into(), role: Role::Participant, tracks: vec![camera, mic] },
                PersonStatus { name: "Bob\u{1b}[2J".into(), role: Role::Participant, tracks: vec![] },
            ],
            chats: 2,
            files: 1,
            file_bytes: 3 << 20,
            files_coming: 4,
            ..Status::default()
        }
    }

    #[test]
    fn the_display_lists_participants_and_tracks() {
        console::set_colors_enabled(false);
        let lines = draw(&status(), false, 200);
        assert_eq!(lines[0], "● recording  01:02:03  5.00 MiB");
        assert_eq!(lines[1], "  Alice    camera VP8 1280x720 2.5 Mbit/s -1.2 %  mic opus 32 kbit/s");
        assert_eq!(lines[3], "  2 messages, 1 file (3.00 MiB), 4 files coming");
        assert!(lines[2].contains("Bob\u{fffd}[2J") && lines[2].ends_with("no tracks"), "{}", lines[2]);
    }

    #[test]
    fn a_pause_and_its_key_are_shown() {
        console::set_colors_enabled(false);
        assert_eq!(
            draw(&status(), true, 200).last().map(String::as_str),
            Some("  p pauses, Ctrl-C ends the recording")
        );
        let paused = Status { paused: true, ..status() };
        let lines = draw(&paused, true, 200);
        assert_eq!(lines[0], "‖ paused  01:02:03  5.00 MiB");
        assert_eq!(lines.last().map(String::as_str), Some("  p resumes, Ctrl-C ends the recording"));
        assert!(line(&paused, &[]).starts_with("01:02:03 paused 5.00 MiB: "));
    }

    #[test]
    fn the_latest_warnings_are_shown_and_the_others_counted() {
        console::set_colors_enabled(false);
        let warnings = (1..=6).map(|n| format!("warning {n}")).collect();
        let lines = draw(&Status { warnings, ..status() }, false, 200);
        assert_eq!(lines[4..7], ["  2 earlier warnings", "  warning 3", "  warning 4"]);
        assert_eq!((lines[8].as_str(), lines.len()), ("  warning 6", 10));
    }

    #[test]
    fn no_line_is_wider_than_the_terminal() {
        for line in draw(&status(), true, 30) {
            assert!(measure_text_width(&line) < 30, "{line}");
        }
    }

    #[test]
    fn without_a_terminal_it_is_a_line() {
        let status = status();
        let people: Vec<String> = status.people.iter().map(summary_of).collect();
        assert_eq!(
            line(&status, &people),
            "01:02:03 5.00 MiB: Alice (camera mic), Bob\u{fffd}[2J; 2 messages, 1 file (3.00 MiB), 4 files coming"
        );
    }
}
