//! The engine: a sliding window for each key, in memory. Pure: it is told the time, reads no clock and no file.
//!
//! A window remembers when it let a record through, and lets the next one through where fewer than N of these instants
//! lie within the span before now. What was refused is not remembered, so who is over the limit gets N a window all the
//! same, and is not locked out.
//!
//! Instants are kept as runs (an instant and how many): records that came with one read(2) share theirs. A limit of more
//! than [`RUNS_MAX`] is counted in grains of a 4096th of the window, each grain as of its last record. So a key costs at
//! most 64 KiB however large N is, no window ever holds more than N, and what is given back comes at most a grain late.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use swarm_common::limit::Limit;

/// So many instants a window remembers one by one; of 16 bytes each.
pub const RUNS_MAX: u32 = 4096;

/// A key that was quiet for so long (and longer than the window) is forgotten.
pub const IDLE: Duration = Duration::from_secs(3600);

/// How often the forgotten are looked for. A look costs some nanoseconds a key.
const SWEEP_EVERY_US: i64 = 60_000_000;

/// The answer to a take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// Within the limit, and counted.
    Yes,
    /// Over the limit, and not counted.
    No {
        /// How long until it would be within the limit, if nobody else took.
        retry_after: Duration,
    },
}

/// A limit as the windows use it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rule {
    pub count: u32,
    pub per_us: i64,
    /// Instants that fall into one grain are one run.
    pub grain_us: i64,
}

impl Rule {
    pub fn of(limit: &Limit) -> Rule {
        Rule::with_runs(limit, RUNS_MAX)
    }

    fn with_runs(limit: &Limit, runs_max: u32) -> Rule {
        let per_us = limit.per_us();
        let exact = limit.count() <= runs_max;
        Rule { count: limit.count(), per_us, grain_us: if exact { 1 } else { per_us / i64::from(runs_max) + 1 } }
    }

    /// True when the two are counted as one instant.
    pub fn is_one_run(&self, a_us: i64, b_us: i64) -> bool {
        a_us == b_us || (self.grain_us > 1 && a_us.div_euclid(self.grain_us) == b_us.div_euclid(self.grain_us))
    }
}

/// An instant, and how many were let through then.
#[derive(Clone, Copy, Debug)]
struct Run {
    at_us: i64,
    count: u32,
}

/// The window of one key.
#[derive(Debug, Default)]
struct Window {
    /// In order of time. Grows as it is needed.
    runs: VecDeque<Run>,
    /// The sum of the runs' counts.
    used: u32,
}

impl Window {
    fn newest_us(&self) -> Option<i64> {
        self.runs.back().map(|run| run.at_us)
    }

    fn take(&mut self, rule: &Rule, now_us: i64) -> Taken {
        let at_us = self.straighten(rule, now_us);
        self.give_back(rule, at_us);
        if self.used < rule.count {
            self.push(rule, at_us);
            return Taken::Yes;
        }
        // The limit is at least 1, so a full window has a first run.
        let free_us = self.runs.front().map_or(at_us, |run| run.at_us) + rule.per_us;
        Taken::No { retry_after: micros(free_us - now_us) }
    }

    /// A time that runs backwards (a replay of records in an order that is not quite that of their timestamps): by less
    /// than a window, it counts as the newest time seen. By more, a clock was set back: no time has passed, and the window
    /// moves with the clock. Else one timestamp far in the future would shut its key out for ever, or open it.
    fn straighten(&mut self, rule: &Rule, now_us: i64) -> i64 {
        let Some(newest_us) = self.newest_us().filter(|newest_us| now_us < *newest_us) else { return now_us };
        if newest_us - now_us < rule.per_us {
            return newest_us;
        }
        for run in &mut self.runs {
            run.at_us -= newest_us - now_us;
        }
        now_us
    }

