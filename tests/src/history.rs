//! What agents asked the lease table and what they were answered, and whether one table can have answered so: one that does one thing
//! after the other. It knows nothing of how the real one works.
//!
//! The model is a list of grants. For each, what the answers prove is kept as moments between which it **surely** was in force, and those
//! between which it **can** have been: a grant tells its own moment (its end less its span, exact to the microsecond), a release took
//! place somewhere between its question and its answer, and what a killed agent asked last took place before it was dead, or never. Whether
//! two patterns meet is decided by trying all paths of a small universe.
//!
//! Tokens put the grants in one order, which has to be that of their moments. Then each answer must be possible, and none may be
//! contradicted by what is sure: that is what one order of all operations means here, for only a grant can take what another has.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde::{Deserialize, Serialize};

/// What agents ask for. They meet in many ways.
pub const PATTERNS: [&str; 16] =
    ["a/x", "a/y", "a/*", "a/?", "b/x", "b/c/z", "b/c", "b/**", "**/z", "{a,b}/y", "*/x", "d", "c/[xy]", "c/[!x]", "a/b/c/x", "d/x"];

/// Which pattern a text is.
pub fn number_of(text: &str) -> Option<usize> {
    PATTERNS.iter().position(|pattern| *pattern == text)
}

/// A question.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum Asked {
    Acquire { shared: bool, ttl_us: u64, tied: bool, patterns: Vec<usize> },
    Release { force: bool, which: Which },
    Renew { ttl_us: u64, which: Which },
    Check { token: u64, patterns: Vec<usize> },
    Who { shared: bool, patterns: Vec<usize> },
    Sweep,
}

/// Which leases.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum Which {
    Patterns(Vec<usize>),
    Token(u64),
    All,
}

/// An answer.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum Answer {
    Granted { token: u64, ends_us: u64, is_renewed: bool },
    Held(Vec<Held>),
    Parts(Vec<Part>),
    Valid(Vec<bool>),
    Swept,
    Failed(String),
}

/// What is in the way.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Held {
    pub token: u64,
    pub agent_id: String,
    pub pattern: usize,
    pub ends_us: u64,
    pub asked: usize,
    pub witness: String,
}

/// What was given back or prolonged.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Part {
    pub token: u64,
    pub agent_id: String,
    pub patterns: Vec<usize>,
}

/// A line of a history.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum Entry {
    Asked { at_us: u64, asked: Asked },
    Answered { at_us: u64, answer: Answer },
}

/// A question with its answer; none where the agent was killed before.
#[derive(Clone, Debug)]
pub struct Operation {
    /// Who asked.
    pub agent_id: String,
    /// Which of its lives: a process each.
    pub life: usize,
    /// What.
    pub asked: Asked,
    /// Not before.
    pub from_us: u64,
    /// And not after: the answer was there, or the agent was dead.
    pub until_us: u64,
    /// What it was told.
    pub answer: Option<Answer>,
}

/// When an agent's process ended: between these.
#[derive(Clone, Copy, Debug)]
pub struct Death {
    /// It lived until then.
    pub from_us: u64,
    /// It was gone.
    pub until_us: u64,
}

/// What one process wrote, as operations. A torn last line was not written.
///
/// # Errors
/// A line that is none.
pub fn read(text: &str, agent_id: &str, life: usize, dead_us: u64) -> Result<Vec<Operation>, String> {
    let mut operations: Vec<Operation> = Vec::new();
    for line in text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n')) {
        match serde_json::from_str(line).map_err(|error| format!("{error}: {line}"))? {
            Entry::Asked { at_us, asked } => {
                operations.push(Operation { agent_id: agent_id.into(), life, asked, from_us: at_us, until_us: dead_us, answer: None })
            }
            Entry::Answered { at_us, answer } => {
                let last = operations.last_mut().ok_or("an answer before any question")?;
                (last.until_us, last.answer) = (at_us, Some(answer));
            }
        }
    }
    Ok(operations)
}

/// Whether a pattern covers a path: it matches it, or a directory above it. As naive as can be.
fn covers(pattern: &str, path: &str) -> bool {
    if let Some((head, rest)) = pattern.split_once('{')
        && let Some((choices, tail)) = rest.split_once('}')
    {
        return choices.split(',').any(|choice| covers(&format!("{head}{choice}{tail}"), path));
    }
    let pattern: Vec<&str> = pattern.split('/').collect();
    let path: Vec<&str> = path.split('/').collect();
    (1..=path.len()).any(|depth| matches(&pattern, &path[..depth]))
}

