//! From arguments to patterns: where the root is, where the caller stands in it, and which reading an argument has.

use std::ffi::OsStr;
use std::fs;
use std::path::Path;

use swarm_common::exit::Failure;
use swarm_common::store::Store;

use crate::leases::Named;
use crate::normalise::{Reading, normalise};
use crate::pattern::Pattern;

/// The most globs in one lease.
pub const GLOBS_MAX: usize = 64;
/// The most plain paths in one lease.
pub const PATHS_MAX: usize = 10_000;

/// The root, and the current directory in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    root: String,
    /// Relative to the root; none where it lies outside.
    cwd: Option<String>,
}

impl Place {
    /// The place of whoever works with this store.
    ///
    /// # Errors
    /// Status 3 when a directory cannot be found, 2 when its name is not UTF-8.
    pub fn of(store: &Store) -> Result<Place, Failure> {
        let root = store.root()?;
        let here = std::env::current_dir().map_err(|error| Failure::io("learn the current directory", &error))?;
        let text = |path: &Path| {
            path.to_str().map(str::to_string).ok_or_else(|| {
                Failure::wrong(format!("{}: a directory whose name is not UTF-8", path.display()))
                    .hint("leases speak of paths in UTF-8 alone")
            })
        };
        let cwd = here.strip_prefix(&root).ok().map(text).transpose()?;
        Ok(Place { root: text(&root)?, cwd })
    }

    /// The same root seen from another directory, which is there.
    ///
    /// # Errors
    /// Status 2: it lies outside of the root, or its name is not UTF-8.
    pub fn moved_to(&self, dir: &Path) -> Result<Place, Failure> {
        let cwd = dir.strip_prefix(&self.root).map_err(|_| {
            Failure::wrong(format!("{} lies outside of the root, {}", dir.display(), self.root)).hint("what is leased lies below the root")
        })?;
        let cwd = cwd.to_str().ok_or_else(|| Failure::wrong(format!("{}: a directory whose name is not UTF-8", dir.display())))?;
        Ok(Place { root: self.root.clone(), cwd: Some(cwd.to_string()) })
    }

    /// A place without files, for the pure question.
    pub fn nowhere() -> Place {
        Place { root: "/".into(), cwd: Some(String::new()) }
    }

    /// What an argument means: a path where it names something that is there, or `is_literal`; else a glob.
    ///
    /// # Errors
    /// Status 2: it is no path and no pattern, or leads out of the root.
    pub fn pattern(&self, argument: &OsStr, is_literal: bool) -> Result<Pattern, Failure> {
        let text = text(argument)?;
        // Not followed: a symbolic link is a name like any other.
        let is_literal = is_literal || (has_special(text) && fs::symlink_metadata(text).is_ok());
        self.read(argument, is_literal)
    }

    /// What an argument may have meant when it was leased: whether a file is there may have changed since.
    ///
    /// # Errors
    /// Status 2: it can be neither.
    pub fn named(&self, argument: &OsStr) -> Result<Named, Failure> {
        let text = text(argument)?;
        let mut readings: Vec<Pattern> = Vec::new();
        let mut wrong = None;
        for reading in [Reading::Glob, Reading::Literal] {
            match self.read_as(text, reading) {
                Ok(pattern) if !readings.contains(&pattern) => readings.push(pattern),
                Ok(_) => {}
                Err(failure) => wrong = wrong.or(Some(failure)),
            }
        }
        match wrong {
            Some(failure) if readings.is_empty() => Err(failure),
            _ => Ok(Named { argument: text.to_string(), readings }),
        }
    }

    /// As [`Place::pattern`], without a look at what is there.
    ///
    /// # Errors
    /// As [`Place::pattern`].
    pub fn read(&self, argument: &OsStr, is_literal: bool) -> Result<Pattern, Failure> {
        self.read_as(text(argument)?, if is_literal { Reading::Literal } else { Reading::Glob })
    }

    fn read_as(&self, text: &str, reading: Reading) -> Result<Pattern, Failure> {
        let cwd = match &self.cwd {
            Some(cwd) => cwd,
            None if text.starts_with('/') => "",
            None => {
                return Err(Failure::wrong(format!("{text:?}: the current directory lies outside of the root"))
                    .hint(format!("paths are relative to {}: go there, or give absolute ones", self.root)));
            }
        };
        let normal = normalise(&self.root, cwd, text, reading)?;
        match reading {
            Reading::Literal => Pattern::literal(&normal),
            Reading::Glob => Pattern::glob(&normal),
        }
    }
}

/// Each once, and not too many.
///
/// # Errors
/// Status 2 beyond the limits of one lease.
pub fn checked(patterns: Vec<Pattern>) -> Result<Vec<Pattern>, Failure> {
    let mut seen = std::collections::HashSet::new();
    let mut kept: Vec<Pattern> = patterns;
    kept.retain(|pattern| seen.insert((pattern.text().to_string(), pattern.is_literal())));
    let globs = kept.iter().filter(|pattern| !pattern.is_literal()).count();
    if globs > GLOBS_MAX {
        return Err(
            Failure::wrong(format!("{globs} patterns: a lease has at most {GLOBS_MAX}")).hint("braces make one of several: src/{a,b}/**")
        );
    }
    if kept.len() - globs > PATHS_MAX {
        return Err(
            Failure::wrong(format!("{} paths: a lease has at most {PATHS_MAX}", kept.len() - globs)).hint("name directories instead")
        );
    }
    Ok(kept)
}

fn has_special(text: &str) -> bool {
    text.contains(['*', '?', '[', '{', '}', '\\'])
}

fn text(argument: &OsStr) -> Result<&str, Failure> {
    argument.to_str().ok_or_else(|| {
        Failure::wrong(format!("{}: not UTF-8", argument.display()))
            .hint("leases speak of paths in UTF-8 alone: lease the directory, or a pattern with ? for each such part")
    })
}
