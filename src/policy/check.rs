//! A value against a JSON Schema made from our own types, with every mistake at once.
//!
//! serde stops at the first error and knows no position; this walks the same shape (the schema comes from the same types) and
//! collects all mistakes with their paths. It knows what schemars writes for our types, not all of JSON Schema; a test holds that
//! what passes here is read by serde.

use std::fmt;

use serde_json::{Map, Number, Value};

/// One step of a path into a document.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Segment {
    /// A field.
    Key(String),
    /// An index of a list.
    Index(usize),
}

/// A path into a document, written as `spec.match.when[0]`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Path(pub Vec<Segment>);

impl Path {
    /// Reads the written form of a path without dots in its keys.
    pub fn of(text: &str) -> Self {
        let mut segments = Vec::new();
        for part in text.split('.') {
            let mut pieces = part.split('[');
            segments.push(Segment::Key(pieces.next().unwrap_or_default().to_owned()));
            segments.extend(pieces.filter_map(|p| p.trim_end_matches(']').parse().ok()).map(Segment::Index));
        }
        Self(segments)
    }

    /// The path one field deeper.
    #[must_use]
    pub fn key(&self, key: &str) -> Self {
        let mut deeper = self.clone();
        deeper.0.push(Segment::Key(key.to_owned()));
        deeper
    }

    /// The path one list entry deeper.
    #[must_use]
    pub fn index(&self, index: usize) -> Self {
        let mut deeper = self.clone();
        deeper.0.push(Segment::Index(index));
        deeper
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, segment) in self.0.iter().enumerate() {
            match segment {
                Segment::Key(key) if key.contains(['.', '[', '/']) => write!(f, "[{key:?}]")?,
                Segment::Key(key) => write!(f, "{}{key}", if i == 0 { "" } else { "." })?,
                Segment::Index(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}

/// One mistake of a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// Where.
    pub path: Path,
    /// What was found and what was expected.
    pub message: String,
    /// How to mend it.
    pub hint: Option<String>,
}

/// Checks a value against a schema and collects every mistake.
pub fn check(schema: &Value, value: &Value) -> Vec<Mistake> {
    let mut checker = Checker { root: schema, mistakes: Vec::new() };
    checker.value(schema, value, &Path::default());
    checker.mistakes
}

/// Takes what stands at a path out of a document.
pub fn remove(document: &mut Value, path: &Path) {
    let Some((last, parents)) = path.0.split_last() else { return };
    let mut at = document;
    for segment in parents {
        let next = match segment {
            Segment::Key(key) => at.get_mut(key),
            Segment::Index(index) => at.get_mut(*index),
        };
        match next {
            Some(found) => at = found,
            None => return,
        }
    }
    match (at, last) {
        (Value::Object(fields), Segment::Key(key)) => drop(fields.shift_remove(key)),
        (Value::Array(items), Segment::Index(index)) if *index < items.len() => drop(items.remove(*index)),
        _ => {}
    }
}

/// The name among `known` that is nearest to a misspelt one, if one is near.
pub fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let distance = |k: &str| strsim::damerau_levenshtein(&name.to_lowercase(), &k.to_lowercase());
    let (best, distance) = known.map(|k| (k, distance(k))).min_by_key(|(_, d)| *d)?;
    (distance <= 2.max(name.len() / 3)).then_some(best)
}

struct Checker<'s> {
    root: &'s Value,
    mistakes: Vec<Mistake>,
}

impl<'s> Checker<'s> {
    fn value(&mut self, schema: &'s Value, value: &Value, at: &Path) {
        let schema = self.resolve(schema);
        if let Some(options) = schema.get("anyOf").and_then(Value::as_array) {
            // schemars writes an optional reference as anyOf [reference, null]; nulls never come here.
            if let Some(first) = options.first() {
                self.value(first, value, at);
            }
            return;
        }
        if let Some(options) = schema.get("oneOf").and_then(Value::as_array) {
            self.one_of(options, value, at);
            return;
        }
        if let Some(words) = schema.get("enum").and_then(Value::as_array) {
            self.word(&words.iter().filter_map(Value::as_str).collect::<Vec<_>>(), value, at);
            return;
        }
        if !self.has_type(schema, value, at) {
            return;
        }
        match value {
            Value::Object(fields) => self.object(schema, fields, at),
            Value::Array(items) => {
                for (i, item) in items.iter().enumerate() {
                    self.value(&schema["items"], item, &at.index(i));
                }
            }
            Value::Number(number) => self.range(schema, number, at),
            Value::String(text) => self.length(schema, text, at),
            _ => {}
        }
    }

