//! Policies as resources: the CustomResourceDefinition, made from the types that read them.
//!
//! The schema is a structural one (`apiextensions.k8s.io/v1`): references are written out, and what Kubernetes has other words
//! for is said in those. It sets no default: a policy is a layer, and what it does not say stays open. What the API server can
//! check by itself ([`bounds`], [`rules`]) it refuses at once; the rest stands in the status.

use std::sync::LazyLock;

use serde_json::{Map, Value, json};

use super::compile::{MAX_CA_BUNDLE, MAX_DURATION_MS, MAX_ENTRIES, MAX_NAMES, MAX_VALUE};
use super::load;
use super::spec::{KIND, Status};
use stepspan_contract::names;

/// The API group.
pub const GROUP: &str = "stepspan.dev";
/// The version of [`super::spec::API_VERSION`].
pub const VERSION: &str = "v1alpha1";
/// The resource, as in URLs.
pub const PLURAL: &str = "injectionpolicies";
/// The definition's own name.
pub const NAME: &str = "injectionpolicies.stepspan.dev";

static STATUS: LazyLock<Value> = LazyLock::new(|| schemars::schema_for!(Status).to_value());

/// The CustomResourceDefinition.
pub fn definition() -> Value {
    let column = |name: &str, kind: &str, path: &str| json!({"name": name, "type": kind, "jsonPath": path});
    let condition = |name: &str, field: &str| format!(".status.conditions[?(@.type==\"{name}\")].{field}");
    let mut message = column("Message", "string", &condition("Ready", "message"));
    message["priority"] = json!(1);
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": NAME},
        "spec": {
            "group": GROUP,
            "names": {
                "kind": KIND, "listKind": format!("{KIND}List"), "plural": PLURAL, "singular": KIND.to_lowercase(),
                "shortNames": ["injpol"],
            },
            "scope": "Cluster",
            "versions": [{
                "name": VERSION,
                "served": true,
                "storage": true,
                "subresources": {"status": {}},
                "additionalPrinterColumns": [
                    column("Priority", "integer", ".spec.priority"),
                    column("Accepted", "string", &condition("Accepted", "status")),
                    column("Ready", "string", &condition("Ready", "status")),
                    column("Age", "date", ".metadata.creationTimestamp"),
                    message,
                ],
                "schema": {"openAPIV3Schema": schema()},
            }],
        },
    })
}

fn schema() -> Value {
    let root = load::schema();
    let mut schema = Structural { root }.of(root, None);
    let mut status = Structural { root: &STATUS }.of(&STATUS, None);
    status["properties"]["conditions"]["x-kubernetes-list-type"] = "map".into();
    status["properties"]["conditions"]["x-kubernetes-list-map-keys"] = json!(["type"]);
    schema["properties"]["status"] = status;
    // The API server knows it, and lets nobody restrict more than a name.
    schema["properties"]["metadata"] = json!({"type": "object"});
    schema
}

/// Writes a schema of schemars as a structural one.
struct Structural<'s> {
    root: &'s Value,
}

