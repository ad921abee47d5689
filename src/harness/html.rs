//! Runs as one self-contained HTML page: verdicts, figures, and plots over time. The template is `templates/report.html`. Pure; it writes no file.

use super::plot::{Plot, Shape};
use super::run::ScenarioRun;
use crate::error::{Error, Result};
use crate::verify::detections::Interval;
use crate::verify::quality::ComparedFrame;
use crate::verify::verdict::{Outcome, ParticipantReport, TargetReport, Verdict};
use askama::Template;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;

/// Minimum reach of a plot's value axis: milliseconds, and lost frames.
const MIN_MS: f64 = 10.0;
const MIN_LOST: f64 = 1.0;

const STYLE: &str = include_str!("templates/report.css");

/// The report on these runs.
///
/// # Errors
/// Ours: a template fails.
pub fn html(runs: &[ScenarioRun]) -> Result<String> {
    let page = Page { style: STYLE, runs: runs.iter().map(run).collect::<Result<_>>()? };
    page.render().map_err(|e| Error::internal("cannot write the HTML report").because(e))
}

#[derive(Template)]
#[template(path = "report.html", config = "src/harness/templates/askama.toml")]
struct Page {
    style: &'static str,
    runs: Vec<RunView>,
}

struct RunView {
    name: String,
    seed: u64,
    verdict: &'static str,
    met: usize,
    expectations: usize,
    targets: Vec<TargetView>,
    worst: Vec<WorstView>,
}

struct TargetView {
    path: String,
    problems: Vec<String>,
    notes: Vec<String>,
    met: Vec<OutcomeView>,
    not_met: Vec<OutcomeView>,
    participants: Vec<ParticipantView>,
    files: Vec<FileView>,
}

struct OutcomeView {
    expected: String,
    who: String,
    measured: String,
    verdict: &'static str,
}

