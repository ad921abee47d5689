//! Pipeline templates: GStreamer's launch syntax after a header of typed parameters. Parses and fills in values; it runs nothing. No
//! text from outside gets into a description: only numbers, fractions, booleans and words that the template lists.
//!
//! ```text
//! # Black and white under a caption, with a logo.
//! # @param contrast: double = 1.0 (0.0..2.0)
//! # @param method: enum = fast (fast|good)
//! # @text caption -> words.text = "Live" (..80)
//! # @image logo (optional)
//! # @code watermark -> mark
//! videoconvert method={method} name=in ! videobalance saturation=0 contrast={contrast}
//! ! textoverlay name=words ! identity name=mark ! videoconvert name=out
//! ```
//!
//! A `@text` is set as a property of a built element. An `@image` is decoded and passed to Rust code. `@code` names the Rust code
//! (`media::transform`) that an `identity` element runs on its buffers; it reads the parameters by their names.

mod param;

pub use param::{Param, ParamKind, Value};
pub(super) use param::{image_file, image_limits};

use crate::error::{Error, Result};
use param::is_name;

/// The longest template, in bytes.
pub(super) const MAX_BYTES: usize = 64 * 1024;

/// A parsed template: its help, its parameters and its text.
#[derive(Debug, Clone)]
pub struct Template {
    /// Folder and name without the ending (`feed/source`).
    pub name: String,
    /// Where it was read, for error messages (`pipelines/feed/source.gst`).
    pub file: String,
    /// The first comment line.
    pub help: String,
    /// The declared parameters, in order.
    pub params: Vec<Param>,
    /// Names of Rust code, each with the name of the element that runs it.
    codes: Vec<(String, String)>,
    /// Line number (from 1) and text of each line of the description.
    body: Vec<(usize, String)>,
    source: String,
}

impl Template {
    /// Parses a template's text.
    ///
    /// # Errors
    /// The user's, naming `file` and the line: no help line, an invalid, unused or duplicate parameter, an undeclared placeholder, no
    /// description.
    pub fn parse(name: &str, file: &str, text: &str) -> Result<Template> {
        let at = |line: usize, what: String| Error::user(format!("{file}:{line}: {what}"));
        if text.len() > MAX_BYTES {
            return Err(at(1, format!("is longer than {MAX_BYTES} bytes")));
        }
        let (mut help, mut params, mut codes, mut body) = (None, Vec::<(usize, Param)>::new(), Vec::new(), Vec::new());
        for (index, line) in text.lines().enumerate() {
            let number = index + 1;
            let Some(comment) = line.trim_start().strip_prefix('#').map(str::trim) else {
                if !line.trim().is_empty() {
                    body.push((number, line.to_owned()));
                }
                continue;
            };
            if let Some(declaration) = comment.strip_prefix("@code ") {
                codes.push(param::code(declaration).map_err(|e| at(number, e))?);
            } else if let Some(param) = declared(comment) {
                let param = param.map_err(|e| at(number, e))?;
                if params.iter().any(|(_, p)| p.name == param.name) {
                    return Err(at(number, format!("parameter `{}` is declared twice", param.name)));
                }
                params.push((number, param));
            } else if help.is_none() && !comment.is_empty() {
                help = Some(comment.to_owned());
            }
        }
        let help = help.ok_or_else(|| at(1, "the first comment line must say what the pipeline does".into()))?;
        if body.is_empty() {
            return Err(at(text.lines().count().max(1), "has no pipeline description".into()));
        }
        let mut used = Vec::new();
        for (number, line) in &body {
            for piece in pieces(line) {
                let Piece::Placeholder(name) = piece else { continue };
                match params.iter().find(|(_, p)| p.name == name) {
                    Some((_, param)) if param.kind.is_placeholder() => used.push(name),
                    Some(_) => {
                        return Err(at(
                            *number,
                            format!("`{{{name}}}` is not a number and cannot be used as a placeholder"),
                        ));
                    }
                    None => return Err(at(*number, format!("`{{{name}}}` is not a declared parameter"))),
                }
            }
        }
        // Which parameters Rust code reads is not known here.
        let is_used = |p: &Param| p.target.is_some() || !codes.is_empty() || used.contains(&p.name.as_str());
        if let Some((number, unused)) = params.iter().find(|(_, p)| !is_used(p)) {
            return Err(at(*number, format!("parameter `{}` is not used", unused.name)));
        }
        let params = params.into_iter().map(|(_, p)| p).collect();
        Ok(Template { name: name.into(), file: file.into(), help, params, codes, body, source: text.into() })
    }

    /// The text of the template, as it was read.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Parses the value of a parameter (`contrast`, `1.5`).
    ///
    /// # Errors
    /// The user's: no such parameter, or the text is not a value within its range.
    pub fn read(&self, name: &str, text: &str) -> Result<Value> {
        let param = self.param(name)?;
        param.kind.read(text).map_err(|e| Error::user(format!("{}: parameter `{name}`: {e}", self.file)))
    }