impl Structural<'_> {
    /// `of` is the type it belongs to, where it has a name.
    fn of(&self, schema: &Value, of: Option<&str>) -> Value {
        if let Some(name) = schema["$ref"].as_str().and_then(|r| r.strip_prefix("#/$defs/")) {
            let mut written = self.of(&self.root["$defs"][name], Some(name));
            copy(schema, &mut written, &["description"]);
            return written;
        }
        // An optional reference is anyOf [reference, null].
        if let Some(first) = schema["anyOf"].get(0) {
            let mut written = self.of(first, None);
            copy(schema, &mut written, &["description"]);
            return written;
        }
        if let Some(options) = schema["oneOf"].as_array() {
            return self.one_of(schema, options);
        }
        self.plain(schema, of)
    }

    fn plain(&self, schema: &Value, of: Option<&str>) -> Value {
        let kind = match &schema["type"] {
            Value::Array(kinds) => kinds.iter().find(|kind| *kind != "null").unwrap_or(&Value::Null),
            one => one,
        };
        let mut written = json!({"type": kind});
        let same = ["description", "format", "enum", "minimum", "maximum", "minLength", "maxLength"];
        copy(schema, &mut written, &same);
        if schema["items"].is_object() {
            written["items"] = self.of(&schema["items"], None);
        }
        if schema["additionalProperties"].is_object() {
            written["additionalProperties"] = self.of(&schema["additionalProperties"], None);
        }
        if let Some(fields) = schema["properties"].as_object() {
            let field = |(name, field): (&String, &Value)| {
                let mut written = self.of(field, None);
                limit(&mut written, of, Some(name));
                (name.clone(), written)
            };
            written["properties"] = fields.iter().map(field).collect::<Map<_, _>>().into();
            copy(schema, &mut written, &["required"]);
        }
        limit(&mut written, of, None);
        written
    }

    /// Words are an enumeration; objects of one field each are an object of which one field is set.
    fn one_of(&self, schema: &Value, options: &[Value]) -> Value {
        let mut written = Map::new();
        let words: Vec<&Value> = options.iter().filter_map(|option| option.get("const")).collect();
        if words.is_empty() {
            let mut fields = Map::new();
            for option in options {
                for (name, field) in option["properties"].as_object().into_iter().flatten() {
                    let mut field = self.of(field, None);
                    copy(option, &mut field, &["description"]);
                    fields.insert(name.clone(), field);
                }
            }
            written.insert("type".into(), "object".into());
            written.insert("properties".into(), fields.into());
            written.insert("minProperties".into(), 1.into());
            written.insert("maxProperties".into(), 1.into());
        } else {
            written.insert("type".into(), "string".into());
            written.insert("enum".into(), words.into_iter().cloned().collect());
        }
        let mut written = written.into();
        copy(schema, &mut written, &["description"]);
        written
    }
}

fn copy(from: &Value, to: &mut Value, keywords: &[&str]) {
    for keyword in keywords {
        if let Some(said) = from.get(keyword) {
            to[*keyword] = said.clone();
        }
    }
}

/// What [`bounds`] and [`rules`] say of a type, or of a field of it.
fn limit(schema: &mut Value, of: Option<&str>, field: Option<&str>) {
    let Some(of) = of else { return };
    let place = field.map_or_else(|| of.to_owned(), |field| format!("{of}.{field}"));
    for (_, keyword, bound) in bounds().into_iter().filter(|(at, ..)| *at == place) {
        let target = match keyword.strip_prefix("values/") {
            Some(_) => &mut schema["additionalProperties"],
            None => &mut *schema,
        };
        target[keyword.trim_start_matches("values/")] = bound;
    }
    let found = rules().into_iter().filter(|(at, ..)| *at == place);
    let found: Vec<Value> = found.map(|(_, rule, message)| json!({"rule": rule, "message": message})).collect();
    if !found.is_empty() {
        schema["x-kubernetes-validations"] = found.into();
    }
}

/// Bounds of fields, besides those the types say: the same that [`super::compile`] holds, with which the API server also
/// estimates the cost of [`rules`].
fn bounds() -> Vec<(&'static str, &'static str, Value)> {
    let entries = json!(MAX_ENTRIES);
    let mut all: Vec<_> = [
        ("Spec.correlation", "maxProperties", entries.clone()),
        ("Spec.labels", "maxProperties", entries.clone()),
        ("Spec.labels", "values/maxLength", json!(63)),
        ("Spec.annotations", "maxProperties", entries.clone()),
        ("Spec.annotations", "values/maxLength", json!(1024)),
        ("Spec.environment", "maxLength", json!(128)),
        ("Spec.environment", "minLength", json!(1)),
        ("Spec.serviceName", "maxLength", json!(128)),
        ("Spec.serviceName", "minLength", json!(1)),
        ("Match.when", "maxItems", entries.clone()),
        ("LabelSelector.matchExpressions", "maxItems", entries.clone()),
        ("LabelSelector.matchLabels", "maxProperties", entries.clone()),
        ("Correlation.from", "maxItems", entries.clone()),
        ("Otlp.endpoint", "maxLength", json!(256)),
        ("Otlp.caBundle", "maxLength", json!(MAX_CA_BUNDLE)),
        ("Otlp.headersFrom", "maxItems", entries.clone()),
        ("Env.set", "maxItems", entries),
        ("Env.set", "x-kubernetes-list-type", json!("map")),
        ("Env.set", "x-kubernetes-list-map-keys", json!(["name"])),
        ("EnvVar.name", "maxLength", json!(MAX_VALUE)),
        ("EnvVar.value", "maxLength", json!(MAX_VALUE)),
        ("Probe.timeout", "maxLength", json!(16)),
        ("Shim.budget", "maxLength", json!(16)),
    ]
    .into();
    let names = ["Match.templates", "Globs.include", "Globs.exclude", "Requirement.values"];
    all.extend(names.map(|place| (place, "maxItems", json!(MAX_NAMES))));
    all
}

