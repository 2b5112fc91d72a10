//! Several instances on one PostgreSQL and one Redis as they are every day: nobody can tell on which one they are.

mod cache;
#[cfg(feature = "otlp")]
mod collector;
mod delivery;
mod hanging_up;
mod joining;
mod presence;
mod reading;
mod removal;
mod rolling;
#[cfg(feature = "otlp")]
mod traces;

use crate::support::{Api, Database, Instance, Redis};

/// Instances on the servers that all tests share, with a database and a prefix of their own.
struct Few {
    instances: Vec<Instance>,
    database: Database,
}

impl Few {
    async fn start(instances: usize) -> Self {
        Self::with(instances, &[]).await
    }

    /// The same with more in their environment.
    async fn with(instances: usize, more: &[(&str, &str)]) -> Self {
        let database = Database::create().await;
        let (url, redis, prefix) = (database.url(), Redis::shared().socket_url(), database.prefix());
        let mut environment = vec![
            ("DATABASE_URL", url.as_str()),
            ("REDIS_URL", &redis),
            ("REDIS_PREFIX", &prefix),
            // What a slow Redis costs is asked in `faults`; here a machine that is busy with other tests is none.
            ("REDIS_DEADLINE_MS", "1000"),
        ];
        environment.extend(more);
        let mut instances: Vec<Instance> = (0..instances).map(|_| Instance::new(&environment)).collect();
        for instance in &mut instances {
            instance.launch();
        }
        for instance in &mut instances {
            instance.ready().await;
        }
        for instance in &instances {
            // Until then it neither uses Redis nor tells all that happens as it happens.
            instance.bus_is("proven").await;
        }
        Self { instances, database }
    }

    fn api(&self, instance: usize, user: &str) -> Api {
        self.instances[instance].api(user)
    }

    /// People known from now on, and a room of theirs.
    async fn garden(&self, users: &[&str]) {
        for user in users {
            self.api(0, user).get("/api/session").await.ok(200);
        }
        crate::support::make_room(&self.api(0, users[0]), "garden", "GROUP", &users[1..]).await;
    }

    /// What Redis answers about a name of theirs.
    fn redis(&self, command: &str, name: &str, rest: &[&str]) -> String {
        let name = self.database.prefix() + name;
        Redis::shared().cli(&[&[command, &name], rest].concat())
    }
}

/// A path below the garden.
fn garden(rest: &str) -> String {
    format!("/api/chat/rooms/garden/{rest}")
}
