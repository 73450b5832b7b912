//! The records that wait until their key may go on: a queue a key, in the order of their arrival. Pure: it is told the time, and asks
//! its caller whether a record may go now.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::rc::Rc;

use swarm_common::exit::Failure;

use crate::window::{Key, Taken, after};

/// So many bytes may wait. With more, the input is not read on, so its writer waits too.
pub const BYTES_MAX: usize = 1 << 20;

/// What a waiting record costs beside its bytes, at most: its place in a queue that has just doubled, and the allocator's share.
const RECORD_BYTES: usize = 64;

/// What a key with waiting records costs beside its name: its places in both maps and its queue.
const KEY_BYTES: usize = 256;

/// The records of one key, each with its place in the order of all arrivals.
type Queue = VecDeque<(u64, Box<[u8]>)>;

/// The waiting records of all keys.
pub struct Held {
    queues: HashMap<Rc<[u8]>, Queue>,
    /// Of [`Key::All`] or [`Key::Missing`], whichever a stream has.
    apart: Queue,
    apart_key: Key<'static>,
    /// When to ask again for whom (no name: for those apart), and since when he waits in the order of the others. Each queue that is
    /// not empty stands here once.
    due: BTreeMap<(i64, u64), Option<Rc<[u8]>>>,
    turn: u64,
    arrivals: u64,
    bytes: usize,
    count: u64,
}

impl Default for Held {
    fn default() -> Held {
        let (queues, apart, due) = (HashMap::new(), Queue::new(), BTreeMap::new());
        Held { queues, apart, apart_key: Key::All, due, turn: 0, arrivals: 0, bytes: 0, count: 0 }
    }
}

impl Held {
    /// True if one more record may wait.
    pub fn has_room(&self) -> bool {
        self.bytes < BYTES_MAX
    }

    /// True if nobody waits.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// So many wait.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// True if a record of this key waits, so that the next one has to stand behind it.
    pub fn holds(&self, key: Key<'_>) -> bool {
        match key {
            _ if self.is_empty() => false,
            Key::Of(name) => self.queues.contains_key(name),
            Key::All | Key::Missing => !self.apart.is_empty(),
        }
    }

    /// When somebody may go on.
    pub fn next_us(&self) -> Option<i64> {
        self.due.first_key_value().map(|(&(due_us, _), _)| due_us)
    }

    /// Puts a record behind those of its key. `due_us` is when the first of them may go on: it counts only for the first.
    pub fn push(&mut self, key: Key<'_>, line: &[u8], due_us: i64) {
        self.count += 1;
        self.bytes += line.len() + RECORD_BYTES;
        self.arrivals += 1;
        let record = (self.arrivals, line.into());
        let (name, queue) = match key {
            Key::Of(name) => {
                if let Some(queue) = self.queues.get_mut(name) {
                    queue.push_back(record);
                    return;
                }
                let name: Rc<[u8]> = name.into();
                self.bytes += name.len() + KEY_BYTES;
                (Some(name.clone()), self.queues.entry(name).or_default())
            }
            Key::All | Key::Missing => {
                self.apart_key = if key == Key::All { Key::All } else { Key::Missing };
                (None, &mut self.apart)
            }
        };
        let is_first = queue.is_empty();
        queue.push_back(record);
        if is_first {
            self.call(due_us, name);
        }
    }

    fn call(&mut self, due_us: i64, name: Option<Rc<[u8]>>) {
        self.turn += 1;
        self.due.insert((due_us, self.turn), name);
    }

    /// Lets go who may: `take` answers for its key, `pass` has the record then.
    ///
    /// # Errors
    /// What `take` and `pass` fail with. A record for which `take` failed still waits.
    pub fn release(
        &mut self,
        now_us: i64,
        mut take: impl FnMut(Key<'_>) -> Result<Taken, Failure>,
        mut pass: impl FnMut(&[u8]) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        while let Some(entry) = self.due.first_entry().filter(|entry| entry.key().0 <= now_us) {
            let name = entry.get().clone();
            // It stands here until the answer is known: a failure in between must leave nobody without his place.
            let place = *entry.key();
            match take(name.as_deref().map_or(self.apart_key, Key::Of))? {
                Taken::No { retry_after } => {
                    self.due.remove(&place);
                    self.call(after(now_us, retry_after), name);
                }
                Taken::Yes => {
                    let queue = match &name {
                        Some(name) => self.queues.get_mut(name),
                        None => Some(&mut self.apart),
                    };
                    let Some((queue, (_, line))) = queue.and_then(|queue| queue.pop_front().map(|record| (queue, record))) else {
                        self.due.remove(&place);
                        continue;
                    };
                    let is_last = queue.is_empty();
                    self.forget(&line);
                    if is_last {
                        self.due.remove(&place);
                        match name {
                            Some(name) => {
                                self.bytes -= name.len() + KEY_BYTES;
                                self.queues.remove(&name);
                            }
                            None => self.apart = Queue::new(),
                        }
                    }
                    pass(&line)?;
                }
            }
        }
        Ok(())
    }

    fn forget(&mut self, line: &[u8]) {
        self.count -= 1;
        self.bytes -= line.len() + RECORD_BYTES;
    }

    /// Hands over all that wait, in the order in which they came.
    ///
    /// # Errors
    /// What `each` fails with; the others are lost then.
    pub fn give_up(&mut self, mut each: impl FnMut(&[u8]) -> Result<(), Failure>) -> Result<(), Failure> {
        let held = std::mem::take(self);
        let mut records: Vec<_> = held.queues.into_values().chain([held.apart]).flatten().collect();
        records.sort_unstable_by_key(|(arrival, _)| *arrival);
        records.iter().try_for_each(|(_, line)| each(line))
    }
}
