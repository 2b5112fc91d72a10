//! The old application's tables, read in one snapshot of a transaction that cannot write: people, and then rooms with their
//! members and messages, all in the order of the rooms, so that one pass over each table is enough. What a table does not
//! have of the columns that came later is taken as empty.

use std::collections::{BTreeMap, HashMap, VecDeque};

use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{AssertSqlSafe, Connection, Executor, Row};

use super::opening::OpenError;
use super::postgres::Address;
use crate::error::{Error, Result};
use crate::model::Timestamp;

/// Rows that are fetched at once.
const FETCH: usize = 1000;

/// The tables by what Prisma calls them, and the columns that must be there.
const MODELS: [(&str, &[&str]); 5] = [
    ("User", &["id", "name"]),
    ("Partner", &["id", "userId", "status"]),
    ("ChatRoom", &["id", "createdAt"]),
    ("ChatRoomMember", &["roomId", "userId"]),
    ("ChatMessage", &["id", "roomId", "senderId", "content", "createdAt"]),
];

/// A person.
#[derive(Debug, Default)]
pub struct OldUser {
    /// Their id.
    pub id: String,
    /// Their name.
    pub name: Option<String>,
    /// Their picture.
    pub avatar_url: Option<String>,
    /// Their role.
    pub role: Option<String>,
    /// Their partner profile.
    pub partner_id: Option<String>,
    /// Its status.
    pub partner_status: Option<String>,
    /// Since when.
    pub created_at: Option<Timestamp>,
}

/// A room.
#[derive(Debug, Default)]
pub struct OldRoom {
    /// Its id.
    pub id: String,
    /// Its type, whatever the application called it.
    pub kind: Option<String>,
    /// The booking it belongs to.
    pub booking_id: Option<String>,
    /// Its name.
    pub title: Option<String>,
    /// What else the application knows it by, as JSON.
    pub metadata: Option<String>,
    /// Since when.
    pub created_at: Option<Timestamp>,
}

/// A member.
#[derive(Debug, Default)]
pub struct OldMember {
    /// Who.
    pub user_id: String,
    /// Their role in the room.
    pub role: Option<String>,
    /// Whether they are one.
    pub is_active: bool,
    /// Since when.
    pub joined_at: Option<Timestamp>,
    /// When they read last.
    pub last_read_at: Option<Timestamp>,
}

/// A message.
#[derive(Debug, Default)]
pub struct OldMessage {
    /// Its id.
    pub id: String,
    /// Who wrote it; nobody: the application.
    pub sender_id: Option<String>,
    /// Their name then, else now.
    pub sender_name: Option<String>,
    /// Their picture likewise.
    pub sender_avatar_url: Option<String>,
    /// What it says.
    pub content: String,
    /// What the content is.
    pub content_type: Option<String>,
    /// Where its picture is.
    pub image_url: Option<String>,
    /// What it answers.
    pub reply_to: Option<String>,
    /// Moderation has rejected it.
    pub is_rejected: bool,
    /// When it was written.
    pub created_at: Option<Timestamp>,
    /// When it was edited.
    pub edited_at: Option<Timestamp>,
    /// When it was deleted.
    pub deleted_at: Option<Timestamp>,
}

/// How many rows the tables have, whether or not they belong together.
#[derive(Debug, Clone, Copy, Default)]
pub struct OldCounts {
    /// People.
    pub users: u64,
    /// Rooms.
    pub rooms: u64,
    /// Members.
    pub members: u64,
    /// Messages.
    pub messages: u64,
}

/// The old application's database.
pub struct OldSource {
    connection: PgConnection,
    place: String,
    users: Rows,
    rooms: Rows,
    members: Rows,
    messages: Rows,
    /// How many rows there are.
    pub counts: OldCounts,
}

/// What a cursor gives, as far as it is fetched.
#[derive(Debug)]
struct Rows {
    name: &'static str,
    waiting: VecDeque<PgRow>,
    is_ended: bool,
}

impl Rows {
    fn of(name: &'static str) -> Self {
        Self { name, waiting: VecDeque::new(), is_ended: false }
    }

    async fn next_is(&mut self, connection: &mut PgConnection) -> Result<Option<&PgRow>> {
        if self.waiting.is_empty() && !self.is_ended {
            let fetch = format!("fetch forward {FETCH} from {}", self.name);
            let rows = sqlx::query(AssertSqlSafe(fetch)).persistent(false).fetch_all(connection).await;
            self.waiting = rows.map_err(|error| unreadable(&error))?.into();
            self.is_ended = self.waiting.len() < FETCH;
        }
        Ok(self.waiting.front())
    }

    async fn next(&mut self, connection: &mut PgConnection) -> Result<Option<PgRow>> {
        self.next_is(connection).await?;
        Ok(self.waiting.pop_front())
    }

