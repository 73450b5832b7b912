//! `check KEY`: one question to a shared window, answered in one line of NDJSON.

use std::ffi::OsString;

use swarm_common::exit::{self, Exit, Failure};
use swarm_common::json;
use swarm_common::ndjson::Out;
use swarm_common::store::Store;

use crate::cli::NAME;
use crate::record::By;
use crate::shared::{Answer, Shared};
use crate::window::{Key, Taken};
use swarm_common::limit::Limit;

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// Whose window; `None` where all share one.
    pub key: Option<String>,
    /// What the key is a value of.
    pub by: By,
    /// Under which limit.
    pub limit: Limit,
    /// One is taken, where the answer is yes.
    pub takes: bool,
    /// Where the store is.
    pub store: Option<OsString>,
}

/// Answers on standard output.
///
/// # Errors
/// Status 3 when the store or the window cannot be used.
pub fn run(question: &Question) -> Result<Exit, Failure> {
    let Question { key, by, limit, takes, store } = question;
    // Who only asks makes nothing.
    let dir = if *takes { Store::open(store.as_deref())?.rate_dir()? } else { Store::look(store.as_deref())?.rate_place() };
    let mut shared = Shared::new(dir, by.field(), *limit)?;
    // As in a stream, and in swarm-send: in upper or lower case it is one agent.
    let folded = key.as_ref().map(|key| if *by == By::Sender { key.to_ascii_lowercase() } else { key.clone() });
    let whose = folded.as_ref().map_or(Key::All, |key| Key::Of(key.as_bytes()));
    let note = &mut |words: &str| exit::say(NAME, words);
    let answer = if *takes { shared.take(whose, 1, note)? } else { shared.peek(whose, note)? };
    let mut out = Out::stdout()?;
    out.line(&written(&answer, key.as_deref(), limit))?;
    out.flush()?;
    Ok(if answer.taken == Taken::Yes { Exit::Yes } else { Exit::No })
}

/// `{"allowed":false,"key":"agent-1","used":10,"limit":10,"per_ms":60000,"retry_after_ms":1200}`
fn written(answer: &Answer, key: Option<&str>, limit: &Limit) -> Vec<u8> {
    // Rounded up: who asks again after so many milliseconds is not too early.
    let (is_allowed, retry_after_ms) = match answer.taken {
        Taken::Yes => (true, 0),
        Taken::No { retry_after } => (false, retry_after.as_micros().div_ceil(1000)),
    };
    let mut line = format!("{{\"allowed\":{is_allowed}").into_bytes();
    if let Some(key) = key {
        line.extend_from_slice(b",\"key\":");
        json::write_string(key, &mut line);
    }
    let Answer { used, .. } = answer;
    let numbers = format!(
        ",\"used\":{used},\"limit\":{},\"per_ms\":{},\"retry_after_ms\":{retry_after_ms}}}",
        limit.count(),
        limit.per().as_millis()
    );
    line.extend_from_slice(numbers.as_bytes());
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn an_answer_is_one_object_with_the_wait_rounded_up_to_milliseconds() {
        let line = |answer, key| String::from_utf8(written(&answer, key, &Limit::DEFAULT)).unwrap();
        let no = Answer { taken: Taken::No { retry_after: Duration::from_micros(1001) }, used: 10 };
        let expected = r#"{"allowed":false,"key":"a\"b","used":10,"limit":10,"per_ms":60000,"retry_after_ms":2}"#;
        assert_eq!(line(no, Some("a\"b")), expected);
        let yes = Answer { taken: Taken::Yes, used: 0 };
        assert_eq!(line(yes, None), r#"{"allowed":true,"used":0,"limit":10,"per_ms":60000,"retry_after_ms":0}"#);
    }
}