    fn give_back(&mut self, rule: &Rule, now_us: i64) {
        while let Some(run) = self.runs.front().filter(|run| now_us - run.at_us >= rule.per_us) {
            self.used -= run.count;
            self.runs.pop_front();
        }
    }

    fn push(&mut self, rule: &Rule, at_us: i64) {
        self.used += 1;
        if let Some(run) = self.runs.back_mut().filter(|run| rule.is_one_run(run.at_us, at_us)) {
            run.at_us = at_us;
            run.count += 1;
        } else {
            if self.runs.capacity() == 0 {
                // One key of a stream of many has only a run or two: not the four that a first push would reserve.
                self.runs.reserve_exact(1);
            }
            self.runs.push_back(Run { at_us, count: 1 });
        }
        debug_assert!(self.runs.len() <= RUNS_MAX as usize + 2, "a run for each grain, and one cut at each end");
        debug_assert!(self.used <= rule.count, "no window holds more than its limit");
    }
}

/// A span that may have been reached already.
pub(crate) fn micros(us: i64) -> Duration {
    Duration::from_micros(u64::try_from(us).unwrap_or(0))
}

/// The instant so long after another. Later at least: who was refused must not ask again in the same instant.
pub(crate) fn after(now_us: i64, span: Duration) -> i64 {
    now_us.saturating_add(i64::try_from(span.as_micros()).unwrap_or(i64::MAX).max(1))
}

/// Whose window a record counts in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Key<'a> {
    /// All records share this one.
    All,
    /// The records that lack the field share this one.
    Missing,
    /// The field's value.
    Of(&'a [u8]),
}

/// The windows of all keys, in memory.
#[derive(Debug)]
pub struct Windows {
    rule: Rule,
    keys_max: usize,
    keys: HashMap<Box<[u8]>, Window>,
    /// Of [`Key::All`] or [`Key::Missing`]; only one of them is ever used.
    apart: Window,
    /// Of all keys beyond `keys_max`.
    rest: Window,
    is_crowded: bool,
    sweep_at_us: Option<i64>,
    before_us: i64,
}

impl Windows {
    /// No windows yet. Keys beyond `keys_max` share one.
    pub fn new(limit: &Limit, keys_max: usize) -> Windows {
        Windows {
            rule: Rule::of(limit),
            keys_max,
            keys: HashMap::new(),
            apart: Window::default(),
            rest: Window::default(),
            is_crowded: false,
            sweep_at_us: None,
            before_us: i64::MIN,
        }
    }

    /// Takes one from the window of `key`. `now_us` counts microseconds from any fixed point; it need not be in order.
    pub fn take(&mut self, key: Key<'_>, now_us: i64) -> Taken {
        self.forget(now_us);
        let Key::Of(key) = key else { return self.apart.take(&self.rule, now_us) };
        if let Some(window) = self.keys.get_mut(key) {
            return window.take(&self.rule, now_us);
        }
        if self.keys.len() >= self.keys_max {
            self.is_crowded = true;
            return self.rest.take(&self.rule, now_us);
        }
        self.keys.entry(key.into()).or_default().take(&self.rule, now_us)
    }

    /// How many keys have a window of their own.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// True while no key has a window of its own.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// True once a key had to share a window with others because there were too many.
    pub fn is_crowded(&self) -> bool {
        self.is_crowded
    }