fn matches(pattern: &[&str], path: &[&str]) -> bool {
    match (pattern, path) {
        ([], []) => true,
        // `x/**` is what lies below x, and not x.
        (["**"], path) => !path.is_empty(),
        (["**", rest @ ..], path) => (0..=path.len()).any(|skipped| matches(rest, &path[skipped..])),
        ([first, rest @ ..], [name, names @ ..]) => {
            let is_met = match *first {
                "*" => true,
                "?" => name.chars().count() == 1,
                "[xy]" => ["x", "y"].contains(name),
                "[!x]" => name.chars().count() == 1 && *name != "x",
                plain => plain == *name,
            };
            is_met && matches(rest, names)
        }
        _ => false,
    }
}

/// Which patterns meet which: tried with all paths of up to four of the names that occur in them.
fn meetings() -> Vec<Vec<bool>> {
    const NAMES: [&str; 7] = ["a", "b", "c", "d", "x", "y", "z"];
    let mut paths: Vec<String> = Vec::new();
    let mut longer: Vec<String> = NAMES.map(str::to_string).to_vec();
    for _ in 0..4 {
        paths.append(&mut longer.clone());
        longer = longer.iter().flat_map(|path| NAMES.map(|name| format!("{path}/{name}"))).collect();
    }
    let covered: Vec<Vec<bool>> = PATTERNS.iter().map(|pattern| paths.iter().map(|path| covers(pattern, path)).collect()).collect();
    let meet = |one: &Vec<bool>, two: &Vec<bool>| one.iter().zip(two).any(|(one, two)| *one && *two);
    covered.iter().map(|one| covered.iter().map(|two| meet(one, two)).collect()).collect()
}

/// A grant, and what the answers prove of it.
#[derive(Clone, Debug)]
struct Grant {
    token: u64,
    agent_id: String,
    shared: bool,
    patterns: Vec<usize>,
    /// Its moment: not before, not after.
    from_us: u64,
    by_us: u64,
    /// It was answered, or its agent was killed: whether the process of another's lease lived was looked at between its moment and this.
    answered_us: u64,
    /// Not renewed any more it ends: not before, not after.
    sure_end_us: u64,
    last_end_us: u64,
    /// The end of the process that it is tied to.
    death: Option<Death>,
    /// A pattern may have been given back or taken away from the first moment on, and has been at the second.
    gone: HashMap<usize, (u64, u64)>,
}

impl Grant {
    fn gone(&self, pattern: usize) -> (u64, u64) {
        self.gone.get(&pattern).copied().unwrap_or((u64::MAX, u64::MAX))
    }

    /// Surely in force before this, once granted.
    fn sure_until(&self, pattern: usize) -> u64 {
        self.sure_end_us.min(self.gone(pattern).0).min(self.death.map_or(u64::MAX, |death| death.from_us))
    }

    /// In force in this moment, whatever the open questions.
    fn is_sure(&self, pattern: usize, at_us: u64) -> bool {
        self.by_us < at_us && at_us < self.sure_until(pattern)
    }

    /// In force all the time between.
    fn is_sure_throughout(&self, pattern: usize, from_us: u64, until_us: u64) -> bool {
        self.is_sure(pattern, from_us) && self.is_sure(pattern, until_us)
    }

    /// It cannot be in force before the first moment, nor after the second.
    fn can_be(&self, pattern: usize) -> (u64, u64) {
        (self.from_us, self.last_end_us.min(self.gone(pattern).1).min(self.death.map_or(u64::MAX, |death| death.until_us)))
    }
}

/// How much was looked at: a check that saw nothing proves nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Grants.
    pub grants: usize,
    /// Of them, those whose agent was killed before it was told.
    pub untold: usize,
    /// Operations that were refused.
    pub refused: usize,
    /// Operations of which nobody knows whether they took place.
    pub pending: usize,
    /// Pairs of a grant and another that was in force or had been a moment before, and meets it.
    pub pairs: usize,
    /// Grants whose end the answers saw: given back, taken, prolonged.
    pub touched: usize,
}

