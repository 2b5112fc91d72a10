//! The log of access: who is revoked, suspended, disconnected or changed, in the order of the commits. Instances read
//! it from a cursor. Of each kind and subject only the newest change is kept, and only for as long as it means anything.

use super::Store;
use super::database::Connection;
use super::rows::{number, sql};
use super::writer::Turn;
use crate::error::Result;
use crate::model::{AccessChange, NumberedChange, Timestamp};

impl Store {
    /// Writes a change that counts until then.
    pub async fn change_access(&self, change: AccessChange, until: Timestamp) -> Result<()> {
        self.writer.run(Turn::Free, move |tx| Box::pin(async move { append(tx, &change, until).await })).await
    }

    /// The last number of the log, and the changes after `cursor` that still count, by number.
    pub async fn access_since(&self, cursor: u64) -> Result<(u64, Vec<NumberedChange>)> {
        let mut connection = self.database.reading().await?;
        // One statement, so that the last number and the changes are of one snapshot.
        let query = connection.query(
            "select h.number as last, c.number, c.kind, c.subject, c.value, c.until
             from access_head h left join access_change c on c.number > $1 and c.until > $2
             where h.only_one = 1 order by c.number",
        );
        let rows = query.bind(sql(cursor)).bind(Timestamp::now().0).fetch_all().await?;
        let last = rows.first().map_or(Ok(0), |row| number(row, "last"))?;
        let mut changes = Vec::with_capacity(rows.len());
        for row in &rows {
            let Some(kind) = row.try_get::<Option<String>>("kind")? else { continue };
            let Some(change) = AccessChange::from_columns(&kind, row.try_get("subject")?, row.try_get("value")?) else {
                tracing::warn!(kind, "a later version has written a change of access that this one does not know");
                continue;
            };
            changes.push(NumberedChange {
                number: number(row, "number")?,
                change,
                until: Timestamp(row.try_get("until")?),
            });
        }
        Ok((last, changes))
    }
}

/// Appends a change in the transaction of what it tells of. What is revoked stays so for as long as was ever said. Locks the log: to be called after all other locks are taken.
pub(super) async fn append(tx: &mut Connection, change: &AccessChange, until: Timestamp) -> Result<()> {
    let head = tx.query("update access_head set number = number + 1 where only_one = 1 returning number");
    let next = number(&head.fetch_one().await?, "number")?;
    tx.query("delete from access_change where until < $1").bind(Timestamp::now().0).execute().await?;
    let (kind, subject, value) = change.columns();
    tx.query(
        "insert into access_change (number, kind, subject, value, until) values ($1, $2, $3, $4, $5)
         on conflict (kind, subject) do update set
             number = excluded.number,
             value = case when excluded.kind = 'before' and access_change.value > excluded.value
                          then access_change.value else excluded.value end,
             until = case when access_change.until > excluded.until then access_change.until else excluded.until end",
    )
    .bind(sql(next))
    .bind(kind)
    .bind(subject)
    .bind(value)
    .bind(until.0)
    .execute()
    .await
    .map(drop)
}