/// Validation rules (CEL), each with what it says when it fails.
fn rules() -> Vec<(&'static str, String, &'static str)> {
    let duration = format!("self.matches('^[0-9]+(ms|s|m)$') && duration(self) <= duration('{MAX_DURATION_MS}ms')");
    let not_reserved =
        "self.all(key, !key.matches('^([^/]*[.])?(stepspan[.]dev|argoproj[.]io|kubernetes[.]io|k8s[.]io)/'))";
    let reserved_message = "keys of stepspan, Argo and Kubernetes can't be written by policies";
    let correlation = "self.all(key, key.matches('^[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?$'))";
    let taken = names::OWN_ANNOTATIONS.map(|annotation| annotation.trim_start_matches(names::ANNOTATION_PREFIX));
    let taken = format!("self.all(key, !(key in {taken:?}) && !key.matches('^[pila][.]'))");
    let values = "self.operator in ['In', 'NotIn'] == (has(self.values) && size(self.values) > 0)";
    let variable = "self.matches('^[A-Za-z_][A-Za-z0-9_]*$')";
    let own = format!("self != 'PATH' && !self.matches('^(ARGO_|LD_|{})')", names::PRIVATE_PREFIX);
    [
        ("Spec.labels", not_reserved, reserved_message),
        ("Spec.annotations", not_reserved, reserved_message),
        ("Spec.correlation", correlation, "a correlation key is letters, digits, _ . -, at most 63"),
        ("Spec.correlation", &taken, "the annotation of this correlation key has a meaning of its own"),
        ("Requirement", values, "In and NotIn need at least one value, Exists and DoesNotExist take none"),
        ("Otlp.endpoint", "self.matches('^https?://[^/]')", "an endpoint is a URL such as http://otel-collector:4317"),
        ("Otlp.caBundle", "self == '' || self.contains('-----BEGIN CERTIFICATE-----')", "no PEM certificate in it"),
        ("EnvVar.name", variable, "no name of a variable"),
        ("EnvVar.name", &own, "variables of Argo, stepspan and the loader can't be set by policies"),
        ("Probe.timeout", &duration, "a duration such as 300ms or 2s, at most 5s"),
        ("Shim.budget", &duration, "a duration such as 300ms or 2s, at most 5s"),
    ]
    .map(|(place, rule, message)| (place, rule.to_owned(), message))
    .into()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_bound_and_rule_has_its_place() {
        let text = definition().to_string();
        let places = |schema: &Value| -> BTreeSet<String> {
            let types = schema["$defs"].as_object().into_iter().flatten();
            let fields = types.flat_map(|(name, t)| {
                let fields = t["properties"].as_object().into_iter().flatten().map(move |(f, _)| format!("{name}.{f}"));
                fields.chain([name.clone()])
            });
            fields.collect()
        };
        let known = places(load::schema());
        let named = bounds().into_iter().map(|(at, ..)| at).chain(rules().into_iter().map(|(at, ..)| at));
        for place in named {
            assert!(known.contains(place), "no field {place}");
        }
        for (_, rule, message) in rules() {
            assert!(text.contains(&json!(rule).to_string()) && text.contains(message), "{rule}");
        }
    }

    #[test]
    fn the_schema_is_structural() {
        fn walk(schema: &Value, at: &str) {
            let fields = schema.as_object().unwrap_or_else(|| panic!("{at}: {schema}"));
            for foreign in ["$ref", "$defs", "anyOf", "oneOf", "default", "const", "nullable"] {
                assert!(!fields.contains_key(foreign), "{at}: {foreign}");
            }
            assert!(schema["type"].is_string(), "{at} has no type");
            let inner = ["items", "additionalProperties"].into_iter().filter_map(|k| Some((k, fields.get(k)?)));
            let named = schema["properties"].as_object().into_iter().flatten().map(|(k, v)| (k.as_str(), v));
            for (name, schema) in inner.chain(named) {
                walk(schema, &format!("{at}.{name}"));
            }
        }
        walk(&schema(), "policy");
    }
}