    fn resolve(&self, schema: &'s Value) -> &'s Value {
        let name = schema.get("$ref").and_then(Value::as_str).and_then(|r| r.strip_prefix("#/$defs/"));
        name.and_then(|n| self.root.get("$defs")?.get(n)).unwrap_or(schema)
    }

    fn has_type(&mut self, schema: &Value, value: &Value, at: &Path) -> bool {
        let expected: Vec<&str> = match &schema["type"] {
            Value::String(one) => vec![one],
            Value::Array(several) => several.iter().filter_map(Value::as_str).collect(),
            _ => return true,
        };
        let fits = |kind: &&str| match *kind {
            "integer" => value.is_i64() || value.is_u64(),
            "number" => value.is_number(),
            kind => kind == kind_of(value),
        };
        if expected.iter().any(fits) {
            return true;
        }
        let expected: Vec<_> = expected.into_iter().filter(|k| *k != "null").map(noun).collect();
        let hint = (expected == ["text"] && (value.is_number() || value.is_boolean()))
            .then(|| format!("put it in quotes: \"{value}\""));
        self.report(at, format!("expected {}, found {}", expected.join(" or "), shown(value)), hint);
        false
    }

    fn object(&mut self, schema: &'s Value, fields: &Map<String, Value>, at: &Path) {
        let known = schema.get("properties").and_then(Value::as_object);
        for (key, value) in fields {
            let path = at.key(key);
            match (known.and_then(|k| k.get(key)), &schema["additionalProperties"]) {
                (Some(field), _) => self.value(field, value, &path),
                (None, Value::Bool(false)) => self.unknown_field(key, known, &path),
                (None, Value::Object(_)) => self.value(&schema["additionalProperties"], value, &path),
                _ => {}
            }
        }
        for required in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            if !fields.contains_key(required) {
                self.report(at, format!("the field `{required}` is missing"), None);
            }
        }
    }

    fn unknown_field(&mut self, key: &str, known: Option<&Map<String, Value>>, path: &Path) {
        let names: Vec<&str> = known.into_iter().flat_map(|k| k.keys()).map(String::as_str).collect();
        let hint = match nearest(key, names.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("fields here: {}", names.join(", ")),
        };
        self.report(path, format!("unknown field `{key}`"), Some(hint));
    }

    /// `oneOf` is a set of words (unit variants) or of objects with one field each (variants with a value).
    fn one_of(&mut self, options: &'s [Value], value: &Value, at: &Path) {
        let words: Vec<&str> = options.iter().flat_map(words_of).collect();
        if !words.is_empty() {
            return self.word(&words, value, at);
        }
        let variants: Vec<(&str, &'s Value)> = options
            .iter()
            .filter_map(|o| o["properties"].as_object()?.iter().next())
            .map(|(name, schema)| (name.as_str(), schema))
            .collect();
        let names = variants.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
        match value.as_object().map(|o| o.iter().collect::<Vec<_>>()).as_deref() {
            Some([(key, inner)]) => match variants.iter().find(|(name, _)| name == key) {
                Some((_, schema)) => self.value(schema, inner, &at.key(key)),
                None => self.unknown_variant(key, &variants, at),
            },
            _ => self.report(at, format!("expected exactly one of {names}, found {}", shown(value)), None),
        }
    }

    fn unknown_variant(&mut self, key: &str, variants: &[(&str, &Value)], at: &Path) {
        let names = variants.iter().map(|(name, _)| *name).collect::<Vec<_>>();
        let hint = nearest(key, names.iter().copied()).map(|near| format!("did you mean `{near}`?"));
        self.report(&at.key(key), format!("unknown source `{key}`, expected one of {}", names.join(", ")), hint);
    }

    fn word(&mut self, words: &[&str], value: &Value, at: &Path) {
        let found = value.as_str();
        if found.is_some_and(|f| words.contains(&f)) {
            return;
        }
        let hint = found.and_then(|f| nearest(f, words.iter().copied())).map(|n| format!("did you mean `{n}`?"));
        self.report(at, format!("expected one of {}, found {}", words.join(", "), shown(value)), hint);
    }

    fn range(&mut self, schema: &Value, exact: &Number, at: &Path) {
        let (minimum, maximum) = (schema["minimum"].as_f64(), schema["maximum"].as_f64());
        let Some(number) = exact.as_f64() else { return };
        if minimum.is_some_and(|m| number < m) || maximum.is_some_and(|m| number > m) {
            let bound = |b: Option<f64>| b.map(|b| b.to_string()).unwrap_or_default();
            self.report(at, format!("{number} is outside {} to {}", bound(minimum), bound(maximum)), None);
        }
        let integer = schema["format"].as_str().is_some_and(|f| f == "int32");
        if integer && exact.as_i64().is_none_or(|n| i32::try_from(n).is_err()) {
            self.report(at, format!("{number} does not fit 32 bits"), None);
        }
    }

    fn length(&mut self, schema: &Value, text: &str, at: &Path) {
        let length = text.chars().count() as u64;
        if schema["minLength"].as_u64().is_some_and(|m| length < m) {
            self.report(at, "must not be empty".to_owned(), None);
        }
        if let Some(most) = schema["maxLength"].as_u64().filter(|m| length > *m) {
            self.report(at, format!("{length} characters, at most {most} are allowed"), None);
        }
    }

    fn report(&mut self, path: &Path, message: String, hint: Option<String>) {
        self.mistakes.push(Mistake { path: path.clone(), message, hint });
    }
}

fn words_of(option: &Value) -> impl Iterator<Item = &str> {
    let list = option["enum"].as_array().map_or(&[][..], Vec::as_slice);
    option["const"].as_str().into_iter().chain(list.iter().filter_map(Value::as_str))
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

fn noun(kind: &str) -> &str {
    match kind {
        "string" => "text",
        "array" => "a list",
        "object" => "a mapping",
        "boolean" => "true or false",
        "integer" => "a whole number",
        "number" => "a number",
        other => other,
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::Array(_) | Value::Object(_) => noun(kind_of(value)).to_owned(),
        Value::Null => "nothing".to_owned(),
        scalar => {
            let text = scalar.to_string();
            if text.chars().count() > 60 { format!("{}...", text.chars().take(57).collect::<String>()) } else { text }
        }
    }
}
