//! `roombot ctl bots` and `bot`: filters, echoes and feeds that the service runs.

use super::body::{Body, parameter};
use super::service::{Service, encoded};
use super::text::{print_table, word};
use crate::cli::args::duration;
use crate::cli::print::{print_err, print_out};
use crate::error::{Error, Result};
use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::{Map, Value, json};
use std::time::Duration;

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  roombot ctl bots
  roombot ctl bots --state joining,running --json")]
pub(super) struct ListArgs {
    /// Only in these states, separated by commas.
    #[arg(long, value_name = "STATES")]
    state: Option<String>,
    /// At most so many.
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=500))]
    limit: u32,
}

impl ListArgs {
    pub async fn run(&self, service: &Service) -> Result<()> {
        let page = service.list("/v1/bots", self.limit, &[("state", self.state.as_ref())]).await?;
        service.print(&page, |page| {
            print_table(["ID", "KIND", "STATE", "ROOM", "CREATED", "WHY"], &page["bots"], |bot| {
                let [id, state, room, created, why] =
                    ["id", "state", "room", "created_at", "reason_code"].map(|key| word(&bot[key]));
                [id, word(&bot["request"]["kind"]), state, room, created, why]
            });
        });
        Ok(())
    }
}

#[derive(Debug, Subcommand)]
#[command(after_help = "Examples:
  roombot ctl bot start filter ws://127.0.0.1:8080/rooms/standup --video blur -p size=0.05
  roombot ctl bot command bot_01jdzq4h8v0t3k5m7n9p1r3s5t filter sepia
  roombot ctl bot stop bot_01jdzq4h8v0t3k5m7n9p1r3s5t")]
pub(super) enum BotCommand {
    /// Put a bot into a room.
    #[command(subcommand)]
    Start(Box<StartCommand>),
    /// Show a bot.
    Show(OneArgs),
    /// Tell a filter or an echo what to do.
    Command(TellArgs),
    /// Have a bot say something in the room's chat.
    Say(SayArgs),
    /// Print what the process of a bot said.
    Logs(OneArgs),
    /// Stop a bot: it leaves the room.
    Stop(OneArgs),
    /// Forget a bot that has ended.
    Rm(OneArgs),
}

#[derive(Debug, Subcommand)]
pub(super) enum StartCommand {
    /// Send everybody's video and audio back through a filter.
    Filter(FilterArgs),
    /// Send everybody's video, audio, chat and files back.
    Echo(EchoArgs),
    /// Send media into the room.
    Feed(FeedArgs),
}

#[derive(Debug, Args)]
struct RoomArgs {
    /// The room, as in `roombot filter`.
    #[arg(value_name = "ROOM_URL")]
    room: String,
    /// The bot's name in the room.
    #[arg(long = "as", value_name = "NAME")]
    name: Option<String>,
    /// The room's join token.
    #[arg(long, env = "ROOMBOT_TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// Only participants with this name; repeatable.
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// Leave after this long; 0s: never.
    #[arg(long = "for", value_name = "TIME", value_parser = duration, default_value = "4h")]
    duration: Duration,
    /// The whole request as JSON, or @FILE; flags go before it.
    #[arg(long, value_name = "JSON")]
    request: Option<String>,
    /// The same key and request give the same bot for 24 hours.
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
}

