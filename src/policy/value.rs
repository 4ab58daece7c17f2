//! Correlation values of one pod.

use super::effective::{CompiledSource, Effective, Key};
use super::expr::{Scope, Workflow};
use super::spec::{Builtin, Source};
use crate::argo::{Container, StepPod};
use crate::context::Context;
use crate::inject::carrier::{Carried, Kind};
use crate::text;

/// A correlation key's value and where it came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Value {
    /// The key.
    pub key: String,
    /// The exact value; control characters are removed, at most 1 KiB.
    pub value: Option<String>,
    /// The source that gave it, such as `parameter/repo`.
    pub source: Option<String>,
    /// Variables of the step that come before that source; only the shim sees them.
    pub variables: Vec<String>,
    /// Sources that could not be asked, with the reason.
    pub failed: Vec<(String, String)>,
    /// The source, of those that [`Context::unresolved`] names, that would have been asked next: the value is known at run time only.
    pub awaits: Option<String>,
}

/// What sources are asked of.
pub struct Asked<'a> {
    /// The pod.
    pub pod: &'a StepPod<'a>,
    /// What the pod brings of its Workflow.
    pub carried: &'a Carried,
    /// The facts of the place.
    pub context: &'a Context,
}

impl<'a> Asked<'a> {
    /// What expressions see.
    pub fn scope(&self) -> Scope<'_> {
        Scope {
            namespace: self.pod.namespace,
            namespace_labels: self.context.namespace_labels(self.pod.namespace),
            template: &self.pod.template,
            container: self.first_step().map_or("", |c| c.name),
            workflow: Workflow {
                name: self.pod.workflow_name,
                uid: self.pod.workflow_uid.unwrap_or_default(),
                parameters: &self.carried.parameters,
                labels: &self.carried.labels,
                annotations: &self.carried.annotations,
            },
            inputs: &self.carried.inputs,
            ..Scope::of_pod(self.pod.raw)
        }
    }

    /// The values of all keys.
    pub fn values(&self, policy: &Effective) -> Vec<Value> {
        policy.correlation.iter().map(|key| self.value(key)).collect()
    }

    fn value(&self, key: &Key) -> Value {
        let on_pod = key.label.as_ref().and_then(|l| Some((l, self.pod.label(l)?)));
        let found = self.ask_in_order(key, on_pod.map(|(label, _)| label));
        let Some((label, on_pod)) = on_pod else { return found };
        // A label equal to the safe form of what the sources yield is one we wrote: the exact value stands behind it.
        if found.value.as_deref().and_then(text::label_value).as_deref() == Some(on_pod) || on_pod.is_empty() {
            return found;
        }
        Value {
            value: Some(on_pod.to_owned()),
            source: Some(format!("label/{label}")),
            variables: Vec::new(),
            awaits: None,
            ..found
        }
    }

    /// Asks all sources but the label that is the key's own: what stands there may be what we wrote.
    fn ask_in_order(&self, key: &Key, own_label: Option<&String>) -> Value {
        let mut found = Value {
            key: key.name.clone(),
            value: None,
            source: None,
            variables: Vec::new(),
            failed: Vec::new(),
            awaits: None,
        };
        for source in &key.from {
            if matches!(source, CompiledSource::Plain(Source::Label(label)) if Some(label) == own_label) {
                continue;
            }
            if !self.context.unresolved.is_empty() {
                found.awaits = Some(name(source)).filter(|name| self.context.unresolved.contains(name));
                if found.awaits.is_some() {
                    return found;
                }
            }
            match self.ask(source) {
                Answer::Value(value) => {
                    found.value = Some(text::clean(&value, text::MAX_ANNOTATION)).filter(|v| !v.is_empty());
                    if found.value.is_some() {
                        found.source = Some(name(source));
                        return found;
                    }
                }
                Answer::AtRunTime(variable) => found.variables.push(variable),
                Answer::Failed(why) => found.failed.push((name(source), why)),
                Answer::Nothing => {}
            }
        }
        found
    }

    fn ask(&self, source: &CompiledSource) -> Answer {
        let source = match source {
            CompiledSource::Plain(source) => source,
            CompiledSource::Cel(expression) => {
                return match expression.text(&self.scope()) {
                    Ok(value) => Answer::of(value),
                    Err(error) => Answer::Failed(error.to_string()),
                };
            }
        };
        let carried = |kind, name: &str| Answer::of(self.carried.value(kind, name));
        match source {
            Source::Label(key) => Answer::of(self.pod.label(key)),
            Source::Annotation(key) => Answer::of(self.pod.annotation(key)),
            Source::WorkflowLabel(name) => carried(Kind::Label, name),
            Source::WorkflowAnnotation(name) => carried(Kind::Annotation, name),
            Source::Parameter(name) => carried(Kind::Parameter, name),
            Source::Input(name) => carried(Kind::Input, name),
            Source::NamespaceLabel(key) => self.namespace_label(key),
            Source::Env(variable) => self.variable(variable),
            Source::Builtin(builtin) => Answer::of(self.builtin(*builtin)),
            Source::Value(text) => Answer::of(Some(text.as_str())),
            Source::Cel(_) => Answer::Nothing,
        }
    }

    fn namespace_label(&self, key: &str) -> Answer {
        match self.context.namespace_labels(self.pod.namespace) {
            Some(labels) => Answer::of(labels.get(key).map(String::as_str)),
            None => Answer::Failed(format!("the labels of namespace {} are not known", self.pod.namespace)),
        }
    }

    /// A literal value counts at admission; all else (`valueFrom`, `envFrom`, `$(VAR)`, the image's own) only the shim can see.
    fn variable(&self, name: &str) -> Answer {
        let entry = self.first_step().and_then(|c| c.env_entry(name));
        let literal =
            entry.and_then(|(_, e)| e.get("value")?.as_str()).filter(|v| !v.contains("$(") && !v.contains("$$"));
        match literal {
            Some(value) => Answer::of(Some(value)),
            None => Answer::AtRunTime(name.to_owned()),
        }
    }

    fn builtin(&self, builtin: Builtin) -> Option<&str> {
        let pod = self.pod;
        match builtin {
            Builtin::WorkflowName => Some(pod.workflow_name),
            Builtin::WorkflowStem => Some(workflow_stem(pod.workflow_name)),
            Builtin::NodeId => pod.node_id,
            Builtin::NodeName => pod.node_name,
            Builtin::StepName => pod.step_name(),
            Builtin::TemplateName => Some(&*pod.template),
            Builtin::Namespace => Some(pod.namespace),
            Builtin::Container => self.first_step().map(|c| c.name),
        }
    }

    fn first_step(&self) -> Option<&Container<'a>> {
        self.pod.steps().next()
    }
}

