//! Whether a message may go, and to whom: whose it is, who is meant, and what it may be.

use std::collections::HashSet;
use std::rc::Rc;

use swarm_common::exit::Failure;
use swarm_common::identity::{self, Identity};
use swarm_common::message::{ALL, Accepted, Ids, Message, RECIPIENTS_MAX};
use swarm_common::registry::{Agent, Status};

use crate::answer::Refusal;
use crate::roster::Roster;

/// So many bytes of ids are written into a record that asks everybody for an acknowledgement. Where they are more, its DELIVERY records have them.
const ALL_BYTES_MAX: usize = 24 * 1024;

/// What every message of a call has to pass.
pub struct Gate {
    who: Identity,
    is_forced: bool,
    /// Who is not registered may be written to.
    allows_unknown: bool,
    defaults: Message,
    ids: Ids,
    roster: Roster,
}

/// A message that may be stored, and who gets it.
#[derive(Clone, Debug)]
pub struct Addressed {
    /// For the journal.
    pub accepted: Accepted,
    /// Each once; `None` where nobody is registered, and so nothing is to be delivered.
    pub to: Option<Vec<Recipient>>,
}

/// One who gets a message.
#[derive(Clone, Debug)]
pub struct Recipient {
    /// As it is registered, else as it was written.
    pub agent_id: String,
    /// What is known of it; nothing where it is yet to come.
    pub agent: Option<Rc<Agent>>,
}

impl Recipient {
    /// True if both are one agent.
    pub fn is_same(&self, other: &Recipient) -> bool {
        identity::is_same(&self.agent_id, &other.agent_id)
    }

    fn of(agent: &Rc<Agent>) -> Recipient {
        Recipient { agent_id: agent.agent_id.clone(), agent: Some(Rc::clone(agent)) }
    }
}

impl Gate {
    /// For messages of `who`, filled up from `defaults`, to those on the `roster`.
    pub fn new(who: Identity, is_forced: bool, allows_unknown: bool, defaults: Message, roster: Roster) -> Gate {
        Gate { who, is_forced, allows_unknown, defaults, ids: Ids::default(), roster }
    }

    /// Looks anew who is there.
    pub fn renew(&mut self) {
        self.roster.renew();
    }

    /// Lets a message through, ready to be stored.
    ///
    /// # Errors
    /// Why it is refused.
    pub fn pass(&mut self, mut message: Message) -> Result<Addressed, Refusal> {
        message.fill(&self.defaults);
        self.sign(&mut message)?;
        self.name_who_is_told(&mut message)?;
        let to = self.address(&mut message)?;
        Ok(Addressed { accepted: message.accept(&mut self.ids)?, to })
    }

    /// Puts the sender's name on it.
    fn sign(&self, message: &mut Message) -> Result<(), Failure> {
        let Some(own) = &self.who.own else { return Ok(()) };
        // What this pane is registered as says more than what was said.
        let by = self.who.forced_by.as_ref();
        match &message.sender_id {
            Some(other) if !identity::is_same(other, own) => {
                if !self.is_forced {
                    return Err(Failure::wrong(format!("sender_id is '{other}', and you are '{own}'"))
                        .hint("leave sender_id out; or --force sends it in that name, and says so in the record"));
                }
                message.forced_by = Some(by.unwrap_or(own).clone());
            }
            _ => {
                message.sender_id = Some(own.clone());
                message.forced_by = by.cloned();
            }
        }
        Ok(())
    }

