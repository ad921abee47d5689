//! What the control socket of `record --control` does: clients pause, resume and stop the recorder, and see its status.

use super::session::Session;
use crate::cli::args::duration;
use crate::cli::control_socket::{Controlled, Reply};
use crate::record::control::{Answer, Command, Request};
use crate::room::end::EndReason;
use serde_json::Value;

impl Controlled for Session {
    async fn answer(&self, line: &[u8]) -> Reply {
        let mut subscribes = false;
        let answer = answer(line, self, &mut subscribes);
        Reply { answer: serde_json::to_value(answer).unwrap_or_default(), subscribes }
    }

    fn status(&self) -> Value {
        serde_json::to_value(self.report()).unwrap_or_default()
    }
}

/// Does what a line asks for.
fn answer(line: &[u8], session: &Session, is_subscribed: &mut bool) -> Answer {
    let request: Request = match serde_json::from_slice(line) {
        Ok(request) => request,
        Err(error) => {
            let value: Option<Value> = serde_json::from_slice(line).ok();
            let id = value.and_then(|value| value.get("id").cloned()).unwrap_or_default();
            return Answer::error(id, error.to_string());
        }
    };
    let id = request.id;
    match request.command {
        Command::Pause => session.pause(true),
        Command::Resume => session.pause(false),
        Command::Stop => session.stop(EndReason::Stopped),
        Command::Cancel => session.stop(EndReason::Cancelled),
        Command::Status => return Answer { status: Some(session.report()), ..Answer::ok(id) },
        Command::Subscribe => *is_subscribed = true,
        Command::Set { duration: text } => match duration(&text) {
            Ok(length) => session.set_duration(length),
            Err(why) => return Answer::error(id, why),
        },
    }
    Answer::ok(id)
}
