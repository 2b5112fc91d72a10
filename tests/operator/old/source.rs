//! The old application's database: its tables, and rows in them as years of use leave them.

use crate::support::{Database, Postgres};

/// Ids as Prisma makes them.
pub(super) const ANN: &str = "cly00000000000000000000an";
pub(super) const BEN: &str = "cly00000000000000000000be";
pub(super) const CAT: &str = "cly00000000000000000000ca";
pub(super) const DAN: &str = "cly00000000000000000000da";

/// The old application's database.
pub(super) struct Old(pub(super) Database);

impl Old {
    pub(super) async fn create() -> Self {
        let old = Self(Database::create().await);
        old.run(include_str!("prisma.sql")).await;
        old
    }

    pub(super) async fn run(&self, statements: &str) {
        Postgres::shared().run_on(&self.0.name, statements).await;
    }

    pub(super) async fn user(&self, id: &str, name: &str) {
        let name = if name.is_empty() { "null".to_owned() } else { format!("'{name}'") };
        self.run(&format!(
            r#"insert into "User" ("id", "email", "password", "name", "updatedAt")
               values ('{id}', '{id}@example.com', 'hash', {name}, now())"#
        ))
        .await;
    }

    pub(super) async fn room(&self, id: &str, kind: &str, booking: Option<&str>) {
        let booking = booking.map_or("null".to_owned(), |id| format!("'{id}'"));
        self.run(&format!(
            r#"insert into "ChatRoom" ("id", "type", "bookingId", "createdAt", "updatedAt")
               values ('{id}', '{kind}', {booking}, '2025-01-01 00:00:00', now())"#
        ))
        .await;
    }

    /// A member who joined in the beginning, and read at a time of day.
    pub(super) async fn member(&self, room: &str, user: &str, active: bool, read: Option<&str>) {
        let read = read.map_or("null".to_owned(), |time| format!("'2025-03-01 {time}'"));
        self.run(&format!(
            r#"insert into "ChatRoomMember" ("id", "roomId", "userId", "isActive", "joinedAt", "lastReadAt")
               values ('{room}{user}', '{room}', '{user}', {active}, '2025-01-01 00:00:00', {read})"#
        ))
        .await;
    }

    /// A message at a time of day.
    pub(super) async fn message(&self, id: &str, room: &str, user: &str, time: &str) {
        self.message_with(id, room, user, time, "APPROVED", "null").await;
    }

    pub(super) async fn message_with(
        &self,
        id: &str,
        room: &str,
        user: &str,
        time: &str,
        moderation: &str,
        name: &str,
    ) {
        self.run(&format!(
            r#"insert into "ChatMessage"
                   ("id", "roomId", "senderId", "senderName", "content", "moderationStatus", "createdAt")
               values ('{id}', '{room}', '{user}', {name}, 'text of {id}', '{moderation}', '2025-03-01 {time}')"#
        ))
        .await;
    }

    /// So many messages in each of so many rooms of ann and ben, many of them in the same millisecond.
    pub(super) async fn fill(&self, rooms: u32, messages: u32) {
        self.user(ANN, "Ann").await;
        self.user(BEN, "Ben").await;
        self.run(&format!(
            r#"insert into "ChatRoom" ("id", "type", "bookingId", "createdAt", "updatedAt")
                   select 'room' || n, 'ONE_ON_ONE', 'booking' || n, '2025-01-01', now() from generate_series(1, {rooms}) n;
               insert into "ChatRoomMember" ("id", "roomId", "userId", "joinedAt", "lastReadAt")
                   select r."id" || u."id", r."id", u."id", '2025-01-01', '2025-03-01 00:00:10'
                   from "ChatRoom" r cross join "User" u;
               insert into "ChatMessage" ("id", "roomId", "senderId", "content", "createdAt")
                   select r."id" || '-' || n, r."id", case n % 2 when 0 then '{ANN}' else '{BEN}' end,
                          'some forty bytes of text, as people write', timestamp '2025-03-01' + (n / 3) * interval '1 s'
                   from "ChatRoom" r cross join generate_series(1, {messages}) n"#
        ))
        .await;
    }

    pub(super) fn url(&self) -> String {
        self.0.url()
    }

    /// Everything that is tricky.
    pub(super) async fn tricky() -> Self {
        let old = Self::create().await;
        old.user(ANN, "Ann").await;
        old.user(BEN, "Ben").await;
        old.user(CAT, "").await;
        old.user(DAN, " D\u{1b}an ").await;
        old.user("no id here", "Nobody").await;
        old.run(&format!(
            r#"update "User" set "role" = 'PARTNER' where "id" = '{BEN}';
               insert into "Partner" ("id", "name", "coverImage", "userId", "status", "updatedAt")
                   values ('partner1', 'Benjamin', 'https://img.example/ben.jpg', '{BEN}', 'APPROVED', now())"#
        ))
        .await;
        // A booking of two: three messages in one millisecond, a rejected one among them.
        old.room("pair", "ONE_ON_ONE", Some("booking1")).await;
        old.member("pair", ANN, true, Some("10:00:00.500")).await;
        old.member("pair", BEN, true, None).await;
        old.message_with("p1", "pair", ANN, "10:00:00", "APPROVED", "'Annie'").await;
        for id in ["p4", "p2", "p3"] {
            old.message(id, "pair", BEN, "10:00:00.500").await;
        }
        old.message_with("p3b", "pair", BEN, "10:00:00.500", "REJECTED", "null").await;
        old.message_with("p5", "pair", BEN, "10:00:00.501", "FLAGGED", "null").await;
        old.message("p6", "pair", BEN, "10:01:00").await;
        // The same two without a booking, twice: only one of these can be a pair's room.
        for room in ["free1", "free2"] {
            old.room(room, "FREE_CHAT", None).await;
            old.member(room, ANN, true, None).await;
            old.member(room, BEN, true, None).await;
        }
        old.message("f1", "free1", CAT, "09:00:00").await;
        // A group with one who left, one who writes after reading, and one who cannot be taken in.
        old.room("group", "GROUP", None).await;
        old.member("group", ANN, true, Some("10:00:01")).await;
        old.member("group", CAT, false, Some("10:00:01")).await;
        old.member("group", DAN, true, Some("10:00:01")).await;
        old.member("group", "no id here", true, None).await;
        for (n, user) in [(1, ANN), (2, CAT), (3, DAN), (4, "no id here"), (5, ANN)] {
            old.message(&format!("g{n}"), "group", user, &format!("10:00:0{n}")).await;
        }
        // Nobody ever wrote, and nobody is there any more.
        old.room("silent", "GROUP", None).await;
        old.member("silent", ANN, true, Some("12:00:00")).await;
        old.room("empty", "GROUP", Some("booking2")).await;
        old.member("empty", CAT, false, None).await;
        old
    }
}
