//! A pipeline as text: GStreamer's launch syntax under a header of typed parameters. Parses and fills; it runs nothing,
//! and no text from outside ever gets into a description: only numbers, fractions, booleans and words that the template lists.
//!
//! ```text
//! # Black and white.
//! # @param contrast: double = 1.0 (0.0..2.0)
//! # @param method: enum = fast (fast|good)
//! videobalance name=in saturation=0 contrast={contrast} ! videoconvert method={method} name=out
//! ```

use crate::error::{Error, Result};
use std::fmt;

/// Bytes of a template that are read at most.
pub const MAX_BYTES: usize = 64 * 1024;

/// A value for a parameter; always of a type that cannot break the launch syntax.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    Int(i64),
    Double(f64),
    /// Numerator and denominator (above zero).
    Fraction(i32, i32),
    Bool(bool),
    /// One of the words that the parameter lists.
    Word(String),
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Int(v) => write!(f, "{v}"),
            Value::Double(v) => write!(f, "{v:?}"),
            Value::Fraction(n, d) => write!(f, "{n}/{d}"),
            Value::Bool(v) => write!(f, "{v}"),
            Value::Word(w) => f.write_str(w),
        }
    }
}

/// What a parameter takes. Ranges include both ends.
#[derive(Debug, Clone, PartialEq)]
pub enum ParamKind {
    Int { min: i64, max: i64 },
    Double { min: f64, max: f64 },
    Fraction { min: (i32, i32), max: (i32, i32) },
    Bool,
    Enum(Vec<String>),
}

impl ParamKind {
    /// Reads a value of this kind, and holds it to the range.
    fn read(&self, text: &str) -> Result<Value, String> {
        let value = match self {
            ParamKind::Int { .. } => text.parse().map(Value::Int).ok(),
            ParamKind::Double { .. } => text.parse().map(Value::Double).ok(),
            ParamKind::Fraction { .. } => fraction(text).map(|(n, d)| Value::Fraction(n, d)),
            ParamKind::Bool => text.parse().map(Value::Bool).ok(),
            ParamKind::Enum(_) => Some(Value::Word(text.into())),
        };
        match value {
            Some(value) if self.holds(&value) => Ok(value),
            _ => Err(format!("`{text}` is not {self}")),
        }
    }

    /// True where `value` is of this kind and within the range.
    fn holds(&self, value: &Value) -> bool {
        match (self, value) {
            (ParamKind::Int { min, max }, Value::Int(v)) => (min..=max).contains(&v),
            (ParamKind::Double { min, max }, Value::Double(v)) => (min..=max).contains(&v),
            (ParamKind::Fraction { min, max }, &Value::Fraction(n, d)) => {
                d > 0 && less_or_equal(*min, (n, d)) && less_or_equal((n, d), *max)
            }
            (ParamKind::Bool, Value::Bool(_)) => true,
            (ParamKind::Enum(words), Value::Word(w)) => words.contains(w),
            _ => false,
        }
    }

    /// Any value that fits, to try a template with.
    fn sample(&self) -> Value {
        match self {
            ParamKind::Int { min, .. } => Value::Int(*min),
            ParamKind::Double { min, .. } => Value::Double(*min),
            ParamKind::Fraction { min, .. } => Value::Fraction(min.0, min.1),
            ParamKind::Bool => Value::Bool(false),
            ParamKind::Enum(words) => Value::Word(words.first().cloned().unwrap_or_default()),
        }
    }
}

impl fmt::Display for ParamKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ParamKind::Int { min, max } => write!(f, "a whole number from {min} to {max}"),
            ParamKind::Double { min, max } => write!(f, "a number from {min:?} to {max:?}"),
            ParamKind::Fraction { min, max } => write!(f, "a fraction from {}/{} to {}/{}", min.0, min.1, max.0, max.1),
            ParamKind::Bool => f.write_str("true or false"),
            ParamKind::Enum(words) => write!(f, "one of {}", words.join(", ")),
        }
    }
}

