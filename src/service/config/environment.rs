//! What variables say of the configuration.

use crate::error::{Error, Result};
use figment::providers::Serialized;
use figment::value::Value;
use std::convert::Infallible;
use std::ffi::OsString;
use std::path::Path;

/// What keys of the environment begin with.
pub(super) const PREFIX: &str = "ROOMBOT_";
/// Variables of that prefix that are none of the service's keys.
pub(super) const OTHERS: [&str; 6] = ["interop", "key", "log_fields", "skipped", "token", "url"];
/// A key of the environment with this end names a file that holds the value.
const IN_FILE: &str = "_file";
/// Between the names of a table and of a key in it: `ROOMBOT_STORE__URL` is `url` in `[store]`.
const NESTED: &str = "__";

/// What variables say, and the names of those that look like keys and are none.
pub(super) type Said = (Vec<Serialized<Value>>, Vec<String>);

/// How the configuration is read with one variable as a text, and nothing else.
pub(super) enum Alone {
    /// There is no such key.
    NoKey,
    /// The key takes no text.
    NoText,
    /// It takes it, or lacks others.
    Taken,
}

/// Reads variables, each tried alone.
pub(super) fn read(
    variables: impl IntoIterator<Item = (OsString, OsString)>,
    try_alone: impl Fn(Serialized<Value>) -> Alone,
) -> Result<Said> {
    let (mut layers, mut unknown) = (Vec::new(), Vec::new());
    for (name, value) in variables {
        let Some(key) = name.to_str().and_then(|name| name.strip_prefix(PREFIX)).map(str::to_ascii_lowercase) else {
            continue;
        };
        if OTHERS.contains(&key.as_str()) {
            continue;
        }
        let name = name.display();
        let (key, text) = match key.strip_suffix(IN_FILE) {
            Some(key) => {
                let path = Path::new(&value);
                let text = std::fs::read_to_string(path)
                    .map_err(|e| Error::user(format!("{name}: {} cannot be read: {e}", path.display())).because(e))?;
                (key, text.trim_end_matches(['\n', '\r']).to_owned())
            }
            None => {
                let text = value.to_str().ok_or_else(|| Error::user(format!("{name}: is no UTF-8")))?;
                (key.as_str(), text.to_owned())
            }
        };
        match layer(&key.replace(NESTED, "."), &text, &try_alone) {
            Some(layer) => layers.push(layer),
            None => unknown.push(name.to_string()),
        }
    }
    Ok((layers, unknown))
}

/// A key with its value: its text as it is where the key takes a text, else what the text means. None: there is no such key.
fn layer(key: &str, text: &str, try_alone: impl Fn(Serialized<Value>) -> Alone) -> Option<Serialized<Value>> {
    let as_text = Serialized::global(key, Value::from(text));
    match try_alone(as_text.clone()) {
        Alone::NoKey => None,
        Alone::NoText => {
            let meant = text.parse().unwrap_or_else(|never: Infallible| match never {});
            Some(Serialized::global(key, meant))
        }
        Alone::Taken => Some(as_text),
    }
}