    /// The next row if it belongs to the room.
    async fn next_of(&mut self, connection: &mut PgConnection, room: &str) -> Result<Option<PgRow>> {
        let Some(row) = self.next_is(connection).await? else { return Ok(None) };
        let of: String = get(row, "room_id")?;
        Ok(if of == room { self.waiting.pop_front() } else { None })
    }
}

fn unreadable(error: &sqlx::Error) -> Error {
    Error::internal("reading the old application's database", error.to_string())
}

fn get<'r, T: sqlx::Decode<'r, sqlx::Postgres> + sqlx::Type<sqlx::Postgres>>(
    row: &'r PgRow,
    column: &str,
) -> Result<T> {
    row.try_get(column).map_err(|error| unreadable(&error))
}

fn time(row: &PgRow, column: &str) -> Result<Option<Timestamp>> {
    Ok(get::<Option<i64>>(row, column)?.map(Timestamp))
}

/// A name as SQL takes it, of a table or of a table in a schema.
fn quoted(name: &str) -> String {
    let part = |part: &str| format!("\"{}\"", part.replace('"', "\"\""));
    name.splitn(2, '.').map(part).collect::<Vec<_>>().join(".")
}

/// A table: what it is called, and its columns.
struct Table {
    name: String,
    columns: Vec<String>,
}

impl Table {
    fn has(&self, column: &str) -> bool {
        self.columns.iter().any(|other| other == column)
    }

    /// The first of these columns that it has, as text.
    fn text(&self, alias: &str, columns: &[&str]) -> String {
        let found = columns.iter().find(|column| self.has(column));
        found.map_or("null::text".to_owned(), |column| format!("{alias}.\"{column}\"::text"))
    }

    /// Microseconds since 1970. Read as UTC a time without a zone is what it says, and one with a zone what it means.
    fn time(&self, alias: &str, column: &str) -> String {
        if self.has(column) {
            format!("round(extract(epoch from {alias}.\"{column}\" at time zone 'UTC') * 1000000)::bigint")
        } else {
            "null::bigint".to_owned()
        }
    }

    fn truth(&self, alias: &str, column: &str, otherwise: bool) -> String {
        if self.has(column) { format!("coalesce({alias}.\"{column}\", {otherwise})") } else { otherwise.to_string() }
    }
}

type Tables = HashMap<&'static str, Table>;

impl OldSource {
    /// Connects and begins to read. `renamed` says what tables are called that have another name.
    pub async fn open(url: &str, renamed: &BTreeMap<String, String>) -> Result<Self, OpenError> {
        let address = Address::parse(url)?;
        let place = address.place();
        let mut connection = address.connect().await?;
        let unusable = |source| OpenError::Unusable { place: place.clone(), source };
        // It may take hours, and wait for what is written elsewhere.
        let begin = "begin isolation level repeatable read read only;
            set local statement_timeout = 0; set local idle_in_transaction_session_timeout = 0";
        connection.execute(begin).await.map_err(unusable)?;
        let mut tables = Tables::new();
        for (model, required) in MODELS {
            let name = renamed.get(model).map_or(model, String::as_str);
            let columns = columns(&mut connection, &quoted(name)).await.map_err(unusable)?;
            let wrong = |detail| OpenError::Schema { place: place.clone(), detail };
            // An application without partners has no such table.
            if columns.is_empty() && model != "Partner" {
                return Err(wrong(format!("has no table {}; say with --old-tables what it is called", quoted(name))));
            }
            let table = Table { name: quoted(name), columns };
            let lacks = |column: &&&str| !table.columns.is_empty() && !table.has(column);
            let missing: Vec<&str> = required.iter().filter(lacks).copied().collect();
            if !missing.is_empty() {
                return Err(wrong(format!("has a table {} without {}", table.name, missing.join(", "))));
            }
            tables.insert(model, table);
        }
        let counts = declare(&mut connection, &tables).await.map_err(unusable)?;
        Ok(Self {
            connection,
            place,
            users: Rows::of("old_users"),
            rooms: Rows::of("old_rooms"),
            members: Rows::of("old_members"),
            messages: Rows::of("old_messages"),
            counts,
        })
    }

    /// Where it is, without the password.
    pub fn place(&self) -> &str {
        &self.place
    }

    /// The next person.
    pub async fn next_user(&mut self) -> Result<Option<OldUser>> {
        let Some(row) = self.users.next(&mut self.connection).await? else { return Ok(None) };
        Ok(Some(OldUser {
            id: get(&row, "id")?,
            name: get(&row, "name")?,
            avatar_url: get(&row, "avatar_url")?,
            role: get(&row, "role")?,
            partner_id: get(&row, "partner_id")?,
            partner_status: get(&row, "partner_status")?,
            created_at: time(&row, "created_at")?,
        }))
    }

