//! swarm-send
