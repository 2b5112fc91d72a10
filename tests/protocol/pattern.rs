//! The placeholders of the examples: `"…"` stands for anything, `"<name>"` for one value wherever it stands, a time
//! for any time, `"…"` at the end of a list or as a field for whatever else there is.

use std::collections::HashMap;

use serde_json::Value;

const ANYTHING: &str = "…";

/// What the names stand for so far.
#[derive(Debug, Default)]
pub(super) struct Names(HashMap<String, Value>);

impl Names {
    pub(super) fn set(&mut self, name: &str, value: Value) {
        self.0.insert(name.to_owned(), value);
    }

    /// A text with every `<name>` in it replaced by its value.
    pub(super) fn fill(&self, text: &str) -> Result<String, String> {
        let mut filled = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('<') {
            let (name, after) = after.split_once('>').ok_or_else(|| format!("a < without > in {text:?}"))?;
            filled.push_str(before);
            match self.0.get(name).ok_or_else(|| format!("<{name}> has no value yet"))? {
                Value::String(value) => filled.push_str(value),
                value => filled.push_str(&value.to_string()),
            }
            rest = after;
        }
        Ok(filled + rest)
    }

    /// A body with every string that is a `<name>` replaced by its value.
    pub(super) fn fill_json(&self, json: &Value) -> Result<Value, String> {
        Ok(match json {
            Value::String(text) => match name_in(text) {
                Some(name) => self.0.get(name).cloned().ok_or_else(|| format!("<{name}> has no value yet"))?,
                None => json.clone(),
            },
            Value::Array(items) => items.iter().map(|item| self.fill_json(item)).collect::<Result<_, _>>()?,
            Value::Object(fields) => {
                let filled = fields.iter().map(|(name, value)| Ok((name.clone(), self.fill_json(value)?)));
                Value::Object(filled.collect::<Result<_, String>>()?)
            }
            other => other.clone(),
        })
    }

    /// Whether `actual` is what `expected` says; names met for the first time are given their value.
    pub(super) fn fits(&mut self, expected: &Value, actual: &Value) -> Result<(), String> {
        self.fits_at("", expected, actual)
    }

    /// The same for a header.
    pub(super) fn fits_text(&mut self, expected: &str, actual: &str) -> Result<(), String> {
        self.fits_at("", &Value::from(expected), &Value::from(actual))
    }

    fn fits_at(&mut self, at: &str, expected: &Value, actual: &Value) -> Result<(), String> {
        let wrong = |what: &str| Err(format!("{}: {what}", if at.is_empty() { "the whole" } else { at }));
        match (expected, actual) {
            (Value::String(text), _) if text == ANYTHING => Ok(()),
            (Value::String(text), _) if name_in(text).is_some() => {
                let name = name_in(text).unwrap_or_default();
                let held = self.0.entry(name.to_owned()).or_insert_with(|| actual.clone());
                if held == actual { Ok(()) } else { wrong(&format!("<{name}> is {held}, got {actual}")) }
            }
            (Value::String(text), Value::String(got)) if is_time(text) && is_time(got) => Ok(()),
            (Value::Array(items), Value::Array(got)) => {
                let open = items.last().is_some_and(|item| item == ANYTHING);
                let items = if open { &items[..items.len() - 1] } else { items };
                if got.len() < items.len() || (!open && got.len() > items.len()) {
                    return wrong(&format!("{} entries expected, got {actual}", items.len()));
                }
                let mut pairs = items.iter().zip(got).enumerate();
                pairs.try_for_each(|(i, (item, got))| self.fits_at(&format!("{at}[{i}]"), item, got))
            }
            (Value::Object(fields), Value::Object(got)) => {
                let open = fields.contains_key(ANYTHING);
                if let Some(name) = got.keys().find(|name| !open && !fields.contains_key(*name)) {
                    return wrong(&format!("the field {name:?} is not documented; it holds {}", got[name]));
                }
                fields.iter().filter(|(name, _)| *name != ANYTHING).try_for_each(|(name, field)| {
                    let at = format!("{at}.{name}");
                    let got = got.get(name).ok_or_else(|| format!("{at}: is documented and not there"))?;
                    self.fits_at(&at, field, got)
                })
            }
            _ if expected == actual => Ok(()),
            _ => wrong(&format!("{expected} expected, got {actual}")),
        }
    }
}

fn name_in(text: &str) -> Option<&str> {
    text.strip_prefix('<')?.strip_suffix('>').filter(|name| !name.contains(['<', '>']))
}

/// Whether it is a time as the contract writes one, such as `2026-11-22T10:00:00.000001Z`.
pub(super) fn is_time(text: &str) -> bool {
    let shape = "0000-00-00T00:00:00.000000Z";
    let fits = |(c, shape): (char, char)| if shape == '0' { c.is_ascii_digit() } else { c == shape };
    text.len() == shape.len() && text.chars().zip(shape.chars()).all(fits)
}

#[test]
fn a_pattern_fits_what_it_says_and_nothing_else() {
    use serde_json::json;
    let fits = |expected: Value, actual: Value| {
        let mut names = Names::default();
        names.set("known", json!(7));
        names.fits(&expected, &actual)
    };
    let time = "2026-11-22T10:00:00.000001Z";
    for (expected, actual) in [
        (json!("…"), json!({"any": ["thing"]})),
        (json!({"a": "<new>", "b": "<new>", "c": "<known>"}), json!({"a": 1, "b": 1, "c": 7})),
        (json!(time), json!("1970-01-01T00:00:00.000000Z")),
        (json!([1, "…"]), json!([1, 2, 3])),
        (json!([1, "…"]), json!([1])),
        (json!({"a": 1, "…": "…"}), json!({"a": 1, "b": 2})),
    ] {
        assert_eq!(fits(expected.clone(), actual), Ok(()), "{expected}");
    }
    for (expected, actual) in [
        (json!({"a": "<new>", "b": "<new>"}), json!({"a": 1, "b": 2})),
        (json!("<known>"), json!(8)),
        (json!(time), json!("2026-11-22T10:00:00Z")),
        (json!([1, "…"]), json!([])),
        (json!([1]), json!([1, 2])),
        (json!({"a": 1}), json!({"a": 1, "b": 2})),
        (json!({"a": 1, "…": "…"}), json!({"b": 2})),
        (json!(null), json!(0)),
    ] {
        assert!(fits(expected.clone(), actual.clone()).is_err(), "{expected} fits {actual}");
    }
}
