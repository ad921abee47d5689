//! `roombot verify`: measures stamped media in files, recordings and live rooms, and checks expectations. Changes nothing that it reads.

use super::args::{PipelineArgs, size};
use super::print::print_out;
use super::runtime::{interrupted, runtime};
use super::terminal::printable;
use crate::error::{Error, Result};
use crate::media::Library;
use crate::record::Recorder;
use crate::rtc::{Wake, is_local_address};
use crate::signal;
use crate::verify::expect::Expectation;
use crate::verify::quality::Quality;
use crate::verify::target::{self, StampNumbers, Target, TargetParticipant};
use crate::verify::verdict::{Report, TargetReport, Verdict, default_expectations, judge};
use crate::verify::watch::{self, Clocks, Delays, Watch};
use comfy_table::{CellAlignment, Table, presets};
use console::style;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The film that is verified together with the tracks of a recording.
const FILM: &str = "film.mp4";

/// Measure stamped media in recordings, films, other files and live rooms, and check expectations (`roombot stamp` makes such media).
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  roombot verify film.mp4 --expect 'participants == 4' --expect 'freezes == 0'
  roombot verify recordings/standup-20261122T140500Z        # every track, synchronised by the manifest, and the film
  roombot verify ws://127.0.0.1:8080/rooms/standup --seconds 20 --expect 'alice.first_frame_ms <= 2 s'
  roombot verify theirs.mkv --expect 'alice.lost_percent <= 1' --expect 'warn: av_p95_ms <= 20 during 5s..1m' --json

An expectation is [warn: ][WHO.]FIGURE <=|>=|==|<|> VALUE[ during FROM..UNTIL]; docs/verify.md lists the figures. Without --expect, the \
defaults apply: nothing lost, frozen, silent or out of sync. Exit code 0: all expectations hold. 5: some failed, or there is no evidence \
for them. 6: inconclusive (a missing decoder, or this machine was too busy).")]
pub struct VerifyArgs {
    /// Media files, recordings, and rooms (ws://host:port/rooms/NAME or wss://…).
    #[arg(value_name = "TARGET", required = true)]
    targets: Vec<PathBuf>,
    /// How many seconds to record a live room.
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=3600))]
    seconds: u32,
    /// The verifier's name in a live room.
    #[arg(long = "as", value_name = "NAME", default_value = "Judge")]
    own_name: String,
    /// The join token of a live room.
    #[arg(long)]
    token: Option<String>,
    /// How many ms a participant's clock is ahead of this machine's (from chrony or PTP): needed for the end-to-end delay of participants on
    /// other machines or behind a server; repeatable.
    #[arg(long = "clock", value_name = "NAME=MS", value_parser = ahead)]
    clocks: Vec<(String, f64)>,
    /// Expectation to check; repeatable.
    #[arg(long, value_name = "EXPECTATION")]
    expect: Vec<Expectation>,
    /// Stamp number of a participant, if it is not the default of the name's first letter; repeatable.
    #[arg(long = "name", value_name = "NAME=N", value_parser = named)]
    names: Vec<(String, u8)>,
    /// Also compare frames with their source (implied by `psnr_db` or `ssim` in an expectation).
    #[arg(long)]
    quality: bool,
    /// Size of the source's video, for that comparison.
    #[arg(long, value_name = "WxH", value_parser = size, default_value = "1280x720")]
    source_size: (u32, u32),
    /// Print one JSON object with every figure.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    pipelines: PipelineArgs,
}

/// Verifies all targets.
///
/// # Errors
/// [`Error::User`]: a target does not exist. [`Error::Failed`] and [`Error::Inconclusive`]: the verdict.
pub fn run(args: VerifyArgs) -> Result<()> {
    let args = &args;
    let library = Library::new(args.pipelines.pipelines.as_deref())?;
    let names: StampNumbers = args.names.iter().cloned().collect();
    let mut judged = Vec::new();
    for path in &args.targets {
        if let Some(room) = path.to_str().filter(|text| text.contains("://")) {
            judged.push(verify_room(&library, args, room, &names)?);
            continue;
        }
        let target = target::read(&library, path, &names)?;
        judged.push(verify_target(&library, args, &target, &names)?);
        let film = path.join(FILM);
        if film.is_file() {
            let numbers = target.participants.iter().map(|participant| (participant.who.clone(), participant.number));
            let names: StampNumbers = numbers.chain(names.clone()).collect();
            judged.push(verify_target(&library, args, &target::read(&library, &film, &names)?, &names)?);
        }
    }
    let report = Report::of(judged);
    if args.json {
        let text = serde_json::to_string_pretty(&report);
        print_out!("{}", text.map_err(|e| Error::internal("cannot print the report").because(e))?);
    } else {
        report.targets.iter().for_each(print);
    }
    conclude(&report)
}

