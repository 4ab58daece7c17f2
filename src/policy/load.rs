//! Policies from text: YAML documents -> a [`PolicySet`], or every mistake with its place.

use std::fmt;
use std::sync::LazyLock;

use serde_json::Value;

use super::PolicySet;
use super::check::{self, Mistake, Path};
use super::compile::Rules;
use super::spec::{API_VERSION, InjectionPolicy, KIND};
use crate::yaml::{self, Spanned};

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
        let mut errors = Vec::new();
        let mut places = Vec::new();
        let mut policies = Vec::new();
        for file in files {
            let before = policies.len() + errors.len();
            for document in yaml::documents(file.text.as_bytes()) {
                read_document(&file.name, document, &mut places, &mut policies, &mut errors);
            }
            if policies.len() + errors.len() == before {
                errors.push(whole_file(&file.name, "no policy in it", Some(&format!("a document of kind {KIND}"))));
            }
        }
        match Self::compile(policies, rules) {
            Ok(set) if errors.is_empty() => return Ok(set),
            Ok(_) => {}
            Err(wrong) => {
                for (index, mistakes) in wrong {
                    let Some((file, spanned)) = places.get(index) else { continue };
                    errors.extend(mistakes.into_iter().map(|m| located(file, spanned, m)));
                }
            }
        }
        Err(LoadErrors(errors))
    }
}

fn read_document(
    file: &str,
    document: Result<yaml::Document, yaml::DocumentError>,
    places: &mut Vec<(String, Spanned)>,
    policies: &mut Vec<InjectionPolicy>,
    errors: &mut Vec<PolicyError>,
) {
    let document = match document {
        Ok(document) => document,
        Err(error) => return errors.push(whole_file(file, &error.to_string(), None)),
    };
    let spanned = match Spanned::read(&document.text, document.line) {
        Ok(spanned) => spanned,
        Err(error) => {
            let place = error.span();
            let (line, column) = (place.line, place.column);
            let (message, hint) = (error.message, error.hint);
            return errors.push(PolicyError {
                file: file.to_owned(),
                line,
                column,
                path: String::new(),
                message,
                hint,
            });
        }
    };
    let mut value = spanned.to_value();
    drop_nulls(&mut value);
    if value.is_null() {
        return;
    }
    let mut mistakes = check::check(schema(), &value);
    mistakes.extend(foreign(&value));
    if mistakes.is_empty() {
        match serde_json::from_value(value) {
            Ok(policy) => {
                places.push((file.to_owned(), spanned));
                return policies.push(policy);
            }
            Err(error) => mistakes.push(Mistake { path: Path::default(), message: error.to_string(), hint: None }),
        }
    }
    errors.extend(mistakes.into_iter().map(|m| located(file, &spanned, m)));
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

fn located(file: &str, spanned: &Spanned, mistake: Mistake) -> PolicyError {
    let path = mistake.path.to_string();
    let place = spanned.span(&path);
    let (line, column) = (place.line, place.column);
    PolicyError { file: file.to_owned(), line, column, path, message: mistake.message, hint: mistake.hint }
}

fn whole_file(file: &str, message: &str, hint: Option<&str>) -> PolicyError {
    let (message, hint) = (message.to_owned(), hint.map(str::to_owned));
    PolicyError { file: file.to_owned(), line: 0, column: 0, path: String::new(), message, hint }
}
