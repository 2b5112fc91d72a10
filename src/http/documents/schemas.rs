//! JSON Schemas of what is read and of what is written. The two differ: a field that may be absent when it is read is
//! always there when it is written, or never `null`.

use schemars::generate::SchemaSettings;
use schemars::transform::transform_subschemas;
use schemars::{Schema, SchemaGenerator};
use serde_json::{Map, Value};

use super::operation::Shape;

/// Writes schemas, and collects those that they refer to.
pub(super) struct Schemas {
    read: SchemaGenerator,
    written: SchemaGenerator,
}

impl Schemas {
    /// In this dialect. They refer to each other as components of the document.
    pub(super) fn new(dialect: fn() -> SchemaSettings) -> Self {
        // What a dialect does to references must see what was done to theirs.
        let settings = |first: fn(&mut Schema)| {
            dialect().with(|settings| {
                settings.definitions_path = "/components/schemas".into();
                settings.transforms.insert(0, Box::new(first));
            })
        };
        Self {
            read: settings(never_by_default).for_deserialize().into_generator(),
            written: settings(never_null).for_serialize().into_generator(),
        }
    }

    /// Of what is read.
    pub(super) fn read(&mut self, shape: Shape) -> Value {
        finished(&mut self.read, shape)
    }

    /// Of what is written.
    pub(super) fn written(&mut self, shape: Shape) -> Value {
        finished(&mut self.written, shape)
    }

    /// What the others refer to, by name. A type that is read and written has one schema, or is written out in place.
    pub(super) fn components(mut self) -> Map<String, Value> {
        let mut components = self.written.take_definitions(true);
        for (name, schema) in self.read.take_definitions(true) {
            let same = components.get(&name).is_none_or(|other| *other == schema);
            assert!(same, "{name} is not written as it is read: mark it #[schemars(inline)], or name it twice");
            components.insert(name, schema);
        }
        components
    }
}

fn finished(generator: &mut SchemaGenerator, shape: Shape) -> Value {
    let mut schema = shape(generator);
    for transform in generator.transforms_mut() {
        transform.transform(&mut schema);
    }
    schema.to_value()
}

/// Absent is not the same as `null` where `null` takes something away.
fn never_by_default(schema: &mut Schema) {
    if schema.get("default").is_some_and(Value::is_null) {
        schema.remove("default");
    }
    transform_subschemas(&mut never_by_default, schema);
}

/// What is left out when there is none is never `null`.
fn never_null(schema: &mut Schema) {
    let required = schema.get("required").cloned().unwrap_or_default();
    let is_required = |name: &str| required.as_array().is_some_and(|names| names.iter().any(|other| other == name));
    if let Some(Value::Object(properties)) = schema.get_mut("properties") {
        properties.iter_mut().filter(|(name, _)| !is_required(name)).for_each(|(_, property)| without_null(property));
    }
    transform_subschemas(&mut never_null, schema);
}

/// The same schema, without the `null` that an `Option` adds.
pub(super) fn without_null(schema: &mut Value) {
    if let Some(Value::Array(kinds)) = schema.get_mut("type") {
        kinds.retain(|kind| kind != "null");
        if let [kind] = kinds.as_slice() {
            schema["type"] = kind.clone();
        }
    }
    if let Some(Value::Array(choices)) = schema.get_mut("anyOf") {
        choices.retain(|choice| choice["type"] != "null");
        if let [Value::Object(choice)] = choices.as_slice()
            && let (choice, Some(schema)) = (choice.clone(), schema.as_object_mut())
        {
            schema.remove("anyOf");
            schema.extend(choice);
        }
    }
}
