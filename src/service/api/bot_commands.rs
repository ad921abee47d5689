//! What a bot in a room can be told: another filter, whose tracks, something to say.

use super::auth::Caller;
use super::bots::find;
use super::problem::{Json, Path, Problem};
use super::state::ApiState;
use crate::service::database::keys::{Scope, audit};
use crate::service::jobs::tell_bot;
use crate::service::model::{Bot, BotKind, BotState, FilterChoice, ParamValue};
use axum::extract::State;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// What a filter or an echo is told, one thing at a time.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct BotCommand {
    /// Another video filter by name; `none` sends pictures back as they come.
    #[schema(example = "blur")]
    filter: Option<String>,
    /// Another audio filter by name.
    audio: Option<String>,
    /// Parameters of that filter; not files.
    params: BTreeMap<String, ParamValue>,
    /// Whether video is sent back at all.
    video_on: Option<bool>,
    /// Whether audio is sent back at all.
    audio_on: Option<bool>,
    /// Which video is sent back.
    source: Option<VideoSource>,
    /// Only this participant's tracks; `all`: everybody's.
    only: Option<String>,
}

/// Which video is sent back.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum VideoSource {
    Camera,
    Screen,
    All,
}

/// What the bot does now.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct BotAnswer {
    #[schema(example = "video blur, audio none, camera and screen of everybody")]
    answer: String,
}

impl BotCommand {
    /// As the bot reads it (docs/bots.md#commands).
    fn text(&self) -> Result<String, Problem> {
        let switch = |word: &str, on: bool| format!("{word} {}", if on { "on" } else { "off" });
        let filter = |word: &str, name: &str| -> Result<String, Problem> {
            // A name or a value with a space would be read as several words.
            let is_word = |text: &str| !text.is_empty() && text.len() <= 200 && !text.contains(char::is_whitespace);
            let choice = FilterChoice { name: name.to_owned(), params: self.params.clone() };
            let mut text = format!("{word} {name}");
            for (key, value) in choice.values() {
                if !is_word(&key) || key.contains('=') || !is_word(&value) {
                    return Err(Problem::field("params", "names and values have no spaces here"));
                }
                text.push_str(&format!(" {key}={value}"));
            }
            if is_word(name) { Ok(text) } else { Err(Problem::field(word, "is no name of a filter")) }
        };
        let mut commands = Vec::new();
        commands.extend(self.filter.iter().map(|name| filter("filter", name)));
        commands.extend(self.audio.iter().map(|name| filter("audio", name)));
        commands.extend(self.video_on.map(|on| Ok(switch("video", on))));
        commands.extend(self.audio_on.map(|on| Ok(switch("audio", on))));
        commands.extend(self.source.map(|source| {
            Ok(match source {
                VideoSource::Camera => "source camera".to_owned(),
                VideoSource::Screen => "source screen".to_owned(),
                VideoSource::All => "source all".to_owned(),
            })
        }));
        commands.extend(self.only.iter().map(|name| {
            let fits = !name.trim().is_empty() && name.len() <= 256 && !name.chars().any(char::is_control);
            if fits { Ok(format!("only {name}")) } else { Err(Problem::field("only", "is no name")) }
        }));
        let [command] = <[_; 1]>::try_from(commands).map_err(|_| {
            let detail = "a command is one of filter, audio, video_on, audio_on, source, only";
            Problem::field("filter", detail)
        })?;
        let command = command?;
        if !self.params.is_empty() && self.filter.is_none() && self.audio.is_none() {
            return Err(Problem::field("params", "go with filter or audio"));
        }
        Ok(command)
    }
}

