//! What a pod brings along of its Workflow, and how it comes there.
//!
//! The webhook sees Workflows when they are created and adds entries to `spec.podMetadata.annotations` for what policies name;
//! the controller itself resolves them into every pod; the pod's review reads and removes them. No cache, no look-up.
//!
//! - `stepspan.dev/p.NAME`, `i.NAME`: a template expression for a parameter of the Workflow, an input of the step. The expression has a
//!   default, so a missing parameter never fails the Workflow, and a bound, so a huge one never fails the pod.
//! - `stepspan.dev/l.NAME`, `a.NAME`: a label or annotation of the Workflow, copied; `%` and `{` are percent-escaped, so that the
//!   controller finds no template in it.
//!
//! A value equal to the expression we wrote was not resolved (a template without inputs leaves it) and counts as absent.

use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::identity::h;
use crate::json::{Json, Object};
use crate::patch::Op;
use crate::policy::PolicySet;
use crate::policy::syntax::{is_label_value, is_parameter};
use stepspan_contract::names::{ANNOTATION_PREFIX, OPT_OUT_ANNOTATION};

/// Longest value carried, in bytes.
pub const MAX_CARRIED: usize = 1024;
/// Most entries added to one Workflow.
const MAX_ENTRIES: usize = 64;
/// Most bytes of annotations a Workflow gives its pods with ours: half of what a pod may have, the rest is the template's and Argo's.
const MAX_BYTES: usize = 128 * 1024;
/// The annotation that brings an incoming trace context.
pub const TRACEPARENT: &str = "traceparent";

/// What is carried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A parameter of the Workflow.
    Parameter,
    /// An input parameter of the step.
    Input,
    /// A label of the Workflow.
    Label,
    /// An annotation of the Workflow.
    Annotation,
}

impl Kind {
    const ALL: [Self; 4] = [Self::Parameter, Self::Input, Self::Label, Self::Annotation];

    /// The source that asks for it, as policies name it: `parameter/repo`.
    pub fn source(self, name: &str) -> String {
        let kind = match self {
            Self::Parameter => "parameter",
            Self::Input => "input",
            Self::Label => "workflowLabel",
            Self::Annotation => "workflowAnnotation",
        };
        format!("{kind}/{name}")
    }

    fn prefix(self) -> &'static str {
        match self {
            Self::Parameter => "p.",
            Self::Input => "i.",
            Self::Label => "l.",
            Self::Annotation => "a.",
        }
    }
}

/// The annotation that carries a value.
pub fn key(kind: Kind, name: &str) -> String {
    format!("{ANNOTATION_PREFIX}{}{}", kind.prefix(), suffix(name))
}

/// How a name stands in a key: itself, or a hash where it cannot.
fn suffix(name: &str) -> Cow<'_, str> {
    let plain = name.len() <= 55 && !name.is_empty() && is_label_value(name);
    if plain { Cow::Borrowed(name) } else { Cow::Owned(h(name, 16)) }
}

/// Whether an annotation is a carrier's.
pub fn is_carrier(annotation: &str) -> bool {
    annotation
        .strip_prefix(ANNOTATION_PREFIX)
        .is_some_and(|rest| Kind::ALL.iter().any(|k| rest.starts_with(k.prefix())))
}

/// All that a pod's carrier annotations bring, by name.
#[derive(Debug, Default)]
pub struct Carried {
    /// Parameters of the Workflow.
    pub parameters: BTreeMap<String, String>,
    /// Input parameters of the step.
    pub inputs: BTreeMap<String, String>,
    /// Labels of the Workflow.
    pub labels: BTreeMap<String, String>,
    /// Annotations of the Workflow.
    pub annotations: BTreeMap<String, String>,
}

impl Carried {
    /// Reads a pod's annotations.
    pub fn read(pod: &Json<'_>) -> Self {
        let mut carried = Self::default();
        let annotations = pod["metadata"]["annotations"].as_object();
        for (annotation, value) in annotations.into_iter().flat_map(Object::iter) {
            let Some(rest) = annotation.strip_prefix(ANNOTATION_PREFIX) else { continue };
            let Some(text) = value.as_str() else { continue };
            for kind in Kind::ALL {
                let Some(name) = rest.strip_prefix(kind.prefix()) else { continue };
                if let Some(value) = read_value(kind, text) {
                    carried.map_mut(kind).insert(name.to_owned(), value);
                }
            }
        }
        carried
    }