/// A declared parameter.
#[derive(Debug, Clone, PartialEq)]
pub struct Param {
    pub name: String,
    pub kind: ParamKind,
    /// Absent: a value must be given.
    pub default: Option<Value>,
}

/// A parsed template: its help, its parameters and its text.
#[derive(Debug, Clone)]
pub struct Template {
    /// Folder and name without the ending (`feed/source`).
    pub name: String,
    /// Where it was read, for error messages (`pipelines/feed/source.gst`).
    pub file: String,
    /// The first comment line.
    pub help: String,
    pub params: Vec<Param>,
    /// Line number (from 1) and text of each line of the description.
    body: Vec<(usize, String)>,
    source: String,
}

impl Template {
    /// Parses a template's text.
    ///
    /// # Errors
    /// The user's, naming `file` and the line: no help line, a bad or unused or doubled parameter, a placeholder that no
    /// parameter declares, no description.
    pub fn parse(name: &str, file: &str, text: &str) -> Result<Template> {
        let at = |line: usize, what: String| Error::user(format!("{file}:{line}: {what}"));
        if text.len() > MAX_BYTES {
            return Err(at(1, format!("is longer than {MAX_BYTES} bytes")));
        }
        let (mut help, mut params, mut body) = (None, Vec::<(usize, Param)>::new(), Vec::new());
        for (index, line) in text.lines().enumerate() {
            let number = index + 1;
            let Some(comment) = line.trim_start().strip_prefix('#').map(str::trim) else {
                if !line.trim().is_empty() {
                    body.push((number, line.to_owned()));
                }
                continue;
            };
            if let Some(declaration) = comment.strip_prefix("@param") {
                let param = parameter(declaration).map_err(|e| at(number, e))?;
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
                if !params.iter().any(|(_, p)| p.name == name) {
                    return Err(at(*number, format!("`{{{name}}}` is not a declared parameter")));
                }
                used.push(name);
            }
        }
        if let Some((number, unused)) = params.iter().find(|(_, p)| !used.contains(&p.name.as_str())) {
            return Err(at(*number, format!("parameter `{}` is not used", unused.name)));
        }
        let params = params.into_iter().map(|(_, p)| p).collect();
        Ok(Template { name: name.into(), file: file.into(), help, params, body, source: text.into() })
    }

    /// The whole text, as it was read.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Reads a parameter's value from text that a person typed (`contrast`, `1.5`).
    ///
    /// # Errors
    /// The user's: no such parameter, or the text is no value within its range.
    pub fn read(&self, name: &str, text: &str) -> Result<Value> {
        let param = self.param(name)?;
        param.kind.read(text).map_err(|e| Error::user(format!("{}: parameter `{name}`: {e}", self.file)))
    }

    /// The description with every placeholder replaced by its value, or its default.
    ///
    /// # Errors
    /// The user's: an unknown parameter, a missing one, a value of another type or out of range.
    pub fn fill(&self, values: &[(&str, Value)]) -> Result<String> {
        for (name, value) in values {
            let param = self.param(name)?;
            if !param.kind.holds(value) {
                let message = format!("{}: parameter `{name}`: `{value}` is not {}", self.file, param.kind);
                return Err(Error::user(message));
            }
        }
        let mut out = String::new();
        for (_, line) in &self.body {
            for piece in pieces(line) {
                match piece {
                    Piece::Text(text) => out.push_str(text),
                    Piece::Placeholder(name) => out.push_str(&self.value(name, values)?.to_string()),
                }
            }
            out.push('\n');
        }
        Ok(out)
    }

