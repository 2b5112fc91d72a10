//! The database: whether it keeps what it acknowledges, has this version's schema with all of its indexes, and room for
//! the instances.

use super::{Report, check_clock};
use crate::config::{Config, Switch};
use crate::server;
use crate::store::{self, Inspection, OpenError, PostgresFacts, SchemaFacts, SqliteFacts};

const AREA: &str = "database";
/// The oldest version that works.
const OLDEST: i32 = 120_000;
/// The oldest that is still repaired by its makers.
const MAINTAINED: i32 = 140_000;

pub(super) async fn check(config: &Config, report: &mut Report) {
    // An address that does not work has failed among the settings.
    let Ok(settings) = server::store_settings(config) else { return };
    match store::inspect(&settings).await {
        Ok(Inspection::Sqlite(facts)) => check_sqlite(report, &facts, config.auto_migrate),
        Ok(Inspection::Postgres(facts)) => {
            check_server(report, &facts);
            check_safe(report, &facts, config.unsafe_database);
            check_connections(report, &facts);
            check_clock(report, AREA, facts.clock_ahead);
            check_schema(report, &facts.schema, config.auto_migrate);
            check_rights(report, &facts);
        }
        Err(error) => report.fail(AREA, error.to_string(), advice(&error)),
    }
}

fn advice(error: &OpenError) -> &'static str {
    match error {
        OpenError::Address(_) => "write it as sqlite:./data/tidings.db or postgres://user:password@host:5432/name",
        OpenError::Unreachable { .. } => {
            "is it running, is the address right, does a firewall let this machine through?"
        }
        OpenError::Refused { .. } => "look at user, password and name in DATABASE_URL, and at pg_hba.conf",
        OpenError::Schema { .. } => "run the version of Tidings that made this schema, or a newer one",
        _ => "restore the database from a backup, if it cannot be read",
    }
}

fn check_server(report: &mut Report, facts: &PostgresFacts) {
    let at = format!("PostgreSQL {} at {}", facts.version_text, facts.place);
    match facts.version {
        version if version < OLDEST => report.fail(AREA, at, "PostgreSQL 12 or newer is needed, 14 or newer is tested"),
        version if version < MAINTAINED => report.warn(AREA, at, "this version gets no more repairs; upgrade it"),
        _ => report.ok(AREA, at),
    }
    if facts.is_read_only {
        report.fail(AREA, "it is read-only, as a standby is", "DATABASE_URL must lead to the primary");
    }
    if facts.encoding != "UTF8" {
        let what = format!("it keeps texts as {}", facts.encoding);
        report.fail(AREA, what, "make a database with encoding UTF8; others refuse what people write");
    }
}

fn check_safe(report: &mut Report, facts: &PostgresFacts, is_meant: Switch) {
    let advice = "turn it on in postgresql.conf, or with `alter database … set synchronous_commit = on`";
    for setting in &facts.loose {
        let what = format!("{setting}: acknowledged messages can be lost");
        match is_meant {
            Switch::On => report.warn(AREA, what, advice),
            Switch::Off => report.fail(AREA, what, advice),
        }
    }
    if facts.loose.is_empty() {
        report.ok(AREA, "fsync, full_page_writes and synchronous_commit are on");
    }
}

fn check_connections(report: &mut Report, facts: &PostgresFacts) {
    let (room, wanted) = (facts.connections, i64::from(facts.wanted));
    let instances = room / wanted.max(1);
    let what = format!("{room} connections for users, {} open now, {wanted} for an instance", facts.connected);
    let advice = "raise max_connections or lower DATABASE_CONNECTIONS; while rolling there is one instance more";
    match instances {
        ..1 => report.fail(AREA, format!("{what}: not enough for one"), advice),
        1 => report.warn(AREA, format!("{what}: enough for one, without a rolling restart"), advice),
        _ => report.ok(AREA, format!("{what}: enough for {instances} instances, the one more while rolling included")),
    }
}

