//! Commands to a bot, as people type them: on stdin or, behind `bot:`, in the chat. Parses; changes nothing.

use crate::bot::choices::Pick;

/// Characters of a command that are read.
const LONGEST: usize = 500;
/// Parameters that a filter may be given.
const MOST_VALUES: usize = 16;

/// What there is to say.
pub const HELP: &str = "filter NAME [key=value]…, audio NAME [key=value]…, video on|off, audio on|off, \
                        source camera|screen|all, only NAME, only all, status, help, quit";

/// A command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Another filter of pictures, with its parameters as typed.
    Video {
        filter: String,
        values: Vec<(String, String)>,
    },
    /// Another filter of sound.
    Audio {
        filter: String,
        values: Vec<(String, String)>,
    },
    VideoOn(bool),
    AudioOn(bool),
    Source(Pick),
    /// Only this participant's tracks; none: everybody's.
    Only(Option<String>),
    Status,
    Help,
    Quit,
}

/// The command in a chat message to the bot, if it is one (`bot: filter sepia`).
pub fn addressed(text: &str) -> Option<&str> {
    let (to, rest) = text.trim_start().split_once(':')?;
    to.trim_end().eq_ignore_ascii_case("bot").then_some(rest)
}

/// Reads a command.
///
/// # Errors
/// One line for whoever typed it, saying what is known.
pub fn parse(text: &str) -> Result<Command, String> {
    let text: String = text.trim().chars().take(LONGEST).collect();
    let (word, rest) = text.split_once(char::is_whitespace).unwrap_or((&text, ""));
    let rest = rest.trim();
    match (word.to_lowercase().as_str(), rest.to_lowercase().as_str()) {
        ("video", "on" | "off") => Ok(Command::VideoOn(rest.eq_ignore_ascii_case("on"))),
        ("audio", "on" | "off") => Ok(Command::AudioOn(rest.eq_ignore_ascii_case("on"))),
        ("filter" | "video", _) => filter(word, rest).map(|(filter, values)| Command::Video { filter, values }),
        ("audio", _) => filter(word, rest).map(|(filter, values)| Command::Audio { filter, values }),
        ("source", "camera") => Ok(Command::Source(Pick::Camera)),
        ("source", "screen") => Ok(Command::Source(Pick::Screen)),
        ("source", "all") => Ok(Command::Source(Pick::All)),
        ("source", _) => Err("source takes camera, screen or all".to_owned()),
        ("only", "") => Err("only takes a participant's name, or all".to_owned()),
        ("only", "all") => Ok(Command::Only(None)),
        ("only", _) => Ok(Command::Only(Some(rest.to_owned()))),
        ("status", "") => Ok(Command::Status),
        ("help" | "?", _) => Ok(Command::Help),
        ("quit" | "exit", "") => Ok(Command::Quit),
        ("", _) => Err(format!("there is {HELP}")),
        _ => Err(format!("\"{}\" is no command; there is {HELP}", printable(&text))),
    }
}

fn filter(word: &str, rest: &str) -> Result<(String, Vec<(String, String)>), String> {
    let mut words = rest.split_whitespace();
    let name = words.next().ok_or_else(|| format!("{} takes a filter's name (none: as it comes)", printable(word)))?;
    let value = |word: &str| match word.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err(format!("\"{}\" is no parameter; write key=value", printable(word))),
    };
    let values = words.map(value).collect::<Result<Vec<_>, _>>()?;
    if values.len() > MOST_VALUES {
        return Err(format!("a filter takes at most {MOST_VALUES} parameters"));
    }
    Ok((name.to_owned(), values))
}

/// At most so much of what somebody typed as an answer repeats, without control characters.
fn printable(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(40).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_people_type() {
        let values = |all: &[(&str, &str)]| all.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let video = |filter: &str, all: &[(&str, &str)]| Command::Video { filter: filter.into(), values: values(all) };
        for (text, want) in [
            ("filter sepia", video("sepia", &[])),
            ("  FILTER blur strength=0.5 size=3 ", video("blur", &[("strength", "0.5"), ("size", "3")])),
            ("video edges", video("edges", &[])),
            ("audio reverb", Command::Audio { filter: "reverb".into(), values: vec![] }),
            ("video off", Command::VideoOn(false)),
            ("audio ON", Command::AudioOn(true)),
            ("source screen", Command::Source(Pick::Screen)),
            ("only Alice Moreau", Command::Only(Some("Alice Moreau".into()))),
            ("only all", Command::Only(None)),
            ("status", Command::Status),
            ("help me", Command::Help),
            ("quit", Command::Quit),
        ] {
            assert_eq!(parse(text), Ok(want), "{text}");
        }
    }

    #[test]
    fn what_is_wrong_is_told_what_there_is() {
        for text in ["", "dance", "quit now"] {
            assert!(parse(text).unwrap_err().contains("filter NAME"), "{text}");
        }
        assert!(parse("filter").unwrap_err().contains("a filter's name"));
        assert!(parse("filter blur strength").unwrap_err().contains("key=value"));
        assert!(parse("source window").unwrap_err().contains("camera, screen or all"));
        assert!(parse("only").unwrap_err().contains("name"));
    }

    #[test]
    fn only_what_is_for_the_bot_is_a_command() {
        assert_eq!(addressed("bot: filter sepia"), Some(" filter sepia"));
        assert_eq!(addressed(" Bot :help"), Some("help"));
        for text in ["filter sepia", "robot: help", "I said bot: help", ""] {
            assert_eq!(addressed(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn anything_has_a_short_answer(text in "\\PC{0,600}") {
            if let Err(answer) = parse(&text) {
                let steers = answer.chars().any(char::is_control);
                prop_assert!(answer.chars().count() < 300 && !steers);
            }
        }
        #[test]
        fn a_name_is_kept_as_it_is(name in "[A-Za-zäöü][A-Za-zäöü0-9 ]{0,30}[a-z0-9]") {
            prop_assume!(!name.eq_ignore_ascii_case("all"));
            prop_assert_eq!(parse(&format!("only {name}")), Ok(Command::Only(Some(name))));
        }
    }
}
