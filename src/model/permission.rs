//! Who may do what in a room: one table, the only one. `chat` asks it; nothing else decides.

use super::{Role, RoomKind};

/// What a member can ask to do in a room, beyond reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// Send, reply, react, type.
    Write,
    /// Edit or delete one's own message.
    ChangeOwn,
    /// Delete another's message.
    DeleteOther,
    /// Change title and metadata.
    Rename,
    /// Add a member.
    Add,
    /// Remove a member of lower role.
    Remove,
    /// Remove a member of lower role, or anyone who is none, for good.
    Ban,
    /// Add someone who is banned.
    LiftBan,
    /// Give a member another role, below one's own or, for an owner, any.
    SetRole,
    /// Leave.
    Leave,
}

/// The least role that may do `action` in a room of this kind, or none at all.
///
/// | action | DIRECT | GROUP | PUBLIC |
/// |---|---|---|---|
/// | write, change one's own | member | member | member |
/// | delete another's | – | moderator | moderator |
/// | rename | – | moderator | moderator |
/// | add | – | member | moderator |
/// | remove, ban, lift a ban | – | moderator | moderator |
/// | set a role | – | owner | owner |
/// | leave | – | member | member |
fn least(kind: RoomKind, action: Action) -> Option<Role> {
    use {Action as A, RoomKind as K};
    match (kind, action) {
        (_, A::Write | A::ChangeOwn) | (K::Group, A::Add) | (K::Group | K::Public, A::Leave) => Some(Role::Member),
        (K::Group | K::Public, A::DeleteOther | A::Rename | A::Remove | A::Ban | A::LiftBan) | (K::Public, A::Add) => {
            Some(Role::Moderator)
        }
        (K::Group | K::Public, A::SetRole) => Some(Role::Owner),
        (K::Direct, _) => None,
    }
}

/// Whether one of this role may remove a member of the other: a moderator those below, an owner anyone.
pub fn outranks(role: Role, other: Role) -> bool {
    role == Role::Owner || role > other
}

/// Whether a member of this role may do `action` in a room of this kind.
pub fn permits(kind: RoomKind, role: Role, action: Action) -> bool {
    least(kind, action).is_some_and(|least| role >= least)
}
