//! swarm-filter