/// How tracks come back.
#[derive(Debug, Args)]
struct ReturnArgs {
    /// Codec of returned video: vp8, vp9, h264, av1; the one it came in if absent.
    #[arg(long)]
    codec: Option<String>,
    /// Who gets it back: sender or all.
    #[arg(long, value_name = "WHO")]
    to: Option<String>,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  roombot ctl bot start filter ws://127.0.0.1:8080/rooms/standup --video blur -p size=0.05 --only Alice
  roombot ctl bot start filter ws://127.0.0.1:8080/rooms/standup --audio robot --to all --for 1h

`roombot pipelines list filter` lists the filters.")]
pub(super) struct FilterArgs {
    #[command(flatten)]
    room: RoomArgs,
    /// Video filter.
    #[arg(long, value_name = "NAME")]
    video: Option<String>,
    /// Audio filter.
    #[arg(long, value_name = "NAME")]
    audio: Option<String>,
    /// Parameter of the video filter; repeatable.
    #[arg(short = 'p', long = "param", value_name = "KEY=VALUE", value_parser = parameter, requires = "video")]
    params: Vec<(String, String)>,
    /// Parameter of the audio filter; repeatable.
    #[arg(long = "audio-param", value_name = "KEY=VALUE", value_parser = parameter, requires = "audio")]
    audio_params: Vec<(String, String)>,
    #[command(flatten)]
    returned: ReturnArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  roombot ctl bot start echo ws://127.0.0.1:8080/rooms/standup --only Alice --codec h264")]
pub(super) struct EchoArgs {
    #[command(flatten)]
    room: RoomArgs,
    #[command(flatten)]
    returned: ReturnArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  roombot ctl bot start feed ws://127.0.0.1:8080/rooms/standup talks/alice.webm --loop --as Alice
  roombot ctl bot start feed ws://127.0.0.1:8080/rooms/standup --video pattern:ball,640x360@30 --audio ticks

Files are paths below the service's media folder (`media` in its configuration).")]
pub(super) struct FeedArgs {
    #[command(flatten)]
    room: RoomArgs,
    /// A file whose first video and audio are sent.
    #[arg(value_name = "MEDIA")]
    media: Option<String>,
    /// The camera: a file, an image, or pattern:NAME[,WIDTHxHEIGHT[@FPS]].
    #[arg(long, value_name = "SOURCE")]
    video: Option<String>,
    /// The microphone: a file, tone:HZ, silence, noise or ticks.
    #[arg(long, value_name = "SOURCE")]
    audio: Option<String>,
    /// Camera and microphone with the stamps of this participant, for `verify`.
    #[arg(long, value_name = "NAME")]
    stamp: Option<String>,
    /// A screen share: a file, pattern:NAME, an image or a folder of images; repeatable.
    #[arg(long, value_name = "SOURCE")]
    screen: Vec<String>,
    /// Begin again at the end of the file.
    #[arg(long = "loop")]
    repeat: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  roombot ctl bot show bot_01jdzq4h8v0t3k5m7n9p1r3s5t --json")]
pub(super) struct OneArgs {
    /// The bot's id.
    #[arg(value_name = "BOT")]
    id: String,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  roombot ctl bot command bot_01jdzq4h8v0t3k5m7n9p1r3s5t filter blur size=0.05
  roombot ctl bot command bot_01jdzq4h8v0t3k5m7n9p1r3s5t audio off
  roombot ctl bot command bot_01jdzq4h8v0t3k5m7n9p1r3s5t only Alice")]
pub(super) struct TellArgs {
    /// The bot's id.
    #[arg(value_name = "BOT")]
    id: String,
    /// filter NAME [KEY=VALUE]…, audio NAME [KEY=VALUE]…, video on|off, audio on|off, source camera|screen|all, only NAME, only all.
    #[arg(value_name = "COMMAND", required = true, num_args = 1..)]
    words: Vec<String>,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  roombot ctl bot say bot_01jdzq4h8v0t3k5m7n9p1r3s5t 'We begin.'")]
pub(super) struct SayArgs {
    /// The bot's id.
    #[arg(value_name = "BOT")]
    id: String,
    /// What it says.
    #[arg(value_name = "TEXT")]
    text: String,
}

impl BotCommand {
    pub async fn run(&self, service: &Service) -> Result<()> {
        match self {
            BotCommand::Start(start) => {
                let key = start.room().1.idempotency_key.as_deref();
                service.print(&service.make("/v1/bots", &start.body()?, key).await?, show);
            }
            BotCommand::Show(one) => service.print(&service.get(&one.path("")).await?, show),
            BotCommand::Stop(one) => service.print(&service.post(&one.path("/stop"), &json!({})).await?, show),
            BotCommand::Command(tell) => {
                let answer = service.post(&path(&tell.id, "/command"), &command(&tell.words)?).await?;
                service.print(&answer, |answer| print_out!("{}", word(&answer["answer"])));
            }
            BotCommand::Say(say) => {
                let request = service.request(Method::POST, &path(&say.id, "/chat")).json(&json!({ "text": say.text }));
                service.text(request).await?;
            }
            BotCommand::Logs(one) => {
                let text = service.text(service.request(Method::GET, &one.path("/logs"))).await?;
                print_out!("{}", text.trim_end());
            }
            BotCommand::Rm(one) => {
                service.delete(&one.path("")).await?;
                print_err!("Deleted {}.", one.id);
            }
        }
        Ok(())
    }
}

impl OneArgs {
    fn path(&self, rest: &str) -> String {
        path(&self.id, rest)
    }
}

fn path(id: &str, rest: &str) -> String {
    format!("/v1/bots/{}{rest}", encoded(id))
}

impl StartCommand {
    /// What kind of bot, and where.
    fn room(&self) -> (&'static str, &RoomArgs) {
        match self {
            StartCommand::Filter(args) => ("filter", &args.room),
            StartCommand::Echo(args) => ("echo", &args.room),
            StartCommand::Feed(args) => ("feed", &args.room),
        }
    }

