//! Have two patterns a path in common, and which: decided exactly.
//!
//! A breadth-first search over pairs of states of the two automata, together with how far the text is a legal path. It reads one
//! character a round, so the first end that it meets is a shortest witness; when nothing is left to look at, there is none.
//! The work is at most the product of the two patterns' sizes and has a budget: past it the answer is that it was not decided.

use std::borrow::Cow;

use crate::nfa::{Legal, Nfa};
use crate::pattern::Pattern;

/// The largest automaton that is looked at; its states are numbered by 16 bits here.
pub const STATES_MAX: usize = 4_096;
/// The most pairs of states that are looked at.
pub const PAIRS_MAX: usize = 1 << 17;
/// The most pairs that there may be: 4 bits each are kept.
const PRODUCT_MAX: usize = 1 << 22;

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// No path is covered by both.
    Disjoint,
    /// This path is, and no shorter one.
    Overlap {
        /// The path.
        witness: String,
    },
    /// It would have cost more than the budget: to be taken as an overlap, and to be said.
    Undecided,
}

/// Have these two a path in common?
pub fn overlap(a: &Pattern, b: &Pattern) -> Decision {
    // What both begin with must agree: this settles most pairs.
    let common = a.head().len().min(b.head().len());
    if a.head().as_bytes()[..common] != b.head().as_bytes()[..common] {
        return Decision::Disjoint;
    }
    if a.is_literal() && b.is_literal() {
        let (short, long) = if a.text().len() <= b.text().len() { (a, b) } else { (b, a) };
        return if short.covers(long.text()) { Decision::Overlap { witness: long.text().to_string() } } else { Decision::Disjoint };
    }
    let (first, second) = (automaton(a), automaton(b));
    search(&first, &second)
}

fn automaton(pattern: &Pattern) -> Cow<'_, Nfa> {
    match pattern.nfa() {
        Some(nfa) => Cow::Borrowed(nfa),
        None => Cow::Owned(Nfa::literal(pattern.text())),
    }
}

/// A pair that was reached, from which one, by which character (none: without reading).
struct Reached {
    a: u16,
    b: u16,
    legal: Legal,
    from: u32,
    by: Option<char>,
}

/// What was reached, in the order of its length.
struct Frontier {
    reached: Vec<Reached>,
    seen: Vec<u64>,
    width: usize,
}

impl Frontier {
    /// Puts a pair down, once.
    fn reach(&mut self, list: &mut Vec<u32>, pair: Reached) {
        let bit = ((pair.a as usize) * self.width + pair.b as usize) * 4 + pair.legal as usize;
        let (word, mask) = (&mut self.seen[bit / 64], 1 << (bit % 64));
        if *word & mask == 0 {
            *word |= mask;
            list.push(self.reached.len() as u32);
            self.reached.push(pair);
        }
    }

    /// The characters that led here.
    fn path(&self, mut at: u32) -> String {
        let mut path = Vec::new();
        while at != 0 {
            let pair = &self.reached[at as usize];
            path.extend(pair.by);
            at = pair.from;
        }
        path.iter().rev().collect()
    }
}

/// The search itself, over any two automata.
pub fn search(a: &Nfa, b: &Nfa) -> Decision {
    let pairs = a.states.len() * b.states.len();
    if a.states.len().max(b.states.len()) > STATES_MAX || pairs > PRODUCT_MAX {
        return Decision::Undecided;
    }
    let mut frontier = Frontier { reached: Vec::new(), seen: vec![0; (pairs * 4).div_ceil(64)], width: b.states.len() };
    let (mut now, mut next) = (Vec::new(), Vec::new());
    frontier.reach(&mut now, Reached { a: 0, b: 0, legal: Legal::Start, from: 0, by: None });
    while !now.is_empty() {
        // The list grows while it is walked: what costs no character belongs to this round, and is all found before the next one
        // begins, or a pair that a longer text reached first would hide it.
        let mut at = 0;
        while let Some(&from) = now.get(at) {
            at += 1;
            if frontier.reached.len() > PAIRS_MAX {
                return Decision::Undecided;
            }
            let Reached { a: in_a, b: in_b, legal, .. } = frontier.reached[from as usize];
            let (one, two) = (&a.states[in_a as usize], &b.states[in_b as usize]);
            if one.is_end && two.is_end && legal == Legal::Name {
                return Decision::Overlap { witness: frontier.path(from) };
            }
            // A fork has to be left before anything is read: the other one can wait, which spares the ways to interleave the two.
            if !two.is_fork() || one.is_fork() {
                for &to in &one.free {
                    frontier.reach(&mut now, Reached { a: to as u16, b: in_b, legal, from, by: None });
                }
            }
            if !one.is_fork() {
                for &to in &two.free {
                    frontier.reach(&mut now, Reached { a: in_a, b: to as u16, legal, from, by: None });
                }
            }
        }
        for &from in &now {
            let Reached { a: in_a, b: in_b, legal, .. } = frontier.reached[from as usize];
            let (one, two) = (&a.states[in_a as usize], &b.states[in_b as usize]);
            for (step, to_a) in &one.steps {
                for (other, to_b) in &two.steps {
                    for c in step.common(other).into_iter().flatten() {
                        if let Some(legal) = legal.after(c) {
                            frontier.reach(&mut next, Reached { a: *to_a as u16, b: *to_b as u16, legal, from, by: Some(c) });
                        }
                    }
                }
            }
        }
        now.clear();
        std::mem::swap(&mut now, &mut next);
    }
    Decision::Disjoint
}
