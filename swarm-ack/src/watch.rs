//! `watch`: does what falls due, as long as it runs. One process does it for a store; another one stands by, and takes over when the first has ended, however
//! it did.

use std::fs::File;
use std::path::Path;
use std::time::Duration;

use swarm_common::exit::{self, Exit, Failure};
use swarm_common::files;
use swarm_common::json::Object;
use swarm_common::ndjson::{self, Out};
use swarm_common::platform::{Watch, Woken};
use swarm_common::store::Store;
use swarm_send::attend::{Attendant, Wake};
use swarm_send::post::Post;
use swarm_send::tick::{self, Log};
use swarm_send::turn;

use crate::cli::{self, NAME};

/// So much is done in one tick. Behind it others get their turn.
const COUNT_MAX: usize = 256;

/// While the system fails, it is tried again so often.
const TRY_EVERY: Duration = Duration::from_secs(10);

/// Does what falls due until it is ended, or its reader goes.
///
/// # Errors
/// Status 3 when the store cannot be used.
pub fn watch(options: &cli::Watch) -> Result<Exit, Failure> {
    let store = Store::open(options.place.store.as_deref())?;
    let mut out = Out::stdout()?;
    let dir = store.folds_place();
    let failed = |error: &std::io::Error| Failure::io(format_args!("lock {}", dir.join("watch.lock").display()), error);
    files::create_dir(&dir).map_err(|error| failed(&error))?;
    let _lock = take(&dir.join("watch.lock"), &mut out)?;
    say(&mut out, "watching")?;
    let mut attendant = Attendant::of(&store)?;
    if let Some(why) = attendant.polling() {
        exit::say(NAME, &format!("{why}: looking every 100 ms"));
    }
    let (mut post, mut told) = (Post::of(&store), None);
    loop {
        if attendant.wait(Some(out.fd()), None)? != Wake::Due {
            continue;
        }
        let mut log = Log::default();
        let done = match turn::take(&store) {
            Ok(None) => Ok(0),
            Ok(Some(turn)) => tick::tick(&mut post, &turn, COUNT_MAX, &mut log).map(|done| done.count),
            Err(failure) => Err(failure),
        };
        log.lines.iter().try_for_each(|line| out.line(line)).and_then(|()| out.flush())?;
        match done {
            Ok(count) => {
                attendant.done(count);
                told = None;
            }
            Err(failure) => {
                // A full disk may have room again. It is said once.
                if told.as_ref() != Some(&failure) {
                    exit::tell(NAME, &failure);
                    told = Some(failure);
                }
                attendant.fail(TRY_EVERY);
            }
        }
    }
}

/// Takes the lock, and stands by while another has it.
fn take(path: &Path, out: &mut Out) -> Result<File, Failure> {
    let failed = |error: &std::io::Error| Failure::io(format_args!("lock {}", path.display()), error);
    let file = files::open_or_create(path).map_err(|error| failed(&error))?;
    let mut watch = None;
    loop {
        if files::try_lock_file(&file).map_err(|error| failed(&error))? {
            return Ok(file);
        }
        let watch = match &mut watch {
            Some(watch) => watch,
            None => {
                say(out, "standby")?;
                let new = watch.insert(Watch::new(&[]));
                new.add_held(path);
                // It may have gone in between.
                continue;
            }
        };
        if watch.wait(out.fd(), None)? == Woken::ReaderGone {
            return Err(ndjson::reader_gone());
        }
    }
}

fn say(out: &mut Out, status: &str) -> Result<(), Failure> {
    let own = std::process::id();
    out.line(&Object::new().text("status", status).plain("pid", Some(own)).end())?;
    out.flush()
}
