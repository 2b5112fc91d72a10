//! Reading JSON, strictly: an object is an object, and what is wrong is named by its path.

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_path_to_error::Track;

use crate::error::{Error, Result};

/// Reads an object of JSON; an error names the field by its path.
pub fn parse<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T> {
    parse_bytes(text.as_bytes())
}

/// Reads an object of JSON from bytes that may not even be text.
pub fn parse_bytes<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T> {
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let mut track = Track::new();
    let value = object(serde_path_to_error::Deserializer::new(&mut json, &mut track)).map_err(|error| {
        let path = track.path().to_string();
        let field = if path == "." { "body".to_owned() } else { path };
        Error::invalid(field, error.to_string())
    })?;
    json.end().map_err(|error| Error::invalid("body", error.to_string()))?;
    Ok(value)
}

/// Reads an object, and nothing else: what serde derives would also take the fields' values in a list, by their order,
/// which is nobody's to know.
pub fn object<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    struct Object<T>(PhantomData<T>);

    impl<'de, T: Deserialize<'de>> Visitor<'de> for Object<T> {
        type Value = T;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, fields: A) -> Result<T, A::Error> {
            T::deserialize(MapAccessDeserializer::new(fields))
        }
    }

    deserializer.deserialize_map(Object(PhantomData))
}

/// Tells a field that is `null`, and so takes a value away, from one that is absent, and so leaves it.
pub fn present<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}
