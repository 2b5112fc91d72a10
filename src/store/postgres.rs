//! PostgreSQL: any number of instances on one database. What is acknowledged was flushed there, which is looked at on
//! every start. Addresses are those of the driver, and those that Prisma writes.

use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgConnection, PgDatabaseError, PgPoolOptions, PgSeverity};
use sqlx::{ConnectOptions, Connection, Executor, Row};
use tokio::time::timeout;

use super::database::{Database, Pool};
use super::opening::{self, OpenError, Settings};

/// How long the first connection may take, unless the address says otherwise.
const CONNECT: Duration = Duration::from_secs(5);
/// A connection that lay idle for longer is tried before it reads.
const FRESH: Duration = Duration::from_millis(50);

pub(super) const MIGRATIONS: &[(i64, &str, &str)] = &[
    (1, "initial", include_str!("../../migrations/postgres/0001_initial.sql")),
    (2, "demo key", include_str!("../../migrations/postgres/0002_demo_key.sql")),
    (3, "statistics", include_str!("../../migrations/postgres/0003_statistics.sql")),
    (4, "access", include_str!("../../migrations/postgres/0004_access.sql")),
    (5, "moderation", include_str!("../../migrations/postgres/0005_moderation.sql")),
    (6, "system user", include_str!("../../migrations/postgres/0006_system_user.sql")),
    (7, "retention", include_str!("../../migrations/postgres/0007_retention.sql")),
];

/// Opens the database of a `postgres:` address.
pub(super) async fn open(settings: &Settings) -> Result<Database, OpenError> {
    let address = Address::parse(&settings.url)?;
    let place = address.place();
    let mut connection = address.connect().await?;
    check_durable(&mut connection, &place, settings.allow_unsafe).await?;
    prepare(&mut connection, &address, settings).await?;
    // It has served; that it may not end in good manners concerns nobody.
    drop(connection.close().await);
    let connections = address.connections.unwrap_or(settings.connections).max(2);
    let writing = connections.div_ceil(2);
    let options = address.session(settings.deadline);
    let pool = |connections| {
        let within = address.pool_timeout.map_or(settings.deadline, |within| within.min(settings.deadline));
        PgPoolOptions::new().max_connections(connections).acquire_timeout(within).test_before_acquire(false)
    };
    let pooled = |pool| Pool::Postgres { pool, keeps_statements: !address.pgbouncer };
    let readers =
        if address.pgbouncer { lent(pool(connections - writing)) } else { tried(pool(connections - writing)) };
    Ok(Database {
        readers: pooled(readers.connect_lazy_with(options.clone())),
        writers: pooled(pool(writing).connect_lazy_with(options)),
        writing,
        read_within: settings.deadline,
        write_within: settings.deadline,
    })
}

/// Connections that died while they lay idle are found out before they are used.
fn tried(pool: PgPoolOptions) -> PgPoolOptions {
    pool.before_acquire(|connection, meta| {
        Box::pin(async move {
            if meta.idle_for > FRESH {
                connection.ping().await?;
            }
            Ok(true)
        })
    })
}

/// Behind `PgBouncer` a connection is lent for a transaction, and to prepare and to run a statement are two steps: each
/// reader is in a transaction, which also tries it out.
fn lent(pool: PgPoolOptions) -> PgPoolOptions {
    pool.after_connect(|connection, _| Box::pin(async move { connection.execute("begin").await.map(drop) }))
        .before_acquire(|connection, _| Box::pin(async move { connection.execute("begin").await.map(|_| true) }))
        .after_release(|connection, _| Box::pin(async move { connection.execute("rollback").await.map(|_| true) }))
}

/// Whether the connection is of no more use: the server ends it, or became a standby.
pub(super) fn is_fatal(error: &PgDatabaseError) -> bool {
    matches!(error.severity(), PgSeverity::Fatal | PgSeverity::Panic) || error.code() == "25006"
}

