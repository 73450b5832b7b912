//! What the journal's lines say of a message that asks for an acknowledgement. It reads what anybody may have written: what is none of these, or
//! garbage, says nothing.

use std::borrow::Cow;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::message::{self, ALL, TYPE_ACK, TYPES_OF_SYSTEM};

/// The type of what says what became of a message.
pub const TYPE_DELIVERY: &str = "DELIVERY";

/// The type of a repeated delivery, of a message that was not acknowledged.
pub const TYPE_RETRY: &str = "RETRY";

/// The type of what is told to everyone about a message that was not acknowledged.
pub const TYPE_ESCALATION: &str = "ESCALATION";

/// A record, as far as it matters here.
#[derive(Debug, Default, Deserialize)]
pub struct Record<'a> {
    /// Its id.
    #[serde(borrow, default)]
    pub msg_id: Cow<'a, str>,
    /// When it was accepted.
    #[serde(borrow, default)]
    pub timestamp: Cow<'a, str>,
    /// Its type.
    #[serde(borrow, default)]
    pub msg_type: Cow<'a, str>,
    /// Who sent it.
    #[serde(borrow, default)]
    pub sender_id: Cow<'a, str>,
    /// Who gets it.
    #[serde(default)]
    pub recipients: Vec<String>,
    /// Who everybody was.
    #[serde(default)]
    pub all: Option<Vec<String>>,
    /// It asks for an acknowledgement.
    #[serde(default)]
    pub requires_ack: bool,
    /// After how many milliseconds each it is to be sent again.
    #[serde(default)]
    pub retry_ms: Vec<u64>,
    /// Who is to be told when it is not acknowledged after that.
    #[serde(default)]
    pub escalate: Vec<String>,
    /// The message that it is about.
    #[serde(borrow, default)]
    pub reply_to: Cow<'a, str>,
    /// The text.
    #[serde(borrow, default)]
    pub content: Cow<'a, str>,
}

/// Whom a message asks.
#[derive(Debug, PartialEq, Eq)]
pub enum Asks<'r> {
    /// Nobody.
    Nobody,
    /// These.
    These(&'r [String]),
    /// Everybody, and it does not say who that was: nobody was registered, or they were too many, and its DELIVERY records say it.
    Everybody,
}

impl Record<'_> {
    /// True for an acknowledgement.
    pub fn is_ack(&self) -> bool {
        self.msg_type.eq_ignore_ascii_case(TYPE_ACK)
    }

    /// True for what the tools alone write.
    pub fn is_of_system(&self) -> bool {
        TYPES_OF_SYSTEM.iter().any(|of_system| self.msg_type.eq_ignore_ascii_case(of_system))
    }

    /// Whom it asks for an acknowledgement. An acknowledgement asks for none: it would never end.
    pub fn asks(&self) -> Asks<'_> {
        match &self.all {
            _ if !self.requires_ack || self.is_ack() || self.is_of_system() => Asks::Nobody,
            Some(all) if self.recipients == [ALL] => Asks::These(all),
            _ if self.recipients == [ALL] => Asks::Everybody,
            _ => Asks::These(&self.recipients),
        }
    }
}

impl Record<'_> {
    /// After how long each it is to be sent again, where its sender has said so.
    pub fn retry(&self) -> Option<&[u64]> {
        message::check_retry_ms(&self.retry_ms).is_ok().then_some(self.retry_ms.as_slice())
    }
}

/// A record; `None` of what is none.
pub fn parse(line: &[u8]) -> Option<Record<'_>> {
    serde_json::from_slice(line).ok()
}

/// What a RETRY says.
#[derive(Debug, Deserialize)]
pub struct Retry {
    /// To whom it was sent again.
    pub agent_id: String,
    /// How often it was by then.
    #[serde(default, rename = "try")]
    pub count: u32,
    /// What became of it.
    #[serde(default)]
    pub outcome: String,
    /// Why it is not `delivered`.
    #[serde(default)]
    pub why: String,
}

/// What an ESCALATION says.
#[derive(Debug, Deserialize)]
pub struct Escalation {
    /// Who did not acknowledge.
    pub agent_ids: Vec<String>,
    /// Why it was.
    #[serde(default)]
    pub why: String,
}

/// What a DELIVERY says, as far as it matters here: to whom the message went.
#[derive(Debug, Deserialize)]
pub struct Delivery {
    /// Each of them.
    pub outcomes: Vec<Recipient>,
}

/// One to whom a message went.
#[derive(Debug, Deserialize)]
pub struct Recipient {
    /// As it is registered.
    pub agent_id: String,
}

/// The data of a record.
pub fn data<T: DeserializeOwned>(line: &[u8]) -> Option<T> {
    #[derive(Deserialize)]
    struct With<T> {
        data: T,
    }
    serde_json::from_slice::<With<T>>(line).ok().map(|with| with.data)
}
