//! What a feed has sent, for people or for programs.

use super::playout::Sent;
use crate::cli::print::print_out;
use crate::room::end::EndReason;
use serde::Serialize;

/// The result of a feed.
#[derive(Serialize)]
pub(super) struct Report<'a> {
    pub name: &'a str,
    pub copies: u16,
    pub reason: &'a str,
    pub reason_code: &'a str,
    pub exit_code: u8,
    pub seconds: f64,
    pub tracks: &'a [Sent],
}

impl Report<'_> {
    /// Prints it on stdout, as JSON if wanted.
    pub fn print(&self, json: bool) {
        if json {
            return print_out!("{}", serde_json::json!(self));
        }
        print_out!("{} was in the room for {:.1} s; {}.", self.name, self.seconds, self.reason);
        for s in self.tracks {
            let late = if s.late > 0 { format!(", {} late", s.late) } else { String::new() };
            let before = s.frames - s.playable.min(s.frames);
            let before = if before > 0 { format!(", {before} before the first key frame") } else { String::new() };
            let was = s.encoded_from.as_ref().map(|was| format!(" (from {was})")).unwrap_or_default();
            print_out!(
                "  {} {}{was}: {} frames, {} kB{late}{before}",
                s.source.word(),
                s.codec.name(),
                s.frames,
                s.bytes / 1000
            );
        }
    }
}

/// Adds a report to those of the same source.
pub(super) fn add(sent: &mut Vec<Sent>, more: Vec<Sent>) {
    for new in more {
        match sent.iter_mut().find(|s| s.source == new.source) {
            Some(sent) => sent.add(&new),
            None => sent.push(new),
        }
    }
}

/// Why the feed ended, in the words of its report.
pub(super) fn reason_text(reason: &EndReason) -> String {
    match reason {
        EndReason::TimeUp => "the time is over".to_owned(),
        reason => reason.to_string(),
    }
}