/// Whether the failure may pass by itself: the server is going, coming, full or not to be written to; a lock or the
/// statement took too long; two transactions waited for each other; or the user is not let in at the moment.
/// <https://www.postgresql.org/docs/current/errcodes-appendix.html>
pub(super) fn is_passing(error: &PgDatabaseError) -> bool {
    let code = error.code();
    let class = code.get(..2).unwrap_or_default();
    matches!(class, "08" | "28" | "3D" | "53" | "57" | "58")
        || matches!(code, "25006" | "25P03" | "40001" | "40P01" | "55P03")
}

/// Where the database is, and how its address says to use it.
#[derive(Debug, Clone)]
pub(super) struct Address {
    pub(super) options: PgConnectOptions,
    schema: Option<String>,
    pub(super) pgbouncer: bool,
    pub(super) connections: Option<u32>,
    pool_timeout: Option<Duration>,
    connect_timeout: Duration,
}

impl Address {
    /// Reads an address. What only Prisma knows is taken out of it and done here; what nobody knows is left out.
    pub(super) fn parse(url: &str) -> Result<Self, OpenError> {
        let (base, query) = url.split_once('?').unwrap_or((url, ""));
        let (mut schema, mut pgbouncer, mut connections) = (None, false, None);
        let (mut pool_timeout, mut connect_timeout) = (None, CONNECT);
        let mut rest = Vec::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            let seconds = || number(key, value).map(|seconds| Some(Duration::from_secs(seconds.into())));
            match key {
                "schema" => schema = Some(schema_name(value)?),
                "pgbouncer" => pgbouncer = value == "true",
                "connection_limit" => connections = Some(number(key, value)?),
                // Of both, Prisma takes 0 for no limit; here every wait has one.
                "pool_timeout" => pool_timeout = seconds()?.filter(|timeout| !timeout.is_zero()),
                "connect_timeout" => connect_timeout = seconds()?.filter(|t| !t.is_zero()).unwrap_or(CONNECT),
                _ if is_known(key) => rest.push(pair),
                _ => {}
            }
        }
        let driver = format!("{base}?{}", rest.join("&"));
        let options = driver.parse::<PgConnectOptions>().map_err(|error| {
            // The driver's own words may hold parts of the address, and so of the password.
            let what = match error {
                sqlx::Error::Configuration(error) => error.to_string(),
                _ => "it is no address".to_owned(),
            };
            OpenError::Address(format!("is no address of PostgreSQL, such as postgres://user@host:5432/name: {what}"))
        })?;
        let mut options = options.application_name("tidings").disable_statement_logging();
        if pgbouncer {
            options = options.statement_cache_capacity(0);
        }
        if let Some(schema) = &schema {
            options = options.options([("search_path", format!("\"{schema}\""))]);
        }
        Ok(Self { options, schema, pgbouncer, connections, pool_timeout, connect_timeout })
    }

    /// Where it is, without the password.
    pub(super) fn place(&self) -> String {
        let o = &self.options;
        let (user, name) = (o.get_username(), o.get_database().unwrap_or(o.get_username()));
        match o.get_socket() {
            Some(socket) => format!("postgres://{user}@{}/{name}", socket.display()),
            None => format!("postgres://{user}@{}:{}/{name}", o.get_host(), o.get_port()),
        }
    }

    /// The options of a session that serves. Should this instance vanish, the server ends by itself what it left
    /// behind, and with it the lock of a room.
    fn session(&self, deadline: Duration) -> PgConnectOptions {
        if self.pgbouncer {
            // It ends a transaction whose client is gone, and takes no settings for a session.
            return self.options.clone();
        }
        let within = deadline.as_millis();
        self.options.clone().options([
            ("statement_timeout", within.to_string()),
            ("lock_timeout", within.to_string()),
            ("idle_in_transaction_session_timeout", (2 * within).to_string()),
            // Plans are kept. One made while a table was empty would read all of it, more of it with every message,
            // until the next ANALYZE; each of our statements has an index.
            ("enable_seqscan", "off".to_owned()),
            // To compile a plan takes longer than any of them runs.
            ("jit", "off".to_owned()),
        ])
    }

    pub(super) async fn connect(&self) -> Result<PgConnection, OpenError> {
        let place = self.place();
        match timeout(self.connect_timeout, self.options.connect()).await {
            Ok(Ok(connection)) => Ok(connection),
            Ok(Err(sqlx::Error::Database(error))) => {
                Err(OpenError::Refused { place, detail: error.message().to_owned() })
            }
            Ok(Err(error)) => Err(OpenError::Unreachable { place, detail: error.to_string() }),
            Err(_) => {
                let detail = format!("no answer within {} s", self.connect_timeout.as_secs());
                Err(OpenError::Unreachable { place, detail })
            }
        }
    }
}