/// What is left when all is over.
#[derive(Clone, Debug)]
pub struct Left {
    /// Between these it was looked.
    pub from_us: u64,
    #[allow(missing_docs)]
    pub until_us: u64,
    /// Token and patterns of what is in force.
    pub held: Vec<(u64, Vec<usize>)>,
}

/// All that is wrong with a history.
pub struct Wrong(Vec<String>);

impl Wrong {
    fn that(&mut self, words: String) {
        self.0.push(words);
    }
}

/// Looks for what no table can have answered that does one thing after the other.
///
/// The operations are in the order of their questions.
///
/// # Errors
/// All that was found, in words.
pub fn check(operations: &[Operation], deaths: &HashMap<(String, usize), Death>, left: &Left) -> Result<Seen, Vec<String>> {
    let mut wrong = Wrong(Vec::new());
    let mut seen = Seen::default();
    let mut grants = granted(operations, deaths, &mut wrong);
    seen.untold = untold(operations, deaths, &mut grants, &mut wrong);
    ends(operations, &mut grants, &mut wrong);
    let meet = meetings();
    one_holder(&grants, &meet, &mut seen, &mut wrong);
    for operation in operations {
        answered(operation, &grants, &meet, &mut seen, &mut wrong);
    }
    for (token, patterns) in &left.held {
        for pattern in patterns {
            let is_possible = grants.get(token).is_some_and(|grant| {
                let (from_us, until_us) = grant.can_be(*pattern);
                grant.patterns.contains(pattern) && from_us <= left.until_us && left.from_us <= until_us
            });
            if !is_possible {
                wrong.that(format!("at the end, token {token} holds {}: it cannot", PATTERNS[*pattern]));
            }
        }
    }
    for grant in grants.values() {
        for pattern in &grant.patterns {
            let is_listed = left.held.iter().any(|(token, patterns)| *token == grant.token && patterns.contains(pattern));
            if !is_listed && grant.is_sure_throughout(*pattern, left.from_us, left.until_us) {
                wrong.that(format!("at the end, token {} does not hold {}: it must", grant.token, PATTERNS[*pattern]));
            }
        }
    }
    seen.grants = grants.len();
    seen.touched = grants.values().filter(|grant| !grant.gone.is_empty()).count();
    if wrong.0.is_empty() { Ok(seen) } else { Err(wrong.0) }
}

type Deaths = HashMap<(String, usize), Death>;
type Grants = BTreeMap<u64, Grant>;

/// What agents were told that they hold.
fn granted(operations: &[Operation], deaths: &Deaths, wrong: &mut Wrong) -> Grants {
    let mut grants = Grants::new();
    for operation in operations {
        let Asked::Acquire { shared, ttl_us, tied, patterns } = &operation.asked else { continue };
        let Some(Answer::Granted { token, ends_us, is_renewed: false }) = operation.answer else { continue };
        let at_us = ends_us.saturating_sub(*ttl_us);
        if !(operation.from_us..=operation.until_us).contains(&at_us) {
            wrong.that(format!("token {token} was granted at {at_us}, and asked for from {} to {}", operation.from_us, operation.until_us));
        }
        let grant = Grant {
            token,
            agent_id: operation.agent_id.clone(),
            shared: *shared,
            patterns: patterns.clone(),
            from_us: at_us,
            by_us: at_us,
            answered_us: operation.until_us,
            sure_end_us: ends_us,
            last_end_us: ends_us,
            death: if *tied { deaths.get(&(operation.agent_id.clone(), operation.life)).copied() } else { None },
            gone: HashMap::new(),
        };
        if let Some(other) = grants.insert(token, grant) {
            wrong.that(format!("token {token} was given twice: at {} and at {at_us}", other.from_us));
        }
    }
    for ((one, first), (two, second)) in grants.iter().zip(grants.iter().skip(1)) {
        if second.from_us < first.from_us {
            wrong.that(format!("token {two} was given at {}, before {one} at {}", second.from_us, first.from_us));
        }
    }
    grants
}

