//! Policies from text: YAML documents -> a [`PolicySet`], or every mistake with its place.

use std::fmt;
use std::sync::LazyLock;

use serde_json::Value;

use super::PolicySet;
use super::check::{self, Mistake, Path};
use super::compile::{self, Expressions, Rules};
use super::spec::{API_VERSION, InjectionPolicy, KIND};
use crate::yaml::{self, Span, Spanned, YamlError};

/// The policy in force where none is named.
pub const EMBEDDED: &str = include_str!("../../policies/agent-steps/policy.yaml");
/// Its name in messages.
pub const EMBEDDED_NAME: &str = "policies/agent-steps/policy.yaml (embedded)";

static SCHEMA: LazyLock<Value> = LazyLock::new(|| schemars::schema_for!(InjectionPolicy).to_value());

/// The JSON Schema of a policy document (draft 2020-12), made from the types that read it.
pub fn schema() -> &'static Value {
    &SCHEMA
}

/// One mistake of a policy file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyError {
    /// The file.
    pub file: String,
    /// 1-based; 0 where the whole file is meant.
    pub line: usize,
    /// 1-based.
    pub column: usize,
    /// The field, such as `spec.match.when[0]`.
    pub path: String,
    /// What was found and what was expected.
    pub message: String,
    /// How to mend it.
    pub hint: Option<String>,
}

impl fmt::Display for PolicyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if self.line > 0 {
            write!(f, ":{}:{}", self.line, self.column)?;
        }
        if !self.path.is_empty() {
            write!(f, ": {}", self.path)?;
        }
        write!(f, ": {}", self.message)?;
        match &self.hint {
            Some(hint) => write!(f, "\n  hint: {hint}"),
            None => Ok(()),
        }
    }
}

/// Every mistake of every file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadErrors(pub Vec<PolicyError>);

impl fmt::Display for LoadErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, error) in self.0.iter().enumerate() {
            write!(f, "{}{error}", if i == 0 { "" } else { "\n" })?;
        }
        Ok(())
    }
}

impl std::error::Error for LoadErrors {}

/// A policy file's name and text.
#[derive(Debug, Clone)]
pub struct PolicyFile {
    /// Its name in messages.
    pub name: String,
    /// Its text: one or more YAML documents.
    pub text: String,
}

impl PolicySet {
    /// The policy in force where none is named.
    ///
    /// # Errors
    /// Mistakes of the embedded file: none, as a test holds.
    pub fn embedded(rules: &Rules) -> Result<Self, LoadErrors> {
        Self::from_files(&[PolicyFile { name: EMBEDDED_NAME.to_owned(), text: EMBEDDED.to_owned() }], rules)
    }

    /// Reads and compiles policy files.
    ///
    /// # Errors
    /// Every mistake of every document of every file, in the order of the files.
    pub fn from_files(files: &[PolicyFile], rules: &Rules) -> Result<Self, LoadErrors> {
        let names: Vec<String> = files.iter().map(|file| file.name.clone()).collect();
        Self::from_read(read(files, rules), &names, rules)
    }

    /// Compiles what was read of files; `files` are the names of these, in the order in which mistakes are told.
    ///
    /// # Errors
    /// Every mistake of every document, in the order of the files.
    pub fn from_read(read: Read, files: &[String], rules: &Rules) -> Result<Self, LoadErrors> {
        let Read { written, others, mut errors } = read;
        errors.extend(others.iter().flat_map(Other::refusal));
        match compiled(&written, rules) {
            Ok(set) if errors.is_empty() => return Ok(set),
            Ok(_) => {}
            Err(wrong) => errors.extend(wrong),
        }
        sort(&mut errors, files);
        Err(LoadErrors(errors))
    }
}

/// Puts mistakes in the order of the files, then of their places.
fn sort(errors: &mut [PolicyError], files: &[String]) {
    let order = |file: &str| files.iter().position(|name| name == file);
    errors.sort_by_cached_key(|error| (order(&error.file), error.line, error.column));
}

/// A policy as it stands in a file; of the right shape, its meaning not yet checked.
#[derive(Debug, Clone)]
pub struct Written {
    /// The file.
    pub file: String,
    /// Where everything stands.
    pub place: Spanned,
    /// The policy.
    pub policy: InjectionPolicy,
}

