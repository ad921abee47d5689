//! What a client asks for. Unknown fields are errors; values are checked once, here.

use super::auto_stop::AutoStop;
use super::invalid_field::InvalidField;
use crate::film::layout::SIDES;
use crate::signal;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// Entries of `metadata`, and characters of a key and of a value.
const METADATA: (usize, usize, usize) = (50, 64, 500);
/// Labels, and characters of their names and values.
const LABELS: usize = 16;
const LABEL_CHARS: usize = 64;
/// Bytes of addresses and tokens.
pub(super) const LONGEST_TEXT: usize = 4096;

/// A recording that a client asks for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RecordingRequest {
    /// The room, as in `roombot record`.
    #[schema(example = "ws://127.0.0.1:8080/rooms/standup")]
    pub room_url: String,
    /// The room's join token. Never given out again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(write_only)]
    pub token: Option<String>,
    /// The recorder's name in the room.
    #[serde(default = "bot_name")]
    pub bot_name: String,
    /// When to join; at once if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub start_at: Option<Timestamp>,
    /// The client's own id for it; recordings can be found by it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_id: Option<String>,
    /// The client's own data: 50 entries, keys of 64 and values of 500 characters.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
    /// What is made besides the tracks.
    #[serde(default)]
    pub outputs: Outputs,
    /// Files that participants share.
    #[serde(default)]
    pub files: SharedFiles,
    /// When it ends by itself.
    #[serde(default)]
    pub auto_stop: AutoStop,
    /// An endpoint for the events of this recording, besides those of the service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub webhook_url: Option<String>,
    /// Where it is recorded, with several machines.
    #[serde(default, skip_serializing_if = "PlacementRequest::is_default")]
    pub placement: PlacementRequest,
    /// Days until the media is deleted; the project's default if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 36500)]
    pub retention_days: Option<u32>,
}

/// Which machines may record.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PlacementRequest {
    /// Only workers that have all of these labels: 16, of 64 characters each.
    pub labels: BTreeMap<String, String>,
}

impl PlacementRequest {
    fn is_default(&self) -> bool {
        self.labels.is_empty()
    }
}

/// What is made besides the tracks.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Outputs {
    /// One video of all participants.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub film: Option<FilmRequest>,
    /// The mixed sound, as `film.opus`.
    pub audio_only: bool,
    /// One file per participant, not re-encoded.
    pub per_participant: bool,
}

/// A film, as in `roombot compose`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct FilmRequest {
    /// How participants are arranged.
    pub layout: Layout,
    /// Width and height in pixels, `1280x720`.
    pub size: String,
    /// Frames per second.
    #[schema(minimum = 1, maximum = 60)]
    pub fps: u32,
    /// The video codec: H.264 in MP4, others in WebM.
    pub codec: FilmCodec,
    /// A title card at the start.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
}

impl Default for FilmRequest {
    fn default() -> Self {
        FilmRequest { layout: Layout::Auto, size: "1280x720".to_owned(), fps: 30, codec: FilmCodec::H264, title: None }
    }
}

/// How participants are arranged in a film.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Layout {
    /// Presentation while a screen is shared, else grid.
    #[default]
    Auto,
    /// Tiles of equal size.
    Grid,
    /// The speaker large, the others in a strip.
    Speaker,
    /// The shared screen large, cameras in a strip.
    Presentation,
    /// One at a time.
    Single,
}

/// The video codec of a film.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum FilmCodec {
    #[default]
    H264,
    Vp8,
    Vp9,
    Av1,
}

/// Which files that participants share are kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SharedFiles {
    /// No file is taken.
    pub off: bool,
    /// Bytes of the largest file.
    pub max_file: u64,
    /// Bytes of all files.
    pub max_total: u64,
}

impl Default for SharedFiles {
    fn default() -> Self {
        SharedFiles { off: false, max_file: 2 << 30, max_total: 20 << 30 }
    }
}

/// Whether these can be the labels of a worker, or be asked for.
pub fn labels_fit(labels: &BTreeMap<String, String>) -> bool {
    let fits = |text: &String| (1..=LABEL_CHARS).contains(&text.chars().count()) && !text.chars().any(char::is_control);
    labels.len() <= LABELS && labels.iter().all(|(key, value)| fits(key) && fits(value))
}

fn bot_name() -> String {
    "Recorder".to_owned()
}

impl RecordingRequest {
    /// A request for the room at this address, with all defaults.
    #[cfg(test)]
    pub fn new(room_url: impl Into<String>) -> RecordingRequest {
        RecordingRequest {
            room_url: room_url.into(),
            token: None,
            bot_name: bot_name(),
            start_at: None,
            external_id: None,
            metadata: BTreeMap::new(),
            outputs: Outputs::default(),
            files: SharedFiles::default(),
            auto_stop: AutoStop::default(),
            webhook_url: None,
            placement: PlacementRequest::default(),
            retention_days: None,
        }
    }

