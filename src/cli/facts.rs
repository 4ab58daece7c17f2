//! The facts that dry-run and webhook are told alike: they make the [`Context`] of every review.

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use serde_json::Value;

use crate::argo::expand::Library;
use crate::context::Context;
use crate::offline::each;
use crate::source::files::{self, MUST_HOLD};
use crate::yaml;

/// What a review may know besides pod and policies.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Context")]
pub(crate) struct Facts {
    /// Manifests that only give context: Namespaces, for their labels; templates and ConfigMaps that Workflows refer to
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

impl Facts {
    /// Gathers the facts.
    ///
    /// # Errors
    /// A file that cannot be read, or holds what it should not.
    #[cfg(feature = "webhook")]
    pub(crate) fn context(&self, note: &mut dyn FnMut(String)) -> anyhow::Result<Context> {
        self.gather(Context::default(), "default", note).map(|(context, _)| context)
    }

    /// Gathers the facts, beside those that are `known` where no file has all of them, and what Workflows may refer to; `namespace` is that of
    /// manifests that name none.
    ///
    /// # Errors
    /// A file that cannot be read, or holds what it should not.
    pub(crate) fn gather(
        &self,
        known: Context,
        namespace: &str,
        note: &mut dyn FnMut(String),
    ) -> anyhow::Result<(Context, Library)> {
        let mut library = Library::default();
        let mut context = match &self.context {
            Some(path) => read_context(path)?,
            None => known,
        };
        if let Some(image) = &self.image {
            context.injector.image.clone_from(image);
        }
        context.allow_env.extend(self.allow_env.iter().cloned());
        for path in &self.with {
            let found = files::expand(path).with_context(|| format!("--with {}", path.display()))?;
            if found.is_empty() {
                bail!("--with {}: no manifest in this folder: {MUST_HOLD}", path.display());
            }
            for file in found {
                read_with(&file, &mut |value, path| {
                    if !library.take(value, namespace) {
                        take_with(value, path, &mut context, note);
                    }
                })?;
            }
        }
        Ok((context, library))
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

fn read_with(path: &Path, take: &mut dyn FnMut(&Value, &str)) -> anyhow::Result<()> {
    let what = || format!("--with {}", path.display());
    let file = File::open(path).with_context(what)?;
    for document in yaml::documents(BufReader::new(file)) {
        let value = document.map_err(anyhow::Error::from).and_then(|d| Ok(d.read()?)).with_context(what)?;
        each(value, &mut |value| take(&value, &path.display().to_string()));
    }
    Ok(())
}

fn take_with(value: &Value, file: &str, context: &mut Context, note: &mut dyn FnMut(String)) {
    if context.take_namespace(value) {
        return;
    }
    match value["kind"].as_str().unwrap_or_default() {
        "" => note(format!("note: {file}: a document without a kind gives no context")),
        // One without a name.
        "Namespace" => {}
        other => {
            note(format!("note: {file}: a {other} gives no context: Namespaces, Argo's templates and ConfigMaps do"));
        }
    }
}
