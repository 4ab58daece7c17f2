//! The arguments of `stepspan dry-run`, and the facts they give to a review.

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::{ArgGroup, ValueEnum};
use serde_json::Value;

use crate::context::Context;
use crate::yaml;

/// Show what the webhook does to step pods, without a cluster
///
/// Takes Pods, Lists of them and AdmissionReviews, as YAML or JSON, and passes each through the webhook's own evaluator.
/// Data goes to stdout, everything else to stderr.
#[derive(Debug, clap::Args)]
#[command(group(ArgGroup::new("input").required(true).multiple(true).args(["files", "filenames"])))]
#[command(after_help = "Exit status: 0 done; 1 a step could not be injected; 2 bad input.", after_long_help = EXAMPLES)]
pub(crate) struct Args {
    /// Manifests: files, folders (one level), or - for stdin
    #[arg(value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// The same, in kubectl's manner
    #[arg(short = 'f', long = "filename", value_name = "FILE")]
    pub filenames: Vec<PathBuf>,
    /// Policy file or folder [default: the built-in agent-steps policy]
    #[arg(long = "policy", value_name = "PATH")]
    pub policies: Vec<PathBuf>,
    /// What to print [default: a line for each step, then its diff]
    #[arg(short, long, value_name = "FORMAT")]
    pub output: Option<Output>,
    /// When to colour
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    pub color: Colour,
    #[command(flatten)]
    pub facts: Facts,
}

/// What a review may know besides pod and policies.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Context")]
pub(crate) struct Facts {
    /// Namespace of manifests that name none
    #[arg(short, long, value_name = "NAME", default_value = "default")]
    pub namespace: String,
    /// Manifests that only give context: Namespaces, for their labels
    #[arg(long, value_name = "FILE")]
    pub with: Vec<PathBuf>,
    /// stepspan image to put into pods [default: the release's own]
    #[arg(long, value_name = "REF")]
    pub image: Option<String>,
    /// Variable that policies may set besides OTEL_*; a trailing * takes all with that beginning
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub allow_env: Vec<String>,
    /// The whole context as YAML or JSON; the other flags add to it
    #[arg(long, value_name = "FILE")]
    pub context: Option<PathBuf>,
}

/// What is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// A line for each step
    Summary,
    /// What changes, as a unified diff of YAML
    Diff,
    /// The patched pods, as a stream of YAML documents
    Yaml,
    /// The patched pods, as one List
    Json,
    /// A JSON object a line: pod, RFC 6902 patch, decisions
    Patch,
    /// JUnit XML: a test case for each step container
    Junit,
}

/// When to colour.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Colour {
    /// On a terminal; NO_COLOR and CLICOLOR_FORCE are obeyed
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

const EXAMPLES: &str = "\
Exit status:
  0  done
  1  a step that a policy selects could not be injected
  2  bad input: the other documents were still done

Examples:
  # What would happen to the pods of a namespace?
  kubectl get pods -n argo -o yaml | stepspan dry-run - --policy policies/

  # Only the lines, with the namespaces' labels known:
  kubectl get ns -o yaml > namespaces.yaml
  stepspan dry-run pods/ --with namespaces.yaml -o summary

  # The exact patch, and why:
  stepspan dry-run pod.yaml -o patch | jq .decisions

  # In CI:
  stepspan dry-run pods/ -o junit > report.xml";

impl Facts {
    /// Gathers the facts.
    ///
    /// # Errors
    /// A file that cannot be read, or holds what it should not.
    pub(super) fn context(&self, note: &mut dyn FnMut(String)) -> anyhow::Result<Context> {
        let mut context = match &self.context {
            Some(path) => read_context(path)?,
            None => Context::default(),
        };
        if let Some(image) = &self.image {
            context.injector.image.clone_from(image);
        }
        context.allow_env.extend(self.allow_env.iter().cloned());
        for path in &self.with {
            for file in super::input::expand(path)? {
                read_with(&file, &mut context, note)?;
            }
        }
        Ok(context)
    }
}

fn read_context(path: &Path) -> anyhow::Result<Context> {
    let what = || format!("--context {}", path.display());
    let file = File::open(path).with_context(what)?;
    let mut documents = yaml::documents(BufReader::new(file));
    let Some(document) = documents.next() else { bail!("{}: nothing in it", what()) };
    let value = document.map_err(anyhow::Error::from).and_then(|d| Ok(d.read()?)).with_context(what)?;
    if documents.next().is_some() {
        bail!("{}: several documents, one is expected", what());
    }
    serde_json::from_value(value).with_context(what)
}

fn read_with(path: &Path, context: &mut Context, note: &mut dyn FnMut(String)) -> anyhow::Result<()> {
    let what = || format!("--with {}", path.display());
    let file = File::open(path).with_context(what)?;
    for document in yaml::documents(BufReader::new(file)) {
        let value = document.map_err(anyhow::Error::from).and_then(|d| Ok(d.read()?)).with_context(what)?;
        take_with(&value, &path.display().to_string(), context, note);
    }
    Ok(())
}

fn take_with(value: &Value, file: &str, context: &mut Context, note: &mut dyn FnMut(String)) {
    let kind = value["kind"].as_str().unwrap_or_default();
    match (kind, value["items"].as_array()) {
        (_, Some(items)) => {
            // The API server itself leaves the kind of a typed list's items out.
            for item in items {
                let mut item = item.clone();
                if let (Value::Object(fields), Some(of)) = (&mut item, kind.strip_suffix("List")) {
                    fields.entry("kind").or_insert_with(|| of.into());
                }
                take_with(&item, file, context, note);
            }
        }
        ("Namespace", None) => {
            let metadata = &value["metadata"];
            let Some(name) = metadata["name"].as_str() else { return };
            let labels = metadata["labels"].as_object().into_iter().flatten();
            let labels = labels.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())));
            context.namespaces.insert(name.to_owned(), labels.collect());
        }
        ("", None) => note(format!("note: {file}: a document without a kind gives no context")),
        (other, None) => note(format!("note: {file}: a {other} gives no context in this release; Namespaces do")),
    }
}
