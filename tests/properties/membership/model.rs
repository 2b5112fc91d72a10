//! Who may see what: a room as its whole log tells it, and who may do what in it. Written from docs/PROTOCOL.md and not from
//! the sources.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

/// From one joining to the leaving after it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stay {
    joined_seq: u64,
    joined_rev: u64,
    /// The first change that is not theirs any more.
    left_rev: u64,
}

/// A change of the room's log.
#[derive(Debug)]
struct Change {
    rev: u64,
    seq: u64,
}

/// A room.
#[derive(Debug)]
pub(super) struct Model {
    pub(super) id: &'static str,
    pub(super) kind: &'static str,
    /// Members and their roles, by the rules.
    pub(super) members: BTreeMap<&'static str, Role>,
    pub(super) banned: BTreeSet<&'static str>,
    stays: BTreeMap<String, Vec<Stay>>,
    changes: Vec<Change>,
    /// From which `rev` on members see all of the log, or what follows their joining.
    history: Vec<(u64, bool)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Role {
    Member,
    Moderator,
    Owner,
}

/// What somebody tries with somebody's membership.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Try {
    Put,
    Remove,
    Ban,
}

impl Model {
    /// A room that the first of these people made with the others.
    pub(super) fn new(id: &'static str, kind: &'static str, all: bool, people: &[&'static str]) -> Self {
        let first = if kind == "DIRECT" { Role::Member } else { Role::Owner };
        let role = |n| if n == 0 { first } else { Role::Member };
        Self {
            id,
            kind,
            members: people.iter().enumerate().map(|(n, who)| (*who, role(n))).collect(),
            banned: BTreeSet::new(),
            stays: people.iter().map(|who| ((*who).to_owned(), vec![Stay::from(1, 1)])).collect(),
            changes: vec![Change { rev: 1, seq: 1 }],
            history: vec![(1, all)],
        }
    }

    pub(super) fn rev(&self) -> u64 {
        self.changes.last().unwrap().rev
    }

    pub(super) fn last_seq(&self) -> u64 {
        self.last_seq_at(self.rev())
    }

    fn last_seq_at(&self, rev: u64) -> u64 {
        self.changes.iter().take_while(|change| change.rev <= rev).map(|change| change.seq).max().unwrap_or(0)
    }

    fn sees_all_at(&self, rev: u64) -> bool {
        self.history.iter().rev().find(|(from, _)| *from <= rev).is_some_and(|(_, all)| *all)
    }

    /// Whether someone may try this, by the table of the contract and by who is banned.
    pub(super) fn allows(&self, by: &'static str, what: Try, whom: &'static str) -> bool {
        let (own, other) = (self.members.get(by), self.members.get(whom));
        if by == whom {
            return match what {
                Try::Put => own.is_some() || (self.kind == "PUBLIC" && !self.banned.contains(whom)),
                Try::Remove => own.is_some() && self.kind != "DIRECT",
                Try::Ban => false,
            };
        }
        let Some(own) = own else { return false };
        let is_moderator = self.kind != "DIRECT" && *own >= Role::Moderator;
        let outranks = |other: &Role| *own == Role::Owner || own > other;
        match what {
            Try::Put if other.is_some() => true,
            Try::Put if self.kind == "GROUP" && !self.banned.contains(whom) => true,
            Try::Put => is_moderator,
            Try::Remove => is_moderator && other.is_some_and(outranks),
            Try::Ban => is_moderator && other.is_none_or(outranks),
        }
    }

    /// What comes of it.
    pub(super) fn carry_out(&mut self, what: Try, whom: &'static str) {
        match what {
            Try::Put => {
                self.banned.remove(whom);
                self.members.entry(whom).or_insert(Role::Member);
            }
            Try::Remove => drop(self.members.remove(whom)),
            Try::Ban => {
                self.members.remove(whom);
                self.banned.insert(whom);
            }
        }
    }

    /// Takes in what the log says happened. Fails unless its members are those that the rules say.
    pub(super) fn take_in(&mut self, messages: &Value) {
        for message in messages.as_array().unwrap() {
            let (seq, rev) = (message["seq"].as_u64().unwrap(), message["rev"].as_u64().unwrap());
            self.changes.push(Change { rev, seq });
            if message["contentType"] != "SYSTEM" {
                continue;
            }
            let metadata = &message["metadata"];
            let user = metadata["userId"].as_str().unwrap_or_default();
            match metadata["event"].as_str().unwrap() {
                "joined" | "added" => self.stays.entry(user.to_owned()).or_default().push(Stay::from(seq, rev)),
                "left" | "removed" => self.stays.get_mut(user).unwrap().last_mut().unwrap().left_rev = rev,
                "history" => self.history.push((rev, metadata["historyFor"] == "all")),
                _ => {}
            }
        }
        let present = self.stays.iter().filter(|(_, stays)| stays.last().is_some_and(|last| last.left_rev == u64::MAX));
        let present: Vec<&str> = present.map(|(who, _)| who.as_str()).collect();
        let expected: Vec<&str> = self.members.keys().copied().collect();
        assert_eq!(present, expected, "the log of {} and the rules tell of other members", self.id);
    }

    /// Whether someone may be shown, in what is complete up to `rev` and was read no earlier than that, this message.
    pub(super) fn may_see(&self, who: &str, seq: u64, rev: u64) -> bool {
        let own = self.stays.get(who).map_or(&[][..], Vec::as_slice);
        own.iter().filter(|stay| rev < stay.left_rev).any(|stay| {
            let moments = rev.max(stay.joined_rev)..stay.left_rev.min(self.rev() + 1);
            seq >= stay.joined_seq || moments.into_iter().any(|moment| self.sees_all_at(moment))
        })
    }

    /// Whether someone was a member at this `rev`.
    pub(super) fn was_member(&self, who: &str, rev: u64) -> bool {
        self.stay_at(who, rev).is_some()
    }

    fn stay_at(&self, who: &str, rev: u64) -> Option<Stay> {
        self.stays.get(who)?.iter().copied().find(|stay| stay.joined_rev <= rev && rev < stay.left_rev)
    }

    /// The first and the last message that someone sees of the room as it was at this `rev`; nothing if they were not
    /// in it.
    pub(super) fn sight(&self, who: &str, rev: u64) -> Option<(u64, u64)> {
        let stay = self.stay_at(who, rev)?;
        Some((if self.sees_all_at(rev) { 1 } else { stay.joined_seq }, self.last_seq_at(rev)))
    }
}

impl Stay {
    fn from(joined_seq: u64, joined_rev: u64) -> Self {
        Self { joined_seq, joined_rev, left_rev: u64::MAX }
    }
}
