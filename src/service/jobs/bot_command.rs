//! The command line of a bot. Clients name built-in filters and sources, and files below the media folder; nothing else of this machine.

use crate::error::Error;
use crate::media::{Filter, Library, ParamKind};
use crate::room::media::MediaKind;
use crate::service::model::{BotKind, BotRequest, FilterChoice, InvalidField, SendTo};
use std::ffi::OsString;
use std::path::{Component, Path, PathBuf};

/// Sources that open no file.
const GENERATED: [&str; 5] = ["pattern", "tone", "silence", "noise", "ticks"];

/// The place of a file below the media folder, without links out of it.
fn media_path(folder: Option<&Path>, name: &str) -> Result<PathBuf, String> {
    let Some(folder) = folder else {
        return Err("is no source of ours, and the service has no media folder (`media` in its configuration)".into());
    };
    let inside = |path: &Path| path.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
    if name.contains('\0') || !inside(Path::new(name)) {
        return Err("must be a path below the media folder, without `..`".into());
    }
    let missing = || "there is no such file in the media folder".to_owned();
    let root = folder.canonicalize().map_err(|_| "the service's media folder cannot be read".to_owned())?;
    let path = root.join(name).canonicalize().map_err(|_| missing())?;
    // A link may lead elsewhere.
    if path.starts_with(&root) { Ok(path) } else { Err(missing()) }
}

/// A source as `roombot feed` takes it.
fn source(folder: Option<&Path>, text: &str) -> Result<OsString, String> {
    let name = text.split_once(':').map_or(text, |(name, _)| name);
    if GENERATED.contains(&name) {
        return Ok(text.into());
    }
    media_path(folder, text).map(PathBuf::into_os_string)
}

/// The parameters of a filter, with images as paths. It is built once, to see whether it can be.
fn values(
    library: &Library,
    folder: Option<&Path>,
    kind: MediaKind,
    choice: &FilterChoice,
) -> Result<Vec<(String, String)>, String> {
    let place = if kind == MediaKind::Video { "video" } else { "audio" };
    let template = library.get(&format!("filter/{place}/{}", choice.name)).map_err(|e: Error| e.to_string())?;
    let mut values = choice.values();
    for (name, value) in &mut values {
        let is_image = |param: &&crate::media::Param| param.name == *name && matches!(param.kind, ParamKind::Image);
        if template.params.iter().any(|param| is_image(&param)) {
            let path = media_path(folder, value)?;
            *value = path.into_os_string().into_string().map_err(|_| "is no UTF-8".to_owned())?;
        }
    }
    Filter::resolve(library, kind, &choice.name, &values).map_err(|e| e.to_string())?;
    Ok(values)
}

/// The arguments that make a bot what was asked for.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct BotArguments {
    /// The verb and its flags.
    pub flags: Vec<OsString>,
    /// What stands behind the room: the file of a feed.
    pub file: Option<OsString>,
}