/// A document that says itself that it is no policy.
#[derive(Debug, Clone)]
pub struct Other {
    /// The file.
    pub file: String,
    /// The document.
    pub place: Spanned,
}

impl Other {
    /// What is said of it where only policies are read.
    fn refusal(&self) -> Vec<PolicyError> {
        foreign(&self.place.to_value()).into_iter().map(|m| located(&self.file, &self.place, m)).collect()
    }
}

/// What policy files hold.
#[derive(Debug, Default)]
pub struct Read {
    /// The policies whose shape is right.
    pub written: Vec<Written>,
    /// Documents of other kinds.
    pub others: Vec<Other>,
    /// Every mistake of the rest.
    pub errors: Vec<PolicyError>,
}

impl Read {
    /// Whether it is documents of other kinds, and nothing else.
    pub fn only_others(&self) -> bool {
        self.written.is_empty() && self.errors.is_empty() && !self.others.is_empty()
    }

    /// Adds what further files hold.
    pub fn append(&mut self, more: Self) {
        let Self { written, others, errors } = more;
        self.written.extend(written);
        self.others.extend(others);
        self.errors.extend(errors);
    }
}

/// Reads policy files: their shape is checked, not their meaning.
pub fn read(files: &[PolicyFile], rules: &Rules) -> Read {
    let mut reading = Reading { rules, file: "", read: Read::default() };
    for file in files {
        reading.file = &file.name;
        let before = reading.count();
        for document in yaml::documents(file.text.as_bytes()) {
            reading.document(document);
        }
        if reading.count() == before {
            reading.whole_file("no policy in it", Some(&format!("a document of kind {KIND}")));
        }
    }
    reading.read
}

impl PolicySet {
    /// Reads and compiles one resource, as the API server gives it; its status is not looked at.
    ///
    /// # Errors
    /// Every mistake; `file` names the resource, and there are no lines.
    pub fn from_resource(mut resource: Value, rules: &Rules) -> Result<Self, Vec<PolicyError>> {
        if let Value::Object(fields) = &mut resource {
            fields.shift_remove("status");
        }
        drop_nulls(&mut resource);
        let name = resource["metadata"]["name"].as_str().unwrap_or_default();
        let file = format!("{}/{name}", KIND.to_lowercase());
        let told = |mistakes: Vec<Mistake>| mistakes.into_iter().map(|m| of_resource(&file, m)).collect();
        let policy = match parse(resource, rules) {
            Ok(policy) => policy,
            Err(mistakes) => return Err(told(mistakes)),
        };
        Self::compile(vec![policy], rules).map_err(|wrong| wrong.into_iter().flat_map(|(_, m)| told(m)).collect())
    }
}

struct Reading<'a> {
    rules: &'a Rules,
    file: &'a str,
    read: Read,
}

impl Reading<'_> {
    fn count(&self) -> usize {
        let Read { written, others, errors } = &self.read;
        written.len() + others.len() + errors.len()
    }

    fn document(&mut self, document: Result<yaml::Document, yaml::DocumentError>) {
        let read = document.map_err(|error| match error {
            yaml::DocumentError::Broken(error) => Ok(error),
            yaml::DocumentError::Io(error) => Err(error),
        });
        match read.and_then(|document| Spanned::read(&document.text, document.line).map_err(Ok)) {
            Ok(spanned) => self.spanned(spanned),
            Err(Ok(error)) => self.unreadable(error),
            Err(Err(error)) => self.whole_file(&format!("cannot be read: {error}"), None),
        }
    }

    fn spanned(&mut self, place: Spanned) {
        let mut value = place.to_value();
        drop_nulls(&mut value);
        if value.is_null() {
            return;
        }
        let file = self.file.to_owned();
        if is_other(&value) {
            return self.read.others.push(Other { file, place });
        }
        match parse(value, self.rules) {
            Ok(policy) => self.read.written.push(Written { file, place, policy }),
            Err(mistakes) => self.read.errors.extend(mistakes.into_iter().map(|m| located(&file, &place, m))),
        }
    }

    fn unreadable(&mut self, error: YamlError) {
        let Span { line, column } = error.span();
        let (file, path) = (self.file.to_owned(), String::new());
        self.read.errors.push(PolicyError { file, line, column, path, message: error.message, hint: error.hint });
    }

    fn whole_file(&mut self, message: &str, hint: Option<&str>) {
        let (file, message, hint) = (self.file.to_owned(), message.to_owned(), hint.map(str::to_owned));
        self.read.errors.push(PolicyError { file, line: 0, column: 0, path: String::new(), message, hint });
    }
}

