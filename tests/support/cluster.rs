//! Several instances on one database and one Redis, each with proxies of its own in front of both. One such cluster
//! at a time: what breaks in one test would disturb the figures of another.

use std::sync::atomic::{AtomicU32, Ordering};

use sqlx::{Connection, PgConnection};
use tokio::sync::{Mutex, MutexGuard};

use super::services::{Postgres, Redis};
use super::{Api, Instance, Proxy};

/// The servers beneath. PostgreSQL stays from test to test, Redis is new in each.
pub(crate) struct Ground {
    pub(crate) postgres: Postgres,
    pub(crate) redis: Redis,
}

/// How a cluster is to be.
#[derive(Clone, Copy)]
pub(crate) struct Plan<'a> {
    pub(crate) instances: usize,
    /// Whether PostgreSQL too is behind a proxy.
    pub(crate) cut_database: bool,
    /// What Redis is started with.
    pub(crate) redis: &'a [&'a str],
    /// A Redis elsewhere, without a proxy; an empty one is none at all.
    pub(crate) redis_url: Option<&'a str>,
    pub(crate) environment: &'a [(&'a str, &'a str)],
}

impl Default for Plan<'_> {
    fn default() -> Self {
        Self { instances: 2, cut_database: false, redis: &[], redis_url: None, environment: &[] }
    }
}

/// A running cluster.
pub(crate) struct Cluster {
    pub(crate) instances: Vec<Instance>,
    /// One for each instance, to Redis.
    pub(crate) to_redis: Vec<Proxy>,
    /// One for each instance, to PostgreSQL, if that was asked for.
    pub(crate) to_postgres: Vec<Proxy>,
    pub(crate) database: String,
    ground: MutexGuard<'static, Option<Ground>>,
}

impl Cluster {
    /// Two instances.
    pub(crate) async fn start() -> Self {
        Self::with(Plan::default()).await
    }

    pub(crate) async fn with(plan: Plan<'_>) -> Self {
        let mut cluster = Self::prepared(plan).await;
        for instance in &mut cluster.instances {
            instance.launch();
        }
        for instance in &mut cluster.instances {
            instance.ready().await;
        }
        cluster
    }

    /// The same with nothing started but the servers beneath, on an empty database.
    pub(crate) async fn prepared(plan: Plan<'_>) -> Self {
        static GROUND: Mutex<Option<Ground>> = Mutex::const_new(None);
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let mut held = GROUND.lock().await;
        let ground = tokio::task::block_in_place(|| {
            let redis = Redis::with(plan.redis);
            // A test that failed may have left PostgreSQL as it was then.
            let postgres = held.take().map_or_else(Postgres::start, |ground| ground.postgres);
            Ground { postgres: postgres.recovered(), redis }
        });
        let database = format!("f{}", NEXT.fetch_add(1, Ordering::Relaxed));
        ground.postgres.create(&database).await;
        let (mut instances, mut to_redis, mut to_postgres) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..plan.instances {
            let redis = Proxy::to(ground.redis.port()).await;
            let mut redis_url = format!("redis://127.0.0.1:{}", redis.port());
            let mut database_url = ground.postgres.url(&database);
            if plan.cut_database {
                let postgres = Proxy::to(ground.postgres.port()).await;
                let direct = format!(":{}/", ground.postgres.port());
                database_url = database_url.replace(&direct, &format!(":{}/", postgres.port()));
                to_postgres.push(postgres);
            }
            if let Some(elsewhere) = plan.redis_url {
                elsewhere.clone_into(&mut redis_url);
            }
            to_redis.push(redis);
            let mut environment = vec![("DATABASE_URL", database_url.as_str())];
            if !redis_url.is_empty() {
                environment.push(("REDIS_URL", redis_url.as_str()));
            }
            environment.extend(plan.environment);
            instances.push(Instance::new(&environment));
        }
        *held = Some(ground);
        Self { instances, to_redis, to_postgres, database, ground: held }
    }

    fn ground(&self) -> &Ground {
        self.ground.as_ref().expect("it is there as long as the cluster")
    }

    fn ground_mut(&mut self) -> &mut Ground {
        self.ground.as_mut().expect("it is there as long as the cluster")
    }

    pub(crate) fn redis(&self) -> &Redis {
        &self.ground().redis
    }

    pub(crate) fn redis_mut(&mut self) -> &mut Redis {
        &mut self.ground_mut().redis
    }

    pub(crate) fn postgres(&self) -> &Postgres {
        &self.ground().postgres
    }

    pub(crate) fn postgres_mut(&mut self) -> &mut Postgres {
        &mut self.ground_mut().postgres
    }

    /// The database, beside the instances.
    pub(crate) async fn beside(&self) -> PgConnection {
        self.postgres().connect(&self.database).await
    }

    /// HTTP to an instance as this user.
    pub(crate) fn api(&self, instance: usize, user: &str) -> Api {
        self.instances[instance].api(user)
    }

    /// People the service knows from now on.
    pub(crate) async fn people<const N: usize>(&self, users: [&str; N]) {
        for user in users {
            self.api(0, user).get("/api/session").await.ok(200);
        }
    }

    /// Looks until every instance says of the bus what is expected, such as `proven`.
    pub(crate) async fn bus_is(&self, expected: &str) {
        for instance in &self.instances {
            instance.bus_is(expected).await;
        }
    }

    /// The sum of a metric over the instances.
    pub(crate) async fn metric(&self, name: &str, parts: &[&str]) -> u64 {
        let mut sum = 0;
        for instance in &self.instances {
            sum += instance.metric(name, parts).await;
        }
        sum
    }

    /// The ids of a room's messages as the table has them, by `seq`; fails unless those are 1..n.
    pub(crate) async fn table(&self, room: &str) -> Vec<String> {
        let mut connection = self.beside().await;
        let rows: Vec<(i64, String)> = sqlx::query_as("select seq, id from message where room_id = $1 order by seq")
            .bind(room)
            .fetch_all(&mut connection)
            .await
            .unwrap();
        connection.close().await.unwrap();
        let dense = rows.iter().zip(1..).all(|((seq, _), place)| *seq == place);
        assert!(dense, "seq is not 1..n in {room}: {:?}", rows.iter().map(|(seq, _)| seq).collect::<Vec<_>>());
        rows.into_iter().map(|(_, id)| id).collect()
    }
}