fn check_schema(report: &mut Report, schema: &SchemaFacts, auto_migrate: Switch) {
    match (&schema.missing, auto_migrate) {
        (None, _) if schema.bad_indexes.is_empty() => {
            report.ok(AREA, format!("the schema is this version's, with its {} indexes", schema.indexes));
        }
        (None, _) => {
            report.ok(AREA, "the schema is this version's");
            let indexes = schema.bad_indexes.join(", ");
            let what = format!("indexes that are missing or invalid: {indexes}");
            report.fail(
                AREA,
                what,
                "an invalid one: `reindex index NAME`; a missing one: make it as the migration does",
            );
        }
        (Some(_), Switch::On) if schema.is_empty => report.ok(AREA, "it is empty; the first start makes the schema"),
        (Some(migration), Switch::On) => report.warn(
            AREA,
            format!("the schema lacks the migration {migration}"),
            "the next start brings it up to date, or `tidings migrate` before it",
        ),
        (Some(migration), Switch::Off) => {
            report.fail(AREA, format!("the schema lacks the migration {migration}"), "run `tidings migrate`");
        }
    }
}

fn check_rights(report: &mut Report, facts: &PostgresFacts) {
    if facts.forbidden.is_empty() {
        return;
    }
    let what = format!("this user may not read and write {}", facts.forbidden.join(", "));
    report.fail(AREA, what, "grant select, insert, update, delete on all tables in schema … to …");
}

fn check_sqlite(report: &mut Report, facts: &SqliteFacts, auto_migrate: Switch) {
    let path = facts.path.display();
    let Some(schema) = &facts.schema else {
        report.ok(AREA, format!("{path} is not there yet; the first start makes it"));
        return;
    };
    let used = if facts.in_use { ", in use by a running Tidings" } else { "" };
    report.ok(AREA, format!("SQLite {} in {path}{used}", facts.version));
    if facts.is_shared {
        report.warn(AREA, "other users of this machine can read what was written", format!("chmod 600 {path}*"));
    }
    if facts.journal != "wal" && !schema.is_empty {
        report.warn(AREA, format!("its journal is {}, not wal", facts.journal), "the next start sets it");
    }
    check_schema(report, schema, auto_migrate);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operator::check::State;

    fn facts() -> PostgresFacts {
        let schema = SchemaFacts { missing: None, is_empty: false, bad_indexes: Vec::new(), indexes: 8 };
        PostgresFacts {
            place: "postgres://ann@db/chat".to_owned(),
            version: 160_004,
            version_text: "16.4".to_owned(),
            is_read_only: false,
            encoding: "UTF8".to_owned(),
            loose: Vec::new(),
            connections: 97,
            connected: 3,
            wanted: 16,
            clock_ahead: 0,
            schema,
            forbidden: Vec::new(),
        }
    }

    /// How bad the worst of what is found is.
    fn worst(look: impl FnOnce(&mut Report)) -> State {
        let mut report = Report::default();
        look(&mut report);
        let is_there = |state| report.count(state) > 0;
        if is_there(State::Failed) {
            State::Failed
        } else if is_there(State::Warning) {
            State::Warning
        } else {
            State::Ok
        }
    }

    #[test]
    fn a_server_is_judged_by_its_version_and_encoding() {
        let judged = |version, encoding: &str| {
            let facts = PostgresFacts { version, encoding: encoding.to_owned(), ..facts() };
            worst(|report| check_server(report, &facts))
        };
        assert_eq!(judged(160_004, "UTF8"), State::Ok);
        assert_eq!(judged(130_010, "UTF8"), State::Warning);
        assert_eq!(judged(110_022, "UTF8"), State::Failed);
        assert_eq!(judged(160_004, "SQL_ASCII"), State::Failed);
    }

    #[test]
    fn connections_are_for_two_instances_at_least() {
        let judged = |connections| {
            let facts = PostgresFacts { connections, ..facts() };
            worst(|report| check_connections(report, &facts))
        };
        assert_eq!((judged(97), judged(31), judged(15)), (State::Ok, State::Warning, State::Failed));
    }

    #[test]
    fn what_can_be_lost_has_failed_unless_it_is_meant() {
        let facts = PostgresFacts { loose: vec!["fsync=off".to_owned()], ..facts() };
        assert_eq!(worst(|report| check_safe(report, &facts, Switch::Off)), State::Failed);
        assert_eq!(worst(|report| check_safe(report, &facts, Switch::On)), State::Warning);
    }
}
