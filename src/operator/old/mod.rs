//! `import` from the old application's tables: one pass over each of them, room by room, in batches. What is here already
//! is left, so it may be cut off and run again, and run again later. Every row is accounted for.

mod table;
mod values;

use std::collections::BTreeMap;

use crate::config::{Config, ConfigError, ImportArgs};
use crate::model::{RoomId, RoomKind};
use crate::operator::progress::Progress;
use crate::operator::{Failure, Result, open, print};
use crate::store::{OldRoom, OldSource, Part, Positions, Store};
use table::Tally;

/// People in one transaction.
const USERS: usize = 1000;
/// The tables that may have another name.
const MODELS: [&str; 5] = ["ChatRoom", "ChatMessage", "ChatRoomMember", "User", "Partner"];

/// Reads the tables.
pub(super) async fn run(config: &Config, args: &ImportArgs, url: String) -> Result<()> {
    if !["postgres://", "postgresql://"].iter().any(|scheme| url.starts_with(scheme)) {
        return Err(ConfigError::new("OLD_DATABASE_URL", "begins with postgres:// or postgresql://").into());
    }
    let renamed = renamed(&args.old_tables)?;
    // Its faults are told as those of our own database are, whose setting ends alike.
    let mut source = OldSource::open(&url, &renamed).await.map_err(|error| Failure::failed(format!("OLD_{error}")))?;
    let store = open(config).await?;
    eprintln!("Reading {}.", source.place());
    let mut import = Import { store, tally: Tally::new(source.counts), batch: args.batch as usize };
    import.users(&mut source).await?;
    import.rooms(&mut source).await?;
    source.close().await;
    import.store.close().await;
    for line in import.tally.lines() {
        print(&line)?;
    }
    if import.tally.adds_up() {
        Ok(())
    } else {
        Err(Failure::failed("The counts do not add up: rows are neither imported nor accounted for."))
    }
}

/// What tables are called, by the model.
fn renamed(given: &[String]) -> Result<BTreeMap<String, String>, ConfigError> {
    let wrong = |detail: String| ConfigError::new("OLD_TABLES", detail);
    let mut renamed = BTreeMap::new();
    for pair in given {
        let (model, table) = pair
            .split_once('=')
            .filter(|(_, table)| !table.is_empty())
            .ok_or_else(|| wrong(format!("{pair:?} is not MODEL=TABLE, such as ChatRoom=chat_rooms")))?;
        if !MODELS.contains(&model) {
            return Err(wrong(format!("there is no model {model:?}, but {}", MODELS.join(", "))));
        }
        renamed.insert(model.to_owned(), table.to_owned());
    }
    Ok(renamed)
}

struct Import {
    store: Store,
    tally: Tally,
    batch: usize,
}

impl Import {
    async fn users(&mut self, source: &mut OldSource) -> Result<()> {
        let mut progress = Progress::new("people", source.counts.users);
        let mut batch = Vec::with_capacity(USERS);
        loop {
            let next = source.next_user().await?;
            let is_end = next.is_none();
            if let Some(user) = next {
                match values::user(user) {
                    Some(user) => batch.push(user),
                    None => self.tally.users.unusable += 1,
                }
            }
            if batch.len() == USERS || (is_end && !batch.is_empty()) {
                let people = batch.len();
                let new = self.store.adopt_users(std::mem::take(&mut batch)).await?;
                self.tally.users.new += new;
                self.tally.users.here += people as u64 - new;
                progress.add(people);
            }
            if is_end {
                progress.end();
                return Ok(());
            }
        }
    }

    async fn rooms(&mut self, source: &mut OldSource) -> Result<()> {
        let mut progress = Progress::new("messages", source.counts.messages);
        while let Some(room) = source.next_room().await? {
            match room.id.parse::<RoomId>() {
                Ok(id) => self.room(source, room, id, &mut progress).await?,
                Err(_) => self.skip_room(source, &room.id).await?,
            }
        }
        progress.end();
        Ok(())
    }

    /// A room whose id cannot be one here.
    async fn skip_room(&mut self, source: &mut OldSource, id: &str) -> Result<()> {
        self.tally.rooms.unusable += 1;
        while source.next_member(id).await?.is_some() {
            self.tally.members.unusable += 1;
        }
        while source.next_message(id).await?.is_some() {
            self.tally.messages.unusable += 1;
        }
        eprintln!("The room {id:?} is left out: {}", crate::model::id::ID_RULE);
        Ok(())
    }

    async fn room(&mut self, source: &mut OldSource, old: OldRoom, id: RoomId, progress: &mut Progress) -> Result<()> {
        let old_id = old.id.clone();
        let mut members = Vec::new();
        while let Some(member) = source.next_member(&old_id).await? {
            match values::member(&member) {
                Some(member) => members.push(member),
                None => self.tally.members.unusable += 1,
            }
        }
        let room = values::room(old, id, &members);
        let mut part = Part {
            room,
            messages: Vec::new(),
            rejected: Vec::new(),
            positions: Positions::new(members),
            is_last: false,
        };
        let mut is_new_room = false;
        loop {
            let next = source.next_message(&old_id).await?;
            let is_end = next.is_none();
            match next.map(values::message) {
                Some(values::Taken::Message(message)) => part.messages.push(*message),
                Some(values::Taken::Rejected(id)) => {
                    self.tally.messages.rejected += 1;
                    part.rejected.extend(id);
                }
                Some(values::Taken::Unusable) => self.tally.messages.unusable += 1,
                None => {}
            }
            if is_end || part.messages.len() + part.rejected.len() == self.batch {
                progress.add(part.messages.len());
                let next = Part {
                    room: part.room.clone(),
                    messages: Vec::new(),
                    rejected: Vec::new(),
                    positions: Positions::default(),
                    is_last: false,
                };
                let adopted = self.store.adopt(Part { is_last: is_end, ..part }).await?;
                is_new_room |= adopted.is_new_room;
                self.tally.add(&adopted);
                part = Part { positions: adopted.positions, ..next };
                if is_end {
                    self.count_room(is_new_room, part.room.kind, adopted.kind);
                    return Ok(());
                }
            }
        }
    }

    fn count_room(&mut self, is_new: bool, wanted: RoomKind, kind: Option<RoomKind>) {
        if is_new {
            self.tally.rooms.new += 1;
        } else {
            self.tally.rooms.here += 1;
        }
        if is_new && wanted == RoomKind::Direct && kind == Some(RoomKind::Group) {
            self.tally.second_pairs += 1;
        }
    }
}
