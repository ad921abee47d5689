//! Runs as one page that needs nothing else: verdicts, figures, and plots over time. Pure text.

use super::junit::escaped;
use super::plot::{Plot, Shape};
use super::run::Run;
use crate::verify::evidence::Stretch;
use crate::verify::quality::Pair;
use crate::verify::verdict::{Judged, Outcome, Person, Verdict};
use std::fmt::Write;

/// The axis of milliseconds reaches so far from zero at least, and that of lost pictures.
const MS: f64 = 10.0;
const LOST: f64 = 1.0;

const STYLE: &str = include_str!("html.css");

/// The page of several runs.
pub fn html(runs: &[Run]) -> String {
    let mut page = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
         <title>roombot check</title><style>{STYLE}</style><h1>roombot check</h1>"
    );
    if runs.len() > 1 {
        page.push_str("<table><tr><th>scenario<th>seed<th>expectations met<th>verdict");
        for (index, run) in runs.iter().enumerate() {
            let all: Vec<&Outcome> = run.report.targets.iter().flat_map(|target| &target.outcomes).collect();
            let met = all.iter().filter(|outcome| outcome.verdict == Verdict::Pass).count();
            // Writing to a string cannot fail.
            let _ = write!(
                page,
                "<tr><td><a href=\"#run{index}\">{}</a><td class=\"n\">{}<td class=\"n\">{met} of {}<td>{}",
                escaped(&run.scenario.name),
                run.seed,
                all.len(),
                badge(run.report.verdict)
            );
        }
        page.push_str("</table>");
    }
    for (index, run) in runs.iter().enumerate() {
        let _ = write!(
            page,
            "<section id=\"run{index}\"><h2>{} <small>seed {}</small> {}</h2>",
            escaped(&run.scenario.name),
            run.seed,
            badge(run.report.verdict)
        );
        run.report.targets.iter().for_each(|judged| target(&mut page, judged));
        run.worst.iter().for_each(|(who, pair)| worst(&mut page, who, pair));
        page.push_str("</section>");
    }
    page + "</html>\n"
}

fn badge(verdict: Verdict) -> String {
    let word = verdict.word();
    format!("<span class=\"badge {word}\">{word}</span>")
}