    /// Checks the values.
    ///
    /// # Errors
    /// The first field that cannot be used.
    pub fn check(&self) -> Result<(), InvalidField> {
        let invalid = |field, problem: String| Err(InvalidField { field, problem });
        let too_long = |text: &str| text.len() > LONGEST_TEXT;
        if too_long(&self.room_url) {
            return invalid("room_url", format!("is longer than {LONGEST_TEXT} bytes"));
        }
        if let Err(e) = signal::for_url(&self.room_url) {
            return invalid("room_url", e.to_string());
        }
        if self.token.as_deref().is_some_and(|token| too_long(token) || token.contains(['\0', '\n', '\r'])) {
            return invalid("token", format!("is longer than {LONGEST_TEXT} bytes, or has line breaks"));
        }
        let name = self.bot_name.trim();
        if name.is_empty() || name.chars().count() > 64 || name.chars().any(char::is_control) {
            return invalid("bot_name", "must have 1 to 64 characters, no control characters".into());
        }
        if self.external_id.as_ref().is_some_and(|id| id.is_empty() || id.chars().count() > 255) {
            return invalid("external_id", "must have 1 to 255 characters".into());
        }
        let (entries, key_chars, value_chars) = METADATA;
        let fits = |(key, value): (&String, &String)| {
            !key.is_empty() && key.chars().count() <= key_chars && value.chars().count() <= value_chars
        };
        if self.metadata.len() > entries || !self.metadata.iter().all(fits) {
            let limits =
                format!("at most {entries} entries, keys of {key_chars} and values of {value_chars} characters");
            return invalid("metadata", limits);
        }
        if !labels_fit(&self.placement.labels) {
            let limits = format!("at most {LABELS} labels, names and values of 1 to {LABEL_CHARS} characters");
            return invalid("placement.labels", limits);
        }
        if let Some(film) = &self.outputs.film {
            film.check()?;
        }
        self.auto_stop.check()?;
        if self.retention_days.is_some_and(|days| !(1..=36_500).contains(&days)) {
            return invalid("retention_days", "must be 1 to 36500".into());
        }
        if let Some(url) = &self.webhook_url {
            let parsed = url::Url::parse(url).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
            if too_long(url) || parsed.is_none_or(|url| url.host().is_none()) {
                return invalid("webhook_url", "must be an http or https URL".into());
            }
        }
        Ok(())
    }

    /// The request without its secrets.
    #[must_use]
    pub fn without_secrets(&self) -> RecordingRequest {
        RecordingRequest { token: None, room_url: signal::public_url(&self.room_url), ..self.clone() }
    }
}

impl FilmCodec {
    /// As on the command line.
    pub fn word(self) -> &'static str {
        match self {
            FilmCodec::H264 => "h264",
            FilmCodec::Vp8 => "vp8",
            FilmCodec::Vp9 => "vp9",
            FilmCodec::Av1 => "av1",
        }
    }
}

impl FilmRequest {
    /// Width and height in pixels.
    pub fn pixels(&self) -> Option<(u32, u32)> {
        let (width, height) = self.size.split_once('x')?;
        Some((width.parse().ok()?, height.parse().ok()?))
    }

    /// The ending of its file.
    pub fn extension(&self) -> &'static str {
        if self.codec == FilmCodec::H264 { "mp4" } else { "webm" }
    }

    /// Checks the values.
    ///
    /// # Errors
    /// The first field that cannot be used.
    pub fn check(&self) -> Result<(), InvalidField> {
        let invalid = |field, problem: &str| Err(InvalidField { field, problem: problem.to_owned() });
        let fits = |side: u32| SIDES.contains(&side) && side.is_multiple_of(2);
        if !self.pixels().is_some_and(|(width, height)| fits(width) && fits(height)) {
            let sides = format!("must be WIDTHxHEIGHT, both even and {} to {}", SIDES.start(), SIDES.end());
            return Err(InvalidField { field: "outputs.film.size", problem: sides });
        }
        if !(1..=60).contains(&self.fps) {
            return invalid("outputs.film.fps", "must be 1 to 60");
        }
        if self.title.as_ref().is_some_and(|title| title.chars().count() > 200 || title.contains('\0')) {
            return invalid("outputs.film.title", "has at most 200 characters");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<RecordingRequest, serde_json::Error> {
        serde_json::from_str(text)
    }

    #[test]
    fn defaults_are_filled_in_and_unknown_fields_refused() {
        let request = read(r#"{"room_url":"ws://127.0.0.1:8080/rooms/standup","outputs":{"film":{"layout":"grid"}}}"#);
        let request = request.unwrap();
        let film = request.outputs.film.as_ref().unwrap();
        assert_eq!((film.layout, film.size.as_str(), film.fps), (Layout::Grid, "1280x720", 30));
        assert_eq!(request.auto_stop.empty_s, 30);
        assert_eq!(request.check(), Ok(()));
        let error = read(r#"{"room_url":"ws://h/rooms/a","outputs":{"flim":{}}}"#).unwrap_err();
        assert!(error.to_string().contains("unknown field `flim`"), "{error}");
    }

    #[test]
    fn what_cannot_be_used_is_named() {
        let good = || RecordingRequest::new("ws://127.0.0.1/rooms/a");
        let film = |film: FilmRequest| Outputs { film: Some(film), ..Outputs::default() };
        let cases: Vec<(RecordingRequest, &str)> = vec![
            (RecordingRequest { room_url: "ftp://h/a".into(), ..good() }, "room_url"),
            (RecordingRequest { bot_name: "\u{7}".into(), ..good() }, "bot_name"),
            (RecordingRequest { webhook_url: Some("file:///etc/passwd".into()), ..good() }, "webhook_url"),
            (
                RecordingRequest {
                    outputs: film(FilmRequest { size: "1280x7201".into(), ..FilmRequest::default() }),
                    ..good()
                },
                "outputs.film.size",
            ),
            (
                RecordingRequest { auto_stop: AutoStop { empty_s: u64::MAX, ..AutoStop::default() }, ..good() },
                "auto_stop.empty_s",
            ),
        ];
        for (request, field) in cases {
            assert_eq!(request.check().unwrap_err().field, field);
        }
    }

    #[test]
    fn secrets_are_not_given_out() {
        let mut request = RecordingRequest::new("ws://user:pass@127.0.0.1/rooms/a?token=s3cret");
        request.token = Some("s3cret".into());
        let shown = serde_json::to_string(&request.without_secrets()).unwrap();
        assert!(!shown.contains("s3cret") && !shown.contains("pass"), "{shown}");
    }
}