    /// The description with every placeholder replaced by its value or default.
    ///
    /// # Errors
    /// The user's: an unknown parameter, a missing one, a value of another type or out of range.
    pub fn fill(&self, values: &[(&str, Value)]) -> Result<String> {
        for (name, value) in values {
            let param = self.param(name)?;
            if !param.kind.accepts(value) {
                let message = format!("{}: parameter `{name}`: `{value}` is not {}", self.file, param.kind);
                return Err(Error::user(message));
            }
        }
        let given = |p: &Param| p.optional || p.default.is_some() || values.iter().any(|(name, _)| *name == p.name);
        if let Some(missing) = self.params.iter().find(|p| !given(p)) {
            let message = format!("{}: parameter `{}` must be given: {}", self.file, missing.name, missing.kind);
            return Err(Error::user(message));
        }
        let mut out = String::new();
        for (_, line) in &self.body {
            for piece in pieces(line) {
                match piece {
                    Piece::Text(text) => out.push_str(text),
                    Piece::Placeholder(name) => {
                        let value = self.value(name, values)?;
                        out.push_str(&value.map(|v| v.to_string()).unwrap_or_default());
                    }
                }
            }
            out.push('\n');
        }
        Ok(out)
    }

    /// Values for the parameters without a default, to check the template.
    pub fn samples(&self) -> Vec<(&str, Value)> {
        let missing = self.params.iter().filter(|p| p.default.is_none() && !p.optional);
        missing.map(|p| (p.name.as_str(), p.kind.sample())).collect()
    }

    /// The texts to set: element, property, text.
    pub(super) fn texts(&self, values: &[(&str, Value)]) -> Result<Vec<(&str, &str, String)>> {
        let mut texts = Vec::new();
        for param in &self.params {
            let Some((element, property)) = &param.target else { continue };
            if let Some(Value::Text(text)) = self.value(&param.name, values)? {
                texts.push((element.as_str(), property.as_str(), text));
            }
        }
        Ok(texts)
    }

    /// Names of Rust code, each with the name of the element that runs it.
    pub(super) fn codes(&self) -> &[(String, String)] {
        &self.codes
    }

    /// True if it has the first and last element of a filter.
    pub(super) fn is_filter(&self) -> bool {
        let has = |word: &str| self.body.iter().any(|(_, line)| line.split_whitespace().any(|w| w == word));
        has("name=in") && has("name=out")
    }

    /// `file:line` of the first line of the description that has `word`, or just `file`.
    pub fn place_of(&self, word: &str) -> String {
        let part_of_word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        let has = |line: &str| line.split(|c| !part_of_word(c)).any(|w| w == word);
        match self.body.iter().find(|(_, line)| has(line)) {
            Some((number, _)) => format!("{}:{number}", self.file),
            None => self.file.clone(),
        }
    }

    fn param(&self, name: &str) -> Result<&Param> {
        self.params.iter().find(|p| p.name == name).ok_or_else(|| {
            let known: Vec<_> = self.params.iter().map(|p| p.name.as_str()).collect();
            let known = if known.is_empty() { "it has none".into() } else { format!("it has {}", known.join(", ")) };
            Error::user(format!("{}: no parameter `{name}`; {known}", self.file))
        })
    }

    /// The value of a parameter: as given, or its default; `None` for an optional one that is not given.
    pub(super) fn value(&self, name: &str, values: &[(&str, Value)]) -> Result<Option<Value>> {
        let param = self.param(name)?;
        let given = values.iter().find(|(n, _)| *n == name).map(|(_, value)| value.clone());
        Ok(given.or_else(|| param.default.clone()))
    }
}

/// The parameter that a comment declares, if any.
fn declared(comment: &str) -> Option<Result<Param, String>> {
    let (what, declaration) = comment.split_once(' ')?;
    match what {
        "@param" => Some(param::parameter(declaration)),
        "@text" => Some(param::text(declaration)),
        "@image" => Some(param::image(declaration)),
        _ => None,
    }
}

enum Piece<'a> {
    Text(&'a str),
    Placeholder(&'a str),
}

/// Splits a line at its placeholders: one lower-case word directly within braces. GStreamer's lists (`{ I420, NV12 }`) are text.
fn pieces(line: &str) -> Vec<Piece<'_>> {
    let mut out = Vec::new();
    let (mut text_from, mut search_from) = (0, 0);
    while let Some(open) = line[search_from..].find('{').map(|i| i + search_from) {
        let inside = &line[open + 1..];
        search_from = open + 1;
        if let Some(name) = inside.find('}').map(|close| &inside[..close]).filter(|name| is_name(name)) {
            out.push(Piece::Text(&line[text_from..open]));
            out.push(Piece::Placeholder(name));
            text_from = open + 1 + name.len() + 1;
            search_from = text_from;
        }
    }
    out.push(Piece::Text(&line[text_from..]));
    out
}

#[cfg(test)]
mod tests;
