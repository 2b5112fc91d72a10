//! Identifiers. One grammar for all: 1–64 of `[A-Za-z0-9_.:-]`, so that an id is safe in a URL, a log line, a
//! Redis key and a SQL parameter, and ids of an older application can be kept.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Why a text is no id.
pub const ID_RULE: &str = "an id has 1 to 64 of the characters A-Z a-z 0-9 _ . : -";

/// The same, for a schema.
const ID_PATTERN: &str = "^[A-Za-z0-9_.:-]{1,64}$";

fn check(text: &str) -> Result<(), &'static str> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b':' | b'-');
    if (1..=64).contains(&text.len()) && text.bytes().all(allowed) { Ok(()) } else { Err(ID_RULE) }
}

macro_rules! id {
    ($(#[doc = $doc:literal])* $name:ident) => {
        $(#[doc = $doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            /// The id as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// An id read from the database, where only valid ones were written.
            pub fn trusted(text: String) -> Self {
                Self(text.into())
            }
        }

        impl TryFrom<String> for $name {
            type Error = &'static str;
            fn try_from(text: String) -> Result<Self, Self::Error> {
                check(&text).map(|()| Self(text.into()))
            }
        }

        impl schemars::JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                let description = concat!($($doc),*).trim();
                schemars::json_schema!({ "type": "string", "pattern": ID_PATTERN, "description": description })
            }
        }

        impl std::str::FromStr for $name {
            type Err = &'static str;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                check(text).map(|()| Self(text.into()))
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

id!(
    /// Names a room.
    RoomId
);
id!(
    /// Names a user; the `sub` of their token.
    UserId
);
id!(
    /// Names a message within its room. New ones are UUIDs; imported ones are kept.
    MessageId
);
id!(
    /// Names a history of the database: a cursor of another history means nothing.
    History
);

id!(
    /// Names a quota.
    QuotaName
);

impl RoomId {
    /// A new room's id.
    pub fn fresh() -> Self {
        Self::trusted(uuid::Uuid::now_v7().to_string())
    }
}

/// In whose name the application acts in rooms.
const SYSTEM: &str = "tidings:system";

impl UserId {
    /// The user in whose name the application acts in rooms. No token is of theirs.
    pub fn system() -> Self {
        Self::trusted(SYSTEM.to_owned())
    }

    /// Whether it is that one.
    pub fn is_system(&self) -> bool {
        self.as_str() == SYSTEM
    }
}

impl MessageId {
    /// The id of a message whose sender gave none.
    pub fn fresh() -> Self {
        Self::trusted(uuid::Uuid::now_v7().to_string())
    }

    /// Whether this can name a new message: clients make UUIDs, so that no two make the same.
    pub fn is_uuid(&self) -> bool {
        uuid::Uuid::try_parse(&self.0).is_ok()
    }
}

impl History {
    /// The name of a new database's history.
    pub fn fresh() -> Self {
        Self::trusted(uuid::Uuid::new_v4().simple().to_string()[..12].to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_1_to_64_safe_characters() {
        for good in ["a", "lobby", "cm3x.a:b-c_d", &"x".repeat(64)] {
            assert!(good.parse::<RoomId>().is_ok(), "{good}");
        }
        for bad in ["", "a b", "a/b", "ä", "a\n", "*", &"x".repeat(65)] {
            assert!(bad.parse::<RoomId>().is_err(), "{bad}");
        }
    }
}
