//! `import`: a room from a file. The file is read to its end before anything is changed, and then put in by batches, each of
//! which is a transaction: cut off, it goes on by being run again.

use std::path::{Path, PathBuf};

use super::files::{self, Reader};
use super::lines::Line;
use super::progress::Progress;
use super::{Failure, Result, old, open, print};
use crate::config::{Config, ConfigError, ImportArgs};
use crate::error::Error;
use crate::model::UserId;
use crate::store::{Merged, RoomRecord, Store};

/// The rows of lines that are all of one kind.
macro_rules! rows {
    ($lines:expr, $kind:path) => {
        $lines.into_iter().filter_map(|line| if let $kind(row) = line { Some(row) } else { None }).collect::<Vec<_>>()
    };
}

/// Reads a file, or the old application's tables.
pub(super) async fn run(config: &Config, args: ImportArgs) -> Result<()> {
    match (args.old_database()?, &args.file) {
        (Some(url), None) => old::run(config, &args, url).await,
        (None, Some(path)) => from_file(config, path, args.batch as usize).await,
        _ => Err(ConfigError::new("FILE", "or --old-database-url is needed, and not both").into()),
    }
}

async fn from_file(config: &Config, path: &Path, batch: usize) -> Result<()> {
    let whole = files::check(path)?;
    let store = open(config).await?;
    let id = whole.room.id.clone();
    let begun = store.begin_import(whole.room.clone()).await.map_err(in_words)?;
    if begun.last_seq > 0 {
        eprintln!("{id} is here up to message {}; going on.", begun.last_seq);
    }
    let mut putting = Putting {
        path: path.to_owned(),
        store,
        room: whole.room,
        known_users: 0,
        merged: Merged::default(),
        progress: Progress::new("lines", whole.counts.lines()),
        after: None,
    };
    putting.put_all(batch).await?;
    putting.progress.end();
    let Merged { new, changed, same } = putting.merged;
    putting.store.close().await;
    print(&format!("{id} is imported: {}.", whole.counts))?;
    print(&format!("messages: {new} new + {changed} changed since + {same} here before = {}", new + changed + same))?;
    print(&format!("people: {} were not known here", putting.known_users))
}

/// What stands in the way, without the field's name, which is the command itself.
fn in_words(error: Error) -> Failure {
    match error {
        Error::Invalid { detail, .. } => Failure::failed(detail),
        other => other.into(),
    }
}

struct Putting {
    path: PathBuf,
    store: Store,
    room: RoomRecord,
    known_users: u64,
    merged: Merged,
    progress: Progress,
    /// The last member or banned person of the batch before.
    after: Option<UserId>,
}

impl Putting {
    async fn put_all(&mut self, most: usize) -> Result<()> {
        let mut reader = Reader::open(&self.path)?;
        let (mut batch, mut rank): (Vec<Line>, u8) = (Vec::new(), 0);
        while let Some(line) = reader.next()? {
            if line.rank() != rank {
                self.put(rank, std::mem::take(&mut batch), true).await?;
                self.after = None;
                // Of these, that there are none has a meaning, too.
                for skipped in rank + 1..line.rank() {
                    self.put(skipped, Vec::new(), true).await?;
                }
                rank = line.rank();
            } else if batch.len() == most {
                self.put(rank, std::mem::take(&mut batch), false).await?;
            }
            batch.push(line);
        }
        Ok(())
    }

    /// Puts in lines of one kind.
    async fn put(&mut self, rank: u8, lines: Vec<Line>, is_last: bool) -> Result<()> {
        let count = lines.len();
        let (store, room) = (&self.store, &self.room.id);
        match rank {
            2 => self.known_users += store.import_users(rows!(lines, Line::User)).await.map_err(in_words)?,
            3 => {
                let merged = store.import_messages(room, rows!(lines, Line::Message)).await.map_err(in_words)?;
                self.merged.new += merged.new;
                self.merged.changed += merged.changed;
                self.merged.same += merged.same;
            }
            4 => store.import_reactions(room, rows!(lines, Line::Reaction)).await.map_err(in_words)?,
            5 => store.import_cases(room, rows!(lines, Line::Case)).await.map_err(in_words)?,
            6 => {
                let bans = rows!(lines, Line::Ban);
                let last = bans.last().map(|ban| ban.user_id.clone());
                store.import_bans(room, self.after.take(), bans, is_last).await.map_err(in_words)?;
                self.after = last;
            }
            7 => {
                let members = rows!(lines, Line::Member);
                let last = members.last().map(|member| member.user_id.clone());
                let finish = is_last.then(|| self.room.clone());
                store.import_members(room, self.after.take(), members, finish).await.map_err(in_words)?;
                self.after = last;
            }
            _ => {}
        }
        self.progress.add(count);
        Ok(())
    }
}
