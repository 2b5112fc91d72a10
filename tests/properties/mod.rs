//! What holds under every order of events: whatever publications are lost, doubled or crossed, a reader ends with the
//! log; and whoever comes, goes, is banned and comes back, nobody is shown what is not theirs to see.

mod delivery;
mod membership;
mod repair;
mod trimming;
