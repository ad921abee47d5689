//! WebVTT (W3C): cues with a voice, as text. It writes no file.

use std::fmt::Write;
use std::time::Duration;

/// A document that cues are added to.
#[derive(Debug)]
pub struct WebVtt {
    text: String,
    cues: u64,
    with_numbers: bool,
}

impl WebVtt {
    /// A document without cues; `with_numbers`: cues get identifiers from 1.
    pub fn new(with_numbers: bool) -> WebVtt {
        WebVtt { text: "WEBVTT\n".to_owned(), cues: 0, with_numbers }
    }

    /// Appends a cue that lasts from `start` to `end`: `voice` says `text`. Both may be any text; they are escaped here.
    pub fn cue(&mut self, start: Duration, end: Duration, voice: &str, text: &str) {
        self.cues += 1;
        if self.with_numbers {
            let _ = write!(self.text, "\n{}", self.cues);
        }
        let voice = cue_text(voice).replace('\n', " ");
        let (start, end, text) = (timestamp(start), timestamp(end), cue_text(text));
        let _ = write!(self.text, "\n{start} --> {end}\n<v {voice}>{text}\n");
    }

    /// The whole document; `None` without cues.
    pub fn finish(self) -> Option<String> {
        (self.cues > 0).then_some(self.text)
    }
}

/// Text that ends no cue and is no markup (WebVTT, 4.2.2): escaped, without control characters or empty lines.
pub fn cue_text(text: &str) -> String {
    let lines = text.lines().map(|line| line.chars().filter(|c| !c.is_control()).collect::<String>());
    let lines: Vec<String> = lines.filter(|line| !line.trim().is_empty()).collect();
    lines.join("\n").replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// `00:01:02.345` (WebVTT, 4.1)
fn timestamp(at: Duration) -> String {
    let ms = at.as_millis();
    format!("{:02}:{:02}:{:02}.{:03}", ms / 3_600_000, ms / 60_000 % 60, ms / 1000 % 60, ms % 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_can_end_a_cue_or_be_markup() {
        let mut document = WebVtt::new(true);
        let (start, end) = (Duration::from_millis(3_723_004), Duration::from_millis(3_728_004));
        document.cue(start, end, "Al\nice", "a <b>\r\n \n\n\u{7}00:00 --> & so");
        assert_eq!(
            document.finish().unwrap(),
            "WEBVTT\n\n1\n01:02:03.004 --> 01:02:08.004\n<v Al ice>a &lt;b&gt;\n00:00 --&gt; &amp; so\n"
        );
        assert_eq!(WebVtt::new(false).finish(), None);
    }
}
