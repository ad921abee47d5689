//! The status of a running bot on stderr: redrawn in place on a terminal, a line now and then elsewhere.

use crate::bot::{TrackStatus, Watcher};
use crate::cli::display::Display;
use crate::cli::print::print_err;
use crate::cli::terminal::printable;
use console::{Term, style, truncate_str};
use std::time::Duration;

/// How often the display is redrawn.
const DRAW_EVERY: Duration = Duration::from_secs(1);
/// Redraws between two lines where there is no terminal.
const LOG_EVERY: u32 = 10;

/// Shows on stderr what the bot does; nothing if `quiet`.
pub(super) fn show(bot: Watcher, quiet: bool) -> Display {
    let term = Term::stderr();
    let redraw = term.is_term() && !quiet;
    Display::start(|mut stopped| async move {
        let (mut drawn, mut waited) = (0, LOG_EVERY);
        loop {
            tokio::select! {
                _ = stopped.changed() => break,
                () = tokio::time::sleep(DRAW_EVERY) => {}
            }
            let tracks = bot.tracks();
            if redraw {
                let width = usize::from(term.size().1).max(20);
                let lines = draw(&bot.doing(), &tracks, width);
                let _ = term.clear_last_lines(drawn);
                let _ = term.write_str(&(lines.join("\n") + "\n"));
                drawn = lines.len();
            } else if !quiet {
                waited += 1;
                if waited > LOG_EVERY {
                    waited = 0;
                    let all: Vec<String> = tracks.iter().map(track).collect();
                    let all = if all.is_empty() { "no tracks yet".to_owned() } else { all.join("; ") };
                    print_err!("{}: {all}", bot.doing());
                }
            }
        }
        let _ = term.clear_last_lines(drawn);
    })
}

fn draw(doing: &str, tracks: &[TrackStatus], width: usize) -> Vec<String> {
    let mut lines = vec![format!("{} {}", style("●").green(), style(printable(doing)).bold())];
    if tracks.is_empty() {
        lines.push(format!("  {}", style("no tracks yet").dim()));
    }
    lines.extend(tracks.iter().map(|one| format!("  {}", track(one))));
    lines.push(style("  help lists the commands; Ctrl-C stops").dim().to_string());
    lines.into_iter().map(|line| truncate_str(&line, width.saturating_sub(1), "…").into_owned()).collect()
}

/// One track in one line.
pub(super) fn track(track: &TrackStatus) -> String {
    let codec = if track.codec == track.back {
        track.codec.name().to_owned()
    } else {
        format!("{} to {}", track.codec.name(), track.back.name())
    };
    let size = track.size.map(|(w, h)| format!(" {w}x{h}")).unwrap_or_default();
    let what = format!("{} {} {codec}{size}", printable(&track.name), track.source.word());
    let skipped = if track.frames_skipped > 0 { format!(" ({} skipped)", track.frames_skipped) } else { String::new() };
    let delay = match (track.delay_p50_ms, track.delay_p95_ms) {
        (Some(half), Some(most)) => format!(", {half}/{most} ms"),
        _ => String::new(),
    };
    let now = if track.idle { "idle".to_owned() } else { format!("{}/s, {} kbit/s", track.fps, track.bitrate / 1000) };
    format!("{what}: {now}{delay}, {} of {} frames returned{skipped}", track.frames_out, track.frames_in)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::room::media::{Codec, Source};

    fn status() -> TrackStatus {
        TrackStatus {
            name: "Bob\u{1b}[2J".into(),
            source: Source::Camera,
            codec: Codec::Vp8,
            back: Codec::H264,
            idle: false,
            size: Some((640, 360)),
            bitrate: 960_000,
            frames_in: 310,
            frames_out: 300,
            frames_skipped: 10,
            fps: 30,
            key_frames: 1,
            delay_p50_ms: Some(8),
            delay_p95_ms: Some(14),
            decode_ms: 1.0,
            filter_ms: 1.0,
            encode_ms: 4.0,
        }
    }

    #[test]
    fn a_track_is_one_line() {
        let want = "Bob\u{fffd}[2J camera VP8 to H264 640x360: 30/s, 960 kbit/s, 8/14 ms, 300 of 310 frames returned (10 skipped)";
        assert_eq!(track(&status()), want);
        let idle = TrackStatus { idle: true, back: Codec::Vp8, delay_p50_ms: None, frames_skipped: 0, ..status() };
        assert_eq!(track(&idle), "Bob\u{fffd}[2J camera VP8 640x360: idle, 300 of 310 frames returned");
    }

    #[test]
    fn no_line_is_wider_than_the_terminal() {
        for line in draw("video none", &[status()], 30) {
            assert!(console::measure_text_width(&line) < 30, "{line}");
        }
    }
}
