//! swarm-ratelimit
