//! Daily quotas: what they are, and what each person has used of one. A use is counted in the transaction of the send
//! that it is for, under the quota's own row lock, which is taken after the room's and before anything of the quota's:
//! so rooms of one quota wait for each other, and never in a circle.

use super::Store;
use super::database::{Connection, Row, Sql};
use super::rows::number;
use super::writer::Turn;
use crate::error::{Error, Result};
use crate::model::{Quota, QuotaName, QuotaUse, TimeZone, Timestamp, UserId};
use crate::telemetry;

/// Whose row is read here stays as it is until the transaction ends.
const LOCK_QUOTA: Sql = Sql {
    sqlite: "select name, per_day, time_zone from quota where name = $1",
    postgres: "select name, per_day, time_zone from quota where name = $1 for no key update",
};

impl Store {
    /// Makes a quota, or changes it. What people have used of it stays.
    pub async fn put_quota(&self, quota: Quota) -> Result<()> {
        self.writer
            .run(Turn::Free, move |tx| {
                Box::pin(async move {
                    tx.query(
                        "insert into quota (name, per_day, time_zone) values ($1, $2, $3)
                         on conflict (name) do update set per_day = excluded.per_day, time_zone = excluded.time_zone",
                    )
                    .bind(quota.name.as_str())
                    .bind(i64::from(quota.per_day))
                    .bind(quota.time_zone.name())
                    .execute()
                    .await
                    .map(drop)
                })
            })
            .await
    }

    /// All quotas, by name.
    pub async fn quotas(&self) -> Result<Vec<Quota>> {
        let mut connection = self.database.reading().await?;
        let rows = connection.query("select name, per_day, time_zone from quota order by name").fetch_all().await?;
        rows.iter().map(quota).collect()
    }

    /// Removes a quota that no room names, with what was used of it. One that is not there is removed already.
    pub async fn delete_quota(&self, name: &QuotaName) -> Result<()> {
        let name = name.clone();
        self.writer.run(Turn::Free, move |tx| Box::pin(delete(tx, name))).await
    }

    /// What a person has used of a quota today; nothing if there is no such quota any more.
    pub async fn quota_use(&self, name: &QuotaName, user: &UserId) -> Result<Option<QuotaUse>> {
        const USE: &str = "select q.name, q.per_day, q.time_zone, u.day, coalesce(u.used, 0) as used
             from quota q left join quota_use u on u.quota = q.name and u.user_id = $2 where q.name = $1";
        let mut connection = self.database.reading().await?;
        let row = connection.query(USE).bind(name.as_str()).bind(user.as_str()).fetch_optional().await?;
        let Some(row) = row else { return Ok(None) };
        let (quota, now) = (quota(&row)?, Timestamp::now());
        let day: Option<String> = row.try_get("day")?;
        let is_today = day.is_some_and(|day| day >= quota.time_zone.date(now));
        Ok(Some(quota.used(if is_today { number(&row, "used")? } else { 0 }, now)))
    }
}

async fn delete(tx: &mut Connection, name: QuotaName) -> Result<()> {
    const LOCK: Sql = Sql {
        sqlite: "select 1 from quota where name = $1",
        // Against rooms that are about to name it: they hold its key.
        postgres: "select 1 from quota where name = $1 for update",
    };
    tx.query(LOCK).bind(name.as_str()).execute().await?;
    let named = tx.query("select 1 from room where quota = $1 limit 1").bind(name.as_str()).fetch_optional().await?;
    if named.is_some() {
        return Err(Error::invalid("name", "rooms still name this quota; take it from them first"));
    }
    for statement in ["delete from quota_use where quota = $1", "delete from quota where name = $1"] {
        tx.query(statement).bind(name.as_str()).execute().await?;
    }
    Ok(())
}

fn quota(row: &Row) -> Result<Quota> {
    let zone: String = row.try_get("time_zone")?;
    let unknown = || Error::internal("reading a quota", format!("{zone} is no time zone that this version knows"));
    Ok(Quota {
        name: QuotaName::trusted(row.try_get("name")?),
        per_day: u32::try_from(number(row, "per_day")?).unwrap_or(u32::MAX),
        time_zone: TimeZone::parse(&zone).ok_or_else(unknown)?,
    })
}

/// Keeps a quota from being removed until the transaction ends, for a room that is about to name it.
pub(super) async fn hold(tx: &mut Connection, name: &str) -> Result<()> {
    const HOLD: Sql = Sql {
        sqlite: "select 1 from quota where name = $1",
        postgres: "select 1 from quota where name = $1 for key share",
    };
    let found = tx.query(HOLD).bind(name).fetch_optional().await?;
    found.map(drop).ok_or_else(|| Error::invalid("quota", format!("there is no quota of this name: {name}")))
}

/// Counts a message written at this time, or refuses it because the day's are used up.
pub(super) async fn take(tx: &mut Connection, name: &QuotaName, user: &UserId, at: Timestamp) -> Result<()> {
    // A row for each person, which the next day's first message begins anew. The day never goes back: of two instances
    // whose clocks differ, the one that is behind at midnight counts on.
    const TAKE: &str = "insert into quota_use (quota, user_id, day, used) values ($1, $2, $3, 1)
         on conflict (quota, user_id) do update set
             used = case when quota_use.day < excluded.day then 1 else quota_use.used + 1 end,
             day = case when quota_use.day < excluded.day then excluded.day else quota_use.day end
         where quota_use.day < excluded.day or quota_use.used < $4
         returning used";
    let row = tx.query(LOCK_QUOTA).bind(name.as_str()).fetch_one().await?;
    let quota = quota(&row)?;
    let query = tx.query(TAKE).bind(name.as_str()).bind(user.as_str()).bind(quota.time_zone.date(at));
    if query.bind(i64::from(quota.per_day)).fetch_optional().await?.is_some() {
        return Ok(());
    }
    let query = tx.query("select used from quota_use where quota = $1 and user_id = $2");
    let row = query.bind(name.as_str()).bind(user.as_str()).fetch_one().await?;
    let QuotaUse { used, limit, resets_at } = quota.used(number(&row, "used")?, at);
    telemetry::limit_hit("quota");
    Err(Error::QuotaExceeded { used, limit, resets_at: resets_at.to_string() })
}
