//! Suites from files.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::spec::{API_VERSION, Case, KIND, NAMESPACE, Suite};
use super::{check, faults, pointer};
use crate::argo::expand::{Library, Settings, Version};
use crate::context::Context;
use crate::offline::each;
use crate::policy::PolicySet;
use crate::policy::compile::Rules;
use crate::policy::load::PolicyError;
use crate::source::files;
use crate::yaml::{self, DocumentError, Spanned, YamlError};

/// What a user adds to a suite for its Workflows to refer to.
pub(super) const GIVER: &str = "`with` of the suite";

/// A suite, ready to run.
#[derive(Debug)]
pub struct Loaded {
    /// Its file.
    pub file: PathBuf,
    /// Its policies.
    pub policies: PolicySet,
    /// Context of cases that have none of their own.
    pub context: Context,
    /// What Workflows may refer to, by the namespace in which manifests are that name none: one for each that an input has.
    pub libraries: BTreeMap<String, Library>,
    /// How the controller is set up.
    pub settings: Settings,
    /// The cases, with their lines.
    pub cases: Vec<(usize, Case)>,
}

/// Whether each case has to expect something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expects {
    /// It has to.
    Something,
    /// What it expects is still to be written.
    Anything,
}

/// A mistake in a suite, or in what it names.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}{}: {message}", file.display(), line.map(|line| format!(":{line}")).unwrap_or_default())]
pub struct Mistake {
    /// The file.
    pub file: PathBuf,
    /// The line, where it is known.
    pub line: Option<usize>,
    /// What is wrong.
    pub message: String,
}

/// Suites below folders, at any depth, and suites named themselves.
///
/// # Errors
/// A path that cannot be read.
pub fn find(paths: &[PathBuf]) -> Result<Vec<PathBuf>, Mistake> {
    let mut found = Vec::new();
    for path in paths {
        let named = |file: &Path| file == path || file.file_name().is_some_and(|name| name == files::SUITE);
        let mut take = |file: &Path| {
            if named(file) {
                found.push(file.to_owned());
            }
        };
        files::each_below(path, 0, &mut take).map_err(|error| unreadable(path, &error))?;
    }
    found.sort();
    found.dedup();
    Ok(found)
}

fn unreadable(path: &Path, error: &std::io::Error) -> Mistake {
    Mistake { file: path.to_owned(), line: None, message: files::cannot(error) }
}

/// Reads a suite and all that it names.
///
/// # Errors
/// Every mistake of the suite, or of its policies.
pub fn load(file: &Path, expects: Expects) -> Result<Loaded, Vec<Mistake>> {
    let one = |mistake| vec![mistake];
    let (read, suite) = suite(file).map_err(one)?;
    let wrong = |line: Option<usize>, message: String| Mistake { file: file.to_owned(), line, message };
    let folder = file.parent().unwrap_or(Path::new("."));
    let mut context = suite.context.unwrap_or_default();
    let policies = policies(folder, suite.policies, &context)?;
    let (given, with) = with(folder, &suite.with).map_err(one)?;
    context.namespaces.extend(given.namespaces.clone());
    let version = match suite.argo.as_str() {
        "" | "3.7" => Version::V3_7,
        "4.1" => Version::V4_1,
        "4.1-initless" => Version::V4_1InitLess,
        other => {
            let line = read.span("argo").line;
            let message = format!("argo: {other:?} is none of 3.7, 4.1, 4.1-initless");
            return Err(one(wrong(Some(line), message)));
        }
    };
    let usual = library(&with, NAMESPACE);
    let settings = Settings::new(version, usual.controller_config()).map_err(|why| one(wrong(None, why)))?;
    let mut libraries = BTreeMap::from([(NAMESPACE.to_owned(), usual)]);
    let (mut cases, mistakes) = cases(file, &read, suite.cases, expects);
    if !mistakes.is_empty() {
        return Err(mistakes);
    }
    for (_, case) in &mut cases {
        let namespace = case.input.namespace();
        libraries.entry(namespace.to_owned()).or_insert_with(|| library(&with, namespace));
        if let Some(own) = &mut case.context {
            for (name, labels) in &given.namespaces {
                own.namespaces.entry(name.clone()).or_insert_with(|| labels.clone());
            }
        }
    }
    Ok(Loaded { file: file.to_owned(), policies, context, libraries, settings, cases })
}

/// A suite by itself.
fn suite(file: &Path) -> Result<(Spanned, Suite), Mistake> {
    let wrong = |line: usize, message: String| Mistake { file: file.to_owned(), line: Some(line), message };
    let text = files::read(file).map_err(|error| unreadable(file, &error))?;
    let read = Spanned::read(&text, 1).map_err(|error| {
        // To separate it by a line `---`, as the reader says, is no help.
        if error.message == "a second document starts here" {
            let hint = "put its cases into the first, or it into a folder of its own";
            return wrong(error.line, format!("{}, and a suite is one ({hint})", error.message));
        }
        wrong(error.line, with_hint(error.message, error.hint.as_deref()))
    })?;
    let written = read.to_value();
    if !written.is_object() {
        let what = format!("no suite in it: it has `apiVersion: {API_VERSION}`, `kind: {KIND}` and `cases`");
        return Err(wrong(read.root.span.line, what));
    }
    let suite: Suite = serde_json::from_value(written.clone()).map_err(|error| {
        let path = faults::narrowed::<Suite>(&written, "", 1).unwrap_or_default();
        wrong(read.span(&path).line, at(&path, &faults::plain(&error)))
    })?;
    if (suite.api_version.as_str(), suite.kind.as_str()) != (API_VERSION, KIND) {
        return Err(wrong(1, format!("a suite has `apiVersion: {API_VERSION}` and `kind: {KIND}`")));
    }
    Ok((read, suite))
}

