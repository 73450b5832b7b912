//! swarm-send
fn main() {}
