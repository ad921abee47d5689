//! Parameters of a template: their types and ranges, and how a declaration is parsed. Nothing is filled in here. Only types that cannot
//! break the launch syntax may be used in placeholders.

use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, RgbaImage};
use std::fmt;
use std::io::BufReader;
use std::path::Path;
use std::sync::Arc;

/// The longest text that a template may declare, in characters.
const MAX_TEXT: usize = 1000;
/// The longest side of an image file, the longest side after scaling down, and the memory for decoding.
const MAX_SIDE: u32 = 8192;
const SCALED_SIDE: u32 = 1920;
const MAX_DECODED: u64 = 256 << 20;

/// A value for a parameter.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// An integer.
    Int(i64),
    /// A real number.
    Double(f64),
    /// Numerator and denominator (positive).
    Fraction(i32, i32),
    /// A boolean.
    Bool(bool),
    /// One of the words that the parameter lists.
    Word(String),
    /// Free text: set as a property, never part of the description.
    Text(String),
    /// A decoded image, passed to the Rust code of a filter.
    Image(Arc<RgbaImage>),
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Int(v) => write!(f, "{v}"),
            Value::Double(v) => write!(f, "{v:?}"),
            Value::Fraction(n, d) => write!(f, "{n}/{d}"),
            Value::Bool(v) => write!(f, "{v}"),
            Value::Word(w) => f.write_str(w),
            Value::Text(text) => write!(f, "{text:?}"),
            Value::Image(image) => write!(f, "an image of {}x{}", image.width(), image.height()),
        }
    }
}

/// The type and range of a parameter. Ranges include both ends.
#[derive(Debug, Clone, PartialEq)]
pub enum ParamKind {
    /// An integer.
    Int {
        /// The lowest value.
        min: i64,
        /// The highest value.
        max: i64,
    },
    /// A real number.
    Double {
        /// The lowest value.
        min: f64,
        /// The highest value.
        max: f64,
    },
    /// A fraction.
    Fraction {
        /// The lowest value.
        min: (i32, i32),
        /// The highest value.
        max: (i32, i32),
    },
    /// `true` or `false`.
    Bool,
    /// One of these words.
    Enum(Vec<String>),
    /// One line of text.
    Text {
        /// The most characters.
        max: usize,
    },
    /// An image file: PNG, JPEG or WebP, no side longer than 8192 pixels.
    Image,
}

impl ParamKind {
    /// Parses a value of this type and checks its range.
    pub(super) fn read(&self, text: &str) -> Result<Value, String> {
        let value = match self {
            ParamKind::Int { .. } => text.parse().map(Value::Int).ok(),
            ParamKind::Double { .. } => text.parse().map(Value::Double).ok(),
            ParamKind::Fraction { .. } => fraction(text).map(|(n, d)| Value::Fraction(n, d)),
            ParamKind::Bool => text.parse().map(Value::Bool).ok(),
            ParamKind::Enum(_) => Some(Value::Word(text.into())),
            ParamKind::Text { .. } => Some(Value::Text(text.into())),
            ParamKind::Image => return image_file(Path::new(text)).map(|i| Value::Image(Arc::new(i))),
        };
        match value {
            Some(value) if self.accepts(&value) => Ok(value),
            _ => Err(format!("`{}` is not {self}", text.escape_debug())),
        }
    }

    /// True if `value` has this type and is within the range.
    pub(super) fn accepts(&self, value: &Value) -> bool {
        match (self, value) {
            (ParamKind::Int { min, max }, Value::Int(v)) => (min..=max).contains(&v),
            (ParamKind::Double { min, max }, Value::Double(v)) => (min..=max).contains(&v),
            (ParamKind::Fraction { min, max }, &Value::Fraction(n, d)) => {
                d > 0 && less_or_equal(*min, (n, d)) && less_or_equal((n, d), *max)
            }
            (ParamKind::Bool, Value::Bool(_)) => true,
            (ParamKind::Enum(words), Value::Word(w)) => words.contains(w),
            (ParamKind::Text { max }, Value::Text(text)) => {
                text.chars().count() <= *max && !text.chars().any(char::is_control)
            }
            (ParamKind::Image, Value::Image(image)) => image.width() > 0 && image.height() > 0,
            _ => false,
        }
    }

