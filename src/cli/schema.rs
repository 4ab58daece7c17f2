//! `stepspan schema`: the JSON Schema of a policy, for editors and for CI.

use std::io::{self, Write};
use std::process::ExitCode;

use serde_json::{Map, Value};

use crate::policy::{crd, load, spec};
use crate::yaml;

/// Print the JSON Schema of an InjectionPolicy
///
/// Draft 2020-12, made from the same types that read policies.
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct Args {
    /// Print the CustomResourceDefinition instead, as YAML: policies as resources of a cluster
    #[arg(long)]
    crd: bool,
}

const EXAMPLES: &str = "\
Examples:
  stepspan schema > injectionpolicy.schema.json
  # then, as the first line of a policy, for editors with the YAML language server:
  # yaml-language-server: $schema=./injectionpolicy.schema.json

  stepspan schema --crd | kubectl apply --server-side -f -";

/// Prints the schema.
pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let mut text = Vec::new();
    if args.crd {
        yaml::write(&crd::definition(), &mut text)?;
    } else {
        serde_json::to_writer_pretty(&mut text, &named(load::schema()))?;
        text.push(b'\n');
    }
    super::written(io::stdout().write_all(&text))?;
    Ok(ExitCode::SUCCESS)
}

/// The schema with a name of its own, in front of what the types say.
fn named(schema: &Value) -> Value {
    let mut named = Map::new();
    if let Some(draft) = schema.get("$schema") {
        named.insert("$schema".to_owned(), draft.clone());
    }
    named.insert("$id".to_owned(), format!("https://stepspan.dev/schemas/{}/injectionpolicy.json", version()).into());
    named.insert("title".to_owned(), format!("{} ({})", spec::KIND, spec::API_VERSION).into());
    for (key, value) in schema.as_object().into_iter().flatten() {
        if !named.contains_key(key) {
            named.insert(key.clone(), value.clone());
        }
    }
    Value::Object(named)
}

fn version() -> &'static str {
    spec::API_VERSION.rsplit('/').next().unwrap_or(spec::API_VERSION)
}
