//! One server: reached, known to be the one that was meant, and then typed at.

use std::hash::{BuildHasher, RandomState};
use std::io;
use std::os::unix::net::UnixStream;
use std::time::Instant;

use swarm_common::platform::Life;
use swarm_common::registry::{Pane, Server, this_boot};

use super::Job;
use super::client::{Client, Heard};
use super::control::Said;
use super::door::Door;
use super::orphan;
use super::outcome::{Outcome, Word, why};
use super::settings::{Place, Settings};
use super::texts;
use super::typist::Typist;

/// Why a server cannot be typed at.
type Closed = (Word, &'static str);

/// Delivers to the panes of one server.
pub fn deliver(server: &Server, jobs: &[(&Job<'_>, &Pane)], settings: &Settings) -> Vec<Outcome> {
    let all = |(word, why): Closed| jobs.iter().map(|(job, _)| Outcome::of(&job.agent.agent_id, word, why)).collect();
    // Its pid may be another server's by now.
    if jobs.iter().any(|(job, _)| is_of_another_boot(&job.agent.boot)) || server.process().life() == Life::Gone {
        return all(replaced(server));
    }
    let secret = format!("{:016x}", RandomState::new().hash_one(std::process::id()));
    let (client, left) = match reach(server, settings, &secret) {
        Ok(reached) => reached,
        Err(closed) => return all(closed),
    };
    texts::sweep(&settings.dir);
    match Typist::new(settings, client, &secret, jobs) {
        Ok(mut typist) => {
            typist.sweep(&left);
            typist.run()
        }
        Err(_) => all((Word::Queued, why::STORE)),
    }
}

fn is_of_another_boot(boot: &str) -> bool {
    !boot.is_empty() && !this_boot().is_empty() && boot != this_boot()
}

/// It has ended; another may have its socket.
fn replaced(server: &Server) -> Closed {
    let is_another = UnixStream::connect(&server.socket).is_ok();
    (Word::Refused, if is_another { why::OTHER_SERVER } else { why::GONE })
}

/// A client of it that said hello; and the buffers that killed senders left.
fn reach(server: &Server, settings: &Settings, secret: &str) -> Result<(Client, Vec<String>), Closed> {
    let is_own = |place: &&Place| place.socket == server.socket && place.pid == server.pid;
    // Our own session is there for sure, and somebody looks at it; or nearly so.
    let own = settings.own.as_ref().filter(is_own).map(|place| place.session);
    match greet(server, settings, secret, own) {
        Err(Silent::NoSession) if own.is_some() => greet(server, settings, secret, None),
        greeted => greeted,
    }
    .map_err(|silent| match silent {
        Silent::Closed(closed) => closed,
        // Without a session there is no pane.
        Silent::NoSession => (Word::Refused, why::NO_PANE),
    })
}

/// Why there is no client.
enum Silent {
    Closed(Closed),
    /// The server has no session, or not that one.
    NoSession,
}

fn greet(server: &Server, settings: &Settings, secret: &str, session: Option<u32>) -> Result<(Client, Vec<String>), Silent> {
    let queued = |why: &'static str| Silent::Closed((Word::Queued, why));
    let [of_client, of_buffer, hello] = ["1:", "2:", "0:#{pid}"].map(|word| format!("{secret}:{word}"));
    // Others wait there, too, for a server that does not answer. Where there is no such directory, there is no server in it.
    let door = Door::take(&server.socket, settings.patience).ok().map(|door| door.ok_or(queued(why::NO_ANSWER))).transpose()?;
    let mut client = Client::start(&settings.tmux, &server.socket, session, [&of_client, &of_buffer, &hello], door).map_err(|error| {
        match error.kind() {
            io::ErrorKind::NotFound => queued(why::NOT_INSTALLED),
            _ => queued(why::UNREACHABLE),
        }
    })?;
    let (mut pid, mut failure, mut clients) = (None, None, Vec::new());
    let mut left = Vec::new();
    loop {
        let deadline = client.deadline();
        // Nothing is written before: what a server finds in the pipe it may do much later.
        let heard = client.turn(deadline, &mut |said| {
            if let Said::Answer { lines, is_error, .. } = said {
                clients.extend(lines.iter().filter_map(|line| line.strip_prefix(&of_client)).map(String::from));
                left.extend(lines.iter().filter_map(|line| line.strip_prefix(&of_buffer)).map(String::from));
                let first = lines.first().map_or("", String::as_str);
                if is_error {
                    failure.get_or_insert_with(|| first.to_string());
                } else if let Some(told) = first.strip_prefix(secret).and_then(|rest| rest.strip_prefix(":0:")) {
                    pid = Some(told.to_string());
                }
            }
        });
        if let Some(pid) = pid {
            if pid.parse() == Ok(server.pid) {
                orphan::end(&clients);
                client.is_greeted();
                left.retain(|buffer| orphan::is_left(buffer));
                return Ok((client, left));
            }
            return Err(Silent::Closed((Word::Refused, why::OTHER_SERVER)));
        }
        match heard {
            Ok(Heard::More) if Instant::now() < client.deadline() && failure.is_none() => {}
            Ok(Heard::More) if failure.is_none() => return Err(queued(why::NO_ANSWER)),
            _ => break,
        }
    }
    let told = failure.unwrap_or_default() + &client.trouble();
    if told.contains("no sessions") || told.contains("can't find session") {
        return Err(Silent::NoSession);
    }
    // No socket, or one that nobody listens at.
    Err(if server.process().life() == Life::Gone { Silent::Closed((Word::Refused, why::GONE)) } else { queued(why::UNREACHABLE) })
}
