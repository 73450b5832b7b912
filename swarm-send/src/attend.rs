//! Asleep until something is due: until its moment has come by the clock on the wall, the journal or the registry changes, or a process of somebody
//! who was asked has ended. Nothing is polled where the system tells of all of these.

use std::collections::BTreeSet;
use std::fs;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant, SystemTime};

use jiff::{SignedDuration, Timestamp};
use swarm_common::exit::Failure;
use swarm_common::fold::Fold;
use swarm_common::journal::Journal;
use swarm_common::pending::Pending;
use swarm_common::platform::{self, Life, Watch, Woken};
use swarm_common::registry::Registry;
use swarm_common::store::Store;
use swarm_common::time;

use crate::tick;

/// Where the system has no alarm for the clock on the wall, it is looked at this often: it may be set, and the machine may sleep.
const LOOK_EVERY: Duration = Duration::from_secs(30);

/// So long it is left alone when nothing could be done about what is due.
const PAUSE: Duration = Duration::from_secs(1);

/// So often is looked for who has ended, where the system does not tell that.
const LIFE_EVERY: Duration = Duration::from_secs(5);

/// Who waits until something is due.
pub struct Attendant<'a> {
    store: &'a Store,
    journal: Journal,
    registry: Registry,
    fold: Fold<Pending>,
    watch: Watch,
    /// Nothing could be done; not before then.
    paused_until: Option<Instant>,
    /// Become readable when somebody who was asked has ended.
    ends: Vec<OwnedFd>,
    /// Whom they are of, and as of when; `None` where that is to be looked up.
    looked: Option<(BTreeSet<String>, Option<SystemTime>)>,
    /// There is one of each.
    is_sure: bool,
}

/// Why it woke.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wake {
    /// Something may be due.
    Due,
    /// The journal or the registry has changed.
    Changed,
    /// It is later than it should have waited.
    Late,
}

impl<'a> Attendant<'a> {
    /// One for a store.
    ///
    /// # Errors
    /// Status 3 when the journal cannot be read.
    pub fn of(store: &'a Store) -> Result<Attendant<'a>, Failure> {
        let (journal, registry) = (store.journal(), Registry::of(store));
        // Before the first look: what comes behind it wakes.
        let watch = journal.watch_with(&[registry.dir()]);
        let fold = tick::look(store, &journal)?;
        Ok(Attendant { store, journal, registry, fold, watch, paused_until: None, ends: Vec::new(), looked: None, is_sure: true })
    }

    /// Why it looks every 100 ms instead of being told, if it does.
    pub fn polling(&self) -> Option<&str> {
        self.watch.polling()
    }

    /// What waits now.
    ///
    /// # Errors
    /// Status 3 when the journal cannot be read.
    pub fn look(&mut self) -> Result<&Pending, Failure> {
        self.fold.catch_up(&self.journal)?;
        Ok(self.fold.state())
    }

    /// How much could be done about what was due. Of nothing it is tried again a little later.
    pub fn done(&mut self, count: usize) {
        self.paused_until = (count == 0).then(|| Instant::now() + PAUSE);
        // Who has ended is no longer waited for.
        self.looked = None;
    }

    /// Nothing can be done for so long.
    pub fn fail(&mut self, span: Duration) {
        self.paused_until = Some(Instant::now() + span);
    }

    /// Sleeps until something may be due, something changes, or it is `until`.
    ///
    /// # Errors
    /// Status 3 when the system failed; quietly where the reader of `output` is gone.
    pub fn wait(&mut self, output: Option<BorrowedFd<'_>>, until: Option<Instant>) -> Result<Wake, Failure> {
        let now = time::now();
        let paused = self.paused_until.filter(|until| *until > Instant::now());
        self.look()?;
        let due = self.due(now);
        if paused.is_none() && due.is_some_and(|due| due <= now) {
            return Ok(Wake::Due);
        }
        self.find_ends();
        let alarm = due.filter(|_| paused.is_none()).map(|due| (due, platform::alarm(due)));
        let mut left = paused.map(|until| until.saturating_duration_since(Instant::now()));
        let mut at_most = |span: Duration| left = Some(left.map_or(span, |left| left.min(span)));
        if let Some((due, None)) = alarm {
            at_most(Duration::try_from(due.duration_since(now) + SignedDuration::from_millis(1)).unwrap_or_default().min(LOOK_EVERY));
        }
        if !self.is_sure {
            at_most(LIFE_EVERY);
        }
        if let Some(until) = until {
            at_most(until.saturating_duration_since(Instant::now()));
        }
        let wakes: Vec<BorrowedFd<'_>> = alarm.iter().filter_map(|(_, alarm)| alarm.as_ref()).chain(&self.ends).map(AsFd::as_fd).collect();
        match self.watch.wait_or_ends(output, &wakes, left)? {
            Woken::ReaderGone => Err(swarm_common::ndjson::reader_gone()),
            Woken::Changed | Woken::Room => Ok(Wake::Changed),
            Woken::TimedOut if until.is_some_and(|until| until <= Instant::now()) => Ok(Wake::Late),
            Woken::TimedOut | Woken::Ended => Ok(Wake::Due),
        }
    }

    /// The next moment at which something is due, by the journal.
    fn due(&self, now: Timestamp) -> Option<Timestamp> {
        let (pending, retry) = (self.fold.state(), &self.store.config().ack.retry);
        if pending.untold().next().is_some() {
            return Some(now);
        }
        pending.all().iter().filter_map(|waiting| waiting.next_at(retry, now)).min()
    }

    /// Looks whose end is to be waited for.
    fn find_ends(&mut self) {
        let waiting = self.fold.state().all();
        let asked: BTreeSet<String> =
            waiting.iter().filter(|waiting| !waiting.is_escalated).map(|waiting| waiting.agent_id.to_ascii_lowercase()).collect();
        let changed_at = fs::metadata(self.registry.dir()).and_then(|found| found.modified()).ok();
        if self.looked.as_ref().is_some_and(|(known, at)| *known == asked && *at == changed_at) {
            return;
        }
        (self.ends, self.is_sure) = (Vec::new(), true);
        for agent in asked.iter().filter_map(|id| self.registry.get(id).ok().flatten()) {
            for process in agent.lives_by() {
                match process.end() {
                    Some(end) => self.ends.push(end),
                    // Of another namespace it is no use to look; where there are no descriptors left, it is.
                    None => self.is_sure &= process.life() != Life::Alive,
                }
            }
        }
        self.looked = Some((asked, changed_at));
    }
}