/// Grants whose agents were killed before they were told, and that others saw. What nobody saw may as well not have been.
fn untold(operations: &[Operation], deaths: &Deaths, grants: &mut Grants, wrong: &mut Wrong) -> usize {
    // Token: whose, the first time when it was seen, and what of it.
    let mut sights: BTreeMap<u64, (String, u64, Vec<usize>)> = BTreeMap::new();
    for operation in operations {
        let mut see = |token: u64, agent_id: &str, patterns: &[usize]| {
            if !grants.contains_key(&token) {
                let (_, first_us, all) = sights.entry(token).or_insert_with(|| (agent_id.to_string(), u64::MAX, Vec::new()));
                *first_us = operation.until_us.min(*first_us);
                all.extend(patterns);
            }
        };
        match &operation.answer {
            Some(Answer::Held(held)) => held.iter().for_each(|held| see(held.token, &held.agent_id, &[held.pattern])),
            Some(Answer::Parts(parts)) => parts.iter().for_each(|part| see(part.token, &part.agent_id, &part.patterns)),
            Some(Answer::Granted { token, .. }) => see(*token, &operation.agent_id, &[]),
            _ => {}
        }
    }
    let count = sights.len();
    let mut taken: HashSet<usize> = HashSet::new();
    for (token, (agent_id, first_us, seen)) in sights {
        // Tokens are in order, so the neighbours say when; and what was seen of it is what was asked for.
        let after_us = grants.range(..token).next_back().map_or(0, |(_, grant)| grant.from_us);
        let before_us = grants.range(token..).next().map_or(u64::MAX, |(_, grant)| grant.by_us).min(first_us);
        let asking = operations.iter().enumerate().find_map(|(at, operation)| match &operation.asked {
            Asked::Acquire { shared, ttl_us, tied, patterns }
                if operation.answer.is_none()
                    && operation.agent_id == agent_id
                    && operation.from_us <= before_us
                    && after_us <= operation.until_us
                    && seen.iter().all(|pattern| patterns.contains(pattern))
                    && !taken.contains(&at) =>
            {
                Some((at, operation, *shared, *ttl_us, *tied, patterns.clone()))
            }
            _ => None,
        });
        let Some((at, operation, shared, ttl_us, tied, patterns)) = asking else {
            wrong.that(format!("{agent_id} was seen to hold token {token}, and never asked for it"));
            continue;
        };
        taken.insert(at);
        let (from_us, by_us) = (operation.from_us.max(after_us), operation.until_us.min(before_us));
        let death = if tied { deaths.get(&(agent_id.clone(), operation.life)).copied() } else { None };
        let (sure_end_us, last_end_us) = (from_us + ttl_us, by_us + ttl_us);
        let gone = HashMap::new();
        let answered_us = operation.until_us;
        grants
            .insert(token, Grant { token, agent_id, shared, patterns, from_us, by_us, answered_us, sure_end_us, last_end_us, death, gone });
    }
    count
}

/// How grants were prolonged, given back and taken away.
fn ends(operations: &[Operation], grants: &mut Grants, wrong: &mut Wrong) {
    let mut gone_twice = Vec::new();
    for operation in operations {
        let Operation { agent_id, from_us, until_us, .. } = operation;
        match (&operation.asked, &operation.answer) {
            (_, Some(Answer::Granted { token, ends_us, is_renewed: true })) => {
                if let Some(grant) = grants.get_mut(token) {
                    grant.sure_end_us = grant.sure_end_us.max(*ends_us);
                    grant.last_end_us = grant.last_end_us.max(*ends_us);
                }
            }
            (Asked::Renew { ttl_us, .. }, Some(Answer::Parts(parts))) => {
                for part in parts {
                    if let Some(grant) = grants.get_mut(&part.token) {
                        grant.sure_end_us = grant.sure_end_us.max(from_us + ttl_us);
                        grant.last_end_us = grant.last_end_us.max(until_us + ttl_us);
                    }
                }
            }
            (Asked::Release { .. }, Some(Answer::Parts(parts))) => {
                for part in parts {
                    let Some(grant) = grants.get_mut(&part.token) else { continue };
                    for pattern in &part.patterns {
                        let (may, must) = grant.gone.get(pattern).copied().unwrap_or((u64::MAX, u64::MAX));
                        if must != u64::MAX {
                            gone_twice.push((part.token, *pattern));
                        }
                        grant.gone.insert(*pattern, (may.min(*from_us), must.min(*until_us)));
                    }
                }
            }
            // What may have happened.
            (Asked::Renew { ttl_us, .. } | Asked::Acquire { ttl_us, .. }, None) => {
                for grant in grants
                    .values_mut()
                    .filter(|grant| grant.agent_id == *agent_id && grant.from_us <= *until_us && *from_us <= grant.last_end_us)
                {
                    grant.last_end_us = grant.last_end_us.max(until_us + ttl_us);
                }
            }
            (Asked::Release { force, which }, None) => {
                for grant in grants.values_mut().filter(|grant| (*force || grant.agent_id == *agent_id) && grant.from_us <= *until_us) {
                    for &pattern in &grant.patterns {
                        let is_it = match which {
                            Which::All => true,
                            Which::Token(token) => *token == grant.token,
                            Which::Patterns(patterns) => patterns.contains(&pattern),
                        };
                        if is_it {
                            let (may, must) = grant.gone.get(&pattern).copied().unwrap_or((u64::MAX, u64::MAX));
                            grant.gone.insert(pattern, (may.min(*from_us), must));
                        }
                    }
                }
            }
            _ => {}
        }
    }
    for (token, pattern) in gone_twice {
        wrong.that(format!("{} of token {token} was given back twice", PATTERNS[pattern]));
    }
}