/// The policies that a suite names, or the one beside it.
fn policies(folder: &Path, mut paths: Vec<PathBuf>, context: &Context) -> Result<PolicySet, Vec<Mistake>> {
    if paths.is_empty() {
        paths.push(PathBuf::from("policy.yaml"));
    }
    let paths: Vec<_> = paths.into_iter().map(|path| folder.join(path)).collect();
    files::load(&paths, &Rules { allow_env: context.allow_env.clone() }).map_err(|errors| {
        let mistake = |error: PolicyError| Mistake {
            file: PathBuf::from(&error.file),
            line: Some(error.line).filter(|line| *line > 0),
            message: at(&error.path, &with_hint(error.message, error.hint.as_deref())),
        };
        errors.0.into_iter().map(mistake).collect()
    })
}

/// The Namespaces among the manifests that a suite names, and the others.
fn with(folder: &Path, paths: &[PathBuf]) -> Result<(Context, Vec<Value>), Mistake> {
    let (mut context, mut others) = (Context::default(), Vec::new());
    for path in paths {
        let path = folder.join(path);
        for file in files::expand(&path).map_err(|error| unreadable(&path, &error))? {
            let all = manifests(&file)?.into_iter();
            others.extend(all.filter(|manifest| !context.take_namespace(manifest)));
        }
    }
    Ok((context, others))
}

/// What Workflows may refer to, where manifests that name no namespace are in this one.
fn library(with: &[Value], namespace: &str) -> Library {
    let mut library = Library::filled_by(GIVER);
    for manifest in with {
        library.take(manifest, namespace);
    }
    library
}

/// The manifests of a file, those in Lists too.
///
/// # Errors
/// It cannot be read, or is no YAML.
pub(crate) fn manifests(file: &Path) -> Result<Vec<Value>, Mistake> {
    let opened = File::open(file).map_err(|error| unreadable(file, &error))?;
    documents(file, BufReader::new(opened))
}

/// The manifests of a file, as `reader` has them.
///
/// # Errors
/// It cannot be read, or is no YAML.
pub(crate) fn documents(file: &Path, reader: impl BufRead) -> Result<Vec<Value>, Mistake> {
    let broken = |error: YamlError| Mistake {
        file: file.to_owned(),
        line: Some(error.line),
        message: with_hint(error.message, error.hint.as_deref()),
    };
    let read = |document: Result<yaml::Document, DocumentError>| match document {
        Ok(document) => document.read().map_err(broken),
        Err(DocumentError::Broken(error)) => Err(broken(error)),
        Err(DocumentError::Io(error)) => Err(unreadable(file, &error)),
    };
    let mut all = Vec::new();
    for document in yaml::documents(reader) {
        each(read(document)?, &mut |one| all.push(one));
    }
    Ok(all)
}

fn cases(file: &Path, read: &Spanned, cases: Vec<Value>, expects: Expects) -> (Vec<(usize, Case)>, Vec<Mistake>) {
    let (mut all, mut mistakes) = (Vec::<(usize, Case)>::new(), Vec::new());
    for (number, written) in cases.into_iter().enumerate() {
        let place = format!("cases[{number}]");
        let line = read.span(&place).line;
        let mut wrong = |path: &str, message: &str| {
            let line = Some(read.span(path).line);
            mistakes.push(Mistake { file: file.to_owned(), line, message: at(path, message) });
        };
        let case = match Case::read(&written) {
            Ok(case) => case,
            Err(error) => {
                wrong(&faults::in_case(&written, &place), &faults::plain(&error));
                continue;
            }
        };
        if all.iter().any(|(_, known)| known.name == case.name) {
            wrong(&place, &format!("another case has the name {:?}", case.name));
        } else if expects == Expects::Something && case.expect.is_empty() {
            let name = &case.name;
            wrong(&place, &format!("{name:?} expects nothing (`stepspan test --update` writes what is)"));
        } else {
            let mut faults = pointer::impossible(&written["expect"]);
            if expects == Expects::Something {
                faults.extend(check::empty(&written["expect"]));
            }
            if faults.is_empty() {
                all.push((line, case));
            }
            for (path, message) in faults {
                wrong(&format!("{place}.expect.{path}"), &message);
            }
        }
    }
    (all, mistakes)
}

fn at(path: &str, message: &str) -> String {
    if path.is_empty() { message.to_owned() } else { format!("{path}: {message}") }
}

fn with_hint(message: String, hint: Option<&str>) -> String {
    match hint {
        Some(hint) => format!("{message} ({hint})"),
        None => message,
    }
}
