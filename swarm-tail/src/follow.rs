//! Files followed by name: what is written to them goes out in whole lines as soon as it is there. Which file is read when is
//! [`Followed`]'s to say.
//!
//! While the output has no room it is not waited for alone: the names are looked at all the while, or a slow reader would let rotations
//! pass unseen.

use std::ffi::OsString;
use std::ops::Range;
use std::time::{Duration, Instant};

use swarm_common::exit::{Exit, Failure, say};
use swarm_common::ndjson::{self, Out};
use swarm_common::platform::{Watch, Woken};

use crate::NAME;
use crate::name::Followed;
use crate::pipe::{PIECE_BYTES, is_pipe};
use crate::source::{BLOCK_BYTES, Read};

/// So often is tried to open a file while it is renamed; then lines come first again.
const TRIES_MAX: usize = 8;

/// Follows files, beginning at their last `lines` lines (`None`: at their beginning), until nobody reads the output.
///
/// # Errors
/// Status 2 for what cannot be followed; what reading and writing fail with.
pub fn run(files: Vec<OsString>, lines: Option<u64>, out: Out) -> Result<Exit, Failure> {
    let mut watch = Watch::new(&[]);
    // Watched before the first look, so that nothing falls between.
    let names: Result<Vec<Followed>, Failure> = files.into_iter().map(|name| Followed::new(name, &mut watch)).collect();
    let names = names?;
    // What happened to the names before they are opened is of no concern.
    drop(watch.take_names()?);
    let is_paced = is_pipe(out.fd());
    let mut follower = Follower { names, watch, out, is_paced, block: vec![0; BLOCK_BYTES], woken: None };
    for name in &mut follower.names {
        name.open(lines, &mut follower.block, &mut follower.watch)?;
    }
    follower.run()
}

struct Follower {
    names: Vec<Followed>,
    watch: Watch,
    out: Out,
    /// Writing may block.
    is_paced: bool,
    block: Vec<u8>,
    /// What ended the last sleep.
    woken: Option<Woken>,
}

impl Follower {
    fn run(mut self) -> Result<Exit, Failure> {
        let mut is_polling = false;
        loop {
            while self.look()? {}
            if let Some(why) = self.watch.polling().filter(|_| !is_polling) {
                say(NAME, &format!("{why}: looking every 100 ms"));
                is_polling = true;
            }
            let now = Instant::now();
            let look_at = self.names.iter().filter_map(|name| name.look_at(now)).min();
            let woken = self.watch.wait(self.out.fd(), look_at.map(|at| at.saturating_duration_since(now)))?;
            if woken == Woken::ReaderGone {
                return Err(ndjson::reader_gone());
            }
            self.woken = Some(woken);
        }
    }

    /// Hands on a block at most of each name, then looks at the names. True when there may be more.
    fn look(&mut self) -> Result<bool, Failure> {
        let mut is_more = false;
        // Lines first: nothing shall stand between a line's arrival and its way out.
        for at in 0..self.names.len() {
            is_more |= self.hand_on(at)?;
        }
        Ok(self.notice()? || is_more)
    }

    /// Hands on a block of whole lines of one name, or one longer line.
    fn hand_on(&mut self, at: usize) -> Result<bool, Failure> {
        let mut is_any = false;
        loop {
            let (read, is_growth) = self.names[at].next(Instant::now(), &mut self.block)?;
            let is_part = matches!(read, Read::Part(_));
            let (Read::Lines(lines) | Read::Part(lines)) = read else { return Ok(is_any) };
            is_any = true;
            self.write(lines)?;
            if is_growth && !self.names[at].is_told() {
                self.learn_whether_told(at)?;
            }
            if !is_part {
                return Ok(true);
            }
        }
    }

    /// Something was written to a file of which it is not known yet whether the system tells that. (There are file systems, and ways to
    /// write, where it does not.)
    fn learn_whether_told(&mut self, at: usize) -> Result<(), Failure> {
        // Though the time was out, it may have been told in this very moment.
        let is_told = self.woken == Some(Woken::Changed) || self.watch.wait(self.out.fd(), Some(Duration::ZERO))? == Woken::Changed;
        if is_told {
            self.names[at].trust();
        } else {
            self.watch.distrust(format!("the system does not tell what is written to {}", self.names[at].path().display()));
        }
        Ok(())
    }

