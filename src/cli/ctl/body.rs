//! The bodies of requests: what `--request` gives, and flags, which go before it.

use crate::error::{Error, Result};
use serde_json::{Value, json};

/// A body that is being made: a JSON object.
#[derive(Debug)]
pub(super) struct Body(Value);

impl Body {
    /// What `--request` gives: JSON, or `@FILE`; nothing if absent.
    ///
    /// # Errors
    /// [`Error::User`]: it cannot be read, or is no JSON object.
    pub fn given(request: Option<&str>) -> Result<Body> {
        let given: Value = match request.map(|text| text.strip_prefix('@').ok_or(text)) {
            None => json!({}),
            Some(Err(text)) => {
                serde_json::from_str(text).map_err(|e| Error::user(format!("--request is no JSON: {e}")).because(e))?
            }
            Some(Ok(file)) => {
                let text = std::fs::read_to_string(file)
                    .map_err(|e| Error::user(format!("{file} cannot be read: {e}")).because(e))?;
                serde_json::from_str(&text).map_err(|e| Error::user(format!("{file} is no JSON: {e}")).because(e))?
            }
        };
        if given.is_object() { Ok(Body(given)) } else { Err(Error::user("--request must be a JSON object")) }
    }

    /// Sets what is at `path` (`outputs.film.layout`), where there is a value.
    ///
    /// # Errors
    /// [`Error::User`]: `--request` has something else in its way.
    pub fn set(&mut self, path: &str, value: Option<impl Into<Value>>) -> Result<()> {
        let Some(value) = value else { return Ok(()) };
        let mut place = &mut self.0;
        for (depth, part) in path.split('.').enumerate() {
            if place.is_null() {
                *place = json!({});
            }
            let Value::Object(fields) = place else {
                let above: Vec<&str> = path.split('.').take(depth).collect();
                return Err(Error::user(format!("--request: {} must be an object", above.join("."))));
            };
            place = fields.entry(part).or_insert(Value::Null);
        }
        *place = value.into();
        Ok(())
    }

    /// The whole of it.
    pub fn value(self) -> Value {
        self.0
    }
}

/// A parameter of a filter: `key=value`.
pub(super) fn parameter(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err(format!("`{text}` is not a parameter; write it as key=value")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_go_before_the_request_and_nothing_is_overwritten_silently() {
        let mut body =
            Body::given(Some(r#"{"outputs": {"film": {"fps": 25}}, "metadata": 3, "token": null}"#)).unwrap();
        body.set("outputs.film.layout", Some("grid")).unwrap();
        body.set("token", Some("s3cret")).unwrap();
        body.set("bot_name", None::<String>).unwrap();
        let wrong = body.set("metadata.team.name", Some("blue")).unwrap_err();
        assert_eq!((wrong.to_string().as_str(), wrong.exit_code()), ("--request: metadata must be an object", 2));
        let want = json!({ "outputs": { "film": { "fps": 25, "layout": "grid" } }, "metadata": 3, "token": "s3cret" });
        assert_eq!(body.value(), want);
        for text in ["3", "{", "@/no/such/file"] {
            assert_eq!(Body::given(Some(text)).unwrap_err().exit_code(), 2, "{text}");
        }
    }
}
