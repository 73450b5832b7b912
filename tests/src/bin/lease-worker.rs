//! An agent for `leases`: asks for leases at random, as fast as it can, and writes down each question before it is asked and each
//! answer when it is there. It is killed at any moment. `lease-worker TABLE HISTORY AGENT SEED OPERATIONS [BUG]`

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use swarm_common::exit::Failure;
use swarm_common::platform::{self, Process};
use swarm_lock::conflict::Conflict;
use swarm_lock::lease::{Lease, Line, Mode};
use swarm_lock::leases::{self, Acquired, Leases, Manner, Named, Request};
use swarm_lock::pattern::Pattern;
use swarm_lock::table::{self, Change, Table, name};
use swarm_tests::history::{Answer, Asked, Entry, Held, PATTERNS, Part, Which, number_of};
use swarm_tests::random::Random;

fn main() -> Result<(), String> {
    let args: Vec<String> = std::env::args().collect();
    let [_, table, history, agent_id, seed, operations, bug @ ..] = args.as_slice() else {
        return Err("TABLE HISTORY AGENT SEED N".into());
    };
    let number = |text: &str| text.parse::<u64>().map_err(|error| format!("{text}: {error}"));
    let mut history = File::create(history).map_err(|error| format!("{history}: {error}"))?;
    let mut worker = Worker {
        agent_id: agent_id.clone(),
        leases: Leases::new(Table::at(PathBuf::from(table)), None),
        random: Random(number(seed)?),
        tie: Process::own().map_err(|error| error.to_string())?,
        tokens: Vec::new(),
        compares_texts: bug.first().is_some_and(|bug| bug == "compares-texts"),
    };
    let mut put = |entry: &Entry| -> Result<(), String> {
        let mut line = serde_json::to_vec(entry).map_err(|error| error.to_string())?;
        line.push(b'\n');
        history.write_all(&line).map_err(|error| error.to_string())
    };
    for _ in 0..number(operations)? {
        let asked = worker.choose();
        put(&Entry::Asked { at_us: now_us(), asked: asked.clone() })?;
        let answer = worker.ask(&asked).unwrap_or_else(|failure| Answer::Failed(failure.what));
        put(&Entry::Answered { at_us: now_us(), answer })?;
    }
    Ok(())
}

fn now_us() -> u64 {
    u64::try_from(platform::boottime().as_micros()).unwrap_or(u64::MAX)
}

struct Worker {
    agent_id: String,
    leases: Leases,
    random: Random,
    tie: Process,
    /// The last tokens that were seen, one's own and others'.
    tokens: Vec<u64>,
    compares_texts: bool,
}

impl Worker {
    fn some_patterns(&mut self, most: u64) -> Vec<usize> {
        let count = 1 + self.random.below(most);
        let mut patterns: Vec<usize> = (0..count).map(|_| self.random.below(PATTERNS.len() as u64) as usize).collect();
        patterns.sort_unstable();
        patterns.dedup();
        patterns
    }

    fn some_token(&mut self) -> u64 {
        let n = self.tokens.len() as u64;
        if n == 0 { 1 } else { self.tokens[self.random.below(n) as usize] }
    }

    fn some_which(&mut self) -> Which {
        match self.random.below(4) {
            0 => Which::Token(self.some_token()),
            1 => Which::All,
            _ => Which::Patterns(self.some_patterns(2)),
        }
    }

    fn choose(&mut self) -> Asked {
        let ttl_us = [1_000, 4_000, 20_000, 100_000][self.random.below(4) as usize] + self.random.below(1_000);
        let shared = self.random.below(3) == 0;
        match self.random.below(100) {
            0..45 => Asked::Acquire { shared, ttl_us, tied: self.random.below(4) == 0, patterns: self.some_patterns(4) },
            45..65 => Asked::Release { force: false, which: self.some_which() },
            65..70 => Asked::Release { force: true, which: Which::Patterns(self.some_patterns(2)) },
            70..73 => Asked::Release { force: true, which: Which::Token(self.some_token()) },
            73..80 => Asked::Renew { ttl_us, which: self.some_which() },
            80..90 => Asked::Check { token: self.some_token(), patterns: self.some_patterns(2) },
            90..99 => Asked::Who { shared, patterns: self.some_patterns(2) },
            _ => Asked::Sweep,
        }
    }