/// `3`, `6.47`; no zeros behind what was counted.
fn number(value: f64) -> String {
    let text = format!("{value:.2}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" { "0".to_owned() } else { text.to_owned() }
}

fn target(page: &mut String, judged: &Judged) {
    let _ = write!(page, "<p class=\"path\">{}</p>", escaped(&judged.target));
    for line in judged.trouble.iter().chain(&judged.damage) {
        let _ = write!(page, "<p class=\"fail\">{}</p>", escaped(line));
    }
    for line in &judged.notes {
        let _ = write!(page, "<p>{}</p>", escaped(line));
    }
    let (met, not): (Vec<&Outcome>, Vec<&Outcome>) =
        judged.outcomes.iter().partition(|outcome| outcome.verdict == Verdict::Pass);
    if !not.is_empty() {
        outcomes(page, &not);
    }
    let open = if not.is_empty() { " open" } else { "" };
    let _ = write!(
        page,
        "<details{open}><summary>{} of {} expectations are met</summary>",
        met.len(),
        judged.outcomes.len()
    );
    outcomes(page, &met);
    page.push_str("</details>");
    let length = judged.figures.get("length_ms").map_or(1.0, |ms| ms / 1000.0).max(0.001);
    for person in &judged.participants {
        let _ = write!(page, "<h3>{}</h3><div class=\"figures\">", escaped(&person.who));
        for (name, value) in &person.measures.figures {
            let _ = write!(page, "<div><span>{name}</span><b>{}</b></div>", number(*value));
        }
        page.push_str("</div>");
        plots(page, person, length);
    }
    if !judged.files.is_empty() {
        page.push_str("<details><summary>Files</summary><table><tr><th>file<th>bytes<th>kbit/s<th>SHA-256");
        for file in &judged.files {
            let rate = file.kilobits_per_second.map(|rate| format!("{rate:.0}")).unwrap_or_default();
            let (name, hash) = (escaped(&file.file), &file.sha256);
            let _ = write!(
                page,
                "<tr><td>{name}<td class=\"n\">{}<td class=\"n\">{rate}<td><code>{hash}</code>",
                file.bytes
            );
        }
        page.push_str("</table></details>");
    }
}

fn outcomes(page: &mut String, outcomes: &[&Outcome]) {
    page.push_str("<table><tr><th>expected<th>of<th>is<th>verdict");
    for outcome in outcomes {
        let is = outcome.measured.map_or("no evidence".to_owned(), number);
        let who = outcome.who.as_deref().unwrap_or("the whole");
        let (expected, who) = (escaped(&outcome.expected), escaped(who));
        let _ = write!(page, "<tr><td>{expected}<td>{who}<td class=\"n\">{is}<td>{}", badge(outcome.verdict));
    }
    page.push_str("</table>");
}

fn plots(page: &mut String, person: &Person, length: f64) {
    let mut draw = |title: &str, shape: Shape, points: &[(f64, f64)], bands: &[Stretch], least: f64| {
        if !points.is_empty() {
            page.push_str(&Plot { title, shape, points, bands, length, least }.svg());
        }
    };
    if let Some(delay) = &person.measures.delay {
        draw("End-to-end delay, ms", Shape::Dots, &delay.points, &[], MS);
    }
    if let Some(sync) = &person.measures.sync {
        let offsets: Vec<(f64, f64)> = sync.points.iter().map(|p| (p.at, p.offset_ms)).collect();
        let gaps = person.measures.sounds.as_ref().map_or(&[][..], |sounds| &sounds.gaps);
        draw("Sound after picture, ms; red: silences", Shape::Dots, &offsets, gaps, MS);
    }
    if let Some(frames) = &person.measures.frames {
        let freezes = &frames.freezes;
        draw("Pictures later than usual, ms; red: freezes", Shape::Dots, &frames.lateness, freezes, MS);
        draw("Pictures lost, each time; red: freezes", Shape::Stems, &frames.losses, freezes, LOST);
        if frames.losses.is_empty() {
            page.push_str("<p class=\"quiet\">No picture was lost.</p>");
        }
    }
}

/// The worst picture beside its source.
fn worst(page: &mut String, who: &str, pair: &Pair) {
    let images: Vec<String> = [("what came", &pair.came), ("what was sent", &pair.sent)]
        .into_iter()
        .filter_map(|(what, grey)| {
            Some(format!("<figure>{}<figcaption>{what}</figcaption></figure>", picture(pair, grey)?))
        })
        .collect();
    let _ = write!(
        page,
        "<h3>{}: the worst picture, {:.1} s in, {:.1} dB</h3><div class=\"pair\">{}</div>",
        escaped(who),
        pair.at,
        pair.psnr_db,
        images.concat()
    );
}

fn picture(pair: &Pair, grey: &[u8]) -> Option<String> {
    let (width, height) = (u32::try_from(pair.width).ok()?, u32::try_from(pair.height).ok()?);
    let image = image::GrayImage::from_raw(width, height, grey.to_vec())?;
    let mut png = std::io::Cursor::new(Vec::new());
    image.write_to(&mut png, image::ImageFormat::Png).ok()?;
    Some(format!("<img alt=\"\" src=\"data:image/png;base64,{}\">", base64(png.get_ref())))
}

/// RFC 4648.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let byte = |i: usize| three.get(i).copied().map_or(0, u32::from);
        let word = byte(0) << 16 | byte(1) << 8 | byte(2);
        for digit in 0..4 {
            let value = DIGITS.get((word >> (18 - 6 * digit) & 63) as usize).copied().unwrap_or(b'=');
            text.push(if digit > three.len() { '=' } else { char::from(value) });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::harness::Scenario;
    use crate::room::media::MediaKind;
    use crate::verify::evidence::{Delay, Sight, Trace};
    use crate::verify::target::{Names, Subject, Target};
    use crate::verify::verdict::{Report, judge};
    use std::collections::BTreeSet;

    #[test]
    fn base64_is_that_of_the_rfc() {
        let pairs = [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")];
        for (plain, coded) in pairs {
            assert_eq!(base64(plain.as_bytes()), coded);
        }
    }

    /// Alice, of whom ten pictures are lost two seconds in, and from then on each takes 300 ms longer; and nothing of Bob.
    fn page() -> String {
        let sight = |n: u32| Sight { at: f64::from(n) / 30.0, number: n, rate: 30 };
        let delay = |n: u32| Delay { at: f64::from(n) / 30.0, ms: if n < 60 { 20.0 } else { 320.0 } };
        let sights = (0..120).filter(|n| !(60..70).contains(n)).map(sight).collect();
        let trace = Trace { sights, delays: (0..120).map(delay).collect(), ..Trace::default() };
        let kinds = BTreeSet::from([MediaKind::Video]);
        let subject = Subject {
            who: "alice".into(),
            number: 1,
            start: 0.0,
            trace,
            wrong: Some(0),
            joining: vec![],
            kinds: kinds.clone(),
        };
        let target = Target {
            path: "recording".into(),
            subjects: vec![subject],
            pictures: 110,
            blank: 0,
            unread: 0,
            length: 4.0,
            kinds,
            films: vec![],
            files: vec![],
            damage: vec![],
            trouble: vec![],
            notes: vec!["no end-to-end delay of bob: his clock is another".into()],
        };
        let scenario = "name = '<b>'\nduration = '4s'\nexpect = ['lost == 0', 'alice.freezes >= 0', 'bob.frames > 0']\n\
            [[people]]\nname = 'alice'\n";
        let scenario = Scenario::parse(scenario).unwrap();
        let judged = judge(&target, &scenario.expect, &Names::new(), |_| vec![]);
        let report = Report::of(vec![judged]);
        html(&[Run { scenario, seed: 7, report, folder: "check".into(), worst: vec![] }])
    }

    /// The numbers of an attribute in the drawing of this title.
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
        // As far right as late, and as high as slow; 0 and 300 have marks to hold them against.
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
    fn the_plot_of_losses_has_each_where_it_was() {
        let page = page();
        let x = drawn(&page, "Pictures lost", "class=\"stem\"", "d");
        let delays = drawn(&page, "End-to-end", "<circle", "cx");
        // Where the next picture was seen, number 70.
        assert!(x.len() == 1 && (x[0] - delays[70]).abs() < 0.2, "{x:?}");
        // The freeze lasts from picture 59 until picture 70.
        let band = drawn(&page, "Pictures lost", "class=\"band\"", "x");
        assert!(band.len() == 1 && (band[0] - delays[59]).abs() < 0.2, "{band:?}");
        assert!(page.contains(">10</text>") && !page.contains("No picture was lost"), "{page}");
    }

    #[test]
    fn what_is_not_met_comes_first_and_notes_are_told() {
        let page = page();
        let at = |text: &str| page.find(text).unwrap_or_else(|| panic!("no {text} in {page}"));
        assert!(at("no evidence") < at("1 of 3 expectations are met") && at("his clock is another") > 0);
        assert!(page.contains("&lt;b&gt;") && !page.contains("<b><small>") && number(-0.001) == "0");
    }

    #[test]
    fn names_cannot_become_markup() {
        assert_eq!(escaped("<a href=\"x\">&\u{1b}"), "&lt;a href=&quot;x&quot;&gt;&amp;\u{fffd}");
    }
}
