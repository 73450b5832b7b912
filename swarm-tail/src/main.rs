//! swarm-tail
fn main() {}