/// The arguments that make the bot what was asked for, without those of the service. Reads the disk.
///
/// # Errors
/// A field that cannot be used here.
pub fn arguments(request: &BotRequest, media: Option<&Path>) -> Result<BotArguments, InvalidField> {
    let invalid = |field: &'static str| move |problem: String| InvalidField { field, problem };
    let library = Library::new(None).map_err(|e| invalid("kind")(e.to_string()))?;
    let (mut flags, mut file): (Vec<OsString>, Option<OsString>) = (Vec::new(), None);
    let mut add = |words: &[&str]| flags.extend(words.iter().map(OsString::from));
    let to = |to: SendTo| if to == SendTo::All { "all" } else { "sender" };
    match request.kind {
        BotKind::Echo => {
            add(&["echo"]);
            if let Some(echo) = &request.echo {
                add(&["--to", to(echo.to)]);
                echo.codec.iter().for_each(|codec| add(&["--codec", codec.word()]));
            }
        }
        BotKind::Filter => {
            add(&["filter"]);
            let filter = request.filter.clone().unwrap_or_default();
            add(&["--to", to(filter.to)]);
            filter.codec.iter().for_each(|codec| add(&["--codec", codec.word()]));
            for (kind, choice, flag, param, field) in [
                (MediaKind::Video, &filter.video, "--video", "--param", "filter.video"),
                (MediaKind::Audio, &filter.audio, "--audio", "--audio-param", "filter.audio"),
            ] {
                let Some(choice) = choice else { continue };
                let values = values(&library, media, kind, choice).map_err(invalid(field))?;
                add(&[flag, &choice.name]);
                values.iter().for_each(|(key, value)| add(&[param, &format!("{key}={value}")]));
            }
        }
        BotKind::Feed => {
            let feed = request.feed.clone().unwrap_or_default();
            add(&["feed", "--codec", feed.codec.word(), "--copies", &feed.copies.to_string()]);
            add(&["--slide-seconds", &format!("{}s", feed.slide_s)]);
            feed.bitrate_kbit.iter().for_each(|kilobits| add(&["--bitrate", &kilobits.to_string()]));
            feed.stamp.iter().for_each(|stamp| add(&["--stamp", stamp]));
            for (is_set, flag) in [(feed.repeat, "--loop"), (feed.transcode, "--transcode")] {
                if is_set {
                    add(&[flag]);
                }
            }
            for (field, text) in feed.sources() {
                if field == "feed.media" {
                    file = Some(media_path(media, text).map_err(invalid(field))?.into_os_string());
                    continue;
                }
                let flag = field.replace("feed.", "--");
                let source = source(media, text).map_err(invalid(field))?;
                flags.push(flag.into());
                flags.push(source);
            }
        }
    }
    Ok(BotArguments { flags, file })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn feed(media: &str) -> BotRequest {
        let text = format!(r#"{{"kind":"feed","room_url":"ws://h/rooms/a","feed":{{"media":{media:?},"loop":true}}}}"#);
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn only_what_is_below_the_media_folder_is_sent() {
        let outside = tempfile::tempdir().unwrap();
        let folder = outside.path().join("media");
        std::fs::create_dir_all(folder.join("talks")).unwrap();
        for file in [outside.path().join("secret.webm"), folder.join("talks/alice.webm")] {
            std::fs::write(file, "x").unwrap();
        }
        std::os::unix::fs::symlink(outside.path().join("secret.webm"), folder.join("link.webm")).unwrap();
        let of = |name: &str| arguments(&feed(name), Some(&folder));
        let path = folder.canonicalize().unwrap().join("talks/alice.webm").into_os_string();
        assert_eq!(of("talks/alice.webm").unwrap().file, Some(path));
        for name in ["../secret.webm", "/etc/passwd", "link.webm", "talks/../../secret.webm", "none.webm"] {
            assert_eq!(of(name).unwrap_err().field, "feed.media", "{name}");
        }
        assert!(arguments(&feed("talks/alice.webm"), None).unwrap_err().problem.contains("no media folder"));
    }

    #[test]
    fn sources_and_filters_are_those_of_the_library() {
        let args = |text: &str| arguments(&serde_json::from_str(text).unwrap(), None).map(|args| args.flags);
        let pattern = args(r#"{"kind":"feed","room_url":"ws://h/rooms/a","feed":{"video":"pattern:ball"}}"#).unwrap();
        assert_eq!(pattern[pattern.len() - 2..], ["--video", "pattern:ball"].map(OsString::from));
        let wrong = r#"{"kind":"feed","room_url":"ws://h/rooms/a","feed":{"video":"../source/pattern:ball"}}"#;
        assert_eq!(args(wrong).unwrap_err().field, "feed.video");
        let blur = r#"{"kind":"filter","room_url":"ws://h/rooms/a","filter":{"video":{"name":"blur","params":{"size":0.05}}}}"#;
        let blur = args(blur).unwrap();
        assert!(blur.contains(&"size=0.05".into()), "{blur:?}");
        for video in [r#"{"name":"none-such"}"#, r#"{"name":"blur","params":{"size":"x"}}"#] {
            let text = format!(r#"{{"kind":"filter","room_url":"ws://h/rooms/a","filter":{{"video":{video}}}}}"#);
            assert_eq!(args(&text).unwrap_err().field, "filter.video", "{video}");
        }
    }
}