    /// The next room. Its members and messages follow until they are at an end.
    pub async fn next_room(&mut self) -> Result<Option<OldRoom>> {
        let Some(row) = self.rooms.next(&mut self.connection).await? else { return Ok(None) };
        Ok(Some(OldRoom {
            id: get(&row, "room_id")?,
            kind: get(&row, "kind")?,
            booking_id: get(&row, "booking_id")?,
            title: get(&row, "title")?,
            metadata: get(&row, "metadata")?,
            created_at: time(&row, "created_at")?,
        }))
    }

    /// The room's next member.
    pub async fn next_member(&mut self, room: &str) -> Result<Option<OldMember>> {
        let Some(row) = self.members.next_of(&mut self.connection, room).await? else { return Ok(None) };
        Ok(Some(OldMember {
            user_id: get(&row, "user_id")?,
            role: get(&row, "role")?,
            is_active: get(&row, "is_active")?,
            joined_at: time(&row, "joined_at")?,
            last_read_at: time(&row, "last_read_at")?,
        }))
    }

    /// The room's next message, by time and id.
    pub async fn next_message(&mut self, room: &str) -> Result<Option<OldMessage>> {
        let Some(row) = self.messages.next_of(&mut self.connection, room).await? else { return Ok(None) };
        Ok(Some(OldMessage {
            id: get(&row, "id")?,
            sender_id: get(&row, "sender_id")?,
            sender_name: get(&row, "sender_name")?,
            sender_avatar_url: get(&row, "sender_avatar_url")?,
            content: get::<Option<String>>(&row, "content")?.unwrap_or_default(),
            content_type: get(&row, "content_type")?,
            image_url: get(&row, "image_url")?,
            reply_to: get(&row, "reply_to")?,
            is_rejected: get(&row, "is_rejected")?,
            created_at: time(&row, "created_at")?,
            edited_at: time(&row, "edited_at")?,
            deleted_at: time(&row, "deleted_at")?,
        }))
    }

    /// Ends the transaction.
    pub async fn close(mut self) {
        // Nothing was written, so nothing hangs on how it ends.
        drop(self.connection.execute("rollback").await);
        drop(self.connection.close().await);
    }
}

async fn columns(connection: &mut PgConnection, table: &str) -> sqlx::Result<Vec<String>> {
    let found = sqlx::query(
        "select attname::text from pg_attribute where attrelid = to_regclass($1) and attnum > 0 and not attisdropped",
    );
    let rows = found.persistent(false).bind(table).fetch_all(connection).await?;
    rows.iter().map(|row| row.try_get(0)).collect()
}

/// Counts the rows, and opens a cursor for each table.
async fn declare(connection: &mut PgConnection, tables: &Tables) -> sqlx::Result<OldCounts> {
    let table = |model: &str| &tables[model];
    let (users, partners, rooms) = (table("User"), table("Partner"), table("ChatRoom"));
    let (members, messages) = (table("ChatRoomMember"), table("ChatMessage"));
    for statement in [
        users_cursor(users, partners),
        rooms_cursor(rooms),
        members_cursor(members, rooms),
        messages_cursor(messages, rooms, users, partners),
    ] {
        connection.execute(sqlx::raw_sql(AssertSqlSafe(statement))).await?;
    }
    let count = |table: &Table| format!("(select count(*) from {})", table.name);
    let counts = format!("select {}, {}, {}, {}", count(users), count(rooms), count(members), count(messages));
    let row = sqlx::query(AssertSqlSafe(counts)).persistent(false).fetch_one(connection).await?;
    let number = |at: usize| row.try_get::<i64, _>(at).map(|number| u64::try_from(number).unwrap_or(0));
    Ok(OldCounts { users: number(0)?, rooms: number(1)?, members: number(2)?, messages: number(3)? })
}

/// How a person's partner profile is joined to them, if there are any.
fn join_partner(partners: &Table, user: &str) -> String {
    if partners.columns.is_empty() {
        return String::new();
    }
    format!("left join {} p on p.\"userId\" = {user}", partners.name)
}

/// The name and picture of a person `u` with their profile `p`.
fn name_and_picture(users: &Table, partners: &Table) -> (String, String) {
    const PICTURES: [&str; 3] = ["avatarUrl", "image", "avatar"];
    let name = format!("coalesce({}, {})", users.text("u", &["name"]), partners.text("p", &["name"]));
    let cover = partners.text("p", &["avatarUrl", "coverImage"]);
    (name, format!("coalesce({}, {cover})", users.text("u", &PICTURES)))
}