    fn ask(&mut self, asked: &Asked) -> Result<Answer, Failure> {
        let (mut heard, mut said) = (Vec::new(), None);
        let mut note = |words: &str| said = Some(words.to_string());
        let answer = match asked {
            Asked::Acquire { shared, ttl_us, tied, patterns } => {
                let request = Request {
                    agent_id: self.agent_id.clone(),
                    mode: mode(*shared),
                    patterns: read(patterns)?,
                    ttl: Duration::from_micros(*ttl_us),
                    reason: String::new(),
                    tie: tied.then(|| self.tie.clone()),
                    keeper: None,
                };
                let acquired = if self.compares_texts {
                    acquire_comparing_texts(self.leases.table(), &request)?
                } else {
                    self.leases.acquire(&request, Manner::Once, &mut heard, &mut note)?
                };
                match acquired {
                    Acquired::Granted { lease, is_renewed, .. } => {
                        if !is_renewed && lease.patterns != request.patterns {
                            return Err(Failure::system(format!("asked for {:?}, granted {:?}", request.patterns, lease.patterns)));
                        }
                        Answer::Granted { token: lease.token, ends_us: lease.ends_us, is_renewed }
                    }
                    Acquired::Refused(conflicts) => Answer::Held(conflicts.iter().map(held).collect::<Result<_, _>>()?),
                }
            }
            Asked::Release { force, which } => {
                let done = self.leases.release(&self.agent_id, &whom(which)?, force.then_some("because"), &mut heard, &mut note)?;
                Answer::Parts(done.parts.iter().map(part).collect::<Result<_, _>>()?)
            }
            Asked::Renew { ttl_us, which } => {
                let ttl = Duration::from_micros(*ttl_us);
                let done = self.leases.renew(&self.agent_id, &whom(which)?, ttl, &mut heard, &mut note)?;
                Answer::Parts(done.parts.iter().map(part).collect::<Result<_, _>>()?)
            }
            Asked::Check { token, patterns } => {
                Answer::Valid(self.leases.check(*token, &read(patterns)?)?.into_iter().map(|valid| valid == leases::Valid::Yes).collect())
            }
            Asked::Who { shared, patterns } => {
                let conflicts = self.leases.who(Some(&self.agent_id), mode(*shared), &read(patterns)?)?;
                Answer::Held(conflicts.iter().map(held).collect::<Result<_, _>>()?)
            }
            Asked::Sweep => self.leases.sweep(false, &mut note).map(|_| Answer::Swept)?,
        };
        match &answer {
            Answer::Granted { token, .. } => self.tokens.push(*token),
            Answer::Held(held) => self.tokens.extend(held.iter().map(|held| held.token).take(1)),
            _ => {}
        }
        let old = self.tokens.len().saturating_sub(8);
        self.tokens.drain(..old);
        match said {
            // Nothing is out of order here that people should be told of.
            Some(words) => Err(Failure::system(words)),
            None => Ok(answer),
        }
    }
}

fn mode(shared: bool) -> Mode {
    if shared { Mode::Shared } else { Mode::Exclusive }
}

fn read(patterns: &[usize]) -> Result<Vec<Pattern>, Failure> {
    patterns.iter().map(|&pattern| Pattern::glob(PATTERNS[pattern])).collect()
}

fn whom(which: &Which) -> Result<leases::Which, Failure> {
    Ok(match which {
        Which::Token(token) => leases::Which::Token(*token),
        Which::All => leases::Which::All,
        Which::Patterns(patterns) => leases::Which::Paths(
            read(patterns)?.into_iter().map(|pattern| Named { argument: pattern.text().into(), readings: vec![pattern] }).collect(),
        ),
    })
}

fn pattern(text: &str) -> Result<usize, Failure> {
    number_of(text).ok_or_else(|| Failure::system(format!("{text}: nobody asked for that")))
}

fn held(conflict: &Conflict) -> Result<Held, Failure> {
    let odd = |what: &str| Failure::system(format!("a conflict without {what}: {conflict:?}"));
    Ok(Held {
        token: conflict.token.ok_or_else(|| odd("token"))?,
        agent_id: conflict.agent_id.clone().ok_or_else(|| odd("agent"))?,
        pattern: pattern(&conflict.held)?,
        ends_us: conflict.sign.ends_us.ok_or_else(|| odd("end"))?,
        asked: pattern(&conflict.path)?,
        witness: conflict.witness.clone().ok_or_else(|| odd("witness"))?,
    })
}

fn part(part: &leases::Part) -> Result<Part, Failure> {
    let patterns = part.paths.iter().map(|text| pattern(text)).collect::<Result<_, _>>()?;
    Ok(Part { token: part.token, agent_id: part.agent_id.clone(), patterns })
}

/// A bug on purpose: what others hold is in the way only where its text is the same. `leases` has to find it out.
fn acquire_comparing_texts(table: &Table, request: &Request) -> Result<Acquired, Failure> {
    let mut writer = table.write()?;
    let clock = writer.view.clock.clone();
    let mut homes: BTreeMap<String, Vec<Pattern>> = BTreeMap::new();
    for pattern in &request.patterns {
        writer.make_ancestors(table::home(pattern))?;
        homes.entry(name::of(table::home(pattern))).or_default().push(pattern.clone());
    }
    for (name, patterns) in &homes {
        for row in writer.view.rows(name) {
            let Some(Line::Lease(row)) = row else { continue };
            let is_same = row.patterns().any(|(text, _)| patterns.iter().any(|pattern| pattern.text() == text));
            if is_same && !row.is_of(&request.agent_id) && row.is_alive(&clock) && !request.mode.agrees(row.mode) {
                return Ok(Acquired::Refused(Vec::new()));
            }
        }
    }
    let lease = Lease {
        token: writer.token(&mut |_| ())?,
        agent_id: request.agent_id.clone(),
        mode: request.mode,
        patterns: request.patterns.clone(),
        files: u32::try_from(homes.len()).unwrap_or(u32::MAX),
        since: clock.now,
        boot_id: clock.boot_id.clone(),
        ends_us: clock.after(request.ttl),
        tie: request.tie.clone(),
        keeper: None,
        reason: String::new(),
    };
    let mut changes = Vec::new();
    for (name, patterns) in homes {
        let mut bytes = writer.view.lines(&name).flat_map(|line| line.iter().copied().chain([b'\n'])).collect();
        Lease { patterns, ..lease.clone() }.write(&clock, &mut bytes);
        bytes.push(b'\n');
        changes.push(Change { name, bytes });
    }
    writer.commit(changes)?;
    let expires_at = clock.wall(lease.ends_us);
    Ok(Acquired::Granted { lease: Box::new(lease), expires_at, is_renewed: false })
}
