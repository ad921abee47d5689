//! Bots that clients ask for: filters, echoes and feeds. Unknown fields are errors; values are checked once, here, but for what needs the
//! disk or the library of filters.

use super::auto_stop::LONGEST_S;
use super::invalid_field::InvalidField;
use super::request::{FilmCodec, LONGEST_TEXT};
use crate::signal;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// Names of `only`, sources of `screen`, parameters of a filter.
const MOST_NAMES: usize = 50;
const MOST_SCREENS: usize = 32;
const MOST_PARAMS: usize = 16;

/// What a bot does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum BotKind {
    /// Sends everybody's tracks back through filters.
    Filter,
    /// Sends everybody's tracks, chat and files back.
    Echo,
    /// Sends media into the room.
    Feed,
}

/// A bot that a client asks for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BotRequest {
    pub kind: BotKind,
    /// The room, as in `roombot filter`.
    #[schema(example = "ws://127.0.0.1:8080/rooms/standup")]
    pub room_url: String,
    /// The room's join token. Never given out again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(write_only)]
    pub token: Option<String>,
    /// The bot's name in the room; `Filter`, `Echo` or `Feed` if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Only participants of these names, at most 50.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub only: Vec<String>,
    /// Seconds after which it leaves, at most a week; 0 never.
    #[serde(default = "four_hours")]
    #[schema(maximum = 604_800)]
    pub max_duration_s: u64,
    /// Of the kind `filter`, which needs it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filter: Option<FilterOptions>,
    /// Of the kind `echo`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub echo: Option<EchoOptions>,
    /// Of the kind `feed`, which needs it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub feed: Option<FeedOptions>,
}

fn four_hours() -> u64 {
    14_400
}

/// Who receives a track that comes back.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum SendTo {
    #[default]
    Sender,
    All,
}

/// What a filter bot does; at least one of `video` and `audio`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct FilterOptions {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub video: Option<FilterChoice>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audio: Option<FilterChoice>,
    /// The codec of returned video; the one it came in if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub codec: Option<FilmCodec>,
    pub to: SendTo,
}

/// A built-in filter.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FilterChoice {
    /// As `roombot pipelines list filter` lists them.
    #[schema(example = "blur")]
    pub name: String,
    /// Its parameters. An image is a path below the service's media folder.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub params: BTreeMap<String, ParamValue>,
}

/// The value of a parameter.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum ParamValue {
    Bool(bool),
    Integer(i64),
    Number(f64),
    Text(String),
}

impl ParamValue {
    /// As on a command line.
    pub fn text(&self) -> String {
        match self {
            ParamValue::Bool(value) => value.to_string(),
            ParamValue::Integer(value) => value.to_string(),
            ParamValue::Number(value) => value.to_string(),
            ParamValue::Text(value) => value.clone(),
        }
    }
}

impl FilterChoice {
    /// Its parameters as on a command line.
    pub fn values(&self) -> Vec<(String, String)> {
        self.params.iter().map(|(key, value)| (key.clone(), value.text())).collect()
    }
}

/// How an echo sends back.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct EchoOptions {
    /// The codec of returned video; the one it came in if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub codec: Option<FilmCodec>,
    pub to: SendTo,
}

/// What a feed sends, as in `roombot feed`. Files are paths below the service's media folder.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct FeedOptions {
    /// A file whose first video and audio are sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "talks/alice.webm")]
    pub media: Option<String>,
    /// The camera: a file, an image, or `pattern:NAME[,WIDTHxHEIGHT[@FPS]]`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "pattern:ball,640x360@30")]
    pub video: Option<String>,
    /// The microphone: a file, `tone:HZ`, `silence`, `noise` or `ticks`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audio: Option<String>,
    /// Camera and microphone with the stamps of this participant, for `verify`: `NAME[,WIDTHxHEIGHT[@FPS]]`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stamp: Option<String>,
    /// Screen shares: a file, `pattern:NAME`, or images and folders of images; at most 32.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub screen: Vec<String>,
    /// Seconds for each slide of `screen`.
    #[schema(minimum = 1, maximum = 86_400)]
    pub slide_s: u64,
    /// Begin again at the end of the file.
    #[serde(rename = "loop")]
    pub repeat: bool,
    /// Encode also what could be sent as it is.
    pub transcode: bool,
    /// The codec of what is encoded.
    pub codec: FilmCodec,
    /// The bitrate of encoded video in kbit/s.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 20, maximum = 50_000)]
    pub bitrate_kbit: Option<u32>,
    /// Join so many times.
    #[schema(minimum = 1, maximum = 256)]
    pub copies: u16,
}

impl Default for FeedOptions {
    fn default() -> Self {
        FeedOptions {
            media: None,
            video: None,
            audio: None,
            stamp: None,
            screen: Vec::new(),
            slide_s: 5,
            repeat: false,
            transcode: false,
            codec: FilmCodec::Vp8,
            bitrate_kbit: None,
            copies: 1,
        }
    }
}

