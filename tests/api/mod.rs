//! What HTTP promises: rooms, members, messages, polls, who may come in, and what becomes of bad input.

mod envelope;
mod faults;
mod history;
mod identity;
mod input;
mod members;
mod messages;
mod pages;
mod permission;
mod polling;
mod rooms;
