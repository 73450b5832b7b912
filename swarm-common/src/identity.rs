//! Who I am (DESIGN 6), and what an agent may be called (DESIGN 2).

use std::env;

use crate::exit::Failure;

/// The variable that says who I am.
pub const VARIABLE: &str = "SWARM_AGENT";

/// The longest agent id, in bytes.
pub const ID_BYTES_MAX: usize = 64;

/// True for what an agent may be called: `[A-Za-z0-9_][A-Za-z0-9._-]{0,63}`.
pub fn is_id(text: &str) -> bool {
    let starts_well = text.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
    starts_well && text.len() <= ID_BYTES_MAX && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}

/// Refuses what is no agent id. `what` says what it was given as: `recipient`, `--as`.
///
/// # Errors
/// Status 2, with the rule.
pub fn check(what: &str, id: &str) -> Result<(), Failure> {
    if is_id(id) {
        return Ok(());
    }
    let why = match id {
        "" => format!("{what}: an agent id cannot be empty"),
        id if id.len() > ID_BYTES_MAX => format!("{what}: an agent id has at most {ID_BYTES_MAX} bytes, and this one {}", id.len()),
        id => format!("{what}: '{id}' is no agent id"),
    };
    Err(Failure::wrong(why).hint("letters, digits, '.', '_' and '-', a letter, a digit or '_' first: like agent-1"))
}

/// True if both name one agent: ids are unique without regard to case.
pub fn is_same(a: &str, b: &str) -> bool {
    a.eq_ignore_ascii_case(b)
}

/// Who I am: `given` (what `--as` says), else `$SWARM_AGENT`; `None` when neither says it.
///
/// # Errors
/// Status 2 when what is said is no agent id.
pub fn own(given: Option<&str>) -> Result<Option<String>, Failure> {
    if let Some(id) = given {
        check("--as", id)?;
        return Ok(Some(id.to_string()));
    }
    match env::var_os(VARIABLE).filter(|id| !id.is_empty()) {
        None => Ok(None),
        Some(id) => {
            let id = id.to_string_lossy();
            check(&format!("${VARIABLE}"), &id)?;
            Ok(Some(id.into_owned()))
        }
    }
}

/// Nobody said who I am.
pub fn unknown() -> Failure {
    Failure::wrong("who are you? No identity is set")
        .hint(format!("for this call:   --as agent-1\nfor this shell:  export {VARIABLE}=agent-1"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_a_plain_word_of_at_most_64_bytes() {
        for id in ["a", "0", "_cron", "agent-1", "Reviewer_A", "release-bot_2", "v1.2", &"x".repeat(64)] {
            assert!(is_id(id), "{id}");
        }
        for id in ["", "-a", ".a", "a/b", "../a", "@all", "a b", "é", "a\n", &"x".repeat(65)] {
            let failure = check("recipient", id).expect_err(id);
            assert!(failure.exit.status() == 2 && failure.what.starts_with("recipient: "), "{failure:?}");
        }
    }

    #[test]
    fn what_is_given_is_who_i_am_if_it_is_an_id() {
        assert_eq!(own(Some("agent-1")), Ok(Some("agent-1".into())));
        assert!(own(Some("a/b")).is_err() && own(Some("")).is_err());
        assert!(is_same("Agent-1", "agent-1"));
    }
}
