//! Types the messages for the panes of one server. Each goes its way by itself: its pane is taken, asked and typed into in one call, left alone
//! for a moment, sent Enter, looked at, and let go; no one waits for another, unless they want the same pane.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::mem;
use std::rc::Rc;
use std::time::{Duration, Instant};

use swarm_common::config::Typing;
use swarm_common::platform::Life;

use super::client::{Client, Heard};
use super::control::Said;
use super::door::Door;
use super::guard::{self, Target};
use super::orphan;
use super::outcome::{Outcome, Why, Word, why};
use super::pane_lock::PaneLocks;
use super::screen::{Cursor, Screen};
use super::settings::Settings;
use super::texts::TextFile;
use super::wake::Wake;
use super::way::{Ask, Buffer, Post, State, Step};
use super::{Job, Route};
use swarm_common::registry::Pane;

/// A pane that another sender holds is looked at so often.
const LOCK_PAUSE: Duration = Duration::from_millis(5);

/// How often a screen is looked at.
const WATCH_PAUSE: Duration = Duration::from_millis(25);

/// How often a pane that changes while it is asked is asked again.
const TRIES_MAX: u32 = 3;

/// The work at one server.
pub struct Typist<'a> {
    settings: &'a Settings,
    client: Client,
    /// While a text is loaded or forgotten: see [`door`](super::door).
    door: Option<Door>,
    locks: PaneLocks,
    posts: Vec<Post<'a>>,
    /// For each post, the next one for its pane.
    next: Vec<Option<usize>>,
    waiting: Vec<usize>,
    /// Those to which something is due at a time.
    resting: Vec<usize>,
    buffers: Vec<Buffer<'a>>,
    /// What each answer begins with, before its number: nobody else knows it, and so nothing that a pane shows is taken for one.
    secret: &'a str,
    /// What was asked and not answered, in order: number, what, and where it ends in what was written.
    asked: VecDeque<(u64, Ask, u64)>,
    /// Of what was asked first, the first half of the answer has come: what is in the way, and the cursor. The screen follows.
    seen: Option<(Option<(Word, Why)>, Cursor)>,
    number: u64,
}