    /// Finds who is meant, and writes it down: groups become ids, and ids are spelled as they are registered. What is no id is left as it is, and
    /// refused where the message is accepted.
    fn address(&mut self, message: &mut Message) -> Result<Option<Vec<Recipient>>, Failure> {
        let count = message.recipients.as_ref().map_or(0, Vec::len);
        let Some(given) = message.recipients.take_if(|_| (1..=RECIPIENTS_MAX).contains(&count)) else { return Ok(None) };
        let sender_id = message.sender_id.clone().unwrap_or_default();
        if given == [ALL] {
            message.recipients = Some(given);
            return self.everybody(&sender_id, message);
        }
        let (mut ids, mut to, mut seen) = (Vec::with_capacity(given.len()), Vec::with_capacity(given.len()), HashSet::new());
        let mut add = |id: String, recipient: Option<Recipient>| {
            if seen.insert(id.to_ascii_lowercase()) {
                ids.push(id);
                to.extend(recipient);
            }
        };
        for name in given {
            match name.strip_prefix('@') {
                Some(group) if name != ALL && self.roster.is_kept()? => {
                    for agent in self.members(group, &sender_id)? {
                        add(agent.agent_id.clone(), Some(Recipient::of(&agent)));
                    }
                }
                None if identity::is_id(&name) => match self.roster.find(&name)? {
                    Some(agent) => add(agent.agent_id.clone(), Some(Recipient::of(&agent))),
                    None if self.allows_unknown => add(name.clone(), Some(Recipient { agent_id: name, agent: None })),
                    None if self.roster.is_kept()? => return Err(self.roster.unknown(&name)?),
                    None => add(name, None),
                },
                _ => add(name, None),
            }
        }
        // A record that is going to be refused for one of them is not looked at twice.
        let to = (to.len() == ids.len() && !to.is_empty()).then_some(to);
        message.recipients = Some(ids);
        Ok(to)
    }

    /// Who is told if nobody answers: ids are spelled as they are registered, groups stay groups. What is no name is refused where the message is accepted.
    fn name_who_is_told(&mut self, message: &mut Message) -> Result<(), Failure> {
        for name in message.escalate.iter_mut().flatten() {
            match name.strip_prefix('@') {
                _ if name == ALL => {}
                Some(group) if self.roster.is_kept()? && identity::is_id(group) => {
                    let is_member = |agent: &Rc<Agent>| agent.groups.iter().any(|name| identity::is_same(name, group));
                    if !self.allows_unknown && !self.roster.all()?.iter().any(is_member) {
                        return Err(self.roster.unknown_group(group)?);
                    }
                }
                None if identity::is_id(name) => match self.roster.find(name)? {
                    Some(agent) => name.clone_from(&agent.agent_id),
                    None if !self.allows_unknown && self.roster.is_kept()? => return Err(self.roster.unknown(name)?),
                    None => {}
                },
                _ => {}
            }
        }
        Ok(())
    }

    /// Who everybody is now.
    fn everybody(&mut self, sender_id: &str, message: &mut Message) -> Result<Option<Vec<Recipient>>, Failure> {
        if !self.roster.is_kept()? {
            return Ok(None);
        }
        let all = self.roster.all()?.to_vec();
        let to: Vec<Recipient> = all.iter().filter(|agent| self.is_there(agent, sender_id)).map(Recipient::of).collect();
        if message.requires_ack == Some(true) && to.iter().map(|recipient| recipient.agent_id.len() + 3).sum::<usize>() <= ALL_BYTES_MAX {
            message.all = Some(to.iter().map(|recipient| recipient.agent_id.clone()).collect());
        }
        Ok(Some(to))
    }

    /// Who of a group is there now.
    fn members(&mut self, group: &str, sender_id: &str) -> Result<Vec<Rc<Agent>>, Failure> {
        let is_member = |agent: &Rc<Agent>| agent.groups.iter().any(|name| identity::is_same(name, group));
        let members: Vec<Rc<Agent>> = self.roster.all()?.iter().filter(|agent| is_member(agent)).cloned().collect();
        if members.is_empty() {
            return Err(self.roster.unknown_group(group)?);
        }
        let there: Vec<Rc<Agent>> = members.into_iter().filter(|agent| self.is_there(agent, sender_id)).collect();
        if there.is_empty() {
            return Err(Failure::no(format!("nobody in @{group} is there, but perhaps you")).hint("who is here:  swarm-agents list"));
        }
        Ok(there)
    }

    fn is_there(&self, agent: &Agent, sender_id: &str) -> bool {
        !identity::is_same(&agent.agent_id, sender_id) && self.roster.status(agent) != Status::Gone
    }
}
