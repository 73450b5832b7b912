//! Whether a message may go: whose it is, and what it may be. No store here.

use swarm_common::exit::Failure;
use swarm_common::identity::{self, Identity};
use swarm_common::message::{Accepted, Ids, Message};

use crate::answer::Refusal;

/// What every message of a call has to pass.
pub struct Gate {
    identity: Identity,
    is_forced: bool,
    defaults: Message,
    ids: Ids,
}

impl Gate {
    /// For messages of whoever calls, filled up from `defaults`.
    pub fn new(identity: Identity, is_forced: bool, defaults: Message) -> Gate {
        Gate { identity, is_forced, defaults, ids: Ids::default() }
    }

    /// Lets a message through, ready to be stored.
    ///
    /// # Errors
    /// Why it is refused.
    pub fn pass(&mut self, mut message: Message) -> Result<Accepted, Refusal> {
        message.fill(&self.defaults);
        self.sign(&mut message)?;
        Ok(message.accept(&mut self.ids)?)
    }

    /// Puts the sender's name on it.
    fn sign(&self, message: &mut Message) -> Result<(), Failure> {
        let Identity { own: Some(own), forced_by } = &self.identity else { return Ok(()) };
        match &message.sender_id {
            Some(other) if !identity::is_same(other, own) => {
                if !self.is_forced {
                    return Err(Failure::wrong(format!("sender_id is '{other}', and you are '{own}'"))
                        .hint("leave sender_id out; or --force sends it in that name, and says so in the record"));
                }
                // Who did it is the pane's agent, whatever it calls itself.
                message.forced_by = Some(forced_by.as_ref().unwrap_or(own).clone());
            }
            _ => {
                message.sender_id = Some(own.clone());
                message.forced_by = forced_by.clone();
            }
        }
        Ok(())
    }
}
