//! The text protocol of deepstream 2.x to 3.x: messages of fields, typed values. Pure; knows no room.

use serde_json::Value;

/// Separates the fields of a message.
const FIELD: char = '\u{1f}';
/// Ends a message.
const END: char = '\u{1e}';

/// One message: a topic (`C` connection, `A` authentication, `E` event, `R` record), an action, and its data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Message {
    pub topic: String,
    pub action: String,
    pub data: Vec<String>,
}

impl Message {
    /// The messages of a frame; those without an action are skipped.
    pub fn parse(frame: &str) -> Vec<Message> {
        let message = |text: &str| {
            let mut fields = text.split(FIELD).map(str::to_owned);
            let (topic, action) = (fields.next()?, fields.next()?);
            Some(Message { topic, action, data: fields.collect() })
        };
        frame.split(END).filter_map(message).collect()
    }

    /// A data field; empty where there is none.
    pub fn field(&self, index: usize) -> &str {
        self.data.get(index).map_or("", String::as_str)
    }
}

/// A message as it is sent. Fields must not contain the two separators; JSON does not.
pub(super) fn message(topic: &str, action: &str, data: &[&str]) -> String {
    let mut text = format!("{topic}{FIELD}{action}");
    for field in data {
        text.push(FIELD);
        text.push_str(field);
    }
    text.push(END);
    text
}

/// A typed value as it is sent.
pub(super) fn typed(value: &Value) -> String {
    match value {
        Value::String(text) => format!("S{}", text.replace([FIELD, END], " ")),
        Value::Number(number) => format!("N{number}"),
        Value::Bool(true) => "T".to_owned(),
        Value::Bool(false) => "F".to_owned(),
        Value::Null => "L".to_owned(),
        object => format!("O{object}"),
    }
}

/// A typed value as it was received; `None` if it is undefined or malformed.
pub(super) fn untyped(text: &str) -> Option<Value> {
    let kind = text.chars().next()?;
    let rest = &text[kind.len_utf8()..];
    match kind {
        'S' => Some(Value::String(rest.to_owned())),
        'O' => serde_json::from_str(rest).ok(),
        'N' => rest.parse::<f64>().ok().and_then(serde_json::Number::from_f64).map(Value::Number),
        'T' => Some(Value::Bool(true)),
        'F' => Some(Value::Bool(false)),
        'L' => Some(Value::Null),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn a_frame_has_several_messages() {
        let frame = "C\u{1f}A\u{1e}E\u{1f}EVT\u{1f}rtc-signal\u{1f}O{\"sender\":\"user/a\"}\u{1e}x\u{1e}";
        let messages = Message::parse(frame);
        assert!(messages.len() == 2 && messages[0].topic == "C" && messages[1].action == "EVT");
        assert_eq!((messages[1].field(0), messages[1].field(9)), ("rtc-signal", ""));
        assert_eq!(untyped(messages[1].field(1)), Some(json!({"sender": "user/a"})));
        assert_eq!(message("E", "S", &["rtc-signal"]), "E\u{1f}S\u{1f}rtc-signal\u{1e}");
    }

    #[test]
    fn values_have_a_letter() {
        for value in [json!("a"), json!(1.5), json!(true), json!(false), json!(null), json!({"a": [1]}), json!([])] {
            assert_eq!(untyped(&typed(&value)), Some(value));
        }
        for text in ["", "U", "O{", "Nx", "é"] {
            assert_eq!(untyped(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn nothing_that_comes_can_hurt(frame in "\\PC*") {
            for message in Message::parse(&frame) {
                message.data.iter().for_each(|field| { untyped(field); });
            }
        }
    }
}
