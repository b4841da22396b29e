//! A judge of JSON by the schemas in `docs/`: the part of JSON Schema (2020-12) that they use, and stricter in one point: a
//! field that the schema does not name is an error here, where readers are to pass it over.

use std::collections::BTreeSet;

use regex_lite::Regex;
use serde_json::{Map, Value};

/// Of every event with `--json`.
pub(crate) const EVENTS: &str = include_str!("../../docs/events.schema.json");
/// Of a line of `--receipts FILE`.
pub(crate) const RECEIPT: &str = include_str!("../../docs/receipt.schema.json");

/// Of what `--status FILE` holds.
pub(crate) const STATUS: &str = include_str!("../../docs/status.schema.json");

/// A schema, and which of its fields were seen.
pub(crate) struct Schema {
    root: Value,
    seen: BTreeSet<String>,
}

/// What only tells a reader something.
const ANNOTATIONS: [&str; 6] = ["$schema", "$id", "$defs", "title", "description", "contentEncoding"];

impl Schema {
    pub(crate) fn of(text: &str) -> Self {
        Self { root: serde_json::from_str(text).expect("a schema is JSON"), seen: BTreeSet::new() }
    }

    /// Fails unless the value is what the schema says.
    #[track_caller]
    pub(crate) fn assert_holds(&mut self, value: &Value) {
        let seen = self.judged(value).unwrap_or_else(|why| panic!("{why}: {value}"));
        self.seen.extend(seen);
    }

    /// Fails unless every field of the schema has been seen in a value that it allows.
    #[track_caller]
    pub(crate) fn assert_all_seen(&self) {
        let mut named = BTreeSet::new();
        self.name(&self.root, "", &mut named);
        assert!(named.len() > 5, "{named:?}");
        let missing: Vec<_> = named.difference(&self.seen).collect();
        assert!(missing.is_empty(), "never put out: {missing:?}");
    }

    /// All fields that a schema names; a union is told apart by its `event`.
    fn name(&self, schema: &Value, place: &str, named: &mut BTreeSet<String>) {
        let schema = self.resolved(schema);
        for kind in schema["oneOf"].as_array().into_iter().flatten() {
            let kind = self.resolved(kind);
            self.name(kind, &format!("{place}{}.", kind["properties"]["event"]["const"]), named);
        }
        for (field, inner) in schema["properties"].as_object().into_iter().flatten() {
            named.insert(format!("{place}{field}"));
            self.name(inner, &format!("{place}{field}."), named);
        }
        if !schema["items"].is_null() {
            self.name(&schema["items"], place, named);
        }
    }

    fn resolved<'a>(&'a self, schema: &'a Value) -> &'a Value {
        match schema["$ref"].as_str() {
            Some(reference) => {
                let name = reference.strip_prefix("#/$defs/").expect("references point into this schema");
                self.root["$defs"].get(name).unwrap_or_else(|| panic!("no definition of {name}"))
            }
            None => schema,
        }
    }

    /// The fields that were seen, or why the value is not allowed.
    pub(crate) fn judged(&self, value: &Value) -> Result<BTreeSet<String>, String> {
        self.judge(&self.root, value, "")
    }

    fn judge(&self, schema: &Value, value: &Value, place: &str) -> Result<BTreeSet<String>, String> {
        let schema = self.resolved(schema).as_object().expect("a schema is an object");
        let mut seen = BTreeSet::new();
        for (keyword, rule) in schema {
            let holds = match keyword.as_str() {
                "$ref" => unreachable!("it was resolved"),
                "type" => is_of_type(rule, value),
                "const" => rule == value,
                "enum" => rule.as_array().expect("a list").contains(value),
                "minimum" => value.as_f64().is_none_or(|number| Some(number) >= rule.as_f64()),
                "maximum" => value.as_f64().is_none_or(|number| Some(number) <= rule.as_f64()),
                "pattern" => {
                    let pattern = Regex::new(rule.as_str().expect("a pattern")).expect("a pattern");
                    value.as_str().is_none_or(|text| pattern.is_match(text))
                }
                "required" => strings(rule).all(|field| value.get(field).is_some()),
                "dependentRequired" => rule.as_object().into_iter().flatten().all(|(field, others)| {
                    value.get(field).is_none() || strings(others).all(|other| value.get(other).is_some())
                }),
                "oneOf" | "anyOf" => {
                    let kinds = rule.as_array().expect("a list");
                    let fitting: Vec<_> =
                        kinds.iter().filter_map(|kind| self.alternative(kind, value, place)).collect();
                    let is_right = fitting.len() == 1 || (keyword == "anyOf" && !fitting.is_empty());
                    seen.extend(fitting.into_iter().flatten());
                    is_right
                }
                "properties" => {
                    let empty = Map::new();
                    for (field, inner) in value.as_object().unwrap_or(&empty) {
                        let rule = rule.get(field).ok_or_else(|| format!("{place}{field} is not described"))?;
                        seen.insert(format!("{place}{field}"));
                        seen.extend(self.judge(rule, inner, &format!("{place}{field}."))?);
                    }
                    true
                }
                "items" => {
                    for item in value.as_array().into_iter().flatten() {
                        seen.extend(self.judge(rule, item, place)?);
                    }
                    true
                }
                other => {
                    assert!(ANNOTATIONS.contains(&other), "this judge does not know {other}");
                    true
                }
            };
            if !holds {
                return Err(format!("{place} is not what {keyword} says ({rule})"));
            }
        }
        Ok(seen)
    }

    /// One of several, if it fits; named by its `event`.
    fn alternative(&self, kind: &Value, value: &Value, place: &str) -> Option<BTreeSet<String>> {
        let place = match &self.resolved(kind)["properties"]["event"]["const"] {
            Value::Null => place.to_owned(),
            event => format!("{place}{event}."),
        };
        self.judge(kind, value, &place).ok()
    }
}

fn strings(list: &Value) -> impl Iterator<Item = &str> {
    list.as_array().into_iter().flatten().map(|item| item.as_str().expect("a word"))
}

fn is_of_type(rule: &Value, value: &Value) -> bool {
    match rule.as_str().expect("one type") {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "boolean" => value.is_boolean(),
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "null" => value.is_null(),
        other => panic!("this judge does not know the type {other}"),
    }
}
