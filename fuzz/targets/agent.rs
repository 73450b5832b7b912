//! What lies in the registry, and the Python program's: a record is read or refused, never a panic; what was read is written and read again as
//! the same.
#![no_main]

use jiff::Timestamp;
use libfuzzer_sys::fuzz_target;
use swarm_common::registry::Agent;

fuzz_target!(|bytes: &[u8]| {
    if let Some(agent) = Agent::parse(bytes, Timestamp::UNIX_EPOCH) {
        let written = agent.write();
        assert!(!written.contains(&b'\n'));
        assert_eq!(Agent::parse(&written, Timestamp::UNIX_EPOCH), Some(agent));
    }
    let _ = swarm_agents::import::parse(bytes);
});