enum Answer {
    Value(String),
    AtRunTime(String),
    Failed(String),
    Nothing,
}

impl Answer {
    fn of(value: Option<impl Into<String>>) -> Self {
        match value.map(Into::into) {
            Some(value) if !value.is_empty() => Self::Value(value),
            _ => Self::Nothing,
        }
    }
}

/// A source as shown, and as [`Context::unresolved`] names it: `parameter/repo`.
pub(crate) fn name(source: &CompiledSource) -> String {
    match source {
        CompiledSource::Cel(expression) => format!("cel/{}", expression.source()),
        CompiledSource::Plain(source) => source.name(),
    }
}

/// A Workflow's name without what made it unique: the five characters of `generateName`
/// (`k8s.io/apiserver/pkg/storage/names`), or a `CronWorkflow`'s time in seconds.
pub fn workflow_stem(name: &str) -> &str {
    const RANDOM: &str = "bcdfghjklmnpqrstvwxz2456789";
    match name.rsplit_once('-') {
        Some((stem, end)) if end.len() == 5 && end.chars().all(|c| RANDOM.contains(c)) => stem,
        // What expansion puts for them.
        Some((stem, "{{random}}")) => stem,
        Some((stem, end)) if end.len() == 10 && end.bytes().all(|b| b.is_ascii_digit()) => stem,
        _ => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stems() {
        for (name, stem) in [
            ("ci-x7k2q", "ci"),
            ("nightly-1763690745", "nightly"),
            ("deploy-prod", "deploy-prod"),
            ("wf", "wf"),
            ("ci-{{random}}", "ci"),
        ] {
            assert_eq!(workflow_stem(name), stem);
        }
    }
}