fn number(key: &str, value: &str) -> Result<u32, OpenError> {
    value.parse().map_err(|_| OpenError::Address(format!("{key}={value}: a whole number is needed")))
}

/// The name of a schema, which goes into a statement, and so is held to what needs no escaping.
fn schema_name(value: &str) -> Result<String, OpenError> {
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    if (1..=63).contains(&value.len()) && value.chars().all(good) {
        Ok(value.to_owned())
    } else {
        Err(OpenError::Address(format!("schema={value}: 1 to 63 of the characters A-Z a-z 0-9 _ -")))
    }
}

/// Whether the driver knows this parameter.
fn is_known(key: &str) -> bool {
    const KNOWN: &[&str] = &[
        "sslmode",
        "ssl-mode",
        "sslrootcert",
        "ssl-root-cert",
        "ssl-ca",
        "sslcert",
        "ssl-cert",
        "sslkey",
        "ssl-key",
        "statement-cache-capacity",
        "host",
        "hostaddr",
        "port",
        "dbname",
        "user",
        "password",
        "options",
    ];
    KNOWN.contains(&key) || key.starts_with("options[") || key.starts_with("options%5B")
}

/// Looks at what the server does with what it says is committed: a crash would show it too late.
async fn check_durable(connection: &mut PgConnection, place: &str, allow_unsafe: bool) -> Result<(), OpenError> {
    let unusable = |source| OpenError::Unusable { place: place.to_owned(), source };
    let asked = connection.fetch_one(
        "select pg_is_in_recovery() or current_setting('transaction_read_only') = 'on' as read_only,
                concat_ws(' and ',
                    case current_setting('synchronous_commit') when 'off' then 'synchronous_commit=off' end,
                    case current_setting('fsync') when 'off' then 'fsync=off' end,
                    case current_setting('full_page_writes') when 'off' then 'full_page_writes=off' end) as loose",
    );
    let row = asked.await.map_err(unusable)?;
    if row.try_get("read_only").map_err(unusable)? {
        let detail = "it is read-only, as a standby is; the address must lead to the primary".to_owned();
        return Err(OpenError::Refused { place: place.to_owned(), detail });
    }
    let setting: String = row.try_get("loose").map_err(unusable)?;
    match (setting.is_empty(), allow_unsafe) {
        (true, _) => Ok(()),
        (false, true) => {
            tracing::warn!(
                setting,
                "the database can lose acknowledged messages; UNSAFE_DATABASE=on says that is meant"
            );
            Ok(())
        }
        (false, false) => Err(OpenError::Unsafe { place: place.to_owned(), setting }),
    }
}

