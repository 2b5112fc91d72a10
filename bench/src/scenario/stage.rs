//! What scenarios are played on: a fresh server with its rooms and people.

use crate::peers::{Peer, Person, Server};
use crate::{Failure, Options};

/// A server with rooms, and who is in them.
pub(crate) struct Stage {
    pub(crate) server: Server,
    pub(crate) rooms: Vec<String>,
    /// Members of the rooms in turn, as many of each as asked for; nobody where a peer has no people.
    pub(crate) people: Vec<Person>,
    /// Members of all rooms.
    pub(crate) writers: Vec<Person>,
}

impl Stage {
    /// Starts the peer with so many rooms and members of each, and writers who are in all of them.
    pub(crate) fn set(peer: Peer, options: &Options, size: (usize, usize), writers: usize) -> Result<Self, Failure> {
        let (rooms, members) = size;
        let mut server = Server::start(peer, options)?;
        let rooms: Vec<String> = (0..rooms).map(|number| format!("room{number}")).collect();
        let Some(tidings) = server.tidings() else {
            return Ok(Self { server, rooms, people: Vec::new(), writers: Vec::new() });
        };
        let people: Vec<Person> = (0..rooms.len() * members).map(|n| Person::new(format!("reader{n}"))).collect();
        let writers: Vec<Person> = (0..writers).map(|number| Person::new(format!("writer{number}"))).collect();
        tidings.introduce(&people)?;
        tidings.introduce(&writers)?;
        let mut with_members: Vec<(String, Vec<&Person>)> =
            rooms.iter().map(|room| (room.clone(), writers.iter().collect())).collect();
        for (number, person) in people.iter().enumerate() {
            with_members[number % rooms.len()].1.push(person);
        }
        tidings.rooms(&with_members)?;
        Ok(Self { server, rooms, people, writers })
    }

    /// Starts Tidings anew on what is there now; the peers have nothing that a new start would lose.
    pub(crate) fn restart(&mut self) -> Result<(), Failure> {
        self.server.restart()
    }
}
