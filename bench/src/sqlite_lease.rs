//! The rival of the lease table: leases in SQLite, as one would write them who has it and not our table. It asks less: whether two globs meet
//! it does not decide, nobody waits in it, and an end is only looked at by the clock.
//!
//! ```text
//! sqlite-lease DB fill                    agent TAB path lines on stdin
//! sqlite-lease DB acquire AGENT PATH      0 granted, 1 held
//! sqlite-lease DB release AGENT PATH
//! ```

use std::io::{self, BufRead};
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use rusqlite::{Connection, TransactionBehavior, params};

const SPAN_S: i64 = 300;
const FILL_SPAN_S: i64 = 86_400;
/// A lease lies in the directory that it is found by: a path's own, a glob's prefix.
const SCHEMA: &str = "
    CREATE TABLE leases (token INTEGER PRIMARY KEY AUTOINCREMENT, agent TEXT NOT NULL, path TEXT NOT NULL, prefix TEXT, ends_s INTEGER NOT NULL);
    CREATE INDEX by_path ON leases (path);
    CREATE INDEX by_prefix ON leases (prefix) WHERE prefix IS NOT NULL;
    CREATE TABLE events (seq INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, agent TEXT NOT NULL, path TEXT NOT NULL, at_s INTEGER NOT NULL);";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let done = match args[..] {
        [db, "fill"] => fill(db).map(|()| true),
        [db, "acquire", agent, path] => acquire(db, agent, path),
        [db, "release", agent, path] => release(db, agent, path),
        _ => return ExitCode::from(2),
    };
    match done {
        Ok(is_done) => ExitCode::from(u8::from(!is_done)),
        Err(error) => {
            eprintln!("sqlite-lease: {error}");
            ExitCode::from(3)
        }
    }
}

/// The fastest that a killed process does not break: the usual rollback journal (measured: 80 us a change, PERSIST 115, WAL 310 as it opens and
/// closes its own), and no sync, for our table has none either (with it 2,100 us).
fn open(db: &str) -> rusqlite::Result<Connection> {
    let connection = Connection::open(db)?;
    connection.busy_timeout(Duration::from_secs(5))?;
    connection.execute_batch("PRAGMA synchronous = OFF;")?;
    Ok(connection)
}

fn fill(db: &str) -> rusqlite::Result<()> {
    let mut connection = open(db)?;
    connection.execute_batch(SCHEMA)?;
    let transaction = connection.transaction()?;
    for line in io::stdin().lock().lines().map_while(Result::ok) {
        let Some((agent, path)) = line.split_once('\t') else { continue };
        insert(&transaction, agent, path, now_s() + FILL_SPAN_S)?;
    }
    transaction.commit()
}

fn insert(connection: &Connection, agent: &str, path: &str, ends_s: i64) -> rusqlite::Result<()> {
    let prefix = path.find(['*', '?', '[']).map(|at| path[..at].rsplit_once('/').map_or("", |(dir, _)| dir));
    connection.execute("INSERT INTO leases (agent, path, prefix, ends_s) VALUES (?, ?, ?, ?)", params![agent, path, prefix, ends_s])?;
    Ok(())
}

fn event(connection: &Connection, kind: &str, agent: &str, path: &str) -> rusqlite::Result<()> {
    connection.execute("INSERT INTO events (kind, agent, path, at_s) VALUES (?, ?, ?, ?)", params![kind, agent, path, now_s()])?;
    Ok(())
}

fn acquire(db: &str, agent: &str, path: &str) -> rusqlite::Result<bool> {
    let mut connection = open(db)?;
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let now_s = now_s();
    let is_in = |sql: &str, value: &str| -> rusqlite::Result<bool> { transaction.prepare(sql)?.exists(params![value, path, agent, now_s]) };
    // What lies above it or is itself, the globs that begin above it, and what lies below.
    let ends = path.match_indices('/').map(|(at, _)| at).chain([path.len()]);
    let mut is_held = is_in("SELECT 1 FROM leases WHERE prefix = ?1 AND ?2 GLOB path AND agent <> ?3 AND ends_s > ?4", "")?;
    for end in ends {
        is_held |= is_in("SELECT 1 FROM leases WHERE path = ?1 AND ?2 = ?2 AND agent <> ?3 AND ends_s > ?4", &path[..end])?;
        is_held |= is_in("SELECT 1 FROM leases WHERE prefix = ?1 AND ?2 GLOB path AND agent <> ?3 AND ends_s > ?4", &path[..end])?;
    }
    is_held |= is_in("SELECT 1 FROM leases WHERE path > ?2 || '/' AND path < ?2 || '0' AND ?1 = ?1 AND agent <> ?3 AND ends_s > ?4", "")?;
    if is_held {
        return Ok(false);
    }
    insert(&transaction, agent, path, now_s + SPAN_S)?;
    event(&transaction, "LOCKED", agent, path)?;
    transaction.commit()?;
    println!("granted");
    Ok(true)
}

fn release(db: &str, agent: &str, path: &str) -> rusqlite::Result<bool> {
    let mut connection = open(db)?;
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let count = transaction.execute("DELETE FROM leases WHERE agent = ? AND path = ?", params![agent, path])?;
    event(&transaction, "RELEASED", agent, path)?;
    transaction.commit()?;
    println!("released");
    Ok(count > 0)
}

fn now_s() -> i64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs() as i64)
}
