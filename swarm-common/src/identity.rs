//! Who I am (DESIGN 6), and what an agent may be called (DESIGN 2).

use std::env;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::str;

use crate::exit::Failure;
use crate::platform::Life;
use crate::registry::{Agent, Registry};
use crate::store::Store;

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

/// Who somebody says he is: `given` (what `--as` says), else `$SWARM_AGENT`; `None` when neither says it.
///
/// # Errors
/// Status 2 when what is said is no agent id.
pub fn said(given: Option<&str>) -> Result<Option<String>, Failure> {
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

/// Who a call is made by.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// Who it is; `None` where nothing says it.
    pub own: Option<String>,
    /// The agent that this pane is registered to, where it made the call in another's name: what is written down says so.
    pub forced_by: Option<String>,
}

impl Identity {
    /// The id, of a call that cannot do without.
    ///
    /// # Errors
    /// Status 2 where nothing says it.
    pub fn known(self) -> Result<(String, Option<String>), Failure> {
        Ok((self.own.ok_or_else(unknown)?, self.forced_by))
    }
}

/// Who I am: `given` (what `--as` says), else `$SWARM_AGENT`, else the agent that this pane is registered to and that is not gone. Starts no tmux:
/// what it put into the environment names the pane.
///
/// # Errors
/// Status 2 when what is said is no agent id, or is another than the pane's and `force` is not set; 3 when nothing is said and the pane's record
/// cannot be read.
pub fn who(store: &Store, given: Option<&str>, force: bool) -> Result<Identity, Failure> {
    let said = said(given)?;
    let (tmux, pane) = (env::var_os("TMUX"), env::var_os("TMUX_PANE"));
    let pane = match here(&Registry::of(store), tmux.as_deref(), pane.as_deref()) {
        // It shall not keep somebody from working who says who he is; `swarm-agents list` tells of it.
        Err(_) if said.is_some() => None,
        found => found?,
    };
    let how = if given.is_some() { "--as" } else { VARIABLE };
    decide(said, how, pane, force)
}

/// The agent that is registered in the pane of this environment and is not gone.
///
/// # Errors
/// Status 3 when a record cannot be read.
pub fn here(registry: &Registry, tmux: Option<&OsStr>, pane: Option<&OsStr>) -> Result<Option<Agent>, Failure> {
    let Some((server_pid, pane)) = tmux.and_then(server_pid).zip(pane.and_then(OsStr::to_str)) else { return Ok(None) };
    Ok(registry.in_pane(server_pid, pane)?.filter(|agent| agent.life() != Life::Gone))
}

/// The pid in `$TMUX`: `socket,pid,session`. A socket's name may have a comma in it.
fn server_pid(tmux: &OsStr) -> Option<u32> {
    let mut parts = tmux.as_bytes().rsplitn(3, |&byte| byte == b',');
    let (_session, pid, _socket) = (parts.next()?, parts.next()?, parts.next()?);
    str::from_utf8(pid).ok()?.parse().ok()
}

fn decide(said: Option<String>, how: &str, pane: Option<Agent>, force: bool) -> Result<Identity, Failure> {
    match (said, pane) {
        (None, pane) => Ok(Identity { own: pane.map(|agent| agent.agent_id), forced_by: None }),
        (Some(said), Some(agent)) if !is_same(&said, &agent.agent_id) => {
            if !force {
                return Err(Failure::wrong(format!("{how} says '{said}', and this pane is registered to '{}'", agent.agent_id)).hint(
                    "leave it out; or --force does it in that name, and what is written down says so
\
                     if the pane is that agent's by now:  swarm-agents register --force "
                        .to_string()
                        + &said,
                ));
            }
            Ok(Identity { own: Some(said), forced_by: Some(agent.agent_id) })
        }
        (said, _) => Ok(Identity { own: said, forced_by: None }),
    }
}

/// Nobody said who I am.
pub fn unknown() -> Failure {
    Failure::wrong("who are you? No identity is set").hint(format!(
        "for this call:   --as agent-1\nfor this shell:  export {VARIABLE}=agent-1\nfor this pane:   swarm-agents register agent-1"
    ))
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
        assert_eq!(said(Some("agent-1")), Ok(Some("agent-1".into())));
        assert!(said(Some("a/b")).is_err() && said(Some("")).is_err());
        assert!(is_same("Agent-1", "agent-1"));
    }

    #[test]
    fn the_panes_agent_is_me_unless_i_say_otherwise_and_then_only_by_force() {
        let agent = |id: &str| Some(Agent::new(id, jiff::Timestamp::UNIX_EPOCH));
        let is = |own: Option<&str>, forced_by: Option<&str>| {
            Ok(Identity { own: own.map(String::from), forced_by: forced_by.map(String::from) })
        };
        assert_eq!(decide(None, "--as", None, false), is(None, None));
        assert_eq!(decide(None, "--as", agent("a"), false), is(Some("a"), None));
        assert_eq!(decide(Some("A".into()), "--as", agent("a"), false), is(Some("A"), None));
        assert_eq!(decide(Some("b".into()), "--as", None, true), is(Some("b"), None), "nobody was forced");
        assert_eq!(decide(Some("b".into()), "--as", agent("a"), true), is(Some("b"), Some("a")));
        let refused = decide(Some("b".into()), VARIABLE, agent("a"), false).expect_err("another's");
        assert_eq!(refused.exit.status(), 2);
        assert!(
            refused.what.contains("SWARM_AGENT says 'b'") && refused.what.contains("'a'") && refused.hint.contains("--force"),
            "{refused:?}"
        );
    }

    #[test]
    fn a_servers_pid_is_read_from_the_end_of_its_variable() {
        assert_eq!(server_pid(OsStr::new("/tmp/tmux-0/default,123,0")), Some(123));
        assert_eq!(server_pid(OsStr::new("/tmp/a,7,b/c,123,0")), Some(123));
        for garbage in ["", "x", "/tmp/s,", "/tmp/s,1", "/tmp/s,a,0", "/tmp/s,-1,0", "/tmp/s,99999999999,0"] {
            assert_eq!(server_pid(OsStr::new(garbage)), None, "{garbage}");
        }
    }
}
