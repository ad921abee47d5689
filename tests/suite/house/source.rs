//! The source files of the crate as text.

use std::path::{Path, PathBuf};

pub struct Source {
    /// From `src` on.
    pub path: String,
    pub text: String,
}

impl Source {
    /// The room that the file is in.
    pub fn room(&self) -> &str {
        room(&self.path)
    }

    /// Its lines of product code, numbered from 1: no comments, and nothing of `#[cfg(test)]` modules.
    pub fn code(&self) -> Vec<(usize, String)> {
        let mut code = Vec::new();
        let (mut in_test, mut pending) = (false, false);
        for (index, line) in self.text.lines().enumerate() {
            let bare = without_comment(line);
            if bare.trim() == "#[cfg(test)]" {
                pending = true;
                continue;
            }
            if pending {
                // A module of its own file ends in its line, one in this file at the next brace in the first column.
                pending = bare.trim().starts_with("#[");
                in_test = !pending && bare.trim_end().ends_with('{');
                continue;
            }
            if in_test {
                in_test = !line.starts_with('}');
                continue;
            }
            code.push((index + 1, bare));
        }
        code
    }

    /// A file that only a `#[cfg(test)] mod` declares.
    pub fn is_test(&self) -> bool {
        ["/tests.rs", "_tests.rs", "/testing.rs"].iter().any(|end| self.path.ends_with(end))
    }
}

/// The room of a file below `src`.
pub fn room(path: &str) -> &str {
    let first = path.split('/').next().unwrap_or_default();
    first.strip_suffix(".rs").unwrap_or(first)
}

/// The line without what follows `//` outside of a string.
pub fn without_comment(line: &str) -> String {
    let (mut quoted, mut escaped) = (false, false);
    for (at, c) in line.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            '/' if !quoted && line[at..].starts_with("//") => return line[..at].to_owned(),
            _ => {}
        }
    }
    line.to_owned()
}

pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

pub fn files_below(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path()) {
        if entry.is_dir() {
            found.extend(files_below(&entry, extension));
        } else if entry.extension().is_some_and(|e| e == extension) {
            found.push(entry);
        }
    }
    found.sort();
    found
}

pub fn sources() -> Vec<Source> {
    let folder = root().join("src");
    let read = |path: PathBuf| {
        let text = std::fs::read_to_string(&path).expect("UTF-8");
        Source { path: path.strip_prefix(&folder).expect("below src").display().to_string(), text }
    };
    files_below(&folder, "rs").into_iter().map(read).collect()
}
