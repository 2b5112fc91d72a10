//! Times turned into places: up to which message each member of a room had read, and after which they had joined, found
//! while the messages go by in the order of their times.

use std::collections::HashMap;

use crate::model::{Role, Timestamp, UserId};

/// A member as another application has them.
#[derive(Debug, Clone)]
pub struct ForeignMember {
    /// Who.
    pub user_id: UserId,
    /// Their role.
    pub role: Role,
    /// Whether they are one.
    pub is_active: bool,
    /// Since when.
    pub joined_at: Option<Timestamp>,
    /// When they read last.
    pub last_read_at: Option<Timestamp>,
}

/// Where a member is in the room's log.
#[derive(Debug, Clone)]
pub(super) struct Placed {
    pub(super) member: ForeignMember,
    /// The last message before they joined.
    pub(super) joined_seq: u64,
    /// The last message they have read, or written.
    pub(super) last_read_seq: u64,
}

/// The members of a room, and how far its messages have gone by.
#[derive(Debug, Clone, Default)]
pub struct Positions {
    members: Vec<Placed>,
    by_user: HashMap<UserId, usize>,
    /// Members in the order in which they are reached, the next one last.
    readers: Vec<(Timestamp, usize)>,
    joiners: Vec<(Timestamp, usize)>,
    reached: u64,
}

impl Positions {
    /// Before the first message.
    pub fn new(members: Vec<ForeignMember>) -> Self {
        let at = |time: fn(&ForeignMember) -> Option<Timestamp>| {
            let mut times: Vec<_> =
                members.iter().enumerate().filter_map(|(n, member)| time(member).map(|time| (time, n))).collect();
            times.sort_by(|a, b| b.cmp(a));
            times
        };
        let (readers, joiners) = (at(|m| m.last_read_at), at(|m| m.joined_at));
        let by_user = members.iter().enumerate().map(|(n, member)| (member.user_id.clone(), n)).collect();
        let members = members.into_iter().map(|member| Placed { member, joined_seq: 0, last_read_seq: 0 }).collect();
        Self { members, by_user, readers, joiners, reached: 0 }
    }

    /// The next message, by the time it has there and the place it has here.
    pub(super) fn pass(&mut self, at: Timestamp, seq: u64, sender: &UserId) {
        // Who read in the very millisecond of a message has read it; who joined then joined before it.
        while let Some((_, n)) = self.readers.pop_if(|(read, _)| *read < at) {
            self.members[n].last_read_seq = self.members[n].last_read_seq.max(self.reached);
        }
        while let Some((_, n)) = self.joiners.pop_if(|(joined, _)| *joined <= at) {
            self.members[n].joined_seq = self.reached;
        }
        if let Some(n) = self.by_user.get(sender) {
            // Nobody has unread messages before one of their own.
            self.members[*n].last_read_seq = self.members[*n].last_read_seq.max(seq);
        }
        self.reached = self.reached.max(seq);
    }

    /// After the last message: the members, by id.
    pub(super) fn end(mut self) -> Vec<Placed> {
        for (_, n) in std::mem::take(&mut self.readers) {
            self.members[n].last_read_seq = self.members[n].last_read_seq.max(self.reached);
        }
        for (_, n) in std::mem::take(&mut self.joiners) {
            self.members[n].joined_seq = self.reached;
        }
        self.members.sort_by(|a, b| a.member.user_id.cmp(&b.member.user_id));
        self.members
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(name: &str) -> UserId {
        name.parse().expect("an id")
    }

    fn member(name: &str, joined_at: Option<i64>, last_read_at: Option<i64>) -> ForeignMember {
        ForeignMember {
            user_id: user(name),
            role: Role::Member,
            is_active: true,
            joined_at: joined_at.map(Timestamp),
            last_read_at: last_read_at.map(Timestamp),
        }
    }

    #[test]
    fn who_read_at_a_time_has_read_what_was_there() {
        let mut positions = Positions::new(vec![
            member("never", None, None),
            member("before", Some(5), Some(5)),
            member("first", Some(10), Some(10)),
            member("between", Some(15), Some(25)),
            member("after", Some(99), Some(99)),
            member("writer", Some(1), Some(10)),
        ]);
        // Two in the same millisecond, and one that has its place behind them for it came late.
        for (at, seq, sender) in [(10, 1, "x"), (20, 2, "x"), (20, 3, "writer"), (30, 4, "x")] {
            positions.pass(Timestamp(at), seq, &user(sender));
        }
        let placed = positions.end();
        let found: Vec<_> = placed.iter().map(|p| (p.member.user_id.as_str(), p.joined_seq, p.last_read_seq)).collect();
        assert_eq!(
            found,
            [("after", 4, 4), ("before", 0, 0), ("between", 1, 3), ("first", 0, 1), ("never", 0, 0), ("writer", 0, 3),]
        );
    }
}