/// Records a room for a while and verifies the recording, which has all that is needed: the media, the senders' clocks, and when
/// participants joined.
fn verify_room(library: &Library, args: &VerifyArgs, room: &str, names: &StampNumbers) -> Result<TargetReport> {
    let cannot = |e| Error::machine("cannot make a temporary folder").because(e);
    let folder = tempfile::Builder::new().prefix("roombot-verify-").tempdir().map_err(cannot)?;
    let ahead = |(who, ms): &(String, f64)| (target::number(names, who), *ms);
    // In other kinds of rooms a server forwards the media, which hides the sender's clock.
    let direct = room.starts_with("ws://") || room.starts_with("wss://");
    let clocks = Clocks { ahead_ms: args.clocks.iter().map(ahead).collect(), direct, ..Clocks::default() };
    let (recording, delays, trouble) =
        runtime()?.block_on(record_and_watch(library, args, room, folder.path(), &clocks))?;
    let mut target = target::read(library, &recording, names)?;
    target.add_delays(delays);
    target.trouble.extend(trouble);
    target.participants.retain(|participant| participant.who != args.own_name);
    let mut judged = verify_target(library, args, &target, names)?;
    judged.target = signal::public_url(room);
    Ok(judged)
}

/// Returns the recording, the delays of frames by participant, and what this machine failed to do.
async fn record_and_watch(
    library: &Library,
    args: &VerifyArgs,
    room: &str,
    parent: &Path,
    clocks: &Clocks,
) -> Result<(PathBuf, BTreeMap<u8, Delays>, Vec<String>)> {
    let stop = interrupted()?;
    let watch = Watch::new(library);
    let mut recorder = Recorder::builder(room)
        .out(parent)
        .name(&args.own_name)
        .token(args.token.clone())
        .duration(Duration::from_secs(args.seconds.into()))
        .files(None)
        .wake(Wake::OnArrival)
        .observer(watch.clone())
        .start()
        .await?;
    recorder.until(stop).await;
    let start = recorder.started();
    let folder = recorder.finish().await?.folder;
    let (watched, trouble) = watch.finish().await;
    Ok((folder, watch::delays(&watched, clocks, start, is_local_address), trouble))
}

fn verify_target(library: &Library, args: &VerifyArgs, target: &Target, names: &StampNumbers) -> Result<TargetReport> {
    let expected = if args.expect.is_empty() { default_expectations(target) } else { args.expect.clone() };
    let compares = args.quality || expected.iter().any(Expectation::needs_quality);
    let quality = if compares { target.quality(library, args.source_size)? } else { BTreeMap::new() };
    let figures =
        |participant: &TargetParticipant| quality.get(&participant.number).map(Quality::figures).unwrap_or_default();
    Ok(judge(target, &expected, names, figures))
}

/// The verdict as a result.
///
/// # Errors
/// [`Error::Failed`]: expectations failed. [`Error::Inconclusive`]: there is no verdict.
pub(super) fn conclude(report: &Report) -> Result<()> {
    let of = |verdict| report.targets.iter().flat_map(|t| &t.outcomes).filter(move |o| o.verdict == verdict).count();
    match report.verdict {
        Verdict::Pass | Verdict::Warn => Ok(()),
        Verdict::Fail => {
            let all = report.targets.iter().map(|t| t.outcomes.len()).sum::<usize>();
            let message = match of(Verdict::Fail) {
                0 => {
                    let damage = report.targets.iter().flat_map(|target| &target.damage).next();
                    printable(damage.map_or("the media is damaged", String::as_str))
                }
                failed => format!("{failed} of {all} expectations failed"),
            };
            Err(Error::failed(message))
        }
        Verdict::Inconclusive => {
            let trouble = report.targets.iter().flat_map(|t| &t.trouble).next();
            let why = trouble.map_or("nothing was measured", String::as_str);
            Err(Error::inconclusive(format!("no verdict: {why}")))
        }
    }
}