    /// Looks which files have the names now. True when there is another place to read from.
    fn notice(&mut self) -> Result<bool, Failure> {
        let (now, changes) = (Instant::now(), self.watch.take_names()?);
        let mut is_more = false;
        for at in 0..self.names.len() {
            self.names[at].track(&changes);
            is_more |= self.notice_one(at, now)?;
            while let Some((id, mark)) = self.names[at].let_go(now) {
                // Two names of one file share its mark.
                if let Some(mark) = mark.filter(|_| !self.names.iter().any(|other| other.holds(id))) {
                    self.watch.forget(mark);
                }
            }
        }
        Ok(is_more)
    }

    fn notice_one(&mut self, at: usize, now: Instant) -> Result<bool, Failure> {
        for _ in 0..TRIES_MAX {
            if self.names[at].is_same() {
                self.names[at].tell_lost();
                return Ok(false);
            }
            let seen = self.names[at].see();
            // What was renamed while it was opened may be another file than it is taken for.
            let changes = self.watch.take_names()?;
            let is_more = self.names[at].take(seen, &changes, now, &mut self.watch);
            for name in &mut self.names {
                name.track(&changes);
            }
            if is_more || changes.is_empty() {
                return Ok(is_more);
            }
        }
        Ok(true)
    }

    /// Writes these bytes of the block.
    fn write(&mut self, mut lines: Range<usize>) -> Result<(), Failure> {
        if !self.is_paced {
            self.out.lines(&self.block[lines])?;
            return self.out.flush();
        }
        while !lines.is_empty() {
            match self.watch.wait_for_room(self.out.fd(), None)? {
                Woken::ReaderGone => return Err(ndjson::reader_gone()),
                Woken::Changed | Woken::TimedOut | Woken::Ended => drop(self.notice()?),
                Woken::Room => {
                    let until = lines.end.min(lines.start + PIECE_BYTES);
                    self.out.lines(&self.block[lines.start..until])?;
                    self.out.flush()?;
                    lines.start = until;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::io::{Read as _, Write};

    #[test]
    fn a_file_whose_growth_is_not_told_is_polled_from_then_on() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("file");
        let mut file = fs::File::create(&path).expect("created");
        let mut output = tempfile::tempfile().expect("an output");
        let mut watch = Watch::new(&[]);
        let mut name = Followed::new(path.into_os_string(), &mut watch).expect("followed");
        let mut block = vec![0; BLOCK_BYTES];
        name.open(None, &mut block, &mut watch).expect("opened");
        // A watch that hears nothing of the file.
        let watch = Watch::new(&[]);
        let is_polling = watch.polling().is_some();
        let out = Out::to(output.try_clone().expect("the same output"));
        let mut follower = Follower { names: vec![name], watch, out, is_paced: false, block, woken: None };
        while follower.look().expect("looked") {}
        file.write_all(b"a\n").expect("written");
        let now = Instant::now();
        let look_at = follower.names[0].look_at(now).expect("it looks though nothing is told");
        assert!(look_at.duration_since(now) <= Duration::from_secs(1));
        follower.woken = Some(Woken::TimedOut);
        while follower.look().expect("looked") {}
        let why = follower.watch.polling().expect("polling");
        assert!(is_polling || why.starts_with("the system does not tell what is written to "), "{why}");
        let mut printed = String::new();
        std::io::Seek::rewind(&mut output).expect("at its start");
        output.read_to_string(&mut printed).expect("read");
        assert_eq!(printed, "a\n");
    }

    #[test]
    fn a_file_whose_growth_is_told_is_not_looked_at_without_cause() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("file");
        let mut file = fs::File::create(&path).expect("created");
        let mut watch = Watch::new(&[]);
        if watch.polling().is_some() {
            return;
        }
        let mut name = Followed::new(path.into_os_string(), &mut watch).expect("followed");
        let mut block = vec![0; BLOCK_BYTES];
        name.open(None, &mut block, &mut watch).expect("opened");
        let out = Out::to(tempfile::tempfile().expect("an output"));
        let mut follower = Follower { names: vec![name], watch, out, is_paced: false, block, woken: None };
        while follower.look().expect("looked") {}
        file.write_all(b"a\n").expect("written");
        // The time is out in the very moment of the change.
        follower.woken = Some(Woken::TimedOut);
        while follower.look().expect("looked") {}
        assert_eq!(follower.watch.polling(), None);
        assert_eq!(follower.names[0].look_at(Instant::now()), None);
    }
}
