//! Suites from files.

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::spec::{API_VERSION, Case, KIND, Suite};
use crate::argo::expand::{Library, Settings, Version};
use crate::context::Context;
use crate::offline::Expander;
use crate::policy::PolicySet;
use crate::policy::compile::Rules;
use crate::source::files;
use crate::yaml::{self, Kind, Spanned};

/// A suite, ready to run.
#[derive(Debug)]
pub struct Loaded {
    /// Its file.
    pub file: PathBuf,
    /// Its policies.
    pub policies: PolicySet,
    /// Context of cases that have none of their own.
    pub context: Context,
    /// What Workflows may refer to.
    pub expander: Expander,
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
    let wrong = |line: Option<usize>, message: String| vec![Mistake { file: file.to_owned(), line, message }];
    let text = files::read(file).map_err(|error| vec![unreadable(file, &error)])?;
    let read = Spanned::read(&text, 1).map_err(|error| wrong(Some(error.line), error.message))?;
    let suite: Suite = serde_json::from_value(read.to_value()).map_err(|error| wrong(None, error.to_string()))?;
    if (suite.api_version.as_str(), suite.kind.as_str()) != (API_VERSION, KIND) {
        return Err(wrong(Some(1), format!("a suite has `apiVersion: {API_VERSION}` and `kind: {KIND}`")));
    }
    let folder = file.parent().unwrap_or(Path::new("."));
    let context = suite.context.unwrap_or_default();
    let mut policies = suite.policies;
    if policies.is_empty() {
        policies.push(PathBuf::from("policy.yaml"));
    }
    let policies: Vec<_> = policies.iter().map(|path| folder.join(path)).collect();
    let policies = files::load(&policies, &Rules { allow_env: context.allow_env.clone() }).map_err(|errors| {
        let mistake = |error: crate::policy::load::PolicyError| Mistake {
            file: PathBuf::from(&error.file),
            line: Some(error.line).filter(|line| *line > 0),
            message: error.message,
        };
        errors.0.into_iter().map(mistake).collect::<Vec<_>>()
    })?;
    let (context, library) = with(folder, &suite.with, context).map_err(|mistake| vec![mistake])?;
    let version = match suite.argo.as_str() {
        "" | "3.7" => Version::V3_7,
        "4.1" => Version::V4_1,
        "4.1-initless" => Version::V4_1InitLess,
        other => return Err(wrong(None, format!("argo: {other:?} is none of 3.7, 4.1, 4.1-initless"))),
    };
    let settings = Settings::new(version, library.controller_config()).map_err(|why| wrong(None, why))?;
    let (cases, mistakes) = cases(file, &read, suite.cases, expects);
    if !mistakes.is_empty() {
        return Err(mistakes);
    }
    Ok(Loaded {
        file: file.to_owned(),
        policies,
        context,
        expander: Expander { library, settings, only: false },
        cases,
    })
}

/// Context and library of the manifests that a suite names.
fn with(folder: &Path, paths: &[PathBuf], mut context: Context) -> Result<(Context, Library), Mistake> {
    let mut library = Library::default();
    for path in paths {
        let path = folder.join(path);
        for file in files::expand(&path).map_err(|error| unreadable(&path, &error))? {
            for manifest in manifests(&file)? {
                if !library.take(&manifest, "default") {
                    context.take_namespace(&manifest);
                }
            }
        }
    }
    Ok((context, library))
}

/// The documents of a file.
///
/// # Errors
/// It cannot be read, or is no YAML.
pub(crate) fn manifests(file: &Path) -> Result<Vec<Value>, Mistake> {
    let opened = File::open(file).map_err(|error| unreadable(file, &error))?;
    let wrong = |message: String| Mistake { file: file.to_owned(), line: None, message };
    let read = |document: Result<yaml::Document, yaml::DocumentError>| {
        document.map_err(|error| wrong(error.to_string()))?.read().map_err(|error| wrong(error.to_string()))
    };
    yaml::documents(BufReader::new(opened)).map(read).collect()
}

fn cases(file: &Path, read: &Spanned, cases: Vec<Value>, expects: Expects) -> (Vec<(usize, Case)>, Vec<Mistake>) {
    let lines: Vec<usize> = match read.node("cases").map(|node| &node.kind) {
        Some(Kind::Seq(nodes)) => nodes.iter().map(|node| node.span.line).collect(),
        _ => Vec::new(),
    };
    let (mut all, mut mistakes) = (Vec::<(usize, Case)>::new(), Vec::new());
    for (at, case) in cases.into_iter().enumerate() {
        let line = lines.get(at).copied().unwrap_or(1);
        let mut wrong = |message: String| mistakes.push(Mistake { file: file.to_owned(), line: Some(line), message });
        match serde_json::from_value::<Case>(case) {
            Err(error) => wrong(format!("cases[{at}]: {error}")),
            Ok(case) if all.iter().any(|(_, known)| known.name == case.name) => {
                wrong(format!("cases[{at}]: another case has the name {:?}", case.name));
            }
            Ok(case) if expects == Expects::Something && case.expect.is_empty() => {
                wrong(format!(
                    "cases[{at}]: {:?} expects nothing (`stepspan test --update` writes what is)",
                    case.name
                ));
            }
            Ok(case) => all.push((line, case)),
        }
    }
    (all, mistakes)
}
