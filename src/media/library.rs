//! Where templates come from: the built-in ones, compiled in, and a user's folder in front of them. Reads files; runs nothing.

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

/// Every file below `pipelines/`; a test holds that none is missing.
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
    "feed/source",
    "feed/vp8",
    "feed/vp9",
    "feed/av1",
    "feed/h264",
    "feed/opus",
    "fixture/caption",
    "fixture/encode-h264",
    "fixture/encode-vp8",
    "fixture/encode-vp9",
    "fixture/slides",
];

/// Templates by name (`feed/source`).
#[derive(Debug, Clone, Default)]
pub struct Library {
    folder: Option<PathBuf>,
}

impl Library {
    /// The built-in templates, behind those of `folder` if there is one (`folder/feed/source.gst` hides `feed/source`).
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

    /// The template called `name`.
    ///
    /// # Errors
    /// The user's: there is none, or it does not parse.
    pub fn get(&self, name: &str) -> Result<Template> {
        if let Some(path) = self.own()?.remove(name) {
            return Self::read(&path, name);
        }
        match BUILT_IN.iter().find(|(n, _)| *n == name) {
            Some((_, text)) => Template::parse(name, &format!("pipelines/{name}.gst"), text),
            None => Err(Error::user(format!("no pipeline `{name}`: `roombot pipelines list` shows them"))),
        }
    }

    /// Every template by name, each parsed or refused by itself.
    pub fn list(&self) -> Result<BTreeMap<String, Result<Template>>> {
        let own = self.own()?;
        let names = BUILT_IN.iter().map(|(n, _)| (*n).to_owned()).chain(own.into_keys());
        Ok(names.map(|n| (n.clone(), self.get(&n))).collect())
    }

    /// Reads one template file, wherever it lies.
    ///
    /// # Errors
    /// The user's: it cannot be read, is longer than a template may be, or does not parse.
    pub fn read(path: &Path, name: &str) -> Result<Template> {
        let shown = path.display().to_string();
        let cannot = |e| Error::user(format!("cannot read the pipeline {shown}")).because(e);
        let length = std::fs::metadata(path).map_err(cannot)?.len();
        if length > MAX_BYTES as u64 {
            return Err(Error::user(format!("{shown} is longer than {MAX_BYTES} bytes: is it a pipeline?")));
        }
        Template::parse(name, &shown, &std::fs::read_to_string(path).map_err(cannot)?)
    }

    /// The user's templates: `folder/KIND/NAME.gst`, two levels and no deeper.
    fn own(&self) -> Result<BTreeMap<String, PathBuf>> {
        let mut found = BTreeMap::new();
        let Some(folder) = &self.folder else { return Ok(found) };
        let cannot = |e| Error::user(format!("cannot read the pipelines folder {}", folder.display())).because(e);
        for kind in std::fs::read_dir(folder).map_err(cannot)? {
            let kind = kind.map_err(cannot)?;
            if !kind.path().is_dir() {
                continue;
            }
            for file in std::fs::read_dir(kind.path()).map_err(cannot)? {
                let path = file.map_err(cannot)?.path();
                if path.extension().is_some_and(|e| e == "gst")
                    && let Some(stem) = path.file_stem()
                {
                    found.insert(format!("{}/{}", kind.file_name().display(), stem.display()), path);
                }
            }
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::Pipeline;

    #[test]
    fn every_file_is_built_in_and_every_built_in_one_can_be_built() {
        let shipped = Library::new(Some(&Path::new(env!("CARGO_MANIFEST_DIR")).join("pipelines"))).unwrap();
        let files: Vec<_> = shipped.own().unwrap().into_keys().collect();
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
