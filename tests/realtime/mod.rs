//! What a socket promises: following rooms without a gap, asides, the watched list, identity, and how it ends.

mod asides;
mod catch_up;
mod closing;
mod commands;
mod draining;
mod frames;
mod identity;
mod limits;
mod subscribe;
mod watch;
