//! All that one call asks for, so that a stored text is held against ten thousand paths at the cost of a few. Pure, as [`conflict`] is.

use std::collections::BTreeMap;

use crate::conflict;
use crate::lease;
use crate::pattern::{Pattern, ROOT};

/// The patterns of a call, and their paths in order.
pub struct Asked<'a> {
    /// As they were asked for.
    pub patterns: &'a [Pattern],
    paths: BTreeMap<&'a str, usize>,
    globs: Vec<usize>,
}

impl<'a> Asked<'a> {
    /// Sorts them.
    pub fn of(patterns: &'a [Pattern]) -> Asked<'a> {
        let paths = patterns.iter().enumerate().filter(|(_, pattern)| pattern.is_literal()).map(|(at, pattern)| (pattern.text(), at));
        let globs = (0..patterns.len()).filter(|&at| !patterns[at].is_literal()).collect();
        Asked { patterns, paths: paths.collect(), globs }
    }

    /// Which of them a stored text meets, each with the witness where it was decided (see [`conflict::meet`]).
    pub fn meet(&self, text: &str, is_literal: bool) -> Vec<(usize, Option<String>)> {
        let mut met = Vec::new();
        if is_literal && text != ROOT {
            met.extend(self.above(text).map(|at| (at, Some(text.to_string()))));
            met.extend(self.below(text).map(|at| (at, Some(self.patterns[at].text().to_string()))));
        } else {
            met.extend(self.paths.values().filter_map(|&at| self.meet_one(at, text, is_literal)));
        }
        met.extend(self.globs.iter().filter_map(|&at| self.meet_one(at, text, is_literal)));
        met
    }

    /// Which of them a stored text includes (see [`conflict::includes`]).
    pub fn included(&self, text: &str, is_literal: bool) -> Vec<usize> {
        let mut included = Vec::new();
        if is_literal && text != ROOT {
            included.extend(self.paths.get(text).copied());
            included.extend(self.below(text));
        } else if text == ROOT {
            return (0..self.patterns.len()).collect();
        } else if let Some(glob) = lease::pattern(text, false) {
            included.extend(self.paths.values().filter(|&&at| glob.covers(self.patterns[at].text())));
        }
        included.extend(self.globs.iter().filter(|&&at| conflict::includes(text, is_literal, &self.patterns[at])));
        included
    }

    fn meet_one(&self, at: usize, text: &str, is_literal: bool) -> Option<(usize, Option<String>)> {
        conflict::meet(&self.patterns[at], text, is_literal).map(|witness| (at, witness))
    }

    /// Those that are this path, or a directory above it.
    fn above(&self, path: &str) -> impl Iterator<Item = usize> {
        let ends = path.match_indices('/').map(|(at, _)| at).chain([path.len()]);
        ends.filter_map(|end| self.paths.get(&path[..end]).copied())
    }

    /// Those below this path.
    fn below(&self, path: &str) -> impl Iterator<Item = usize> {
        let start = format!("{path}/");
        self.paths
            .range(start.as_str()..)
            .take_while(|(text, _)| text.starts_with(&start))
            .map(|(_, at)| *at)
            .collect::<Vec<_>>()
            .into_iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn many_at_once_are_met_and_included_as_one_by_one(
            asked in prop::collection::vec("[ab*/]{1,6}|[ab]/[ab]|[ab]|\\.", 1..12), text in "[ab*/]{1,6}|[ab]/[ab]|[ab]|\\.", literal: bool
        ) {
            let patterns: Vec<Pattern> = asked.iter().filter_map(|text| Pattern::glob(text).ok()).collect();
            prop_assume!(lease::pattern(&text, literal).is_some());
            let is_literal = lease::pattern(&text, literal).is_some_and(|pattern| pattern.is_literal());
            let mut unique: Vec<Pattern> = Vec::new();
            patterns.into_iter().for_each(|pattern| if !unique.contains(&pattern) { unique.push(pattern) });
            let all = Asked::of(&unique);
            let mut met = all.meet(&text, is_literal);
            met.sort();
            let one_by_one: Vec<(usize, Option<String>)> =
                unique.iter().enumerate().filter_map(|(at, asked)| conflict::meet(asked, &text, is_literal).map(|met| (at, met))).collect();
            prop_assert_eq!(met, one_by_one);
            let mut included = all.included(&text, is_literal);
            included.sort_unstable();
            let one_by_one: Vec<usize> = (0..unique.len()).filter(|&at| conflict::includes(&text, is_literal, &unique[at])).collect();
            prop_assert_eq!(included, one_by_one);
        }
    }
}
