//! What became of every row, as a table that has to add up to what the source itself counts.

use crate::store::{Adopted, OldCounts};

/// What became of the rows of one table.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Fate {
    /// Rows that the source counts.
    pub(super) total: u64,
    /// Taken in now.
    pub(super) new: u64,
    /// Here before.
    pub(super) here: u64,
    /// Messages that moderation rejected.
    pub(super) rejected: u64,
    /// Members who are none.
    pub(super) inactive: u64,
    /// Members who are none any more, and were taken out here.
    pub(super) removed: u64,
    /// Members of whom something was decided here since.
    pub(super) kept: u64,
    /// Rows that cannot be taken in: an id that is none here, a time that is missing.
    pub(super) unusable: u64,
}

impl Fate {
    fn known(&self) -> u64 {
        self.new + self.here + self.rejected + self.inactive + self.removed + self.kept + self.unusable
    }
}

/// What became of all of them.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) users: Fate,
    pub(super) rooms: Fate,
    pub(super) members: Fate,
    pub(super) messages: Fate,
    /// New messages that came after what was written after them.
    late: u64,
    /// Messages that were rejected after they had been taken in.
    rejected_here: u64,
    /// Rooms of two who have one already.
    pub(super) second_pairs: u64,
}

impl Tally {
    /// Before the first row.
    pub(super) fn new(counts: OldCounts) -> Self {
        let of = |total| Fate { total, ..Fate::default() };
        Self {
            users: of(counts.users),
            rooms: of(counts.rooms),
            members: of(counts.members),
            messages: of(counts.messages),
            ..Self::default()
        }
    }

    /// Counts what became of a part of a room.
    pub(super) fn add(&mut self, adopted: &Adopted) {
        self.messages.new += adopted.new;
        self.messages.here += adopted.here;
        self.late += adopted.late;
        self.rejected_here += adopted.rejected_here;
        let members = adopted.members;
        self.members.new += members.new;
        self.members.here += members.here;
        self.members.inactive += members.inactive;
        self.members.removed += members.removed;
        self.members.kept += members.kept;
    }

    /// Rows that belong to no room: the tables are joined, and these are left over.
    fn homeless(fate: &Fate) -> u64 {
        fate.total.saturating_sub(fate.known())
    }

    /// Whether each table's rows are all accounted for. Of people and rooms none can be left over; of members and
    /// messages those whose room is not there.
    pub(super) fn adds_up(&self) -> bool {
        let [users, rooms, members, messages] = [&self.users, &self.rooms, &self.members, &self.messages];
        users.known() == users.total
            && rooms.known() == rooms.total
            && members.known() <= members.total
            && messages.known() <= messages.total
    }

    /// The table, and what is to be said beside it.
    pub(super) fn lines(&self) -> Vec<String> {
        let fates = [&self.users, &self.rooms, &self.members, &self.messages];
        let row = |name: &str, value: &dyn Fn(&Fate) -> u64| {
            let values = fates.map(|fate| format!("{:>12}", value(fate))).concat();
            format!("{name:32}{values}")
        };
        let heads: String = ["people", "rooms", "members", "messages"].map(|head| format!("{head:>12}")).concat();
        let mut lines = vec![format!("{:32}{heads}", "")];
        lines.push(row("imported now", &|fate| fate.new));
        lines.push(row("here before", &|fate| fate.here));
        lines.push(row("rejected by moderation", &|fate| fate.rejected));
        lines.push(row("not active, no members", &|fate| fate.inactive));
        lines.push(row("not active any more, taken out", &|fate| fate.removed));
        lines.push(row("decided here since, left alone", &|fate| fate.kept));
        lines.push(row("unusable, left out", &|fate| fate.unusable));
        lines.push(row("without a room", &Self::homeless));
        lines.push(row("in the tables", &|fate| fate.total));
        for (count, text) in [
            (self.late, "messages came after what was written after them: they stand at the end of their rooms"),
            (self.rejected_here, "messages were rejected after they had been imported, and are still shown"),
            (self.second_pairs, "rooms of two are a GROUP, because the two have a DIRECT room of this key already"),
        ] {
            if count > 0 {
                lines.push(format!("{count} {text}."));
            }
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_that_nobody_accounts_for_is_seen() {
        let counts = OldCounts { users: 2, rooms: 1, members: 2, messages: 5 };
        let mut tally = Tally::new(counts);
        tally.users.new = 2;
        tally.rooms.here = 1;
        tally.members.new = 2;
        tally.messages.new = 3;
        tally.messages.rejected = 1;
        assert!(tally.adds_up());
        assert!(tally.lines().iter().any(|line| line.starts_with("without a room") && line.ends_with(" 1")));
        tally.messages.here = 2;
        assert!(!tally.adds_up(), "more than there are");
        tally.messages.here = 0;
        tally.users.new = 1;
        assert!(!tally.adds_up(), "one is lost");
    }
}