    /// Forgets the keys that were idle too long. Their windows are empty by then, so nobody can tell.
    fn forget(&mut self, now_us: i64) {
        // The earlier of two: a single timestamp far in the future does not make everybody look idle.
        let steady_us = now_us.min(self.before_us);
        self.before_us = now_us;
        let due = self.sweep_at_us.is_none_or(|at_us| steady_us >= at_us || at_us - steady_us > SWEEP_EVERY_US);
        if !due {
            return;
        }
        self.sweep_at_us = Some(steady_us.saturating_add(SWEEP_EVERY_US));
        let idle_us = self.rule.per_us.max(IDLE.as_micros() as i64);
        let before = self.keys.len();
        self.keys.retain(|_, window| window.newest_us().is_some_and(|newest_us| steady_us.saturating_sub(newest_us) < idle_us));
        if self.keys.len() < before / 2 {
            self.keys.shrink_to_fit();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn limit(count: u32, per_ms: u64) -> Limit {
        Limit::new(count, Duration::from_millis(per_ms)).expect("in range")
    }

    const KEY: Key<'_> = Key::Of(b"a");

    /// Every instant that was let through, ever; the newest is where the clock stands.
    struct Naive {
        count: usize,
        per_us: i64,
        taken_us: Vec<i64>,
    }

    impl Naive {
        fn take(&mut self, now_us: i64) -> bool {
            let newest_us = self.taken_us.iter().copied().max().unwrap_or(i64::MIN);
            let back_us = newest_us.saturating_sub(now_us).max(0);
            let now_us = if back_us < self.per_us { now_us.max(newest_us) } else { now_us };
            if back_us >= self.per_us {
                self.taken_us = self.taken_us.iter().map(|at| at - back_us).collect();
            }
            let is_within = self.taken_us.iter().filter(|at| **at > now_us - self.per_us).count() < self.count;
            if is_within {
                self.taken_us.push(now_us);
            }
            is_within
        }
    }

    #[test]
    fn n_pass_and_the_next_one_when_the_first_is_a_window_old() {
        let mut windows = Windows::new(&limit(2, 10), 100);
        assert_eq!(windows.take(KEY, 0), Taken::Yes);
        assert_eq!(windows.take(KEY, 4_000), Taken::Yes);
        assert_eq!(windows.take(KEY, 9_999), Taken::No { retry_after: Duration::from_micros(1) });
        assert_eq!(windows.take(Key::Of(b"b"), 9_999), Taken::Yes);
        assert_eq!(windows.take(KEY, 10_000), Taken::Yes);
        assert_eq!(windows.take(KEY, 10_000), Taken::No { retry_after: Duration::from_millis(4) });
    }

    #[test]
    fn keys_beyond_the_bound_share_one_window() {
        let mut windows = Windows::new(&limit(1, 10), 2);
        let passed = (0u8..100).filter(|key| windows.take(Key::Of(&[*key]), 5) == Taken::Yes).count();
        assert_eq!((passed, windows.len(), windows.is_crowded()), (3, 2, true));
    }

    #[test]
    fn an_idle_key_is_forgotten_after_an_hour_or_after_its_window_if_that_is_longer() {
        const MINUTE_US: i64 = 60_000_000;
        for (per_ms, gone_after_us) in [(1000, 60 * MINUTE_US), (7_200_000, 120 * MINUTE_US)] {
            let mut windows = Windows::new(&limit(1, per_ms), 1000);
            windows.take(KEY, 0);
            let mut now_us = 0;
            while windows.keys.contains_key(&b"a"[..]) {
                now_us += MINUTE_US / 2;
                windows.take(Key::Of(b"busy"), now_us);
            }
            assert!((gone_after_us..gone_after_us + 2 * MINUTE_US).contains(&now_us), "{now_us}");
        }
    }

    #[test]
    fn one_timestamp_far_in_the_future_neither_shuts_nor_opens_its_key_nor_the_others() {
        let mut windows = Windows::new(&limit(2, 10), 100);
        assert_eq!(windows.take(Key::Of(b"other"), 0), Taken::Yes);
        assert_eq!(windows.take(Key::Of(b"other"), 0), Taken::Yes);
        assert_eq!(windows.take(KEY, 0), Taken::Yes);
        assert_eq!(windows.take(KEY, i64::MAX / 4), Taken::Yes);
        assert_eq!(windows.take(KEY, 1), Taken::Yes);
        assert!(matches!(windows.take(KEY, 2), Taken::No { .. }));
        assert!(matches!(windows.take(Key::Of(b"other"), 2), Taken::No { .. }));
        assert_eq!(windows.take(KEY, 10_001), Taken::Yes);
    }

    #[test]
    fn a_clock_set_back_by_an_hour_goes_on_where_it_was() {
        let mut windows = Windows::new(&limit(3, 1000), 100);
        let hour_us = 3_600_000_000;
        for now_us in [hour_us, hour_us + 500_000] {
            assert_eq!(windows.take(KEY, now_us), Taken::Yes);
        }
        assert_eq!(windows.take(KEY, 0), Taken::Yes);
        assert_eq!(windows.take(KEY, 1), Taken::No { retry_after: Duration::from_micros(499_999) });
        assert_eq!(windows.take(KEY, 500_000), Taken::Yes);
    }

    #[test]
    fn a_key_with_a_large_limit_costs_no_more_than_its_grains() {
        let mut windows = Windows::new(&limit(1_000_000, 60_000), 1);
        for n in 0..3_000_000 {
            windows.take(KEY, n * 50);
        }
        let runs = &windows.keys[&b"a"[..]].runs;
        assert!(runs.len() <= RUNS_MAX as usize + 2 && size_of::<Run>() == 16, "{}", runs.len());
    }

    proptest! {
        #[test]
        fn the_windows_agree_with_a_naive_list(
            count in 1u32..6, per_ms in 1u64..4,
            steps in prop::collection::vec((0u8..3, prop_oneof![8 => 0i64..1500, 1 => 1000i64..9000, 2 => -1500i64..0, 1 => -9000i64..0]), 1..200),
        ) {
            let limit = limit(count, per_ms);
            let mut windows = Windows::new(&limit, 100);
            let naive = || Naive { count: count as usize, per_us: limit.per_us(), taken_us: Vec::new() };
            let mut naives = [naive(), naive(), naive()];
            let mut now_us = 0;
            for (key, step_us) in steps {
                now_us += step_us;
                let taken = windows.take(Key::Of(&[key]), now_us);
                prop_assert_eq!(taken == Taken::Yes, naives[usize::from(key)].take(now_us));
            }
        }

        #[test]
        fn who_waits_as_long_as_he_is_told_is_let_through_and_not_before(count in 1u32..5, steps in prop::collection::vec(0i64..800, 1..100)) {
            let mut window = Window::default();
            let rule = Rule::of(&limit(count, 1));
            let mut now_us = 0;
            for step_us in steps {
                now_us += step_us;
                if let Taken::No { retry_after } = window.take(&rule, now_us) {
                    let wait_us = retry_after.as_micros() as i64;
                    prop_assert!(wait_us > 0);
                    let early = window.take(&rule, now_us + wait_us - 1);
                    prop_assert!(matches!(early, Taken::No { .. }), "{:?}", early);
                    now_us += wait_us;
                    prop_assert_eq!(window.take(&rule, now_us), Taken::Yes);
                }
            }
        }

        #[test]
        fn in_grains_no_window_holds_more_than_n_and_nobody_waits_a_grain_too_long(
            count in 9u32..40, runs_max in 2u32..8, steps in prop::collection::vec(0i64..400, 1..400),
        ) {
            let rule = Rule::with_runs(&limit(count, 2), runs_max);
            let mut window = Window::default();
            let (mut now_us, mut taken_us) = (0, Vec::new());
            for step_us in steps {
                now_us += step_us;
                let since = |us: i64| taken_us.iter().filter(|at| now_us - **at < us).count();
                let (within, within_and_a_grain) = (since(rule.per_us), since(rule.per_us + rule.grain_us));
                if window.take(&rule, now_us) == Taken::Yes {
                    prop_assert!(within < count as usize);
                    taken_us.push(now_us);
                } else {
                    prop_assert!(within_and_a_grain >= count as usize);
                }
                prop_assert!(window.runs.len() <= runs_max as usize + 2);
            }
        }
    }
}
