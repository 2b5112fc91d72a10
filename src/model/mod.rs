//! The vocabulary: ids, times, users, rooms, members, messages, and what a role may do. Pure: no I/O, no async,
//! no transport. What is constructed here is valid; the rest of the crate does not check again.

pub mod access;
pub mod commit;
pub mod id;
pub mod message;
pub mod moderation;
pub mod permission;
pub mod quota;
pub mod room;
pub mod text;
pub mod time;
pub mod user;

pub use access::{AccessChange, NumberedChange};
pub use commit::{Changes, Commit, UserChange, UserChangeKind};
pub use id::{History, MessageId, QuotaName, RoomId, UserId};
pub use message::{
    ContentType, Draft, DraftInput, Effect, EventKind, Message, Moderation, PostInput, Reaction, SystemEvent,
};
pub use moderation::{Case, CaseCursor, Decision, Flag, FlaggedBy, Verdict};
pub use permission::{Action, outranks, permits};
pub use quota::{Quota, QuotaUse, TimeZone};
pub use room::{Head, HistoryFor, Me, Member, MemberView, Meta, ReadPosition, Retention, Role, Room, RoomKind};
pub use time::Timestamp;
pub use user::{Caller, Claims, Credential, Partner, Principal, Profile, Session, Set, User, UserPatch, UserRole};