    /// The request.
    fn body(&self) -> Result<Value> {
        let some = |list: &[String]| Some(list.to_vec()).filter(|list| !list.is_empty());
        let (kind, room) = self.room();
        let mut body = Body::given(room.request.as_deref())?;
        body.set("kind", Some(kind))?;
        body.set("room_url", Some(room.room.clone()))?;
        body.set("name", room.name.clone())?;
        body.set("token", room.token.clone())?;
        body.set("only", some(&room.only))?;
        body.set("max_duration_s", Some(room.duration.as_secs()))?;
        match self {
            StartCommand::Filter(args) => {
                body.set("filter.video.name", args.video.clone())?;
                body.set("filter.video.params", object(&args.params))?;
                body.set("filter.audio.name", args.audio.clone())?;
                body.set("filter.audio.params", object(&args.audio_params))?;
                body.set("filter.codec", args.returned.codec.clone())?;
                body.set("filter.to", args.returned.to.clone())?;
            }
            StartCommand::Echo(args) => {
                body.set("echo.codec", args.returned.codec.clone())?;
                body.set("echo.to", args.returned.to.clone())?;
            }
            StartCommand::Feed(args) => {
                body.set("feed.media", args.media.clone())?;
                body.set("feed.video", args.video.clone())?;
                body.set("feed.audio", args.audio.clone())?;
                body.set("feed.stamp", args.stamp.clone())?;
                body.set("feed.screen", some(&args.screen))?;
                body.set("feed.loop", args.repeat.then_some(true))?;
            }
        }
        Ok(body.value())
    }
}

/// Parameters as an object, if there are any.
fn object(params: &[(String, String)]) -> Option<Map<String, Value>> {
    let params = params.iter().map(|(key, value)| (key.clone(), value.clone().into()));
    Some(params.collect::<Map<_, _>>()).filter(|params| !params.is_empty())
}

/// The body of a command, as people type it.
fn command(words: &[String]) -> Result<Value> {
    let words: Vec<&str> = words.iter().flat_map(|words| words.split_whitespace()).collect();
    let with_params = |field: &str, name: &str, params: &[&str]| {
        let params = params.iter().map(|text| parameter(text)).collect::<Result<Vec<_>, _>>().map_err(Error::user)?;
        Ok(json!({ field: name, "params": object(&params).unwrap_or_default() }))
    };
    match words[..] {
        ["video", switch @ ("on" | "off")] => Ok(json!({ "video_on": switch == "on" })),
        ["audio", switch @ ("on" | "off")] => Ok(json!({ "audio_on": switch == "on" })),
        ["filter" | "video", name, ref params @ ..] => with_params("filter", name, params),
        ["audio", name, ref params @ ..] => with_params("audio", name, params),
        ["source", which @ ("camera" | "screen" | "all")] => Ok(json!({ "source": which })),
        ["only", ref name @ ..] if !name.is_empty() => Ok(json!({ "only": name.join(" ") })),
        _ => Err(Error::user(format!(
            "\"{}\" is no command; `roombot ctl bot command --help` lists them",
            words.join(" ").escape_debug()
        ))),
    }
}

fn show(bot: &Value) {
    let kind = word(&bot["request"]["kind"]);
    print_out!("{} {kind} {} {}", word(&bot["id"]), word(&bot["state"]), word(&bot["room"]));
    let reason = word(&bot["reason"]);
    if !reason.is_empty() {
        print_out!("  {} ({reason})", word(&bot["reason_code"]));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_those_that_people_type() {
        let body = |text: &str| command(&text.split(' ').map(str::to_owned).collect::<Vec<_>>());
        for (text, want) in [
            ("filter blur size=0.05", json!({ "filter": "blur", "params": { "size": "0.05" } })),
            ("audio robot", json!({ "audio": "robot", "params": {} })),
            ("audio off", json!({ "audio_on": false })),
            ("video on", json!({ "video_on": true })),
            ("source screen", json!({ "source": "screen" })),
            ("only Alice Moreau", json!({ "only": "Alice Moreau" })),
        ] {
            assert_eq!(body(text).unwrap(), want, "{text}");
        }
        assert_eq!(command(&["filter sepia".to_owned()]).unwrap()["filter"], "sepia", "one word of the shell");
        for text in ["", "filter", "only", "source left", "filter blur size", "dance"] {
            assert_eq!(body(text).unwrap_err().exit_code(), 2, "{text}");
        }
    }
}
