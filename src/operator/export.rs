//! `export`: a room as a file. It is read in pages of one snapshot and written as they come, so that a room may be larger
//! than memory. A file with the name that was asked for is whole: until then it has another.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use super::lines::{Counts, FORMAT, Header, Line, VERSION};
use super::progress::Progress;
use super::{Failure, Result, open};
use crate::config::{Config, ConfigError, ExportArgs};
use crate::error::Error;
use crate::model::{RoomId, Timestamp};
use crate::store::Export;

/// Rows read at once.
const PAGE: u32 = 1000;

/// Writes pages of rows, each page after the last row of the one before, until one is empty.
macro_rules! pages {
    ($lines:ident, $export:ident.$method:ident => $line:path) => {{
        let mut page = $export.$method(None, PAGE).await?;
        while let Some(last) = page.last().cloned() {
            for row in page {
                $lines.write(&$line(row))?;
            }
            page = $export.$method(Some(&last), PAGE).await?;
        }
    }};
}
/// Writes the room.
pub(super) async fn run(config: &Config, args: ExportArgs) -> Result<()> {
    let room: RoomId = args.room.parse().map_err(|rule: &str| ConfigError::new("ROOM", rule))?;
    if let Some(path) = args.output.as_deref().filter(|path| path.exists()) {
        return Err(ConfigError::new("--output", format!("{} is there already", path.display())).into());
    }
    let store = open(config).await?;
    let export = store.export(&room).await.map_err(|error| match error {
        Error::RoomNotFound => Failure::failed(format!("there is no room {room}")),
        other => other.into(),
    })?;
    let counts = match &args.output {
        None => write(export, BufWriter::new(std::io::stdout())).await?,
        Some(path) => to_file(export, path).await?,
    };
    store.close().await;
    eprintln!("{room} is exported: {counts}.");
    Ok(())
}

async fn to_file(export: Export, path: &Path) -> Result<Counts> {
    let mut partial = path.as_os_str().to_owned();
    partial.push(".partial");
    let partial = PathBuf::from(partial);
    let file = File::create(&partial).map_err(|error| Failure::of_file(&partial, &error))?;
    let counts = write(export, BufWriter::new(&file)).await?;
    let kept = file.sync_all().and_then(|()| std::fs::rename(&partial, path));
    kept.map_err(|error| Failure::of_file(path, &error))?;
    Ok(counts)
}

async fn write(mut export: Export, output: impl Write) -> Result<Counts> {
    let mut lines = Lines { output, counts: Counts::default() };
    let header = Header {
        format: FORMAT.to_owned(),
        version: VERSION,
        history: export.history.clone(),
        exported_at: Timestamp::now(),
    };
    lines.write(&Line::Export(header))?;
    lines.write(&Line::Room(export.record.clone()))?;
    pages!(lines, export.users => Line::User);
    let mut progress = Progress::new("messages", export.record.last_seq);
    let mut last = 0;
    loop {
        let page = export.messages(last, PAGE).await?;
        let Some(end) = page.last().map(|message| message.seq) else { break };
        progress.add(page.len());
        last = end;
        for message in page {
            lines.write(&Line::Message(message))?;
        }
    }
    progress.end();
    pages!(lines, export.reactions => Line::Reaction);
    pages!(lines, export.cases => Line::Case);
    pages!(lines, export.bans => Line::Ban);
    pages!(lines, export.members => Line::Member);
    let counts = lines.counts;
    lines.write(&Line::End(counts))?;
    lines.output.flush().map_err(|error| Failure::failed(format!("writing the room: {error}")))?;
    export.close().await?;
    Ok(counts)
}

struct Lines<W> {
    output: W,
    counts: Counts,
}

impl<W: Write> Lines<W> {
    fn write(&mut self, line: &Line) -> Result<()> {
        self.counts.add(line);
        let mut text = serde_json::to_string(line).map_err(|e| Failure::failed(format!("encoding a line: {e}")))?;
        text.push('\n');
        self.output.write_all(text.as_bytes()).map_err(|error| Failure::failed(format!("writing the room: {error}")))
    }
}
