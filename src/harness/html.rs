//! Runs as one page that needs nothing else: verdicts, figures, and plots over time. Pure text.

use super::junit::escaped;
use super::run::Run;
use crate::verify::evidence::Stretch;
use crate::verify::quality::Pair;
use crate::verify::verdict::{Judged, Person};
use std::fmt::Write;

/// Sides of a plot, pixels.
const WIDE: f64 = 640.0;
const HIGH: f64 = 120.0;

const STYLE: &str = "body{font:14px system-ui,sans-serif;max-width:960px;margin:2em auto;padding:0 1em;color:#1b2030}\
table{border-collapse:collapse;margin:.5em 0}td,th{padding:.15em .7em;text-align:left;border-bottom:1px solid #e3e6ee}\
.pass{color:#18794e}.warn,.inconclusive{color:#ad5700}.fail{color:#c62a2f;font-weight:600}\
svg{background:#f6f7fa;display:block;margin:.3em 0 1em}h3{margin-bottom:.2em}code{font-size:11px}img{max-width:46%;margin-right:1%}";

/// The page of several runs.
pub fn html(runs: &[Run]) -> String {
    let mut page = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>roombot check</title><style>{STYLE}</style><h1>roombot check</h1>"
    );
    for run in runs {
        let verdict = run.report.verdict.word();
        // Writing to a string cannot fail.
        let _ = write!(
            page,
            "<h2>{} <small>(seed {})</small> <span class=\"{verdict}\">{verdict}</span></h2><p>{}</p>",
            escaped(&run.scenario.name),
            run.seed,
            escaped(&run.folder.display().to_string())
        );
        run.report.targets.iter().for_each(|judged| target(&mut page, judged));
        run.worst.iter().for_each(|(who, pair)| worst(&mut page, who, pair));
    }
    page + "</html>\n"
}

fn target(page: &mut String, judged: &Judged) {
    for line in judged.trouble.iter().chain(&judged.damage) {
        let _ = write!(page, "<p class=\"fail\">{}</p>", escaped(line));
    }
    page.push_str("<table><tr><th>expected<th>of<th>is<th>verdict");
    for outcome in &judged.outcomes {
        let verdict = outcome.verdict.word();
        let is = outcome.measured.map_or("no evidence".to_owned(), |value| format!("{:.2}", value));
        let who = outcome.who.as_deref().unwrap_or("all");
        let (expected, who) = (escaped(&outcome.expected), escaped(who));
        let _ = write!(page, "<tr><td>{expected}<td>{who}<td>{is}<td class=\"{verdict}\">{verdict}");
    }
    page.push_str("</table>");
    for file in &judged.files {
        let rate = file.kilobits_per_second.map(|rate| format!(", {rate:.0} kbit/s")).unwrap_or_default();
        let (name, hash) = (escaped(&file.file), &file.sha256);
        let _ = write!(page, "<div>{name}: {} bytes{rate}, SHA-256 <code>{hash}</code></div>", file.bytes);
    }
    let length = judged.figures.get("length_ms").map_or(1.0, |ms| ms / 1000.0).max(0.001);
    for person in &judged.participants {
        let _ = write!(page, "<h3>{}</h3><table><tr>", escaped(&person.who));
        for (index, (name, value)) in person.measures.figures.iter().enumerate() {
            let _ = write!(page, "{}<td>{name}<td>{value:.2}", if index > 0 && index % 4 == 0 { "<tr>" } else { "" });
        }
        page.push_str("</table>");
        plots(page, person, length);
    }
}

fn plots(page: &mut String, person: &Person, length: f64) {
    let sync = person.measures.sync.as_ref();
    let offsets: Vec<(f64, f64)> =
        sync.map(|s| s.points.iter().map(|p| (p.at, p.offset_ms)).collect()).unwrap_or_default();
    let gaps = person.measures.sounds.as_ref().map_or(&[][..], |sounds| &sounds.gaps);
    plot(page, "sound after picture, ms; bars: silences", &offsets, gaps, length);
    if let Some(delay) = &person.measures.delay {
        plot(page, "end-to-end delay, ms", &delay.points, &[], length);
    }
    if let Some(frames) = &person.measures.frames {
        plot(page, "pictures later than usual, ms; bars: freezes", &frames.lateness, &frames.freezes, length);
        plot(page, "pictures lost, each time; bars: freezes", &frames.losses, &frames.freezes, length);
    }
}

/// Points over time, and stretches of it as bars.
fn plot(page: &mut String, title: &str, points: &[(f64, f64)], bars: &[Stretch], length: f64) {
    if points.is_empty() {
        return;
    }
    let (low, high) = points.iter().fold((-5.0f64, 5.0f64), |(low, high), (_, y)| (low.min(*y), high.max(*y)));
    // What lies at the edge must be seen.
    let (low, high) = (low - (high - low) * 0.08, high + (high - low) * 0.08);
    let (x, y) = (|at: f64| at / length * WIDE, |value: f64| HIGH - (value - low) / (high - low) * HIGH);
    let _ = write!(
        page,
        "<div>{title} ({low:.0} to {high:.0})</div><svg width=\"{WIDE}\" height=\"{HIGH}\" role=\"img\" aria-label=\"{title}\">"
    );
    for bar in bars {
        let (from, wide) = (x(bar.from), (x(bar.until) - x(bar.from)).max(1.0));
        let _ = write!(page, "<rect x=\"{from:.1}\" width=\"{wide:.1}\" height=\"{HIGH}\" fill=\"#f5b5b8\"/>");
    }
    let zero = y(0.0);
    let _ = write!(page, "<path d=\"M0 {zero:.1}H{WIDE}\" stroke=\"#c4cad8\"/>");
    for (at, value) in points {
        let _ = write!(page, "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"1.5\" fill=\"#3358d4\"/>", x(*at), y(*value));
    }
    page.push_str("</svg>");
}

/// The worst picture beside its source.
fn worst(page: &mut String, who: &str, pair: &Pair) {
    let images: Vec<String> = [&pair.came, &pair.sent].into_iter().filter_map(|grey| picture(pair, grey)).collect();
    let _ = write!(
        page,
        "<h3>{}: the worst picture, {:.1} s in, {:.1} dB (left what came, right what was sent)</h3>{}",
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

    #[test]
    fn base64_is_that_of_the_rfc() {
        let pairs = [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")];
        for (plain, coded) in pairs {
            assert_eq!(base64(plain.as_bytes()), coded);
        }
    }

    #[test]
    fn names_cannot_become_markup() {
        assert_eq!(escaped("<a href=\"x\">&\u{1b}"), "&lt;a href=&quot;x&quot;&gt;&amp;\u{fffd}");
    }
}
