//! How long requests take, by route, method and class of status, and what came of polls. It finds the route by itself: what
//! axum's router has found it tells only to what stands behind it, and that would miss whoever is turned away in front of
//! it. Paths that lead nowhere, and files, are one route. Nothing is kept while nothing is counted.

use std::sync::OnceLock;
use std::time::Instant;

use axum::extract::Request;
use axum::http::{Method, StatusCode};
use metrics::Histogram;

use crate::telemetry::{self, Handles};

/// Every route, as it is given to the router; a test holds the two together.
pub const ROUTES: [&str; 35] = [
    "/api/chat/ws",
    META[0],
    META[1],
    "/api/chat/unread-count",
    "/api/chat/rooms",
    "/api/chat/rooms/{roomId}",
    "/api/chat/rooms/{roomId}/messages",
    "/api/chat/rooms/{roomId}/messages/{messageId}",
    "/api/chat/rooms/{roomId}/messages/{messageId}/reactions/{emoji}",
    "/api/chat/rooms/{roomId}/read",
    "/api/chat/rooms/{roomId}/typing",
    "/api/chat/rooms/{roomId}/presence",
    "/api/chat/rooms/{roomId}/members",
    "/api/chat/rooms/{roomId}/members/{userId}",
    "/api/session",
    "/api/demo/session",
    "/api/admin/users/{userId}",
    "/api/admin/users/{userId}/messages",
    "/api/admin/users/{userId}/suspension",
    "/api/admin/users/{userId}/disconnect",
    "/api/admin/sessions/{sessionId}/disconnect",
    "/api/admin/revocations",
    "/api/admin/rooms/{roomId}",
    "/api/admin/rooms/{roomId}/members",
    "/api/admin/rooms/{roomId}/members/{userId}",
    "/api/admin/rooms/{roomId}/messages",
    "/api/admin/rooms/{roomId}/messages/{messageId}",
    "/api/admin/moderation",
    "/api/admin/rooms/{roomId}/messages/{messageId}/moderation",
    "/api/admin/quotas",
    "/api/admin/quotas/{name}",
    "/healthz",
    "/readyz",
    "/openapi.json",
    "/asyncapi.json",
];
/// Those that are polled.
const META: [&str; 2] = ["/api/chat/meta", "/api/chat/rooms/{roomId}/meta"];
/// The same where the answer is held until something changes, which is no measure of speed.
const HELD: [&str; 2] = ["/api/chat/meta?wait", "/api/chat/rooms/{roomId}/meta?wait"];
/// Whatever else.
const OTHER: &str = "other";
const METHODS: [&str; 6] = ["GET", "POST", "PUT", "PATCH", "DELETE", OTHER];
const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// Handles of a route, made at the first answer of each kind.
type Cells = [[OnceLock<Histogram>; CLASSES.len()]; METHODS.len()];

/// Measures the answers of a listener.
#[derive(Debug)]
pub(super) struct Timing {
    base_path: String,
    routes: Vec<Route>,
    other: Cells,
}

#[derive(Debug)]
struct Route {
    segments: Vec<&'static str>,
    name: &'static str,
    cells: Cells,
    /// If it is polled: the name under which held answers are counted, and where.
    held: Option<(&'static str, Box<Cells>)>,
}

/// A request that is being answered.
#[derive(Debug)]
pub(super) struct Asked<'a> {
    counting: &'static Handles,
    name: &'static str,
    cells: &'a Cells,
    method: usize,
    /// If it is a poll: whether it is held.
    poll: Option<bool>,
    begin: Instant,
}

impl Timing {
    pub(super) fn new(base_path: &str) -> Self {
        let route = |name: &'static str| Route {
            segments: name.split('/').skip(1).collect(),
            name,
            cells: Cells::default(),
            held: META.iter().position(|meta| *meta == name).map(|at| (HELD[at], Box::default())),
        };
        Self {
            base_path: base_path.to_owned(),
            routes: ROUTES.into_iter().map(route).collect(),
            other: Cells::default(),
        }
    }

    /// Begins to measure.
    pub(super) fn begin(&self, request: &Request) -> Option<Asked<'_>> {
        let counting = telemetry::handles()?;
        let method = METHODS.iter().position(|name| *name == request.method().as_str()).unwrap_or(METHODS.len() - 1);
        let route = request.uri().path().strip_prefix(self.base_path.as_str()).and_then(|path| self.find(path));
        let is_held = || request.uri().query().unwrap_or_default().split('&').any(|pair| pair.starts_with("wait="));
        let (name, cells, poll) = match route {
            None => (OTHER, &self.other, None),
            Some(Route { held: Some((name, cells)), .. }) if is_held() => (*name, &**cells, Some(true)),
            Some(Route { name, cells, held, .. }) => (*name, cells, held.as_ref().map(|_| false)),
        };
        let poll = poll.filter(|_| request.method() == Method::GET);
        Some(Asked { counting, name, cells, method, poll, begin: Instant::now() })
    }

    fn find(&self, path: &str) -> Option<&Route> {
        let path = path.strip_prefix('/')?;
        let count = path.bytes().filter(|b| *b == b'/').count() + 1;
        let fits = |route: &&Route| {
            let mut parts = route.segments.iter().zip(path.split('/'));
            route.segments.len() == count
                && parts
                    .all(|(segment, part)| if segment.starts_with('{') { !part.is_empty() } else { *segment == part })
        };
        self.routes.iter().find(fits)
    }
}

impl Asked<'_> {
    /// Takes note of the answer.
    pub(super) fn answered(self, status: StatusCode) {
        let class = usize::from(status.as_u16() / 100).clamp(1, CLASSES.len()) - 1;
        let cell = &self.cells[self.method][class];
        cell.get_or_init(|| self.counting.requests(self.name, METHODS[self.method], CLASSES[class]))
            .record(self.begin.elapsed());
        if let Some(held) = self.poll {
            let status = match class {
                2 => "unchanged",
                3 => "refused",
                4 => "failed",
                _ => "changed",
            };
            self.counting.polled(held, status);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_found_by_its_route_and_by_no_other() {
        let timing = Timing::new("");
        let found = |path: &str| timing.find(path).map(|route| route.name);
        for route in ROUTES {
            assert_eq!(found(&route.replace(['{', '}'], "")), Some(route), "by a name in each place");
        }
        assert_eq!(found("/api/chat/rooms/meta/meta"), Some(META[1]));
        for path in
            ["", "/", "/api/chat/rooms/", "/api/chat/rooms//meta", "/api/chat/rooms/r/meta/", "/api", "/x/healthz"]
        {
            assert_eq!(found(path), None, "{path}");
        }
    }
}
