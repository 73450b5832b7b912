//! Where the files went that had one name, as the changes of names in its directory tell it. So a file is found that came and went
//! between two looks, if it is still there. It opens nothing.

use std::ffi::{OsStr, OsString};

use swarm_common::platform::Change;

/// The trail of one name.
pub struct Trail {
    name: OsString,
    /// The name was given to another file so many times. That is also the turn of the file that has it.
    arrivals: u64,
    /// The names that files have now which had the name, with their turn; oldest first.
    left: Vec<(u64, OsString)>,
    /// Half of a rename: its number, and the file's turn.
    moving: Option<(u32, u64)>,
}

impl Trail {
    /// Of this name.
    pub fn of(name: &OsStr) -> Trail {
        Trail { name: name.to_owned(), arrivals: 0, left: Vec::new(), moving: None }
    }

    /// How many files were given the name; the turn of the one that has it.
    pub fn arrivals(&self) -> u64 {
        self.arrivals
    }

    /// Where files lie that had the name, and the turn of each; oldest first.
    pub fn left(&self) -> impl Iterator<Item = (u64, &OsStr)> {
        self.left.iter().map(|(turn, name)| (*turn, name.as_os_str()))
    }

    /// That file need not be looked for any more.
    pub fn forget(&mut self, turn: u64) {
        self.left.retain(|(other, _)| *other != turn);
    }

    /// Takes the next change in the directory.
    pub fn change(&mut self, name: &OsStr, change: Change) {
        match change {
            Change::Created => self.arrivals += u64::from(name == self.name),
            Change::Removed => self.left.retain(|(_, other)| other != name),
            Change::MovedFrom(number) => {
                let known = self.left.iter().position(|(_, other)| other == name).map(|at| self.left.remove(at).0);
                self.moving = if name == self.name { Some((number, self.arrivals)) } else { known.map(|turn| (number, turn)) };
            }
            Change::MovedTo(number) => {
                // Whatever had that name is gone.
                self.left.retain(|(_, other)| other != name);
                let turn = self.moving.take_if(|(half, _)| *half == number).map(|(_, turn)| turn);
                match turn {
                    // Back again: no other file.
                    Some(turn) if name == self.name && turn == self.arrivals => {}
                    _ if name == self.name => self.arrivals += 1,
                    Some(turn) => {
                        self.left.push((turn, name.to_owned()));
                        self.left.sort_by_key(|(turn, _)| *turn);
                    }
                    None => {}
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trail(changes: &[(&str, Change)]) -> (u64, Vec<String>) {
        let mut trail = Trail::of(OsStr::new("log"));
        for (name, change) in changes {
            trail.change(OsStr::new(name), *change);
        }
        (trail.arrivals(), trail.left().map(|(_, name)| name.to_str().unwrap().to_string()).collect())
    }

    use Change::{Created, MovedFrom, MovedTo, Removed};

    #[test]
    fn a_chain_of_numbered_files_is_followed_to_their_last_names() {
        let rotations = [
            ("log", MovedFrom(1)),
            ("log.1", MovedTo(1)),
            ("log", Created),
            ("log.1", MovedFrom(2)),
            ("log.2", MovedTo(2)),
            ("log", MovedFrom(3)),
            ("log.1", MovedTo(3)),
            ("log", Created),
        ];
        assert_eq!(trail(&rotations), (2, vec!["log.2".into(), "log.1".into()]));
    }

    #[test]
    fn what_was_renamed_over_or_removed_or_moved_away_is_gone() {
        let one = [("log", MovedFrom(1)), ("old", MovedTo(1)), ("log", Created)];
        assert_eq!(trail(&one), (1, vec!["old".into()]));
        assert_eq!(trail(&[&one[..], &[("log", MovedFrom(2)), ("old", MovedTo(2)), ("log", Created)]].concat()), (2, vec!["old".into()]));
        assert_eq!(trail(&[&one[..], &[("x", MovedFrom(2)), ("old", MovedTo(2))]].concat()), (1, vec![]));
        assert_eq!(trail(&[&one[..], &[("old", Removed)]].concat()), (1, vec![]));
        assert_eq!(trail(&[&one[..], &[("old", MovedFrom(2)), ("b", Created)]].concat()), (1, vec![]));
    }

    #[test]
    fn a_replacement_is_another_file_and_a_name_given_back_is_not() {
        assert_eq!(trail(&[("new", Created), ("new", MovedFrom(1)), ("log", MovedTo(1))]), (1, vec![]));
        let away = [("log", Created), ("log", MovedFrom(1)), ("b", MovedTo(1))];
        assert_eq!(trail(&[&away[..], &[("b", MovedFrom(2)), ("log", MovedTo(2))]].concat()), (1, vec![]));
        assert_eq!(trail(&[&away[..], &[("log", Created), ("b", MovedFrom(2)), ("log", MovedTo(2))]].concat()), (3, vec![]));
    }
}