/// Compiles policies whose shape is right.
///
/// # Errors
/// What is wrong with their meaning, each mistake at its place.
pub fn compiled(written: &[Written], rules: &Rules) -> Result<PolicySet, Vec<PolicyError>> {
    let policies = written.iter().map(|one| one.policy.clone()).collect();
    PolicySet::compile(policies, rules).map_err(|wrong| {
        let of = |(index, mistakes): (usize, Vec<Mistake>)| {
            let one = written.get(index)?;
            Some(mistakes.into_iter().map(|mistake| located(&one.file, &one.place, mistake)))
        };
        wrong.into_iter().filter_map(of).flatten().collect()
    })
}

/// A document of the right shape; where it is not, all mistakes, those in meaning included.
fn parse(value: Value, rules: &Rules) -> Result<InjectionPolicy, Vec<Mistake>> {
    let mut mistakes = check::check(schema(), &value);
    mistakes.extend(foreign(&value));
    if mistakes.is_empty() {
        let unexpected =
            |error: serde_json::Error| Mistake { path: Path::default(), message: error.to_string(), hint: None };
        return serde_json::from_value(value).map_err(|error| vec![unexpected(error)]);
    }
    mistakes.extend(mistakes_of_the_rest(value, &mistakes, rules));
    Err(mistakes)
}

/// What is wrong in meaning with a document whose shape is wrong elsewhere: all mistakes are told at once.
fn mistakes_of_the_rest(mut value: Value, known: &[Mistake], rules: &Rules) -> Vec<Mistake> {
    // From the last, so that indices before stay true.
    for mistake in known.iter().rev() {
        check::remove(&mut value, &mistake.path);
    }
    let rest = serde_json::from_value::<InjectionPolicy>(value);
    // An index after a removed item is off by one: better not told than told wrongly.
    let by_index = |m: &Mistake| m.path.0.iter().any(|s| matches!(s, check::Segment::Index(_)));
    let shifted = known.iter().any(|m| matches!(m.path.0.last(), Some(check::Segment::Index(_))));
    let Ok(InjectionPolicy { metadata, spec, .. }) = rest else { return Vec::new() };
    let found = compile::mistakes(&metadata.name, &spec, rules, &mut Expressions::new());
    found.into_iter().filter(|m| !(shifted && by_index(m))).collect()
}

/// Whether a document is a manifest of another group and kind, whole in itself.
fn is_other(value: &Value) -> bool {
    let text = |field: &str| value.get(field).and_then(Value::as_str);
    let group = |version: &str| version.split('/').next().unwrap_or_default().to_owned();
    let other_group = text("apiVersion").is_some_and(|version| group(version) != group(API_VERSION));
    // A misspelt policy is one with a mistake.
    other_group && text("kind").is_some_and(|kind| check::nearest(kind, std::iter::once(KIND)).is_none())
}

/// A document of another kind or version.
fn foreign(value: &Value) -> Vec<Mistake> {
    let expected = [("apiVersion", API_VERSION), ("kind", KIND)];
    let wrong = expected.into_iter().filter_map(|(field, expected)| {
        let found = value.get(field)?.as_str().filter(|f| *f != expected)?;
        let message = format!("expected {expected}, found {found:?}");
        Some(Mistake { path: Path::of(field), message, hint: Some(format!("write `{field}: {expected}`")) })
    });
    wrong.collect()
}

/// A key without a value says nothing, as in Kubernetes.
fn drop_nulls(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|_, v| !v.is_null());
            fields.values_mut().for_each(drop_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(drop_nulls),
        _ => {}
    }
}

fn of_resource(resource: &str, mistake: Mistake) -> PolicyError {
    let (file, path) = (resource.to_owned(), mistake.path.to_string());
    PolicyError { file, line: 0, column: 0, path, message: mistake.message, hint: mistake.hint }
}

/// A mistake with its place.
fn located(file: &str, spanned: &Spanned, mistake: Mistake) -> PolicyError {
    let path = mistake.path.to_string();
    let place = spanned.span(&path);
    let (line, column) = (place.line, place.column);
    PolicyError { file: file.to_owned(), line, column, path, message: mistake.message, hint: mistake.hint }
}
