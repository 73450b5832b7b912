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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::window::Windows;
    use proptest::prelude::*;
    use std::time::Duration;
    use swarm_common::limit::Limit;

    /// What a stream does with arrivals (time, key, number), on a clock that jumps to whatever comes next. Who passes, and when.
    fn play(arrivals: &[(i64, Key<'_>)], mut windows: Windows) -> Vec<(i64, usize)> {
        let mut held = Held::default();
        let mut passed = Vec::new();
        for (number, &(at_us, key)) in arrivals.iter().enumerate() {
            release(&mut held, &mut windows, at_us, &mut passed);
            let line = number.to_string();
            if held.holds(key) {
                held.push(key, line.as_bytes(), at_us);
            } else if let Taken::No { retry_after } = windows.take(key, at_us) {
                held.push(key, line.as_bytes(), after(at_us, retry_after));
            } else {
                passed.push((at_us, number));
            }
        }
        release(&mut held, &mut windows, i64::MAX / 8, &mut passed);
        assert!(held.is_empty() && held.has_room() && held.bytes == 0 && held.queues.is_empty() && held.next_us().is_none());
        passed
    }

    /// Lets go all whose time comes before `until_us`, each in his instant.
    fn release(held: &mut Held, windows: &mut Windows, until_us: i64, passed: &mut Vec<(i64, usize)>) {
        while let Some(now_us) = held.next_us().filter(|&due_us| due_us <= until_us) {
            let done = held.release(
                now_us,
                |key| Ok(windows.take(key, now_us)),
                |line| {
                    passed.push((now_us, std::str::from_utf8(line).unwrap().parse().unwrap()));
                    Ok(())
                },
            );
            assert_eq!(done, Ok(()));
        }
    }

    const NAMES: [&[u8]; 4] = [b"a", b"b", b"c", b"d"];

    fn arrivals(steps: &[(usize, i64)]) -> Vec<(i64, Key<'static>)> {
        let mut at_us = 0;
        let arrival = |&(key, step_us): &(usize, i64)| {
            at_us += step_us;
            (at_us, if key == 0 { Key::Missing } else { Key::Of(NAMES[key - 1]) })
        };
        steps.iter().map(arrival).collect()
    }

    proptest! {
        #[test]
        fn everyone_passes_in_the_first_instant_that_his_key_and_those_before_him_allow(
            count in 1usize..4, steps in prop::collection::vec((0usize..4, 0i64..1500), 1..60),
        ) {
            let limit = Limit::new(count as u32, Duration::from_millis(2)).unwrap();
            let arrivals = arrivals(&steps);
            let mut expected: Vec<(i64, usize)> = Vec::new();
            for (number, &(at_us, key)) in arrivals.iter().enumerate() {
                let mine: Vec<i64> = expected.iter().filter(|(_, other)| arrivals[*other].1 == key).map(|(passed_us, _)| *passed_us).collect();
                let behind = mine.last().copied().unwrap_or(0);
                let allowed = mine.len().checked_sub(count).map_or(0, |nth| mine[nth] + 2000);
                expected.push((at_us.max(behind).max(allowed), number));
            }
            let mut passed = play(&arrivals, Windows::new(&limit, 100));
            passed.sort_by_key(|(_, number)| *number);
            prop_assert_eq!(passed, expected);
        }

        #[test]
        fn keys_that_share_a_window_keep_its_limit_and_each_its_order(steps in prop::collection::vec((1usize..5, 0i64..700), 1..60)) {
            let limit = Limit::new(2, Duration::from_millis(2)).unwrap();
            let arrivals = arrivals(&steps);
            // One key has a window of its own, the others share one.
            let passed = play(&arrivals, Windows::new(&limit, 1));
            prop_assert_eq!(passed.len(), arrivals.len());
            let own = arrivals[0].1;
            let shared: Vec<i64> = passed.iter().filter(|(_, number)| arrivals[*number].1 != own).map(|(at_us, _)| *at_us).collect();
            prop_assert!(shared.windows(3).all(|three| three[2] - three[0] >= 2000), "{:?}", shared);
            for name in NAMES {
                let numbers: Vec<usize> = passed.iter().filter(|(_, number)| arrivals[*number].1 == Key::Of(name)).map(|(_, number)| *number).collect();
                prop_assert!(numbers.is_sorted(), "{:?}", numbers);
            }
        }
    }

    #[test]
    fn a_failure_leaves_everyone_his_place() {
        let mut held = Held::default();
        [&b"1"[..], b"2"].iter().for_each(|line| held.push(Key::Of(b"a"), line, 5));
        let failed = held.release(9, |_| Err(Failure::system("no store")), |_| Ok(()));
        assert_eq!((failed.map_err(|failure| failure.what), held.count(), held.next_us()), (Err("no store".into()), 2, Some(5)));
        let mut passed = Vec::new();
        let done = held.release(
            9,
            |_| Ok(Taken::Yes),
            |line| {
                passed.extend_from_slice(line);
                Ok(())
            },
        );
        assert_eq!((done, passed.as_slice(), held.is_empty()), (Ok(()), &b"12"[..], true));
    }

    #[test]
    fn who_is_given_up_comes_out_in_the_order_of_arrival() {
        let mut held = Held::default();
        for (n, key) in [Key::Of(b"a"), Key::Missing, Key::Of(b"b"), Key::Of(b"a"), Key::Missing].into_iter().enumerate() {
            held.push(key, n.to_string().as_bytes(), 100 - n as i64);
        }
        let mut given_up = Vec::new();
        let done = held.give_up(|line| {
            given_up.extend_from_slice(line);
            Ok(())
        });
        assert_eq!((done, given_up.as_slice(), held.is_empty()), (Ok(()), &b"01234"[..], true));
    }
}