fn users_cursor(users: &Table, partners: &Table) -> String {
    let (name, picture) = name_and_picture(users, partners);
    format!(
        "declare old_users no scroll cursor for
         select u.\"id\"::text as id, {name} as name, {picture} as avatar_url, {role} as role,
                {partner} as partner_id, {status} as partner_status, {created} as created_at
         from {from} u {join} order by u.\"id\"",
        role = users.text("u", &["role"]),
        partner = partners.text("p", &["id"]),
        status = partners.text("p", &["status"]),
        created = users.time("u", "createdAt"),
        from = users.name,
        join = join_partner(partners, "u.\"id\""),
    )
}

fn rooms_cursor(rooms: &Table) -> String {
    // What the application may still want to know of a room, under its own names.
    let kept: Vec<String> = ["type", "isFreeChat", "groupBookingId", "multiPlayerBookingId"]
        .iter()
        .filter(|column| rooms.has(column))
        .map(|column| format!("'{column}', r.\"{column}\""))
        .collect();
    format!(
        "declare old_rooms no scroll cursor for
         select r.\"id\"::text as room_id, {kind} as kind, {booking} as booking_id, {title} as title,
                json_strip_nulls(json_build_object({kept}))::text as metadata, {created} as created_at
         from {from} r order by r.\"id\"",
        kind = rooms.text("r", &["type"]),
        booking = rooms.text("r", &["bookingId"]),
        title = rooms.text("r", &["title", "name"]),
        kept = kept.join(", "),
        created = rooms.time("r", "createdAt"),
        from = rooms.name,
    )
}

fn members_cursor(members: &Table, rooms: &Table) -> String {
    format!(
        "declare old_members no scroll cursor for
         select r.\"id\"::text as room_id, m.\"userId\"::text as user_id, {role} as role, {active} as is_active,
                {joined} as joined_at, {read} as last_read_at
         from {from} m join {rooms} r on r.\"id\" = m.\"roomId\" order by r.\"id\", m.\"userId\"",
        role = members.text("m", &["role"]),
        active = members.truth("m", "isActive", true),
        joined = members.time("m", "joinedAt"),
        read = members.time("m", "lastReadAt"),
        from = members.name,
        rooms = rooms.name,
    )
}

fn messages_cursor(messages: &Table, rooms: &Table, users: &Table, partners: &Table) -> String {
    let (name, picture) = name_and_picture(users, partners);
    let created = messages.time("m", "createdAt");
    // Of those that only say that they are, the time is not known better.
    let deleted = format!(
        "coalesce({}, case when {} or {} = 'DELETED' then {created} end)",
        messages.time("m", "deletedAt"),
        messages.truth("m", "isDeleted", false),
        messages.text("m", &["status"]),
    );
    format!(
        "declare old_messages no scroll cursor for
         select r.\"id\"::text as room_id, m.\"id\"::text as id, m.\"senderId\"::text as sender_id,
                coalesce({own_name}, {name}) as sender_name, coalesce({own_picture}, {picture}) as sender_avatar_url,
                m.\"content\"::text as content, {content_type} as content_type, {image} as image_url,
                {reply} as reply_to, coalesce({moderation} = 'REJECTED', false) as is_rejected,
                {created} as created_at, {edited} as edited_at, {deleted} as deleted_at
         from {from} m join {rooms} r on r.\"id\" = m.\"roomId\"
              left join {users} u on u.\"id\" = m.\"senderId\" {join}
         order by r.\"id\", m.\"createdAt\", m.\"id\"",
        own_name = messages.text("m", &["senderName"]),
        own_picture = messages.text("m", &["senderAvatarUrl"]),
        content_type = messages.text("m", &["contentType", "type"]),
        image = messages.text("m", &["imageUrl", "mediaUrl"]),
        reply = messages.text("m", &["replyToId", "replyTo"]),
        moderation = messages.text("m", &["moderationStatus"]),
        edited = format_args!(
            "coalesce({}, case when {} then {} end)",
            messages.time("m", "editedAt"),
            messages.truth("m", "isEdited", false),
            messages.time("m", "updatedAt"),
        ),
        from = messages.name,
        rooms = rooms.name,
        users = users.name,
        join = join_partner(partners, "u.\"id\""),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_name_whatever_it_holds() {
        assert_eq!(quoted("ChatRoom"), "\"ChatRoom\"");
        assert_eq!(quoted("chat.Room"), "\"chat\".\"Room\"");
        assert_eq!(quoted("a\"; drop table b; --"), "\"a\"\"; drop table b; --\"");
    }

    #[test]
    fn a_column_that_is_not_there_is_empty() {
        let table = Table { name: quoted("T"), columns: vec!["createdAt".to_owned(), "name".to_owned()] };
        assert_eq!(table.text("t", &["title", "name"]), "t.\"name\"::text");
        assert_eq!(table.text("t", &["title"]), "null::text");
        assert_eq!(table.time("t", "deletedAt"), "null::bigint");
        assert_eq!(table.truth("t", "isActive", true), "true");
    }
}
