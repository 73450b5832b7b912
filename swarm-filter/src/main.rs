//! swarm-filter
fn main() {}
