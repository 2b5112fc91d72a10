//! What people and applications may put into messages and rooms: texts, emojis, metadata.

use serde_json::value::{RawValue, to_raw_value};

use crate::error::{Error, Result};

/// An object that the service keeps and does not read.
pub type Object = serde_json::Map<String, serde_json::Value>;

/// Longest metadata of a message or a room, in bytes of JSON.
pub const METADATA_BYTES: usize = 4096;
/// Longest emoji, in bytes: families with skin tones take some 40.
const EMOJI_BYTES: usize = 64;

/// A text for people: something visible in it, no NUL (PostgreSQL cannot hold one), at most `longest` characters.
pub fn check_text(field: &'static str, text: &str, longest: usize) -> Result<()> {
    if text.contains('\0') {
        return Err(Error::invalid(field, "may not hold the character NUL"));
    }
    if !text.chars().any(is_visible) {
        return Err(Error::invalid(field, "is empty; write something that can be seen"));
    }
    // Bytes bound characters from above: short texts, nearly all, are not counted.
    if text.len() > longest && text.chars().count() > longest {
        return Err(Error::TooLarge { what: field, limit: format!("{longest} characters") });
    }
    Ok(())
}

fn is_visible(c: char) -> bool {
    let zero_width = matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2064}' | '\u{feff}' | '\u{ad}');
    !c.is_whitespace() && !c.is_control() && !zero_width
}

/// Metadata as it is stored: compact, keys sorted, within its size, without NUL.
pub fn check_metadata(map: &Object) -> Result<Box<RawValue>> {
    let raw = to_raw_value(map).map_err(|e| Error::internal("encoding metadata", e))?;
    if raw.get().len() > METADATA_BYTES {
        return Err(Error::TooLarge { what: "metadata", limit: format!("{METADATA_BYTES} bytes of JSON") });
    }
    if map.iter().any(|(key, value)| key.contains('\0') || holds_nul(value)) {
        return Err(Error::invalid("metadata", "may not hold the character NUL"));
    }
    Ok(raw)
}

fn holds_nul(value: &serde_json::Value) -> bool {
    match value {
        serde_json::Value::String(text) => text.contains('\0'),
        serde_json::Value::Array(values) => values.iter().any(holds_nul),
        serde_json::Value::Object(map) => map.iter().any(|(key, value)| key.contains('\0') || holds_nul(value)),
        _ => false,
    }
}

/// An emoji as a reaction's name: short, visible, no text.
pub fn check_emoji(emoji: &str) -> Result<()> {
    let looks_right = !emoji.is_empty()
        && emoji.len() <= EMOJI_BYTES
        && emoji.chars().any(is_visible)
        && !emoji.chars().any(|c| c.is_ascii_alphabetic() || c.is_whitespace() || c.is_control());
    if looks_right { Ok(()) } else { Err(Error::invalid("emoji", "one emoji, at most 64 bytes")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_must_show_something() {
        for blank in ["", " ", "\n\t", "\u{200b}\u{200d}", "\u{feff}", "a\0b"] {
            assert!(check_text("content", blank, 10).is_err(), "{blank:?}");
        }
        for good in ["a", " a ", "👩‍👩‍👧", "\u{202e}abc", "0"] {
            assert!(check_text("content", good, 10).is_ok(), "{good:?}");
        }
    }

    #[test]
    fn the_limit_counts_characters_not_bytes() {
        assert!(check_text("content", &"ä".repeat(10), 10).is_ok());
        assert!(check_text("content", &"ä".repeat(11), 10).is_err());
    }

    #[test]
    fn an_emoji_is_short_and_no_word() {
        for good in ["👍", "❤️", "👩‍👩‍👧", "1️⃣", "🇩🇪"] {
            assert!(check_emoji(good).is_ok(), "{good}");
        }
        for bad in ["", "ok", " ", "\0", &"👍".repeat(20)] {
            assert!(check_emoji(bad).is_err(), "{bad:?}");
        }
    }
}