/// Sends a request to a bot that is in its room.
async fn tell(state: &ApiState, bot: &Bot, request: serde_json::Value) -> Result<serde_json::Value, Problem> {
    if bot.state != BotState::Running {
        return Err(Problem::wrong_state(format!("the bot is {}", bot.state.word())));
    }
    tell_bot(&state.folders, &bot.id, request).await.map_err(|e| match e.kind() {
        // The bot's own words.
        std::io::ErrorKind::Other => Problem::new(
            axum::http::StatusCode::UNPROCESSABLE_ENTITY,
            "refused",
            e.to_string().escape_debug().to_string(),
        ),
        _ => Problem::no_answer("bot", &e),
    })
}

/// Tell a filter or an echo what to do: another filter, whose tracks. A bot that crashes comes back as it was asked for at first.
#[utoipa::path(post, path = "/v1/bots/{id}/command", tag = "bots", params(("id" = String, Path)), request_body = BotCommand,
    responses((status = 200, body = BotAnswer), (status = 404, body = Problem), (status = 409, body = Problem), (status = 422, body = Problem), (status = 503, body = Problem)))]
pub(super) async fn command(
    State(state): State<ApiState>,
    caller: Caller,
    Path(id): Path<String>,
    Json(command): Json<BotCommand>,
) -> Result<axum::Json<BotAnswer>, Problem> {
    caller.require(Scope::Bots)?;
    let bot = find(&state, &caller, &id).await?;
    if bot.request.kind == BotKind::Feed {
        return Err(Problem::wrong_state("a feed takes no commands"));
    }
    let text = command.text()?;
    let answer = tell(&state, &bot, json!({ "command": "do", "text": text })).await?;
    let (by, now) = (caller.0.id.clone(), Timestamp::now());
    state
        .database
        .write(move |connection| audit(connection, &bot.project, Some(&by), "bot.command", bot.id.as_str(), now))
        .await?;
    Ok(axum::Json(BotAnswer { answer: answer["answer"].as_str().unwrap_or_default().to_owned() }))
}

/// Something to say.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct BotChat {
    /// 1 to 2000 characters.
    #[schema(min_length = 1, max_length = 2000)]
    text: String,
}

/// Have a bot say something in the room's chat, to everybody.
#[utoipa::path(post, path = "/v1/bots/{id}/chat", tag = "bots", params(("id" = String, Path)), request_body = BotChat,
    responses((status = 204), (status = 404, body = Problem), (status = 409, body = Problem), (status = 422, body = Problem), (status = 503, body = Problem)))]
pub(super) async fn chat(
    State(state): State<ApiState>,
    caller: Caller,
    Path(id): Path<String>,
    Json(chat): Json<BotChat>,
) -> Result<axum::http::StatusCode, Problem> {
    let bot = find(&state, &caller, &id).await?;
    tell(&state, &bot, json!({ "command": "say", "text": chat.text })).await?;
    let (by, now) = (caller.0.id.clone(), Timestamp::now());
    state
        .database
        .write(move |connection| audit(connection, &bot.project, Some(&by), "bot.chat", bot.id.as_str(), now))
        .await?;
    Ok(axum::http::StatusCode::NO_CONTENT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_one_thing() {
        let text = |json: &str| serde_json::from_str::<BotCommand>(json).unwrap().text().ok();
        assert_eq!(text(r#"{"filter":"blur","params":{"size":0.1}}"#).as_deref(), Some("filter blur size=0.1"));
        assert_eq!(text(r#"{"audio":"robot"}"#).as_deref(), Some("audio robot"));
        assert_eq!(text(r#"{"video_on":false}"#).as_deref(), Some("video off"));
        assert_eq!(text(r#"{"source":"screen"}"#).as_deref(), Some("source screen"));
        assert_eq!(text(r#"{"only":"Alice Moreau"}"#).as_deref(), Some("only Alice Moreau"));
        for wrong in [
            "{}",
            r#"{"filter":"a","audio":"b"}"#,
            r#"{"filter":"a b"}"#,
            r#"{"filter":"a","params":{"caption":"two words"}}"#,
            r#"{"video_on":true,"params":{"size":1}}"#,
        ] {
            assert_eq!(text(wrong), None, "{wrong}");
        }
    }
}
