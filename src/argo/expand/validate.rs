//! What Argo refuses before it creates any pod of a Workflow (`ValidateWorkflow` of its `workflow/validate/validate.go`).
//!
//! [`whole`] looks at each template once, [`names`] at names, [`fields`] at what stands in a template without steps, [`parts`] at steps and tasks, [`tags`] at
//! what `{{...}}` can stand for. What Argo takes is never refused: where its rule hangs on what is not here (templates of others, those that stand
//! inline, what whoever submits it adds), nothing is said.

mod fields;
mod globals;
mod names;
mod parts;
mod tags;
mod whole;

use serde_json::Value;

use super::execution::Execution;
use super::library::Library;
use super::raw::{find_text, is_empty, kept, list, named, steps_of, text};
use super::scope::Base;
use super::template::{Kind, kinds};
pub(super) use whole::Own;

/// A mistake of a template.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Mistake {
    message: String,
    /// The step or task that it stands in.
    step: Option<String>,
    /// The tag that it is about, without its braces.
    tag: Option<String>,
}

impl From<String> for Mistake {
    fn from(message: String) -> Self {
        Self { message, ..Self::default() }
    }
}

/// What stands around a template.
#[derive(Clone, Copy)]
struct Known<'k> {
    execution: &'k Execution,
    library: &'k Library,
    own: &'k Own<'k>,
    /// Where the template stands.
    base: Base<'k>,
}

impl<'k> Known<'k> {
    /// The template that a step or task executes; `None` where it is not here.
    fn referred<'v>(&self, step: &'v Value) -> Option<&'v Value>
    where
        'k: 'v,
    {
        if let Some(inline) = kept(step, "inline") {
            return Some(inline);
        }
        let (templates, name) = match (kept(step, "templateRef"), self.base) {
            (Some(reference), _) => {
                let cluster = reference["clusterScope"] == true;
                let holder = self.library.template(&self.execution.namespace, text(reference, "name"), cluster).ok()?;
                (holder, text(reference, "template"))
            }
            (None, Base::Own) => return self.own.named(text(step, "template")),
            (None, Base::Template(holder)) => (holder, text(step, "template")),
        };
        named(list(&templates["spec"], "templates"), name)
    }

    /// Whether the Workflow, or what the template stands in, gives an image to containers or scripts that have none.
    fn gives_image(&self, kind: &str) -> bool {
        let gives = |spec: &Value| !lacks(&spec["templateDefaults"][kind], "image");
        gives(&self.execution.spec) || matches!(self.base, Base::Template(holder) if gives(&holder["spec"]))
    }

    /// What all pods of the templates beside this one are given; where the Workflow refers to a template, its own is not looked at.
    fn pod_metadata(&self) -> &'k Value {
        match self.base {
            Base::Own if kept(&self.execution.spec, "workflowTemplateRef").is_some() => &Value::Null,
            Base::Own => &self.execution.spec["podMetadata"],
            Base::Template(holder) => &holder["spec"]["podMetadata"],
        }
    }
}

/// The mistakes of a template as it is written. Of one that stands inline less is told: Argo looks at the first without a name, and takes the others for it.
fn mistakes(template: &Value, is_inline: bool, known: &Known<'_>) -> Vec<Mistake> {
    let mut found: Vec<Mistake> = Vec::new();
    let kinds: Vec<&str> = kinds(template).collect();
    if kinds.len() > 1 {
        found.push(format!("it has {}: a template does one thing", kinds.join(" and ")).into());
    }
    let Some(kind) = Kind::of(template) else { return found };
    fields::of_any(template, kind, &mut found);
    match kind {
        Kind::Steps => parts::steps(template, &mut found),
        Kind::Dag => parts::tasks(template, &mut found),
        _ if is_inline || kinds.len() > 1 => {}
        _ => fields::of_leaf(template, kind, known, &mut found),
    }
    if !is_inline && kinds.len() == 1 {
        fields::outputs(template, kind, &mut found);
        let unknown = tags::unknown(template, kind, known).into_iter();
        found.extend(unknown.map(|(tag, why)| {
            let message = format!("{{{{{tag}}}}}: {why}");
            Mistake { message, tag: Some(tag), step: None }
        }));
    }
    found
}

/// Its steps and tasks.
fn holders(template: &Value) -> impl Iterator<Item = &Value> {
    let steps = list(template, "steps").iter().flat_map(steps_of);
    steps.chain(list(&template["dag"], "tasks"))
}

/// Whether a field is missing, however it is written: Go reads `Image` as `image`.
fn lacks(of: &Value, key: &str) -> bool {
    let mut fields = of.as_object().into_iter().flatten();
    fields.all(|(name, value)| is_empty(value) || !name.eq_ignore_ascii_case(key))
}

/// Whether a field is there, an empty one too: Go has a pointer to it.
fn has(of: &Value, key: &str) -> bool {
    of.get(key).is_some_and(|value| !value.is_null())
}

/// Whether a template has no steps (`IsLeaf`).
fn is_leaf(kind: Kind) -> bool {
    !matches!(kind, Kind::Steps | Kind::Dag | Kind::Suspend)
}

/// The first tag of a step of a loop that has no value when the loop is unrolled (`processItem`): a key that the item does not have, an input
/// of a template that stands in the step, what is to become of itself, the task's own name.
pub(super) fn open_in_loop(step: &Value) -> Option<&str> {
    let inputs = list(&step["inline"]["inputs"], "parameters");
    let name = text(step, "name");
    let is_own = |tag: &str| {
        let rest = tag.strip_prefix("steps.").or_else(|| tag.strip_prefix("tasks."));
        rest.and_then(|rest| rest.strip_prefix(name)).is_some_and(|rest| rest.starts_with('.'))
    };
    let is_meant = |tag: &str| {
        let of_inline = tag.strip_prefix("inputs.parameters.").is_some_and(|name| named(inputs, name).is_some());
        tag.starts_with("item.") || tag == "tasks.name" || of_inline || is_own(tag)
    };
    find_text(step, &mut |text| tags::of(text).find(|tag| is_meant(tag)))
}