/// Prints a target's figures and outcomes as text.
pub(super) fn print(judged: &TargetReport) {
    print_out!("{}  {}", style(&judged.target).bold(), word(judged.verdict));
    for line in &judged.trouble {
        print_out!("  {}", style(format!("this machine: {line}")).yellow());
    }
    for line in &judged.damage {
        print_out!("  {}", style(format!("damage: {line}")).red());
    }
    for line in &judged.notes {
        print_out!("  note: {}", printable(line));
    }
    let compared = judged.participants.iter().any(|person| person.measures.figures.contains_key("psnr_db"));
    let watched = judged.participants.iter().any(|person| person.measures.delay.is_some());
    let delay = [("delay p50", "delay_p50_ms", 0), ("p95 ms", "delay_p95_ms", 0)];
    let quality = [("PSNR dB", "psnr_db", 1), ("SSIM", "ssim", 3), ("on time", "timeline_psnr_db", 1)];
    let columns: Vec<(&str, &str, usize)> = [
        ("frames", "frames", 0),
        ("lost", "lost", 0),
        ("doubled", "doubled", 0),
        ("fps", "fps", 1),
        ("freezes", "freezes", 0),
        ("longest ms", "longest_freeze_ms", 0),
        ("marks", "marks", 0),
        ("lost", "marks_lost", 0),
        ("gaps", "sound_gaps", 0),
        ("gap ms", "sound_gap_ms", 0),
        ("A/V p50 ms", "av_p50_ms", 1),
        ("p95 ms", "av_p95_ms", 1),
    ]
    .into_iter()
    .chain(delay.into_iter().filter(|_| watched))
    .chain(quality.into_iter().filter(|_| compared))
    .collect();
    let mut table = Table::new();
    table.load_preset(presets::NOTHING);
    table.set_header(std::iter::once("").chain(columns.iter().map(|(title, ..)| *title)));
    for person in &judged.participants {
        let cells = columns.iter().map(|(_, figure, digits)| match person.measures.figures.get(figure) {
            Some(value) => format!("{value:.digits$}"),
            None => "-".to_owned(),
        });
        table.add_row(std::iter::once(printable(&person.who)).chain(cells));
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    print_out!("{table}");
    for outcome in &judged.outcomes {
        let who = outcome.who.as_ref().map(|who| format!("{}: ", printable(who))).unwrap_or_default();
        let measured = match outcome.measured {
            Some(value) => format!("{}", (value * 100.0).round() / 100.0),
            None => "no evidence".to_owned(),
        };
        print_out!("  {:12} {who}{} (is {measured})", word(outcome.verdict), outcome.expected);
    }
}

fn word(verdict: Verdict) -> String {
    let word = verdict.as_str();
    match verdict {
        Verdict::Pass => style(word).green().to_string(),
        Verdict::Warn | Verdict::Inconclusive => style(word).yellow().to_string(),
        Verdict::Fail => style(word).red().to_string(),
    }
}

/// `alice=7`.
fn named(text: &str) -> Result<(String, u8), String> {
    let parts = text.split_once('=').and_then(|(name, number)| Some((name.to_owned(), number.parse().ok()?)));
    parts.filter(|(name, _)| !name.is_empty()).ok_or_else(|| format!("`{text}`: write it as alice=7, 0 to 255"))
}

/// `alice=-3.5`.
fn ahead(text: &str) -> Result<(String, f64), String> {
    let parts = text.split_once('=').and_then(|(name, ms)| Some((name.to_owned(), ms.parse().ok()?)));
    let parts = parts.filter(|(name, ms): &(String, f64)| !name.is_empty() && ms.is_finite());
    parts.ok_or_else(|| format!("`{text}`: write it as alice=-3.5, in ms"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_numbers() {
        assert_eq!(named("alice=7"), Ok(("alice".to_owned(), 7)));
        for text in ["alice", "=7", "alice=256", "alice="] {
            assert!(named(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_verdict_is_the_exit_code() {
        let judged = |verdict| TargetReport {
            target: "x".into(),
            verdict,
            trouble: vec![],
            damage: vec![],
            notes: vec![],
            files: vec![],
            figures: Default::default(),
            participants: vec![],
            outcomes: vec![],
        };
        let code = |verdicts: &[Verdict]| {
            let report = Report::of(verdicts.iter().map(|v| judged(*v)).collect());
            conclude(&report).map_or_else(|e| e.exit_code(), |()| 0)
        };
        use Verdict::{Fail, Inconclusive, Pass, Warn};
        assert_eq!(
            (code(&[Pass, Warn]), code(&[Fail, Pass]), code(&[Pass, Inconclusive, Fail]), code(&[])),
            (0, 5, 6, 6)
        );
    }
}
