//! One call as `/openapi.json` tells it. A table names what only the handler knows; what follows from the path, the
//! body or the query is derived here, so that a row is short and cannot forget it.

use schemars::{JsonSchema, Schema, SchemaGenerator};

/// Writes the schema of a type.
pub(super) type Shape = fn(&mut SchemaGenerator) -> Schema;

/// What a body holds.
pub(super) struct Body {
    pub(super) named: Shape,
    pub(super) in_full: Shape,
}

/// A call.
pub(in crate::http) struct Operation {
    pub(super) method: &'static str,
    pub(super) path: &'static str,
    /// What generated clients call it.
    pub(super) id: &'static str,
    pub(super) summary: &'static str,
    pub(super) query: Option<Shape>,
    pub(super) body: Option<Body>,
    /// Statuses of success, with what they say.
    pub(super) answers: Vec<(u16, Option<Shape>)>,
    /// Whether the answer has a tag and may be 304.
    pub(super) is_tagged: bool,
    /// Codes of errors that the handler gives.
    own_failures: &'static [&'static str],
}

/// Who may call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Audience {
    /// Anybody, without a token.
    Anybody,
    /// Anybody; a token may come along.
    Newcomers,
    /// Whoever has a token.
    Callers,
    /// The application and administrators.
    Admins,
}

/// What anything may answer, a file included.
const ANYTHING: &[&str] = &["token_in_url", "rate_limited", "internal"];
/// What may come of a token, and of looking up whose it is.
const OF_TOKENS: &[&str] =
    &["invalid", "unauthenticated", "token_expired", "token_revoked", "suspended", "forbidden", "unavailable"];
const OF_BODIES: &[&str] = &["invalid", "too_large", "unsupported_media_type"];

macro_rules! methods {
    ($($name:ident = $method:literal),+) => {
        $(pub(in crate::http) fn $name(path: &'static str, id: &'static str, summary: &'static str) -> Operation {
            Operation {
                method: $method,
                path,
                id,
                summary,
                query: None,
                body: None,
                answers: Vec::new(),
                is_tagged: false,
                own_failures: &[],
            }
        })+
    };
}
methods!(get = "get", post = "post", put = "put", patch = "patch", delete = "delete");

impl Operation {
    /// What its query may hold.
    pub(in crate::http) fn asks<T: JsonSchema>(mut self) -> Self {
        self.query = Some(T::json_schema);
        self
    }

    /// What its body holds.
    pub(in crate::http) fn takes<T: JsonSchema>(mut self) -> Self {
        self.body = Some(Body { named: SchemaGenerator::subschema_for::<T>, in_full: T::json_schema });
        self
    }

    /// What it answers with this status.
    pub(in crate::http) fn answers<T: JsonSchema>(mut self, status: u16) -> Self {
        self.answers.push((status, Some(SchemaGenerator::subschema_for::<T>)));
        self
    }

    /// That it answers this status and no more.
    pub(in crate::http) fn answers_nothing(mut self, status: u16) -> Self {
        self.answers.push((status, None));
        self
    }

    /// That its answer has an `ETag`, and is not repeated to who has it.
    pub(in crate::http) fn tagged(mut self) -> Self {
        self.is_tagged = true;
        self
    }

    /// The codes of what can go wrong, beside what can go wrong for every call of its kind.
    pub(in crate::http) fn fails(mut self, codes: &'static [&'static str]) -> Self {
        self.own_failures = codes;
        self
    }

    pub(super) fn audience(&self) -> Audience {
        match self.path {
            "/api/demo/session" => Audience::Newcomers,
            path if path.starts_with("/api/admin/") => Audience::Admins,
            path if path.starts_with("/api/") => Audience::Callers,
            _ => Audience::Anybody,
        }
    }

    /// The names of the parameters in its path.
    pub(super) fn ids(&self) -> impl Iterator<Item = &'static str> {
        self.path.split(['{', '}']).skip(1).step_by(2)
    }

    /// Everything that can go wrong, by its code.
    pub(super) fn failures(&self) -> Vec<&'static str> {
        let mut codes = [ANYTHING, self.own_failures].concat();
        if self.audience() != Audience::Anybody {
            codes.extend(OF_TOKENS);
        }
        if self.body.is_some() {
            codes.extend(OF_BODIES);
        }
        codes.sort_unstable();
        codes.dedup();
        codes
    }
}