/// No path has two holders at once: what is granted, nobody else surely holds.
fn one_holder(grants: &Grants, meet: &[Vec<bool>], seen: &mut Seen, wrong: &mut Wrong) {
    let mut recent: Vec<&Grant> = Vec::new();
    for grant in grants.values() {
        recent.retain(|held| held.last_end_us.saturating_add(1_000_000) > grant.from_us);
        for held in recent.iter().filter(|held| held.agent_id != grant.agent_id && !(held.shared && grant.shared)) {
            for (asked, pattern) in grant.patterns.iter().flat_map(|asked| held.patterns.iter().map(move |pattern| (*asked, *pattern))) {
                if !meet[asked][pattern] {
                    continue;
                }
                seen.pairs += 1;
                // The clock is read first in a turn, and whether a process lives later: it may have been killed in between.
                let lived = held.death.is_none_or(|death| grant.answered_us < death.from_us);
                if lived && held.is_sure_throughout(pattern, grant.from_us, grant.by_us) {
                    wrong.that(format!(
                        "two holders: {} got {} (token {}) at {}, while {} held {} (token {}) from {} until {}: {grant:?}, {held:?}",
                        grant.agent_id,
                        PATTERNS[asked],
                        grant.token,
                        grant.from_us,
                        held.agent_id,
                        PATTERNS[pattern],
                        held.token,
                        held.by_us,
                        held.sure_until(pattern)
                    ));
                }
            }
        }
        recent.push(grant);
    }
}