impl<'a> Typist<'a> {
    /// Makes ready to type these jobs, each with its pane.
    ///
    /// # Errors
    /// When the store's files cannot be made.
    pub fn new(settings: &'a Settings, client: Client, secret: &'a str, jobs: &[(&'a Job<'a>, &'a Pane)]) -> io::Result<Typist<'a>> {
        let locks = PaneLocks::at(&settings.dir, jobs.len())?;
        let mut typist = Typist {
            settings,
            client,
            door: None,
            locks,
            posts: Vec::with_capacity(jobs.len()),
            next: vec![None; jobs.len()],
            waiting: Vec::new(),
            resting: Vec::new(),
            buffers: Vec::new(),
            secret,
            asked: VecDeque::new(),
            seen: None,
            number: 0,
        };
        // Everybody sees it, and so it is not the secret.
        let name = format!("{}-{:016x}", orphan::name(), RandomState::new().hash_one(secret));
        let now = Instant::now();
        let mut last_of = HashMap::new();
        let mut buffer_of = HashMap::new();
        let mut typings: Vec<(Option<&str>, Rc<Typing>)> = Vec::new();
        for (at, &(job, pane)) in jobs.iter().enumerate() {
            let kind = job.agent.kind.as_deref();
            let typing = match typings.iter().find(|(known, _)| *known == kind) {
                Some((_, typing)) => Rc::clone(typing),
                None => {
                    let typing = Rc::new(settings.delivery.of(kind));
                    typings.push((kind, Rc::clone(&typing)));
                    typing
                }
            };
            let buffer = *buffer_of.entry(job.text).or_insert_with(|| {
                let name = format!("{name}x{}", typist.buffers.len());
                typist.buffers.push(Buffer { block: job.text, name, file: None, is_loaded: false, users: 0 });
                typist.buffers.len() - 1
            });
            typist.buffers[buffer].users += 1;
            let state = match last_of.insert(&pane.id, at) {
                Some(before) => {
                    typist.next[before] = Some(at);
                    State::Behind
                }
                None => {
                    typist.waiting.push(at);
                    State::Waiting(now)
                }
            };
            typist.posts.push(Post { job, pane, typing, buffer, state, tries: 0, cursor: None, lock: None, wake: None, outcome: None });
        }
        Ok(typist)
    }

    /// Removes buffers that others left. Where one is gone already, so be it.
    pub fn sweep(&mut self, left: &[String]) {
        if !left.is_empty() {
            let commands: Vec<String> = left.iter().map(|name| format!("delete-buffer -b {name}")).collect();
            let line = format!("{} ; display-message -p '{}'\n", commands.join(" ; "), self.tag());
            self.tell(Ask::Delete, line.as_bytes());
        }
    }

    /// Types them all. One outcome each, in their order.
    pub fn run(mut self) -> Vec<Outcome> {
        let lost = loop {
            self.take_panes();
            self.go_on();
            if self.is_done() {
                drop((self.door, self.client));
                return self.posts.into_iter().map(outcome).collect();
            }
            let deadline = self.client.deadline();
            let mut answers = Vec::new();
            let heard = self.client.turn(self.next_due(), &mut |said| answers.push(said));
            for said in answers {
                if let Said::Answer { lines, is_error, is_ours: true } = said {
                    self.answer(&lines, is_error);
                }
            }
            match heard {
                Ok(Heard::More) if self.asked.is_empty() || Instant::now() < deadline.max(self.client.deadline()) => {}
                Ok(Heard::More) => break why::NO_ANSWER,
                Ok(Heard::End) | Err(_) => break why::UNREACHABLE,
            }
        };
        self.lost(lost)
    }

    fn is_done(&self) -> bool {
        self.waiting.is_empty() && self.resting.is_empty() && self.asked.is_empty()
    }

    /// When something is to be done, if tmux says nothing until then.
    fn next_due(&self) -> Instant {
        let mut due = if self.asked.is_empty() { Instant::now() + self.settings.patience } else { self.client.deadline() };
        if !self.waiting.is_empty() {
            due = due.min(Instant::now() + LOCK_PAUSE);
        }
        for &at in &self.resting {
            if let State::Resting(at) | State::Watching { again: at, .. } = self.posts[at].state {
                due = due.min(at);
            }
        }
        due
    }

    /// Takes the panes that are free, and types into them.
    fn take_panes(&mut self) {
        loop {
            for at in mem::take(&mut self.waiting) {
                self.take_pane(at);
            }
            // What was over at once lets the next one for its pane go.
            if !self.waiting.iter().any(|&at| self.posts[at].lock.is_some()) {
                return;
            }
        }
    }

    fn take_pane(&mut self, at: usize) {
        let State::Waiting(since) = self.posts[at].state else { return };
        if self.posts[at].lock.is_some() {
            return self.begin(at);
        }
        match self.locks.try_take(&self.posts[at].pane.id) {
            Ok(Some(lock)) => {
                self.posts[at].lock = Some(lock);
                self.begin(at);
            }
            Ok(None) if since.elapsed() < self.settings.patience => self.waiting.push(at),
            Ok(None) => self.end(at, Word::Queued, Some(why::BUSY.into())),
            Err(_) => self.end(at, Word::Queued, Some(why::STORE.into())),
        }
    }

    fn begin(&mut self, at: usize) {
        let Post { job, pane, .. } = &self.posts[at];
        if job.route == Route::Wake {
            let wake = Wake::of(&self.settings.dir, &self.settings.cursors, job.agent, pane);
            if wake.is_unread() {
                return self.end(at, Word::Queued, Some(why::UNREAD.into()));
            }
            self.posts[at].wake = Some(wake);
        }
        let Post { job, .. } = &self.posts[at];
        if job.agent.process.as_ref().is_some_and(|process| process.life() == Life::Gone) {
            return self.ask(Ask::Why(at, Step::Gone));
        }
        self.look_or_type(at);
    }

    fn look_or_type(&mut self, at: usize) {
        if self.posts[at].typing.draft.is_some() { self.ask(Ask::Look(at)) } else { self.type_it(at) }
    }

    fn type_it(&mut self, at: usize) {
        let buffer = self.posts[at].buffer;
        if !self.buffers[buffer].is_loaded && !self.load(buffer) {
            return self.end(at, Word::Queued, Some(why::STORE.into()));
        }
        let delay = self.posts[at].typing.delay(self.posts[at].job.text.text().len());
        self.ask(Ask::Type(at, delay.is_zero()));
    }

    fn load(&mut self, at: usize) -> bool {
        let Buffer { block, name, file, is_loaded, .. } = &mut self.buffers[at];
        let Ok(written) = TextFile::write(&self.settings.dir, name, block.text()) else { return false };
        *file = Some(written);
        *is_loaded = true;
        self.ask(Ask::Load(at));
        true
    }

    /// One user less; behind the last, tmux forgets the text.
    fn leave_buffer(&mut self, at: usize) {
        let buffer = &mut self.buffers[at];
        buffer.users -= 1;
        if buffer.users == 0 && buffer.is_loaded {
            self.ask(Ask::Delete);
        }
    }

    /// Does what is due.
    fn go_on(&mut self) {
        let now = Instant::now();
        for at in mem::take(&mut self.resting) {
            match self.posts[at].state {
                State::Resting(due) if due <= now => self.ask(Ask::Enter(at)),
                State::Watching { again, until } if again <= now => self.ask(Ask::Watch(at, until)),
                _ => self.resting.push(at),
            }
        }
    }

    /// What the next answer begins with.
    fn tag(&mut self) -> String {
        self.number += 1;
        format!("{}:{}:", self.secret, self.number)
    }

    /// Hands over a line with the newest tag.
    fn tell(&mut self, ask: Ask, line: &[u8]) {
        if self.door.is_none() && ask.is_of_buffers() {
            self.door = self.client.door();
        }
        if self.asked.is_empty() {
            self.client.is_asked();
        }
        let end = self.client.push(line);
        self.asked.push_back((self.number, ask, end));
    }

    fn ask(&mut self, ask: Ask) {
        let tag = self.tag();
        let line = match ask {
            Ask::Load(at) => {
                let Buffer { name, file, .. } = &self.buffers[at];
                file.as_ref().map(|file| file.load_line(name, &tag)).unwrap_or_default()
            }
            Ask::Delete => {
                let names = self.buffers.iter().filter(|buffer| buffer.users == 0 && buffer.is_loaded).map(|buffer| &buffer.name);
                let commands: Vec<String> = names.map(|name| format!("delete-buffer -b {name}")).collect();
                format!("{} ; display-message -p '{tag}'\n", commands.join(" ; ")).into_bytes()
            }
            Ask::Why(at, _) => self.target(at).why_line(&tag).into_bytes(),
            Ask::Look(at) | Ask::Watch(at, _) => self.target(at).look_line(&tag).into_bytes(),
            Ask::Type(at, with_enter) => {
                let post = &self.posts[at];
                let key = with_enter.then_some(post.typing.submit);
                self.target(at).type_line(&tag, &self.buffers[post.buffer].name, key).into_bytes()
            }
            Ask::Enter(at) => self.target(at).key_line(&tag, self.posts[at].typing.submit).into_bytes(),
        };
        if let Ask::Why(at, _) | Ask::Look(at) | Ask::Type(at, _) | Ask::Enter(at) | Ask::Watch(at, _) = ask {
            self.posts[at].state = State::Asked;
        }
        self.tell(ask, &line);
        if let Ask::Delete = ask {
            for buffer in &mut self.buffers {
                buffer.is_loaded &= buffer.users > 0;
            }
        }
    }

    fn target(&self, at: usize) -> Target<'a> {
        let Post { job, pane, cursor, .. } = &self.posts[at];
        let shells = (!job.agent.shell_ok).then_some(self.settings.shells.as_str());
        Target { id: &pane.id, pid: pane.pid, shells, cursor: *cursor }
    }

    /// Takes an answer to one of our lines. A command prints nothing, or its answer; one that fails ends its line.
    fn answer(&mut self, lines: &[String], is_error: bool) {
        let seen = self.seen.take();
        if is_error {
            if let Some((_, ask, _)) = self.asked.pop_front() {
                self.failed(ask, lines.first().map_or("", String::as_str));
            }
            return;
        }
        if let Some((held, cursor)) = seen
            && let Some((_, ask, _)) = self.asked.pop_front()
        {
            return self.shown(ask, held, &Screen { lines, cursor });
        }
        let Some(rest) = lines.first().and_then(|line| line.strip_prefix(self.secret)?.strip_prefix(':')) else { return };
        let Some((number, rest)) = rest.split_once(':') else { return };
        let Some(number) = number.parse::<u64>().ok().filter(|number| self.asked.iter().any(|(asked, ..)| asked == number)) else { return };
        while let Some((asked, ask, end)) = self.asked.pop_front() {
            if asked == number {
                if let Ask::Look(_) | Ask::Watch(..) = ask {
                    let (cursor, why) = rest.split_once(' ').unwrap_or((rest, ""));
                    self.seen = Some((guard::held(why), Cursor::parse(cursor).unwrap_or_default()));
                    self.asked.push_front((asked, ask, end));
                    return;
                }
                return self.answered(ask, rest);
            }
            // It never happens: the answers come in order.
            self.failed(ask, "no answer");
        }
    }

    /// Takes a screen.
    fn shown(&mut self, ask: Ask, held: Option<(Word, Why)>, screen: &Screen<'_>) {
        let typing = |at: usize| Rc::clone(&self.posts[at].typing);
        match ask {
            Ask::Look(at) => {
                if let Some((word, why)) = held {
                    return self.end(at, word, Some(why));
                }
                if typing(at).draft.as_ref().is_some_and(|sign| screen.has_draft(sign)) {
                    return self.end(at, Word::Queued, Some(why::DRAFT.into()));
                }
                self.posts[at].cursor = Some(screen.cursor);
                self.type_it(at);
            }
            Ask::Watch(at, until) => {
                let now = Instant::now();
                if typing(at).taken.as_ref().is_none_or(|sign| screen.shows(sign)) {
                    self.end(at, Word::Delivered, None);
                } else if now >= until {
                    self.end(at, Word::Unconfirmed, Some(why::NO_SIGN.into()));
                } else {
                    self.posts[at].state = State::Watching { again: (now + WATCH_PAUSE).min(until), until };
                    self.resting.push(at);
                }
            }
            _ => {}
        }
    }

    /// Nobody is kept waiting at the door for longer than it takes.
    fn close_door(&mut self) {
        if !self.asked.iter().any(|(_, ask, _)| ask.is_of_buffers()) {
            self.door = None;
        }
    }

    fn answered(&mut self, ask: Ask, rest: &str) {
        self.close_door();
        match ask {
            Ask::Load(at) => self.buffers[at].file = None,
            Ask::Delete | Ask::Look(_) | Ask::Watch(..) => {}
            Ask::Why(at, step) => self.held(at, step, guard::held(rest)),
            Ask::Type(at, _) if !guard::is_done(rest) => self.ask(Ask::Why(at, Step::Type)),
            Ask::Type(at, true) => self.entered(at),
            Ask::Type(at, false) => {
                let post = &mut self.posts[at];
                // It moved, as it should.
                post.cursor = None;
                post.state = State::Resting(Instant::now() + post.typing.delay(post.job.text.text().len()));
                self.resting.push(at);
            }
            Ask::Enter(at) if !guard::is_done(rest) => self.ask(Ask::Why(at, Step::Enter)),
            Ask::Enter(at) => self.entered(at),
        }
    }

    /// Something was in the way; what it is, tmux was asked afterwards. Where it is gone by then, it was another program in the pane's foreground
    /// or a cursor that moves, and the step is tried again.
    fn held(&mut self, at: usize, step: Step, held: Option<(Word, Why)>) {
        let post = &mut self.posts[at];
        post.tries += 1;
        let moving = if post.cursor.is_some() { why::DRAFT } else { why::SHELL };
        let held = match held {
            None if post.tries < TRIES_MAX => None,
            held => Some(held.unwrap_or((Word::Queued, moving.into()))),
        };
        match (step, held) {
            (Step::Gone, Some((word, why))) => self.end(at, word, Some(why)),
            (Step::Gone, None) => self.end(at, Word::Refused, Some(why::GONE.into())),
            (Step::Type, None) => self.look_or_type(at),
            (Step::Type, Some((word, why))) => self.end(at, word, Some(why)),
            (Step::Enter, None) => self.ask(Ask::Enter(at)),
            (Step::Enter, Some((_, why))) => {
                let why = format!("typed without {}: {why}", post.typing.submit);
                self.end(at, Word::Unconfirmed, Some(why.into()));
            }
        }
    }

    fn failed(&mut self, ask: Ask, text: &str) {
        self.close_door();
        match ask {
            Ask::Load(at) => self.buffers[at].file = None,
            Ask::Delete => {}
            // Its pane is gone: it is not found for its screen.
            Ask::Look(at) => self.ask(Ask::Why(at, Step::Type)),
            Ask::Watch(at, _) => self.end(at, Word::Unconfirmed, Some(why::NO_SIGN.into())),
            Ask::Why(at, Step::Gone | Step::Type) => self.end(at, Word::Queued, Some(guard::told(text))),
            // Without its buffer it was not typed. Behind that, who knows.
            Ask::Type(at, _) if text.starts_with("no buffer") => self.end(at, Word::Queued, Some(guard::told(text))),
            // Nor without its pane, which closed since it was looked up; with Enter in the same line, that may be what missed it.
            Ask::Type(at, false) if text.starts_with("can't find pane") => self.end(at, Word::Refused, Some(why::NO_PANE.into())),
            Ask::Type(at, _) | Ask::Enter(at) | Ask::Why(at, Step::Enter) => self.end(at, Word::Unconfirmed, Some(guard::told(text))),
        }
    }

    fn entered(&mut self, at: usize) {
        let post = &self.posts[at];
        if post.typing.taken.is_some() {
            let until = Instant::now() + post.typing.confirm;
            self.ask(Ask::Watch(at, until));
        } else {
            self.end(at, Word::Delivered, None);
        }
    }

    /// It has its outcome, and lets its pane go to the next.
    fn end(&mut self, at: usize, word: Word, why: Option<Why>) {
        let post = &mut self.posts[at];
        let agent_id = post.job.agent.agent_id.clone();
        post.outcome = Some(Outcome { agent_id, word, why });
        post.state = State::Over;
        if let (Some(wake), Word::Delivered | Word::Unconfirmed) = (post.wake.take(), word) {
            wake.sent();
        }
        let lock = post.lock.take();
        let buffer = post.buffer;
        self.leave_buffer(buffer);
        if let Some(next) = self.next[at] {
            // The pane stays ours for the next one.
            self.posts[next].lock = lock;
            self.posts[next].state = State::Waiting(Instant::now());
            self.waiting.push(next);
        }
    }

    /// tmux ended, or says nothing: what it has not taken is not done.
    fn lost(mut self, why: &'static str) -> Vec<Outcome> {
        // The client takes it when it ends.
        self.door = None;
        let taken = self.client.take_back();
        for &(_, ask, end) in &self.asked {
            let (at, word) = match ask {
                Ask::Load(_) | Ask::Delete => continue,
                Ask::Why(at, Step::Gone | Step::Type) | Ask::Look(at) => (at, Word::Queued),
                Ask::Type(at, _) if end > taken => (at, Word::Queued),
                Ask::Type(at, _) | Ask::Enter(at) | Ask::Why(at, Step::Enter) | Ask::Watch(at, _) => (at, Word::Unconfirmed),
            };
            let why = if word == Word::Queued { why } else { why::LOST };
            self.posts[at].outcome = Some(Outcome::of(&self.posts[at].job.agent.agent_id, word, why));
        }
        for post in &mut self.posts {
            let outcome = match post.state {
                State::Resting(_) | State::Watching { .. } => Outcome::of(&post.job.agent.agent_id, Word::Unconfirmed, why::LOST),
                _ => Outcome::of(&post.job.agent.agent_id, Word::Queued, why),
            };
            post.outcome.get_or_insert(outcome);
            if let (Some(wake), Some(Word::Unconfirmed)) = (&post.wake, post.outcome.as_ref().map(|outcome| outcome.word)) {
                wake.sent();
            }
        }
        self.posts.into_iter().map(outcome).collect()
    }
}

/// Every post has one by then.
fn outcome(post: Post<'_>) -> Outcome {
    post.outcome.unwrap_or_else(|| Outcome::of(&post.job.agent.agent_id, Word::Unconfirmed, why::LOST))
}