    /// The value carried for a name.
    pub fn value(&self, kind: Kind, name: &str) -> Option<&str> {
        let carried = self.map(kind);
        if carried.is_empty() {
            return None;
        }
        carried.get(&*suffix(name)).map(String::as_str)
    }

    fn map(&self, kind: Kind) -> &BTreeMap<String, String> {
        match kind {
            Kind::Parameter => &self.parameters,
            Kind::Input => &self.inputs,
            Kind::Label => &self.labels,
            Kind::Annotation => &self.annotations,
        }
    }

    fn map_mut(&mut self, kind: Kind) -> &mut BTreeMap<String, String> {
        match kind {
            Kind::Parameter => &mut self.parameters,
            Kind::Input => &mut self.inputs,
            Kind::Label => &mut self.labels,
            Kind::Annotation => &mut self.annotations,
        }
    }
}

/// The patch that makes a Workflow carry what the policies of its namespace name. Touches `spec.podMetadata` alone; entries that
/// are there already stay. One that is opted out itself is left alone, as the chart's match condition does before we are asked.
pub fn carry(workflow: &Json<'_>, namespace: &str, policies: &PolicySet) -> Vec<Op> {
    if workflow["metadata"]["annotations"][OPT_OUT_ANNOTATION].as_str() == Some("false") {
        return Vec::new();
    }
    let Some(spec) = workflow.get("spec").filter(|s| s.as_object().is_some()) else { return Vec::new() };
    let existing = spec.get("podMetadata").and_then(|m| m.get("annotations")).and_then(Json::as_object);
    // Cut before looking at what is there of it, so that a second look adds nothing.
    let wanted = fitting(entries(workflow, namespace, policies), existing);
    let fresh: BTreeMap<_, _> =
        wanted.into_iter().filter(|(key, _)| !existing.is_some_and(|e| e.contains_key(key))).collect();
    if fresh.is_empty() {
        return Vec::new();
    }
    match (spec.get("podMetadata"), existing) {
        (None | Some(Json::Null), _) => {
            vec![Op::add("/spec/podMetadata", Json::object([("annotations", map(fresh))]))]
        }
        (Some(Json::Object(_)), None) => vec![Op::add("/spec/podMetadata/annotations", map(fresh))],
        (Some(Json::Object(_)), Some(_)) => {
            fresh.into_iter().map(|(key, value)| Op::add_in("/spec/podMetadata/annotations", &key, value)).collect()
        }
        _ => Vec::new(),
    }
}

/// The first entries, as many as fit beside the other annotations.
fn fitting(wanted: BTreeMap<String, String>, existing: Option<&Object<'_>>) -> BTreeMap<String, String> {
    let others = existing.into_iter().flat_map(Object::iter).filter(|(key, _)| !wanted.contains_key(*key));
    let others: usize = others.map(|(key, value)| key.len() + value.as_str().map_or(0, str::len)).sum();
    let mut size = others;
    let fits = |(key, value): &(String, String)| {
        // An expression counts as the longest value it can become.
        size += key.len() + value.len().max(MAX_CARRIED);
        size <= MAX_BYTES
    };
    wanted.into_iter().take(MAX_ENTRIES).take_while(fits).collect()
}

fn map(entries: BTreeMap<String, String>) -> Json<'static> {
    Json::Object(entries.into_iter().map(|(key, value)| (key.into(), value.into())).collect())
}

