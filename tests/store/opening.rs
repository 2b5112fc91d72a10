//! What a store finds when it is opened: an older schema, one of another text, one that is another user's.

use sqlx::{Connection, SqliteConnection};
use tidings::store::{PageQuery, Settings, Store, migrate};

use super::{Stores, draft, new_room, settings, user};
use crate::support::{Database, Postgres, database_url};

/// Takes back what the second migration made.
const OLDER: &str = "drop table demo_key; delete from _sqlx_migrations where version = 2";
const OTHER_TEXT: &str = "update _sqlx_migrations set checksum = 'x' where version = 1";

fn only_looking(url: &str) -> Settings {
    Settings { auto_migrate: false, ..settings(url.to_owned()) }
}

/// What is said instead of opening it.
async fn refused(settings: &Settings) -> String {
    match Store::open(settings).await {
        Ok(_) => panic!("it was opened"),
        Err(error) => error.to_string(),
    }
}

#[track_caller]
fn assert_one_line(said: &str, part: &str) {
    assert!(said.starts_with("DATABASE_URL: ") && said.contains(part) && said.lines().count() == 1, "{said}");
}

/// An older database is named when one only looks, and brought up to date when one may; another's is left alone.
async fn assert_migrates(url: &str, run: impl AsyncFn(&'static str)) {
    assert_one_line(&refused(&only_looking(url)).await, "lacks the migration 0001_initial");
    migrate(&only_looking(url)).await.unwrap();
    Store::open(&only_looking(url)).await.unwrap().close().await;
    run(OLDER).await;
    assert_one_line(&refused(&only_looking(url)).await, "lacks the migration 0002_demo_key");
    let store = Store::open(&settings(url.to_owned())).await.unwrap();
    store.demo_key().await.unwrap();
    store.close().await;
    drop(store);
    run(OTHER_TEXT).await;
    for settings in [only_looking(url), settings(url.to_owned())] {
        assert_one_line(&refused(&settings).await, "another text of the migration 0001_initial");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_file_is_brought_up_to_date_and_one_of_another_text_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let url = database_url(&folder);
    let run = async |statements: &'static str| {
        let mut file = SqliteConnection::connect(&url).await.unwrap();
        sqlx::raw_sql(statements).execute(&mut file).await.unwrap();
        file.close().await.unwrap();
    };
    assert_migrates(&url, run).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_database_is_brought_up_to_date_and_one_of_another_text_is_left_alone() {
    let database = Database::create().await;
    let run = async |statements: &'static str| Postgres::shared().run_on(&database.name, statements).await;
    assert_migrates(&database.url(), run).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schema_of_its_own_is_made_and_kept_apart() {
    let database = Database::create().await;
    let inside = format!("{}&schema=My-chat&connection_limit=1&pool_timeout=5", database.url());
    let apart = Store::open(&settings(inside.clone())).await.unwrap();
    let beside = Store::open(&settings(database.url())).await.unwrap();
    assert_ne!(apart.history(), beside.history());
    let again = Store::open(&only_looking(&inside)).await.unwrap();
    assert_eq!(again.history(), apart.history());
    for store in [apart, beside, again] {
        store.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_who_may_only_read_and_write_rows_is_enough_where_the_schema_is_complete() {
    let database = Database::create().await;
    let (name, postgres) = (&database.name, Postgres::shared());
    migrate(&settings(database.url())).await.unwrap();
    let rights = format!(
        "create role plain_{name} login; grant select, insert, update, delete on all tables in schema public to plain_{name};
         alter role plain_{name} set default_transaction_isolation = 'serializable'"
    );
    postgres.run_on(name, &rights).await;
    let url = database.url().replace("//postgres@", &format!("//plain_{name}@"));
    let store = Store::open(&settings(url)).await.unwrap();
    let ann = store.ensure_user(&super::caller("ann")).await.unwrap().id;
    let (id, _) = store.create_room(&ann, new_room(tidings::model::RoomKind::Group)).await.unwrap();
    store.send(&id, &user("ann"), draft("hello"), None).await.unwrap();
    assert_eq!(store.page(&id, &ann, PageQuery::Newest, 10).await.unwrap().messages.len(), 2);
    store.close().await;
    postgres.run_on(name, &format!("drop owned by plain_{name}; drop role plain_{name}")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standby_is_refused_whatever_is_allowed() {
    let database = Database::create().await;
    let read_only = format!("alter database {} set default_transaction_read_only = on", database.name);
    Postgres::shared().run_on("postgres", &read_only).await;
    let lenient = Settings { allow_unsafe: true, ..settings(database.url()) };
    assert_one_line(&refused(&lenient).await, "read-only");
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_ended_while_they_lay_idle_are_replaced_unseen() {
    let stores = Stores::postgres().await;
    let [ann] = stores.users(["ann"]).await;
    let id = stores.group("r", std::slice::from_ref(&ann)).await;
    for n in 1..=3 {
        for instance in 0..2 {
            stores.at(instance).send(&id, &ann, draft("before"), None).await.unwrap();
            stores.at(instance).page(&id, &ann, PageQuery::Newest, 10).await.unwrap();
        }
        stores.end_connections().await;
        for instance in 0..2 {
            stores.at(instance).send(&id, &ann, draft("after"), None).await.unwrap();
            stores.at(instance).page(&id, &ann, PageQuery::Newest, 10).await.unwrap();
        }
        assert_eq!(stores.at(0).head(&id).await.unwrap().last_seq, 1 + 4 * n);
    }
    stores.close().await;
}
