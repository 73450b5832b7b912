//! A call as it was typed, for the hints that repeat it: what they say can be copied to a shell.

use std::ffi::OsString;

use crate::cli::{self, Asking, Caller, NAME, TTL};

/// So many paths, or words of a command, are repeated.
const REPEATED_MAX: usize = 5;

/// `acquire` once more, in the queue.
pub fn acquire(options: &cli::Acquire) -> String {
    let cli::Acquire { paths, asking, pid, names, insist, caller } = options;
    let call = Call::new("acquire --wait=5m").asking(asking).value("--pid", pid.map(|pid| pid.to_string()).as_deref());
    let call = call.switch("-0", names.null).switch("--force", insist.force).caller(caller);
    // Else it would be an option.
    let is_dashed = paths.iter().any(|path| path.to_str().is_some_and(|path| path.starts_with('-') && path != "-"));
    call.switch("--", is_dashed).words(paths).0
}

/// `run` once more, in the queue.
pub fn run(options: &cli::Run) -> String {
    let cli::Run { paths, asking, insist, caller, command } = options;
    Call::new("run --wait=5m")
        .asking(asking)
        .switch("--force", insist.force)
        .caller(caller)
        .words(paths)
        .switch("--", true)
        .words(command)
        .0
}

/// What takes away a grant by its token, or what was named by this argument.
pub fn force(token: Option<u64>, argument: &str, caller: &Caller) -> String {
    let call = Call::new("release --force --reason 'why'").caller(caller);
    match token {
        Some(token) => call.value("--token", Some(&token.to_string())).0,
        None => call.switch("--", argument.starts_with('-')).words(&[argument.into()]).0,
    }
}

/// Its words so far.
struct Call(String);

impl Call {
    fn new(start: &str) -> Call {
        Call(format!("{NAME} {start}"))
    }

    fn asking(self, asking: &Asking) -> Call {
        let Asking { shared, span, wait: _, reason, reading } = asking;
        let call = self.switch("--shared", *shared).switch("--literal", reading.literal);
        call.value("--ttl", Some(span.ttl.as_str()).filter(|ttl| *ttl != TTL)).value("--reason", reason.as_deref())
    }

    fn caller(self, caller: &Caller) -> Call {
        let store = caller.place.store.as_ref().map(|store| store.to_string_lossy());
        self.value("--as", caller.own.as_deref()).value("--store", store.as_deref())
    }

    fn switch(mut self, name: &str, is_given: bool) -> Call {
        if is_given {
            self.0.push(' ');
            self.0.push_str(name);
        }
        self
    }

    fn value(self, name: &str, value: Option<&str>) -> Call {
        match value {
            Some(value) => self.switch(name, true).switch(&quoted(value), true),
            None => self,
        }
    }

    fn words(self, words: &[OsString]) -> Call {
        let call = words.iter().take(REPEATED_MAX).fold(self, |call, word| call.switch(&quoted(&word.to_string_lossy()), true));
        call.switch("...", words.len() > REPEATED_MAX)
    }
}

/// As a shell takes it for one word; what has no place in a line is left out.
pub fn quoted(text: &str) -> String {
    if text.contains(char::is_control) {
        return "...".to_string();
    }
    let is_plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-/+=:,@%".contains(&byte));
    if is_plain && !text.is_empty() { text.to_string() } else { format!("'{}'", text.replace('\'', "'\\''")) }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::{Command, Options};

    fn again(call: &str) -> String {
        match Options::try_parse_from(call.split(' ')).unwrap().command {
            Command::Acquire(options) => acquire(&options),
            Command::Run(options) => run(&options),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_word_is_quoted_where_a_shell_would_change_it() {
        for (text, word) in [("src/a.rs", "src/a.rs"), ("src/*'s", "'src/*'\\''s'"), ("", "''"), ("a\nb", "...")] {
            assert_eq!(quoted(text), word);
        }
    }

    #[test]
    fn a_call_is_repeated_with_all_that_was_typed_and_a_wait() {
        for (typed, repeated) in [
            ("swarm-lock acquire a src/*", "swarm-lock acquire --wait=5m a 'src/*'"),
            (
                "swarm-lock acquire --reason it's --as bob a --ttl 8m --literal --shared",
                "swarm-lock acquire --wait=5m --shared --literal --ttl 8m --reason 'it'\\''s' --as bob a",
            ),
            ("swarm-lock acquire --ttl=5m --pid 7 --store s -- -x", "swarm-lock acquire --wait=5m --pid 7 --store s -- -x"),
            ("swarm-lock acquire -0 -", "swarm-lock acquire --wait=5m -0 -"),
            ("swarm-lock acquire 1 2 3 4 5 6", "swarm-lock acquire --wait=5m 1 2 3 4 5 ..."),
            ("swarm-lock run --as a b c -- make -k test", "swarm-lock run --wait=5m --as a b c -- make -k test"),
        ] {
            assert_eq!(again(typed), repeated);
        }
    }
}