fn entries(workflow: &Json<'_>, namespace: &str, policies: &PolicySet) -> BTreeMap<String, String> {
    let metadata = |field: &str| workflow["metadata"][field].as_object();
    let mut wanted = Vec::new();
    let literal = |kind, from: Option<&Object<'_>>, name: &str| {
        let text = from.and_then(|m| m.get(name)).and_then(Json::as_str)?;
        Some((key(kind, name), escape(text)))
    };
    if policies.take_context(namespace) {
        wanted.extend(literal(Kind::Annotation, metadata("annotations"), TRACEPARENT));
    }
    for (kind, name) in policies.carried(namespace) {
        match kind {
            Kind::Label => wanted.extend(literal(kind, metadata("labels"), name)),
            Kind::Annotation => wanted.extend(literal(kind, metadata("annotations"), name)),
            // An expression may name what no parameter can be called; the quote must not end early.
            Kind::Parameter | Kind::Input if !is_parameter(name) => {}
            Kind::Parameter | Kind::Input => wanted.push((key(kind, name), expression(kind, name))),
        }
    }
    wanted.into_iter().collect()
}

/// The expression for a parameter or input (`text/template` of Argo: `{{=` expr-lang `}}`). Names were checked to be plain.
fn expression(kind: Kind, name: &str) -> String {
    let object = if kind == Kind::Parameter { "workflow" } else { "inputs" };
    format!("{{{{=({object}.parameters['{name}'] ?? '')[0:{MAX_CARRIED}]}}}}")
}

fn read_value(kind: Kind, text: &str) -> Option<String> {
    match kind {
        Kind::Label | Kind::Annotation => Some(unescape(text)),
        Kind::Parameter | Kind::Input if is_expression(kind, text) => None,
        Kind::Parameter | Kind::Input => Some(text.to_owned()),
    }
    .filter(|value| !value.is_empty())
}

fn is_expression(kind: Kind, text: &str) -> bool {
    named_by(kind, text).is_some()
}

/// The name in an expression of ours.
fn named_by(kind: Kind, text: &str) -> Option<&str> {
    text.split('\'').nth(1).filter(|name| text == expression(kind, name))
}

/// What the controller resolves in a carrier of a Workflow; `None` where the text is the value.
pub fn resolves<'t>(annotation: &str, text: &'t str) -> Option<(Kind, &'t str)> {
    let rest = annotation.strip_prefix(ANNOTATION_PREFIX)?;
    let mut kinds = [Kind::Parameter, Kind::Input].into_iter().filter(|kind| rest.starts_with(kind.prefix()));
    kinds.find_map(|kind| Some((kind, named_by(kind, text)?)))
}

fn escape(text: &str) -> String {
    let kept = crate::text::cut(text, MAX_CARRIED);
    kept.replace('%', "%25").replace('{', "%7B")
}

fn unescape(text: &str) -> String {
    text.replace("%7B", "{").replace("%25", "%")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn keys_are_names_of_annotations() {
        assert_eq!(key(Kind::Parameter, "repo"), "stepspan.dev/p.repo");
        for odd in ["a/b", "x-", "", &"n".repeat(56), "é"] {
            let key = key(Kind::Label, odd);
            assert!(crate::policy::syntax::is_qualified_name(&key) && key.len() == 31, "{key}");
        }
    }

    #[test]
    fn an_expression_left_as_it_was_is_no_value() {
        let pod = json!({"metadata": {"annotations": {
            "stepspan.dev/i.msg": expression(Kind::Input, "msg"),
            "stepspan.dev/p.repo": "acme/widgets",
            "stepspan.dev/p.empty": "",
            "stepspan.dev/l.pr": "%7B%7Bx}} 100%25",
        }}});
        let carried = Carried::read(&pod.into());
        assert_eq!(carried.value(Kind::Input, "msg"), None);
        assert_eq!(carried.value(Kind::Parameter, "empty"), None);
        assert_eq!(carried.value(Kind::Parameter, "repo"), Some("acme/widgets"));
        assert_eq!(carried.value(Kind::Label, "pr"), Some("{{x}} 100%"));
    }

    proptest! {
        #[test]
        fn literals_survive_and_hold_no_template(text in "\\PC{0,200}") {
            let escaped = escape(&text);
            prop_assert!(!escaped.contains("{{"));
            prop_assert_eq!(unescape(&escaped), text);
        }
    }
}
