//! `stepspan schema`: the JSON Schema of a policy, for editors and for CI.

use std::io::{self, Write};
use std::process::ExitCode;

use serde_json::{Map, Value, json};

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
        serde_json::to_writer_pretty(&mut text, &published())?;
        text.push(b'\n');
    }
    super::written(io::stdout().write_all(&text))?;
    Ok(ExitCode::SUCCESS)
}

/// The schema as editors take it: with what reading a policy takes and refuses besides the types.
fn published() -> Value {
    let mut schema = named(load::schema());
    for (field, only) in [("apiVersion", spec::API_VERSION), ("kind", spec::KIND)] {
        schema["properties"][field]["const"] = only.into();
    }
    let_be_empty(&mut schema);
    schema
}

/// Takes `null` for all that may be absent: a key without a value says nothing ([`load`]).
fn let_be_empty(schema: &mut Value) {
    match schema {
        Value::Array(schemas) => schemas.iter_mut().for_each(let_be_empty),
        Value::Object(keywords) => {
            keywords.values_mut().for_each(let_be_empty);
            let required = keywords.get("required").and_then(Value::as_array).cloned().unwrap_or_default();
            for (name, field) in keywords.get_mut("properties").and_then(Value::as_object_mut).into_iter().flatten() {
                if !required.iter().any(|required| required == name.as_str()) {
                    or_null(field);
                }
            }
            if let Some(values) = keywords.get_mut("additionalProperties") {
                or_null(values);
            }
        }
        _ => {}
    }
}

/// Adds `null` to what a schema takes, as schemars writes it of an `Option`.
fn or_null(schema: &mut Value) {
    let Value::Object(keywords) = schema else { return };
    if let Some(reference) = keywords.shift_remove("$ref") {
        keywords.shift_insert(0, "anyOf".to_owned(), json!([{"$ref": reference}, {"type": "null"}]));
    } else if let Some(kind @ Value::String(_)) = keywords.get_mut("type") {
        *kind = json!([kind.take(), "null"]);
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::PolicySet;
    use crate::policy::compile::Rules;
    use crate::policy::load::PolicyFile;

    /// As much of JSON Schema as ours has.
    fn takes(root: &Value, schema: &Value, value: &Value) -> bool {
        let named = schema["$ref"].as_str().and_then(|name| name.strip_prefix('#'));
        let all = |name: &str| schema[name].as_array().into_iter().flatten();
        let fits = |kind: &Value| match kind.as_str().unwrap() {
            "null" => value.is_null(),
            "boolean" => value.is_boolean(),
            "integer" => value.is_i64(),
            "number" => value.is_number(),
            "string" => value.is_string(),
            "array" => value.is_array(),
            "object" => value.is_object(),
            other => panic!("{other}"),
        };
        let field = |(name, value): (&String, &Value)| match schema["properties"].get(name) {
            Some(of) => takes(root, of, value),
            None if schema["additionalProperties"].is_object() => takes(root, &schema["additionalProperties"], value),
            None => schema["additionalProperties"] != false,
        };
        named.is_none_or(|at| takes(root, root.pointer(at).unwrap(), value))
            && (schema["type"].is_null()
                || std::iter::once(&schema["type"]).chain(all("type")).any(|kind| kind.is_string() && fits(kind)))
            && (schema["const"].is_null() || schema["const"] == *value)
            && (schema["anyOf"].is_null() || all("anyOf").any(|of| takes(root, of, value)))
            && (schema["oneOf"].is_null() || all("oneOf").filter(|of| takes(root, of, value)).count() == 1)
            && value.as_object().is_none_or(|fields| {
                fields.iter().all(field) && all("required").all(|name| fields.contains_key(name.as_str().unwrap()))
            })
            && value.as_array().is_none_or(|items| items.iter().all(|item| takes(root, &schema["items"], item)))
    }

    #[test]
    fn the_schema_takes_what_the_program_takes() {
        let schema = published();
        let head = |version: &str, kind: &str| format!("apiVersion: {version}\nkind: {kind}\nmetadata: {{name: p}}\n");
        let ours = head("stepspan.dev/v1alpha1", "InjectionPolicy");
        let of = |spec: &str| format!("{ours}spec:{spec}\n");
        for (text, good) in [
            (ours.clone(), true),
            (head("stepspan.dev/v1alpha1", "InjectonPolicy"), false),
            (head("stepspan.dev/v1", "InjectionPolicy"), false),
            (head("", "InjectionPolicy"), false),
            (of(""), true),
            (of("\n  labels:\n  otlp:\n  correlation:\n  env:\n  match:\n  initContainer:"), true),
            (of("\n  otlp: {endpoint: }\n  sampling: {ratio: }\n  env: {preset: , set: }"), true),
            (of("\n  labels: {team: }\n  correlation: {repo: , pr: {from: }}"), true),
            (of("\n  match: {when: , podSelector: {matchLabels: {a: }, matchExpressions: }}"), true),
            (of("\n  correlation: {repo: {from: [{label: repo}, {env: REPO}]}}\n  env: {preset: none}"), true),
            (of("\n  match: {podSelector: {matchExpressions: [{key: a, operator: Exists, values: }]}}"), true),
            (of("\n  match: {podSelector: {matchExpressions: [{key: a, operator: }]}}"), false),
            (of("\n  correlation: {repo: {from: [{label: }]}}"), false),
            (of("\n  env: {set: [{name: OTEL_A, value: }]}"), false),
            (of("\n  match: {when: [~]}"), false),
            (of("\n  label: {}"), false),
            (ours.replace("{name: p}", "{name: }"), false),
            (ours.replace("{name: p}", ""), false),
        ] {
            let value = yaml::read(&text, 1).unwrap();
            assert_eq!(takes(&schema, &schema, &value), good, "{text}");
            let read =
                PolicySet::from_files(&[PolicyFile { name: "p".to_owned(), text: text.clone() }], &Rules::default());
            assert_eq!(read.is_ok(), good, "{text}");
        }
    }
}