struct ParticipantView {
    name: String,
    figures: Vec<(&'static str, String)>,
    /// Finished HTML.
    plots: Vec<String>,
    lost_nothing: bool,
}

struct FileView {
    name: String,
    bytes: u64,
    rate: String,
    sha256: String,
}

struct WorstView {
    name: String,
    at: String,
    psnr: String,
    /// Caption and PNG in Base64.
    images: Vec<(&'static str, String)>,
}

fn run(run: &ScenarioRun) -> Result<RunView> {
    let targets = run.report.targets.iter().map(target).collect::<Result<Vec<_>>>()?;
    Ok(RunView {
        name: printable(&run.scenario.name),
        seed: run.seed,
        verdict: run.report.verdict.as_str(),
        met: targets.iter().map(|target| target.met.len()).sum(),
        expectations: targets.iter().map(|target| target.met.len() + target.not_met.len()).sum(),
        worst: run.worst.iter().map(|(name, pair)| worst(name, pair)).collect(),
        targets,
    })
}

fn target(judged: &TargetReport) -> Result<TargetView> {
    let lines = |lines: &[String]| lines.iter().map(|line| printable(line)).collect::<Vec<_>>();
    let (met, not_met): (Vec<&Outcome>, Vec<&Outcome>) =
        judged.outcomes.iter().partition(|outcome| outcome.verdict == Verdict::Pass);
    let views = |outcomes: Vec<&Outcome>| outcomes.into_iter().map(outcome).collect();
    let length = judged.figures.get("length_ms").map_or(1.0, |ms| ms / 1000.0).max(0.001);
    let file = |file: &crate::verify::FileInfo| FileView {
        name: printable(&file.file),
        bytes: file.bytes,
        rate: file.kilobits_per_second.map(|rate| format!("{rate:.0}")).unwrap_or_default(),
        sha256: file.sha256.clone(),
    };
    Ok(TargetView {
        path: printable(&judged.target),
        problems: [lines(&judged.trouble), lines(&judged.damage)].concat(),
        notes: lines(&judged.notes),
        met: views(met),
        not_met: views(not_met),
        participants: judged.participants.iter().map(|p| participant(p, length)).collect::<Result<_>>()?,
        files: judged.files.iter().map(file).collect(),
    })
}

fn outcome(outcome: &Outcome) -> OutcomeView {
    OutcomeView {
        expected: printable(&outcome.expected),
        who: printable(outcome.who.as_deref().unwrap_or("the whole")),
        measured: outcome.measured.map_or("no evidence".to_owned(), number),
        verdict: outcome.verdict.as_str(),
    }
}

fn participant(participant: &ParticipantReport, length: f64) -> Result<ParticipantView> {
    let frames = participant.measures.frames.as_ref();
    Ok(ParticipantView {
        name: printable(&participant.who),
        figures: participant.measures.figures.iter().map(|(name, value)| (*name, number(*value))).collect(),
        plots: plots(participant, length)?,
        lost_nothing: frames.is_some_and(|frames| frames.losses.is_empty()),
    })
}

fn plots(participant: &ParticipantReport, length: f64) -> Result<Vec<String>> {
    let mut plots = Vec::new();
    let mut draw = |title: &str, shape: Shape, points: &[(f64, f64)], bands: &[Interval], least: f64| {
        if !points.is_empty() {
            plots.push(Plot { title, shape, points, bands, length, least }.html()?);
        }
        Ok::<(), Error>(())
    };
    if let Some(delay) = &participant.measures.delay {
        draw("End-to-end delay, ms", Shape::Dots, &delay.points, &[], MIN_MS)?;
    }
    if let Some(sync) = &participant.measures.sync {
        let offsets: Vec<(f64, f64)> = sync.points.iter().map(|p| (p.at, p.offset_ms)).collect();
        let gaps = participant.measures.sounds.as_ref().map_or(&[][..], |sounds| &sounds.gaps);
        draw("Audio after video, ms; red: silences", Shape::Dots, &offsets, gaps, MIN_MS)?;
    }
    if let Some(frames) = &participant.measures.frames {
        let freezes = &frames.freezes;
        draw(
            "FrameMeasurement later than the median, ms; red: freezes",
            Shape::Dots,
            &frames.lateness,
            freezes,
            MIN_MS,
        )?;
        draw("FrameMeasurement lost; red: freezes", Shape::Stems, &frames.losses, freezes, MIN_LOST)?;
    }
    Ok(plots)
}

/// The frame with the lowest PSNR beside its source.
fn worst(name: &str, pair: &ComparedFrame) -> WorstView {
    let images = [("received", &pair.received), ("sent", &pair.sent)];
    let images = images.into_iter().filter_map(|(caption, luma)| Some((caption, png(pair, luma)?)));
    WorstView {
        name: printable(name),
        at: format!("{:.1}", pair.at),
        psnr: format!("{:.1}", pair.psnr_db),
        images: images.collect(),
    }
}

/// A greyscale PNG in Base64.
fn png(pair: &ComparedFrame, luma: &[u8]) -> Option<String> {
    let (width, height) = (u32::try_from(pair.width).ok()?, u32::try_from(pair.height).ok()?);
    let image = image::GrayImage::from_raw(width, height, luma.to_vec())?;
    let mut png = std::io::Cursor::new(Vec::new());
    image.write_to(&mut png, image::ImageFormat::Png).ok()?;
    Some(BASE64_STANDARD.encode(png.get_ref()))
}

/// `3`, `6.47`: at most two digits, no trailing zeros.
fn number(value: f64) -> String {
    let text = format!("{value:.2}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" { "0".to_owned() } else { text.to_owned() }
}

/// Text without control characters, which HTML does not allow. The template escapes the rest.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::harness::scenario::Scenario;
    use crate::room::media::MediaKind;
    use crate::verify::detections::{FrameDelay, FrameDetection, Trace};
    use crate::verify::target::{StampNumbers, Target, TargetParticipant};
    use crate::verify::verdict::{Report, judge};
    use std::collections::BTreeSet;

    /// A report on Alice, who loses ten frames after two seconds, with 300 ms more delay from then on, and on Bob, who sends nothing.
    fn page() -> String {
        let frame = |n: u32| FrameDetection { at: f64::from(n) / 30.0, number: n, rate: 30 };
        let delay = |n: u32| FrameDelay { at: f64::from(n) / 30.0, ms: if n < 60 { 20.0 } else { 320.0 } };
        let frames = (0..120).filter(|n| !(60..70).contains(n)).map(frame).collect();
        let trace = Trace { frames, delays: (0..120).map(delay).collect(), ..Trace::default() };
        let kinds = BTreeSet::from([MediaKind::Video]);
        let participant = TargetParticipant {
            who: "alice".into(),
            number: 1,
            start: 0.0,
            trace,
            wrong: Some(0),
            join_times: vec![],
            kinds: kinds.clone(),
        };
        let target = Target {
            path: "recording".into(),
            participants: vec![participant],
            pictures: 110,
            blank: 0,
            unread: 0,
            length: 4.0,
            kinds,
            video_files: vec![],
            files: vec![],
            damage: vec![],
            trouble: vec![],
            notes: vec!["no end-to-end delay of bob: his clock is another".into()],
        };
        let scenario = "name = '<b>'\nduration = '4s'\nexpect = ['lost == 0', 'alice.freezes >= 0', 'bob.frames > 0']\n\
            [[people]]\nname = 'alice'\n";
        let scenario = Scenario::parse(scenario).unwrap();
        let judged = judge(&target, &scenario.expect, &StampNumbers::new(), |_| vec![]);
        let report = Report::of(vec![judged]);
        html(&[ScenarioRun { scenario, seed: 7, report, folder: "check".into(), worst: vec![] }]).unwrap()
    }

    /// The values of an attribute in the plot with this title.
    fn drawn(page: &str, title: &str, element: &str, attribute: &str) -> Vec<f64> {
        let from = page.find(&format!("aria-label=\"{title}")).unwrap_or_else(|| panic!("no {title} in {page}"));
        let svg = page[from..].split("</svg>").next().unwrap();
        let values = svg.split(element).skip(1).map(|rest| {
            let rest = rest.split(&format!("{attribute}=\"")).nth(1).unwrap();
            rest.split(['"', ' ']).next().unwrap().trim_start_matches('M').parse().unwrap()
        });
        values.collect()
    }

    #[test]
    fn the_plot_of_delays_goes_up_when_they_do() {
        let page = page();
        let (x, y) = (drawn(&page, "End-to-end", "<circle", "cx"), drawn(&page, "End-to-end", "<circle", "cy"));
        assert_eq!((x.len(), y.len()), (120, 120));
        // Right means later, up means slower; the ticks of 0 and 300 give the scale.
        let marks = drawn(&page, "End-to-end", "<text class=\"y\"", "y");
        let pixels_per_ms = (marks[0] - marks[3]) / 300.0;
        let ms: Vec<f64> = y.iter().map(|y| (marks[0] - 4.0 - y) / pixels_per_ms).collect();
        assert!(x.windows(2).all(|pair| pair[1] > pair[0]), "{x:?}");
        assert!(
            ms[..60].iter().all(|ms| (ms - 20.0).abs() < 1.0) && ms[60..].iter().all(|ms| (ms - 320.0).abs() < 1.0),
            "{ms:?}"
        );
    }

    #[test]
    fn the_plot_of_losses_has_each_at_its_time() {
        let page = page();
        let x = drawn(&page, "FrameMeasurement lost", "class=\"stem\"", "d");
        let delays = drawn(&page, "End-to-end", "<circle", "cx");
        // At the next frame, number 70.
        assert!(x.len() == 1 && (x[0] - delays[70]).abs() < 0.2, "{x:?}");
        // The freeze lasts from frame 59 to frame 70.
        let band = drawn(&page, "FrameMeasurement lost", "class=\"band\"", "x");
        assert!(band.len() == 1 && (band[0] - delays[59]).abs() < 0.2, "{band:?}");
        assert!(page.contains(">10</text>") && !page.contains("No frame was lost"), "{page}");
    }

    #[test]
    fn failures_come_first_and_notes_are_shown() {
        let page = page();
        let at = |text: &str| page.find(text).unwrap_or_else(|| panic!("no {text} in {page}"));
        assert!(at("no evidence") < at("1 of 3 expectations are met") && at("his clock is another") > 0);
        assert!(page.contains("&#60;b&#62;") && !page.contains("<b><small>") && number(-0.001) == "0");
    }

    #[test]
    fn control_characters_are_replaced() {
        assert_eq!(printable("<a>\u{1b}"), "<a>\u{fffd}");
    }
}