impl BotRequest {
    /// Checks what needs neither the disk nor the library.
    ///
    /// # Errors
    /// The first field that cannot be used.
    pub fn check(&self) -> Result<(), InvalidField> {
        let invalid = |field, problem: String| Err(InvalidField { field, problem });
        let is_name = |name: &str| {
            (1..=64).contains(&name.trim().chars().count()) && name.len() <= 256 && !name.chars().any(char::is_control)
        };
        if self.room_url.len() > LONGEST_TEXT {
            return invalid("room_url", format!("is longer than {LONGEST_TEXT} bytes"));
        }
        if let Err(e) = signal::for_url(&self.room_url) {
            return invalid("room_url", e.to_string());
        }
        let is_bad = |token: &str| token.len() > LONGEST_TEXT || token.contains(['\0', '\n', '\r']);
        if self.token.as_deref().is_some_and(is_bad) {
            return invalid("token", format!("is longer than {LONGEST_TEXT} bytes, or has line breaks"));
        }
        if self.name.as_deref().is_some_and(|name| !is_name(name)) {
            return invalid("name", "must have 1 to 64 characters, no control characters".into());
        }
        if self.only.len() > MOST_NAMES || !self.only.iter().all(|name| is_name(name)) {
            return invalid("only", format!("has at most {MOST_NAMES} names of 1 to 64 characters"));
        }
        if self.max_duration_s > LONGEST_S {
            return invalid("max_duration_s", format!("is at most {LONGEST_S} (a week)"));
        }
        for (field, kind, is_there) in [
            ("filter", BotKind::Filter, self.filter.is_some()),
            ("echo", BotKind::Echo, self.echo.is_some()),
            ("feed", BotKind::Feed, self.feed.is_some()),
        ] {
            if is_there && kind != self.kind {
                return invalid(field, "belongs to another kind of bot".into());
            }
            if !is_there && kind == self.kind && kind != BotKind::Echo {
                return invalid(field, "is missing: it says what this kind of bot does".into());
            }
        }
        self.filter.as_ref().map_or(Ok(()), FilterOptions::check)?;
        self.feed.as_ref().map_or(Ok(()), FeedOptions::check)
    }

    /// Its name in the room.
    pub fn name_in_room(&self) -> &str {
        self.name.as_deref().unwrap_or(match self.kind {
            BotKind::Filter => "Filter",
            BotKind::Echo => "Echo",
            BotKind::Feed => "Feed",
        })
    }

    /// The request without its secrets.
    #[must_use]
    pub fn without_secrets(&self) -> BotRequest {
        BotRequest { token: None, room_url: signal::public_url(&self.room_url), ..self.clone() }
    }

    /// Whether it encodes video, which costs ten times as much as sending it.
    pub fn encodes(&self) -> bool {
        let generates = |text: &Option<String>| text.as_ref().is_some_and(|text| text.starts_with("pattern"));
        self.feed.as_ref().is_none_or(|feed| feed.transcode || feed.stamp.is_some() || generates(&feed.video))
    }
}

impl FilterOptions {
    fn check(&self) -> Result<(), InvalidField> {
        let invalid = |field, problem: &str| Err(InvalidField { field, problem: problem.to_owned() });
        if self.video.is_none() && self.audio.is_none() {
            return invalid("filter", "names no filter: it needs video, audio or both");
        }
        let is_word = |text: &str| {
            (1..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
        };
        for (field, choice) in [("filter.video", &self.video), ("filter.audio", &self.audio)] {
            let Some(FilterChoice { name, params }) = choice else { continue };
            if !is_word(name) {
                return invalid(field, "is no name of a filter");
            }
            let fits = |(key, value): (&String, &ParamValue)| {
                is_word(key) && value.text().len() <= LONGEST_TEXT && !value.text().contains('\0')
            };
            if params.len() > MOST_PARAMS || !params.iter().all(fits) {
                return invalid(field, "has at most 16 parameters, names of letters and digits");
            }
        }
        Ok(())
    }
}

impl FeedOptions {
    /// Everything that may name a file, with its field.
    pub fn sources(&self) -> impl Iterator<Item = (&'static str, &String)> {
        let one = [("feed.media", &self.media), ("feed.video", &self.video), ("feed.audio", &self.audio)];
        let one = one.into_iter().filter_map(|(field, text)| Some((field, text.as_ref()?)));
        one.chain(self.screen.iter().map(|text| ("feed.screen", text)))
    }

    fn check(&self) -> Result<(), InvalidField> {
        let invalid = |field, problem: &str| Err(InvalidField { field, problem: problem.to_owned() });
        let has_main = self.media.is_some() || self.video.is_some() || self.audio.is_some();
        if !has_main && self.stamp.is_none() && self.screen.is_empty() {
            return invalid("feed", "has nothing to send: it needs media, video, audio, stamp or screen");
        }
        if has_main && self.stamp.is_some() {
            return invalid("feed.stamp", "goes with no media, video or audio");
        }
        if self.screen.len() > MOST_SCREENS {
            return invalid("feed.screen", "has at most 32 sources");
        }
        let stamp = self.stamp.iter().map(|stamp| ("feed.stamp", stamp));
        for (field, text) in self.sources().chain(stamp) {
            if text.is_empty() || text.len() > 1024 || text.chars().any(char::is_control) || text.starts_with('-') {
                return invalid(field, "must have 1 to 1024 bytes, no control characters, no - at its start");
            }
        }
        if !(1..=86_400).contains(&self.slide_s) {
            return invalid("feed.slide_s", "must be 1 to 86400");
        }
        if self.bitrate_kbit.is_some_and(|kilobits| !(20..=50_000).contains(&kilobits)) {
            return invalid("feed.bitrate_kbit", "must be 20 to 50000");
        }
        if !(1..=256).contains(&self.copies) {
            return invalid("feed.copies", "must be 1 to 256");
        }
        Ok(())
    }
}
