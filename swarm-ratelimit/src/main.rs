//! swarm-ratelimit
fn main() {}