/// Whether an answer can have been given by the model at one moment between question and answer, and does not leave out what is sure.
fn answered(operation: &Operation, grants: &Grants, meet: &[Vec<bool>], seen: &mut Seen, wrong: &mut Wrong) {
    let Operation { agent_id, asked, from_us, until_us, answer, .. } = operation;
    // The moments that are left.
    let (mut first_us, mut last_us) = (*from_us, *until_us);
    let mut in_force = |token: u64, pattern: usize, wrong: &mut Wrong| {
        let can_be = grants.get(&token).filter(|grant| grant.patterns.contains(&pattern)).map(|grant| grant.can_be(pattern));
        match can_be {
            None => wrong.that(format!("{agent_id} was told of {} under token {token}, which never was", PATTERNS[pattern])),
            Some((from_us, until_us)) => (first_us, last_us) = (first_us.max(from_us), last_us.min(until_us)),
        }
    };
    match (asked, answer) {
        (_, None) => seen.pending += 1,
        (_, Some(Answer::Failed(why))) => wrong.that(format!("{asked:?} failed: {why}")),
        (Asked::Acquire { patterns, .. }, Some(Answer::Granted { token, is_renewed: true, .. })) => {
            // One of its patterns includes what was asked; of those that meet it, the one that lasted longest.
            let grant = grants.get(token).filter(|grant| grant.agent_id == *agent_id);
            let of = grant.map(|grant| grant.patterns.iter().filter(|pattern| meet[**pattern][patterns[0]]));
            let Some(pattern) = of.and_then(|of| of.max_by_key(|pattern| grant.map(|grant| grant.can_be(**pattern).1))) else {
                return wrong.that(format!("{agent_id} asked for {patterns:?}, and was told of token {token}: {grant:?}"));
            };
            in_force(*token, *pattern, wrong);
        }
        (Asked::Acquire { shared, patterns, .. } | Asked::Who { shared, patterns }, Some(Answer::Held(held))) => {
            seen.refused += usize::from(!held.is_empty());
            if held.is_empty() && matches!(asked, Asked::Acquire { .. }) {
                wrong.that(format!("{agent_id} was refused {patterns:?} for nothing"));
            }
            for held in held {
                in_force(held.token, held.pattern, wrong);
                let is_covered = [held.pattern, held.asked].iter().all(|pattern| covers(PATTERNS[*pattern], &held.witness));
                let is_other = grants
                    .get(&held.token)
                    .is_some_and(|grant| grant.agent_id == held.agent_id && grant.agent_id != *agent_id && !(grant.shared && *shared));
                if !is_covered || !is_other || !patterns.contains(&held.asked) {
                    wrong.that(format!("{agent_id} was refused {patterns:?} for what is not in the way: {held:?}"));
                }
                if let Some(grant) = grants.get(&held.token).filter(|grant| held.ends_us > grant.last_end_us) {
                    wrong.that(format!("token {} was seen to end at {}, after {}", held.token, held.ends_us, grant.last_end_us));
                }
            }
            for grant in about(grants, *from_us).filter(|grant| grant.agent_id != *agent_id && !(grant.shared && *shared)) {
                for pattern in grant.patterns.iter().filter(|pattern| grant.is_sure_throughout(**pattern, *from_us, *until_us)) {
                    let is_in_the_way = patterns.iter().any(|asked| meet[*asked][*pattern]);
                    if is_in_the_way && !held.iter().any(|held| held.token == grant.token && held.pattern == *pattern) {
                        wrong.that(format!("{agent_id} asked for {patterns:?} and was not told of token {}: {grant:?}", grant.token));
                    }
                }
            }
        }
        (Asked::Release { .. } | Asked::Renew { .. }, Some(Answer::Parts(parts))) => {
            for (part, pattern) in parts.iter().flat_map(|part| part.patterns.iter().map(move |pattern| (part, *pattern))) {
                in_force(part.token, pattern, wrong);
            }
            let which = match asked {
                Asked::Release { which, .. } | Asked::Renew { which, .. } => which,
                _ => return,
            };
            for grant in about(grants, *from_us).filter(|grant| grant.agent_id == *agent_id) {
                for pattern in grant.patterns.iter().filter(|pattern| grant.is_sure_throughout(**pattern, *from_us, *until_us)) {
                    let is_meant = match which {
                        Which::All => true,
                        Which::Token(token) => grant.token == *token,
                        Which::Patterns(patterns) => patterns.contains(pattern),
                    };
                    if is_meant && !parts.iter().any(|part| part.token == grant.token && part.patterns.contains(pattern)) {
                        wrong.that(format!("{asked:?} of {agent_id} left out token {}: {grant:?}", grant.token));
                    }
                }
            }
        }
        (Asked::Check { token, patterns }, Some(Answer::Valid(valid))) => {
            for (pattern, is_valid) in patterns.iter().zip(valid) {
                let Some(grant) = grants.get(token).filter(|grant| grant.patterns.contains(pattern)) else { continue };
                if *is_valid && grant.patterns.iter().filter(|other| meet[**other][*pattern]).count() == 1 {
                    in_force(*token, *pattern, wrong);
                } else if !is_valid && grant.is_sure_throughout(*pattern, *from_us, *until_us) {
                    wrong.that(format!("{} of token {token} counts as gone, and is not: {grant:?}", PATTERNS[*pattern]));
                }
            }
        }
        (Asked::Acquire { .. }, Some(Answer::Granted { .. })) | (Asked::Sweep, Some(Answer::Swept)) => {}
        (asked, answer) => wrong.that(format!("{asked:?} was answered with {answer:?}")),
    }
    if first_us > last_us {
        wrong.that(format!("{agent_id}: at no moment from {from_us} to {until_us} can {asked:?} be answered with {answer:?}"));
    }
}

/// The grants that may be in force at a moment: few live longer than a fraction of a second.
fn about(grants: &Grants, at_us: u64) -> impl Iterator<Item = &Grant> {
    grants.values().rev().skip_while(move |grant| grant.from_us > at_us).take(400)
}
