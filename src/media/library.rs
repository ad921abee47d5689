//! Finds pipeline templates: in a user's folder, then among the built-in ones, which are compiled in. Reads files; runs nothing.

use super::Template;
use super::template::MAX_BYTES;
use crate::error::{Error, Result};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

macro_rules! built_in {
    ($($name:literal),* $(,)?) => {
        &[$(($name, include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/pipelines/", $name, ".gst")))),*]
    };
}

/// Every file below `pipelines/`; a test checks that none is missing.
const BUILT_IN: &[(&str, &str)] = built_in![
    "compose/av1",
    "compose/film-av1",
    "compose/film-h264",
    "compose/film-vp8",
    "compose/film-vp9",
    "compose/h264",
    "compose/live",
    "compose/live-hls",
    "compose/opus",
    "compose/sound-m4a",
    "compose/sound-opus",
    "compose/sound-wav",
    "compose/verify",
    "compose/vp8",
    "compose/vp9",
    "feed/decode",
    "feed/picture",
    "feed/sound",
    "feed/source",
    "feed/vp8",
    "feed/vp9",
    "feed/av1",
    "feed/h264",
    "feed/opus",
    "filter/audio/delay",
    "filter/audio/echo",
    "filter/audio/gain",
    "filter/audio/high-pass",
    "filter/audio/low-pass",
    "filter/audio/mono",
    "filter/audio/noise-gate",
    "filter/audio/none",
    "filter/audio/pitch",
    "filter/audio/reverb",
    "filter/audio/robot",
    "filter/video/blur",
    "filter/video/brightness",
    "filter/video/chroma-key",
    "filter/video/clock",
    "filter/video/delay",
    "filter/video/edges",
    "filter/video/flip",
    "filter/video/freeze",
    "filter/video/grey",
    "filter/video/grey-average",
    "filter/video/invert",
    "filter/video/mirror",
    "filter/video/none",
    "filter/video/picture-in-picture",
    "filter/video/pixelate",
    "filter/video/rotate",
    "filter/video/sepia",
    "filter/video/text",
    "filter/video/watermark",
    "fixture/caption",
    "receive/av1",
    "receive/h264",
    "receive/opus",
    "receive/vp8",
    "receive/vp9",
    "send/av1",
    "send/h264",
    "send/opus",
    "send/vp8",
    "send/vp9",
    "source/drawn",
    "source/noise",
    "source/pattern",
    "source/played",
    "source/silence",
    "source/slides",
    "source/animation",
    "source/ticks",
    "source/tone",
    "stamp/h264",
    "stamp/vp8",
    "stamp/vp9",
    "verify/file",
    "verify/picture",
    "verify/sound",
];

/// Templates by name (`feed/source`).
#[derive(Debug, Clone, Default)]
pub struct Library {
    folder: Option<PathBuf>,
}

impl Library {
    /// The built-in templates, overridden by those of `folder` if given (`folder/feed/source.gst` replaces `feed/source`).
    ///
    /// # Errors
    /// The user's: `folder` is not a folder that can be read.
    pub fn new(folder: Option<&Path>) -> Result<Library> {
        if let Some(folder) = folder {
            let cannot = |e| Error::user(format!("cannot read the pipelines folder {}", folder.display())).because(e);
            std::fs::read_dir(folder).map_err(cannot)?;
        }
        Ok(Library { folder: folder.map(Path::to_path_buf) })
    }

    /// The template called `name`. A filter's name may leave out its kind: `filter/edges` for `filter/video/edges`.
    ///
    /// # Errors
    /// The user's: there is none, or it does not parse.
    pub fn get(&self, name: &str) -> Result<Template> {
        let mut names = vec![name.to_owned()];
        if let Some(filter) = name.strip_prefix("filter/") {
            names.extend(["video", "audio"].map(|folder| format!("filter/{folder}/{filter}")));
        }
        let mut user = self.user_templates()?;
        for name in names {
            if let Some(path) = user.remove(&name) {
                return Self::read(&path, &name);
            }
            if let Some((_, text)) = BUILT_IN.iter().find(|(n, _)| *n == name) {
                return Template::parse(&name, &format!("pipelines/{name}.gst"), text);
            }
        }
        Err(Error::user(format!("no pipeline `{name}`; `roombot pipelines list` shows all")))
    }

    /// Every template by name, or the reason why it does not parse.
    ///
    /// # Errors
    /// The user's: the folder cannot be read.
    pub fn list(&self) -> Result<BTreeMap<String, Result<Template>>> {
        let user = self.user_templates()?;
        let names = BUILT_IN.iter().map(|(n, _)| (*n).to_owned()).chain(user.into_keys());
        Ok(names.map(|n| (n.clone(), self.get(&n))).collect())
    }

    /// Reads one template file from any path.
    ///
    /// # Errors
    /// The user's: it cannot be read, is too long, or does not parse.
    pub fn read(path: &Path, name: &str) -> Result<Template> {
        let shown = path.display().to_string();
        let cannot = |e| Error::user(format!("cannot read the pipeline {shown}: {e}")).because(e);
        let length = std::fs::metadata(path).map_err(cannot)?.len();
        if length > MAX_BYTES as u64 {
            return Err(Error::user(format!(
                "{shown} is longer than {MAX_BYTES} bytes, so it is not a pipeline template"
            )));
        }
        Template::parse(name, &shown, &std::fs::read_to_string(path).map_err(cannot)?)
    }

    /// The user's templates: `folder/KIND/NAME.gst`, and for filters `folder/filter/KIND/NAME.gst`; no deeper.
    fn user_templates(&self) -> Result<BTreeMap<String, PathBuf>> {
        let mut found = BTreeMap::new();
        if let Some(folder) = &self.folder {
            collect(folder, "", 3, &mut found)?;
        }
        Ok(found)
    }
}

/// Adds the templates in the folders below `folder`, whose names have at most `depth` parts.
fn collect(folder: &Path, prefix: &str, depth: usize, found: &mut BTreeMap<String, PathBuf>) -> Result<()> {
    let cannot = |e| Error::user(format!("cannot read the pipelines folder {}", folder.display())).because(e);
    for entry in std::fs::read_dir(folder).map_err(cannot)? {
        let path = entry.map_err(cannot)?.path();
        let Some(stem) = path.file_stem() else { continue };
        let name = format!("{prefix}{}", stem.display());
        if path.is_dir() && depth > 1 {
            collect(&path, &format!("{name}/"), depth - 1, found)?;
        } else if !prefix.is_empty() && path.extension().is_some_and(|e| e == "gst") {
            found.insert(name, path);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::Pipeline;

    #[test]
    fn every_file_is_built_in_and_every_built_in_one_can_be_built() {
        let shipped = Library::new(Some(&Path::new(env!("CARGO_MANIFEST_DIR")).join("pipelines"))).unwrap();
        let files: Vec<_> = shipped.user_templates().unwrap().into_keys().collect();
        let library = Library::default();
        let built_in = library.list().unwrap();
        assert_eq!(files, built_in.keys().cloned().collect::<Vec<_>>());
        for (name, template) in built_in {
            Pipeline::check(&template.unwrap()).unwrap_or_else(|e| panic!("{name}: {e}"));
        }
    }

    #[test]
    fn a_folder_goes_in_front_and_one_bad_file_spoils_only_itself() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("feed")).unwrap();
        std::fs::write(folder.path().join("feed/source.gst"), "# Mine.\nfakesrc ! fakesink").unwrap();
        std::fs::write(folder.path().join("feed/bad.gst"), "fakesink").unwrap();
        let library = Library::new(Some(folder.path())).unwrap();
        assert_eq!(library.get("feed/source").unwrap().help, "Mine.");
        let list = library.list().unwrap();
        assert!(list["feed/vp8"].is_ok());
        let error = list["feed/bad"].as_ref().unwrap_err().to_string();
        assert!(error.contains("feed/bad.gst:1: "), "{error}");
    }

    #[test]
    fn unknown_names_and_folders_are_the_users_to_mend() {
        assert!(Library::default().get("feed/none").unwrap_err().to_string().contains("pipelines list"));
        assert!(Library::default().get("../Cargo").is_err());
        assert!(Library::new(Some(Path::new("/nowhere/at/all"))).is_err());
    }
}