    /// True if the parameter may be used as a placeholder in the description.
    pub(super) fn is_placeholder(&self) -> bool {
        !matches!(self, ParamKind::Text { .. } | ParamKind::Image)
    }

    /// The values at both ends of the range, or all words: to test a template with.
    pub fn ends(&self) -> Vec<Value> {
        match self {
            ParamKind::Int { min, max } => vec![Value::Int(*min), Value::Int(*max)],
            ParamKind::Double { min, max } => vec![Value::Double(*min), Value::Double(*max)],
            ParamKind::Fraction { min, max } => vec![Value::Fraction(min.0, min.1), Value::Fraction(max.0, max.1)],
            ParamKind::Bool => vec![Value::Bool(false), Value::Bool(true)],
            ParamKind::Enum(words) => words.iter().cloned().map(Value::Word).collect(),
            ParamKind::Text { max } => vec![Value::Text(String::new()), Value::Text("W".repeat(*max))],
            ParamKind::Image => vec![sample_image(1, 1), sample_image(64, 48)],
        }
    }

    /// Any valid value, to check a template with.
    pub(super) fn sample(&self) -> Value {
        match self {
            ParamKind::Enum(words) => Value::Word(words.first().cloned().unwrap_or_default()),
            ParamKind::Int { min, .. } => Value::Int(*min),
            ParamKind::Double { min, .. } => Value::Double(*min),
            ParamKind::Fraction { min, .. } => Value::Fraction(min.0, min.1),
            ParamKind::Bool => Value::Bool(false),
            ParamKind::Text { .. } => Value::Text(String::new()),
            ParamKind::Image => sample_image(64, 48),
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
            ParamKind::Text { max } => write!(f, "a line of at most {max} characters"),
            ParamKind::Image => f.write_str("an image file (PNG, JPEG or WebP)"),
        }
    }
}

/// A declared parameter.
#[derive(Debug, Clone, PartialEq)]
pub struct Param {
    /// Its name.
    pub name: String,
    /// Its type and range.
    pub kind: ParamKind,
    /// The value if none is given.
    pub default: Option<Value>,
    /// It may be left out although it has no default.
    pub optional: bool,
    /// For texts: the name of the element and its property.
    pub(super) target: Option<(String, String)>,
}

impl Param {
    /// Whether a value must be given, in words.
    pub fn otherwise(&self) -> String {
        match &self.default {
            Some(default) => format!("default {default}"),
            None if self.optional => "optional".into(),
            None => "required".into(),
        }
    }
}

/// What an image may cost.
pub(in crate::media) fn image_limits() -> image::Limits {
    let mut limits = image::Limits::default();
    (limits.max_image_width, limits.max_image_height) = (Some(MAX_SIDE), Some(MAX_SIDE));
    limits.max_alloc = Some(MAX_DECODED);
    limits
}

/// Reads an image file. An image whose longer side has more than 1920 pixels is scaled down to that.
pub(in crate::media) fn image_file(path: &Path) -> Result<RgbaImage, String> {
    let wrong = |e: &dyn fmt::Display| format!("cannot read the image {}: {e}", path.display());
    let file = std::fs::File::open(path).map_err(|e| wrong(&e))?;
    let mut reader = image::ImageReader::new(BufReader::new(file)).with_guessed_format().map_err(|e| wrong(&e))?;
    reader.limits(image_limits());
    let mut decoder = reader.into_decoder().map_err(|e| wrong(&e))?;
    // What a camera says about how it was held (Exif).
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let mut image = DynamicImage::from_decoder(decoder).map_err(|e| wrong(&e))?;
    image.apply_orientation(orientation);
    let is_large = image.width().max(image.height()) > SCALED_SIDE;
    Ok(if is_large { image.thumbnail(SCALED_SIDE, SCALED_SIDE) } else { image }.to_rgba8())
}

fn sample_image(width: u32, height: u32) -> Value {
    Value::Image(Arc::new(RgbaImage::from_pixel(width, height, image::Rgba([40, 90, 160, 200]))))
}

/// A valid name of a parameter or an element: a lower-case letter, then `[a-z0-9_-]`, at most 64.
pub(super) fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_lowercase()) && is_word(text)
}