    /// The description filled with defaults, and with any value where there is no default: to try it, not to run it.
    pub fn fill_to_try(&self) -> Result<String> {
        let missing = self.params.iter().filter(|p| p.default.is_none());
        let values: Vec<_> = missing.map(|p| (p.name.as_str(), p.kind.sample())).collect();
        self.fill(&values)
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

    fn value(&self, name: &str, values: &[(&str, Value)]) -> Result<Value> {
        if let Some((_, value)) = values.iter().find(|(n, _)| *n == name) {
            return Ok(value.clone());
        }
        let param = self.param(name)?;
        let missing = || Error::user(format!("{}: parameter `{name}` must be given: {}", self.file, param.kind));
        param.default.clone().ok_or_else(missing)
    }
}

enum Piece<'a> {
    Text(&'a str),
    Placeholder(&'a str),
}

/// Splits a line at its placeholders. GStreamer's own lists (`{ I420, NV12 }`) are text: a placeholder is one lower-case
/// word directly within braces.
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

/// A parameter's name or an enum's word: a lower-case letter, then `[a-z0-9_-]`, at most 64.
fn is_name(text: &str) -> bool {
    text.len() <= 64
        && text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '-')
}

/// Parses `name: type = default (range)`; default and, for booleans, range may be absent.
fn parameter(text: &str) -> Result<Param, String> {
    const FORM: &str = "a parameter is `@param name: int|double|fraction|bool|enum = default (range)`";
    let (name, rest) = text.split_once(':').ok_or(FORM)?;
    let name = name.trim();
    if !is_name(name) {
        return Err(format!("`{name}` is no parameter name: lower-case letters, digits, `_` and `-`"));
    }
    let (rest, range) = match rest.split_once('(') {
        Some((before, range)) => (before, Some(range.trim_end().strip_suffix(')').ok_or(FORM)?.trim())),
        None => (rest, None),
    };
    let (kind, default) = match rest.split_once('=') {
        Some((kind, default)) => (kind.trim(), Some(default.trim())),
        None => (rest.trim(), None),
    };
    let ends = || range.and_then(|r| r.split_once("..")).ok_or(format!("`{name}` needs a range: ({kind} from..to)"));
    let bad = |e: &str| format!("`{e}` is no {kind}");
    let kind = match kind {
        "int" => {
            let (min, max) = ends()?;
            ParamKind::Int { min: min.parse().map_err(|_| bad(min))?, max: max.parse().map_err(|_| bad(max))? }
        }
        "double" => {
            let (min, max) = ends()?;
            ParamKind::Double { min: finite(min).ok_or(bad(min))?, max: finite(max).ok_or(bad(max))? }
        }
        "fraction" => {
            let (min, max) = ends()?;
            ParamKind::Fraction { min: fraction(min).ok_or(bad(min))?, max: fraction(max).ok_or(bad(max))? }
        }
        "bool" => ParamKind::Bool,
        "enum" => {
            let words: Vec<String> = range.unwrap_or_default().split('|').map(|w| w.trim().to_owned()).collect();
            if let Some(word) = words.iter().find(|w| !is_name(w)) {
                return Err(format!("`{word}` is no word of an enum: list them as (one|two)"));
            }
            ParamKind::Enum(words)
        }
        other => return Err(format!("`{other}` is no type: int, double, fraction, bool or enum")),
    };
    if !kind.holds(&kind.sample()) {
        return Err(format!("`{name}` has an empty range"));
    }
    let default = default.map(|d| kind.read(d)).transpose().map_err(|e| format!("the default of `{name}`: {e}"))?;
    Ok(Param { name: name.into(), kind, default })
}

fn finite(text: &str) -> Option<f64> {
    text.parse().ok().filter(|v: &f64| v.is_finite())
}

fn fraction(text: &str) -> Option<(i32, i32)> {
    let (n, d) = text.split_once('/')?;
    Some((n.parse().ok()?, d.parse().ok().filter(|d| *d > 0)?))
}

fn less_or_equal(a: (i32, i32), b: (i32, i32)) -> bool {
    i64::from(a.0) * i64::from(b.1) <= i64::from(b.0) * i64::from(a.1)
}

#[cfg(test)]
#[path = "template_tests.rs"]
mod tests;
