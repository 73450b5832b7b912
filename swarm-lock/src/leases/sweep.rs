//! The sweep: what has ended goes, and files without leases.

use std::collections::BTreeMap;

use swarm_common::exit::Failure;
use swarm_common::json::Scanner;

use super::turn::{Edit, Turn};
use super::{Part, Swept, leases, part};
use crate::lease::{self, Line, Standing};
use crate::table::queue;

impl Turn<'_> {
    pub(super) fn sweep(&mut self, damaged: bool) -> Result<Swept, Failure> {
        let names = self.writer.view.all()?;
        self.writer.set_aside(&names, self.note)?;
        let (mut swept, mut forgotten): (BTreeMap<u64, (Part, Standing)>, Vec<String>) = (BTreeMap::new(), Vec::new());
        for name in &names {
            for row in leases(self.view(), std::slice::from_ref(name)) {
                let standing = row.standing(&self.view().clock);
                if standing != Standing::Alive {
                    let lease = row.lease();
                    let all = part(self.view(), &lease, false);
                    match swept.get_mut(&row.token) {
                        Some((part, _)) => part.paths.extend(all.paths),
                        None => drop(swept.insert(row.token, (all, standing))),
                    }
                }
            }
            let (mut change, mut is_changed) = self.rewritten(name, |_| Edit::Keep);
            if damaged {
                let markers: Vec<String> = self
                    .view()
                    .rows(name)
                    .filter_map(|row| match row {
                        Some(Line::Damaged(aside)) => Some(aside.text().into_owned()),
                        _ => None,
                    })
                    .collect();
                if !markers.is_empty() {
                    let mut scanner = Scanner::new();
                    let kept: Vec<&[u8]> = change
                        .bytes
                        .split(|&byte| byte == b'\n')
                        .filter(|line| matches!(lease::parse(line, &mut scanner), Some(Line::Lease(_))))
                        .collect();
                    let mut bytes = kept.join(&b'\n');
                    if !bytes.is_empty() {
                        bytes.push(b'\n');
                    }
                    change.bytes = bytes;
                    is_changed = true;
                    forgotten.extend(markers);
                }
            }
            if is_changed {
                self.writer.commit(vec![change])?;
            }
        }
        self.writer.remove_empty()?;
        queue::sweep(self.view().dir()).map_err(|error| Failure::io("sweep the queue", &error))?;
        Ok(Swept { ended: swept.into_values().collect(), forgotten })
    }
}