/// A valid word of an enum: `[a-z0-9_-]`, at most 64.
fn is_word(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '-')
}

fn named(name: &str) -> Result<String, String> {
    if is_name(name) {
        return Ok(name.to_owned());
    }
    Err(format!("`{name}` is not a parameter name: use lower-case letters, digits, `_` and `-`"))
}

/// Parses `name: type = default (range)` of `@param`; default and, for booleans, range may be absent.
pub(super) fn parameter(text: &str) -> Result<Param, String> {
    const FORM: &str = "a parameter is `@param name: int|double|fraction|bool|enum = default (range)`";
    let (name, rest) = text.split_once(':').ok_or(FORM)?;
    let name = named(name.trim())?;
    let (rest, range) = match rest.split_once('(') {
        Some((before, range)) => (before, Some(range.trim_end().strip_suffix(')').ok_or(FORM)?.trim())),
        None => (rest, None),
    };
    let (kind, default) = match rest.split_once('=') {
        Some((kind, default)) => (kind.trim(), Some(default.trim())),
        None => (rest.trim(), None),
    };
    let ends = || range.and_then(|r| r.split_once("..")).ok_or(format!("`{name}` needs a range: ({kind} from..to)"));
    let bad = |e: &str| format!("`{e}` is not a valid {kind}");
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
            if let Some(word) = words.iter().find(|w| !is_word(w)) {
                return Err(format!("`{word}` is not a word of an enum; list them as (one|two)"));
            }
            ParamKind::Enum(words)
        }
        other => return Err(format!("`{other}` is not a type; use int, double, fraction, bool or enum")),
    };
    if !kind.accepts(&kind.sample()) {
        return Err(format!("`{name}` has an empty range"));
    }
    let default = default.map(|d| kind.read(d)).transpose().map_err(|e| format!("the default of `{name}`: {e}"))?;
    Ok(Param { name, kind, default, optional: false, target: None })
}

/// Parses `name -> element.property = "default" (..longest)` of `@text`; the default may be absent.
pub(super) fn text(declaration: &str) -> Result<Param, String> {
    const FORM: &str = "a text is `@text name -> element.property = \"default\" (..longest)`";
    let (name, rest) = declaration.split_once("->").ok_or(FORM)?;
    let name = named(name.trim())?;
    let (rest, max) = rest.trim_end().strip_suffix(')').and_then(|r| r.rsplit_once("(..")).ok_or(FORM)?;
    let max = max.parse().ok().filter(|max| (1..=MAX_TEXT).contains(max));
    let max = max.ok_or(format!("`{name}` may have 1 to {MAX_TEXT} characters"))?;
    let kind = ParamKind::Text { max };
    let (target, default) = match rest.split_once('=') {
        Some((target, default)) => {
            (target, Some(default.trim().strip_prefix('"').and_then(|d| d.strip_suffix('"')).ok_or(FORM)?))
        }
        None => (rest, None),
    };
    let (element, property) = target.trim().split_once('.').filter(|(e, p)| is_name(e) && is_name(p)).ok_or(FORM)?;
    let default = default.map(|d| kind.read(d)).transpose().map_err(|e| format!("the default of `{name}`: {e}"))?;
    Ok(Param { name, kind, default, optional: false, target: Some((element.into(), property.into())) })
}

/// Parses `name` or `name (optional)` of `@image`.
pub(super) fn image(declaration: &str) -> Result<Param, String> {
    let declaration = declaration.trim();
    let (name, optional) = match declaration.strip_suffix("(optional)") {
        Some(name) => (name.trim(), true),
        None => (declaration, false),
    };
    Ok(Param { name: named(name)?, kind: ParamKind::Image, default: None, optional, target: None })
}

/// Parses `what -> element` of `@code`.
pub(super) fn code(declaration: &str) -> Result<(String, String), String> {
    let parts = declaration.split_once("->").map(|(what, element)| (what.trim(), element.trim()));
    match parts.filter(|(what, element)| is_name(what) && is_name(element)) {
        Some((what, element)) => Ok((what.into(), element.into())),
        None => Err("code is declared as `@code name -> element`".into()),
    }
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
