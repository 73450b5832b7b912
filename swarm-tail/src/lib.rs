//! swarm-tail
