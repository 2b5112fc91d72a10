//! Who is present in a room, over all instances: leases in Redis that an instance renews for those it sees, so that one
//! that dies leaves nobody behind for longer than a lease. Best effort: without Redis each instance knows those it sees
//! itself, and after Redis came back empty the next renewal fills it.

use std::collections::HashMap;
use std::time::Duration;

use fred::interfaces::SortedSetsInterface;
use fred::types::Value;
use fred::util::redis_keyslot;

use crate::model::{RoomId, UserId};
use crate::protocol::publication::InstanceId;
use crate::redis::{Area, Redis};

/// How long somebody is present without being seen again.
pub const LEASE: Duration = Duration::from_secs(40);
/// How often an instance says again whom it sees: two may be lost.
pub const RENEWAL: Duration = Duration::from_secs(13);

/// People in one call that renews leases, or a few more: Redis does nothing else meanwhile.
const RENEWED: usize = 200;

/// Notes who came (`+user`) and who went (`-user`), and returns those whose being there changed for the room as a whole.
/// Members of the set are `user instance`, scores are when their lease ends.
const UPDATE: &str = "
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local until_ = now + tonumber(ARGV[2])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', '(' .. now)
local seen = {}
for _, member in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
  local user, instance = string.match(member, '^(%S+) (%S+)$')
  if user and instance ~= ARGV[1] then seen[user] = true end
end
local changed = {}
for i = 3, #ARGV do
  local sign, user = string.sub(ARGV[i], 1, 1), string.sub(ARGV[i], 2)
  if sign == '-' then
    redis.call('ZREM', KEYS[1], user .. ' ' .. ARGV[1])
  else
    redis.call('ZADD', KEYS[1], until_, user .. ' ' .. ARGV[1])
  end
  if not seen[user] then changed[#changed + 1] = user end
end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return changed";

/// Renews the leases of who is still there: after instance and lease, for each key its users. Leases that have ended stay
/// until somebody comes or goes: nobody counts them.
const RENEW: &str = "
local time = redis.call('TIME')
local until_ = time[1] * 1000 + math.floor(time[2] / 1000) + tonumber(ARGV[2])
for i, key in ipairs(KEYS) do
  for user in string.gmatch(ARGV[i + 2], '%S+') do
    redis.call('ZADD', key, until_, user .. ' ' .. ARGV[1])
  end
  redis.call('PEXPIRE', key, ARGV[2])
end
return 1";

/// Who came and who went, to be told of.
pub type News = (Vec<UserId>, Vec<UserId>);

/// Presence, chosen at the start.
#[derive(Debug)]
pub enum Presence {
    /// This instance sees everyone there is, or knows no others.
    Alone,
    /// Leases in Redis, in the name of this instance.
    Redis(Redis, InstanceId),
}

impl Presence {
    /// Takes note of who came and who went here; returns those for whom that is news to the room as a whole. An error if the
    /// other instances were not told, and [`renew`](Self::renew) has to: then it is taken for news.
    pub async fn update(&self, room: &RoomId, came: Vec<UserId>, went: Vec<UserId>) -> Result<News, News> {
        let Self::Redis(redis, instance) = self else { return Ok((came, went)) };
        if came.is_empty() && went.is_empty() {
            return Ok((came, went));
        }
        let marks = came.iter().map(|user| format!("+{user}")).chain(went.iter().map(|user| format!("-{user}")));
        let Some(changed) = run(redis, instance, room, marks.collect()).await else { return Err((came, went)) };
        let news = |users: Vec<UserId>| users.into_iter().filter(|u| changed.iter().any(|c| c == u.as_str())).collect();
        Ok((news(came), news(went)))
    }

    /// Says again who is seen here, of many rooms in few calls: most of them are silent, and each is said again and again.
    /// Returns whether all of it was taken.
    pub async fn renew(&self, seen: impl Iterator<Item = (&RoomId, Vec<UserId>)>) -> bool {
        let Self::Redis(redis, instance) = self else { return true };
        let mut taken = true;
        // One call is about keys of one node.
        let mut calls: HashMap<u16, Renewal> = HashMap::new();
        for (room, users) in seen.filter(|(_, users)| !users.is_empty()) {
            let key = key(room);
            let slot = if redis.is_clustered() { redis_keyslot(redis.name(&key).as_bytes()) } else { 0 };
            let call = calls.entry(slot).or_default();
            call.people += users.len();
            call.keys.push(key);
            call.users.push(users.iter().map(UserId::as_str).collect::<Vec<_>>().join(" ").into());
            if call.people >= RENEWED {
                taken &= std::mem::take(call).run(redis, instance).await;
            }
        }
        for (_, call) in calls {
            taken &= call.run(redis, instance).await;
        }
        taken
    }

    /// Everyone present, in order of id: those seen here and those seen elsewhere.
    pub async fn online(&self, room: &RoomId, seen_here: Vec<UserId>) -> Vec<UserId> {
        let mut users = seen_here;
        if let Self::Redis(redis, _) = self
            && redis.is_usable()
        {
            let commands = redis.commands();
            let range = commands.zrange::<Vec<String>, _, _, _>(
                redis.name(&key(room)),
                now_ms(),
                "+inf",
                Some(fred::types::sorted_sets::ZSort::ByScore),
                false,
                None,
                false,
            );
            let leases = redis.run(Area::Read, Box::pin(range)).await.unwrap_or_default();
            users.extend(leases.iter().filter_map(|lease| lease.split(' ').next()?.parse().ok()));
            users.sort();
            users.dedup();
        }
        users
    }
}

/// This instance's clock; a lease is so long that a second of difference does not matter.
fn now_ms() -> f64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    since.as_secs_f64() * 1000.0
}

fn key(room: &RoomId) -> String {
    format!("chat:presence:{room}")
}

/// What every script begins with: in whose name, and for how long.
fn lease(instance: &InstanceId) -> Vec<Value> {
    vec![instance.to_string().into(), LEASE.as_millis().to_string().into()]
}

async fn run(redis: &Redis, instance: &InstanceId, room: &RoomId, marks: Vec<String>) -> Option<Vec<String>> {
    if !redis.is_usable() {
        return None;
    }
    let mut arguments = lease(instance);
    arguments.extend(marks.into_iter().map(Value::from));
    redis.script(UPDATE, &[key(room)], arguments).await
}

/// Rooms whose leases are renewed in one call.
#[derive(Default)]
struct Renewal {
    keys: Vec<String>,
    users: Vec<Value>,
    people: usize,
}

impl Renewal {
    async fn run(self, redis: &Redis, instance: &InstanceId) -> bool {
        if self.keys.is_empty() {
            return true;
        }
        if !redis.is_usable() {
            return false;
        }
        let mut arguments = lease(instance);
        arguments.extend(self.users);
        redis.script::<u64>(RENEW, &self.keys, arguments).await.is_some()
    }
}