/// Brings the schema up to date, or looks whether it is.
async fn prepare(connection: &mut PgConnection, address: &Address, settings: &Settings) -> Result<(), OpenError> {
    let place = address.place();
    let mut migrator = opening::migrator(MIGRATIONS);
    let Some(missing) = opening::missing(&mut *connection, &migrator, &place).await? else { return Ok(()) };
    if let Some(schema) = &address.schema {
        let found = sqlx::query("select 1 from pg_namespace where nspname = $1").bind(schema);
        let found = found.fetch_optional(&mut *connection).await;
        // To make one takes a right that is not needed where it is there.
        if found.map_err(|source| OpenError::Unusable { place: place.clone(), source })?.is_none() {
            migrator.create_schema(format!("\"{schema}\""));
        }
    }
    if address.pgbouncer {
        // The lock would belong to a session, which is not ours there; nor are statements that others left in it.
        migrator.set_locking(false);
        let emptied = connection.execute("deallocate all").await;
        emptied.map_err(|source| OpenError::Unusable { place: place.clone(), source })?;
    }
    opening::migrate(connection, &migrator, &missing, settings, &place).await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(url: &str) -> Address {
        Address::parse(url).unwrap_or_else(|error| panic!("{url}: {error}"))
    }

    #[test]
    fn an_address_of_prisma_means_what_it_means_there() {
        let plain = address("postgresql://ann:secret@db.example:6000/chat");
        assert_eq!(plain.place(), "postgres://ann@db.example:6000/chat");
        assert!(!plain.pgbouncer && plain.schema.is_none() && plain.connections.is_none());
        assert_eq!(plain.options.get_application_name(), Some("tidings"));
        let full = address(
            "postgres://ann@db/chat?schema=My_chat&pgbouncer=true&connection_limit=7&pool_timeout=3\
             &connect_timeout=9&sslmode=require&socket_timeout=4&statement_cache_size=0&sslaccept=strict",
        );
        assert_eq!(full.schema.as_deref(), Some("My_chat"));
        assert_eq!(full.options.get_options(), Some("-c search_path=\"My_chat\""));
        assert!(full.pgbouncer && full.connections == Some(7));
        assert_eq!((full.pool_timeout, full.connect_timeout), (Some(Duration::from_secs(3)), Duration::from_secs(9)));
        assert!(matches!(full.options.get_ssl_mode(), sqlx::postgres::PgSslMode::Require));
        let unlimited = address("postgres://ann@db/chat?pool_timeout=0&connect_timeout=0&pgbouncer=false");
        assert_eq!((unlimited.pool_timeout, unlimited.connect_timeout), (None, CONNECT));
        assert!(!unlimited.pgbouncer);
        let socket = address("postgres:///chat?host=/run/postgresql&user=ann&schema=a");
        assert_eq!(socket.place(), "postgres://ann@/run/postgresql/chat");
    }

    #[test]
    fn a_session_gives_up_by_itself_except_behind_a_proxy_that_takes_no_settings() {
        let session = |url| address(url).session(Duration::from_millis(1500)).get_options().map(str::to_owned);
        let options = session("postgres://db/chat").unwrap_or_default();
        assert!(options.contains("statement_timeout=1500") && options.contains("lock_timeout=1500"), "{options}");
        assert!(options.contains("idle_in_transaction_session_timeout=3000"), "{options}");
        assert_eq!(session("postgres://db/chat?pgbouncer=true"), None);
    }

    #[test]
    fn a_bad_address_is_named_and_its_password_is_not() {
        for (url, named) in [
            ("postgres://ann:secret@db/chat?schema=a%22b", "schema"),
            ("postgres://ann:secret@db/chat?schema=", "schema"),
            ("postgres://ann:secret@db/chat?connection_limit=many", "connection_limit"),
            ("postgres://ann:secret@db/chat?pool_timeout=-1", "pool_timeout"),
            ("postgres://ann:secret@db:port/chat", "DATABASE_URL"),
            ("postgres://ann:secret@db/chat?sslmode=perhaps", "DATABASE_URL"),
        ] {
            let error = Address::parse(url).expect_err(url).to_string();
            assert!(error.starts_with("DATABASE_URL: ") && error.contains(named), "{error}");
            assert!(!error.contains("secret") && error.lines().count() == 1, "{error}");
        }
    }
}
