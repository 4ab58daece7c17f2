//! What Argo refuses before it creates any pod of a Workflow (`ValidateWorkflow` of its `workflow/validate/validate.go`), as far as a template alone
//! shows it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::items::LOOPS;
use super::raw::{kept, list, named, steps_of, text};
use super::replace::Values;
use super::template::kinds;

/// The mistakes of a template as it is written, but for its tags.
pub(super) fn mistakes(template: &Value) -> Vec<String> {
    let mut found = Vec::new();
    let kinds: Vec<&str> = kinds(template).collect();
    if kinds.len() > 1 {
        found.push(format!("it has {}: a template does one thing", kinds.join(" and ")));
    }
    let (steps, tasks) = parts(template);
    for (what, all) in [("step", &steps), ("task", &tasks)] {
        let mut names = BTreeSet::new();
        for one in all {
            let name = text(one, "name");
            if name.is_empty() {
                found.push(format!("a {what} has no name"));
            } else if !names.insert(name) {
                found.push(format!("two {what}s are called {name}"));
            }
            let loops: Vec<&str> = LOOPS.into_iter().filter(|field| kept(one, field).is_some()).collect();
            if loops.len() > 1 {
                found.push(format!("{what} {name} has {}: one of them is allowed", loops.join(" and ")));
            }
        }
    }
    let depends = tasks.iter().any(|task| kept(task, "depends").is_some());
    for field in ["dependencies", "continueOn"] {
        if depends && tasks.iter().any(|task| kept(task, field).is_some()) {
            found.push(format!("its tasks have depends and {field}: Argo takes one of them"));
        }
    }
    found
}

/// The tags of a template, as it is written, that nothing can stand for, and why; `globals` are what `workflow.*` stands for, `open` where more may be
/// given. What stands inline in its steps is a part of it.
pub(super) fn unknown_tags(template: &Value, globals: &Values, open: bool) -> BTreeMap<String, String> {
    let (steps, tasks) = parts(template);
    let references = References { template, globals, open, steps: &steps, tasks: &tasks };
    let mut unknown = BTreeMap::new();
    references.look(template, &mut Vec::new(), &mut unknown);
    unknown
}

fn parts(template: &Value) -> (Vec<&Value>, Vec<&Value>) {
    let steps = list(template, "steps").iter().flat_map(steps_of);
    (steps.collect(), list(&template["dag"], "tasks").iter().collect())
}

/// What tags of a template may name.
struct References<'t> {
    template: &'t Value,
    globals: &'t Values,
    /// Workflow parameters may come from elsewhere.
    open: bool,
    steps: &'t [&'t Value],
    tasks: &'t [&'t Value],
}

impl<'t> References<'t> {
    /// Looks at every text; `inline` are the templates in steps that it stands in.
    fn look(&self, value: &'t Value, inline: &mut Vec<&'t Value>, unknown: &mut BTreeMap<String, String>) {
        match value {
            Value::String(text) => {
                unknown.extend(tags(text).filter_map(|tag| Some((tag.to_owned(), self.wrong(tag, inline)?))));
            }
            Value::Array(all) => all.iter().for_each(|one| self.look(one, inline, unknown)),
            Value::Object(fields) => {
                for (field, one) in fields {
                    let inner = field == "inline" && one.is_object();
                    inline.extend(inner.then_some(one));
                    self.look(one, inline, unknown);
                    if inner {
                        inline.pop();
                    }
                }
            }
            _ => {}
        }
    }

    fn wrong(&self, tag: &str, inline: &[&Value]) -> Option<String> {
        let has = |kind: &str, name: &str| {
            let mut holders = std::iter::once(self.template).chain(inline.iter().copied());
            holders.any(|holder| named(list(&holder["inputs"], kind), name).is_some())
        };
        let unknown = |what: &str| Some(what.to_owned());
        if let Some(name) = tag.strip_prefix("inputs.parameters.") {
            return if has("parameters", name) { None } else { unknown("it has no such input") };
        }
        if let Some(rest) = tag.strip_prefix("inputs.artifacts.") {
            let name = rest.strip_suffix(".path").unwrap_or(rest);
            return if has("artifacts", name) { None } else { unknown("it has no such input artifact") };
        }
        if let Some(name) = tag.strip_prefix("workflow.parameters.") {
            let given = self.open || name == "json" || self.globals.contains_key(tag);
            return if given { None } else { unknown("the Workflow has no such parameter") };
        }
        for (prefix, all, what) in [("steps.", self.steps, "step"), ("tasks.", self.tasks, "task")] {
            let Some((name, _)) = tag.strip_prefix(prefix).and_then(|rest| rest.split_once('.')) else { continue };
            if !all.iter().any(|one| text(one, "name") == name) {
                return unknown(&format!("there is no such {what}"));
            }
        }
        None
    }
}

/// The tags of a text that are no expressions and have no tag in them.
fn tags(text: &str) -> impl Iterator<Item = &str> {
    let tags = text.split("{{").skip(1).filter_map(|rest| rest.split_once("}}"));
    tags.map(|(tag, _)| tag.trim()).filter(|tag| !tag.starts_with('='))
}

/// The first tag of a step of a loop that has no value when the loop is unrolled (`processItem`): a key that the item does not have, an input
/// of a template that stands in the step, the task's own name.
pub(super) fn open_in_loop(step: &Value) -> Option<&str> {
    let inputs = list(&step["inline"]["inputs"], "parameters");
    first(step, &|tag| {
        let of_inline = tag.strip_prefix("inputs.parameters.").is_some_and(|name| named(inputs, name).is_some());
        tag.starts_with("item.") || tag == "tasks.name" || of_inline
    })
}

fn first<'v>(value: &'v Value, is_meant: &dyn Fn(&str) -> bool) -> Option<&'v str> {
    match value {
        Value::String(text) => tags(text).find(|tag| is_meant(tag)),
        Value::Array(all) => all.iter().find_map(|one| first(one, is_meant)),
        Value::Object(fields) => fields.values().find_map(|one| first(one, is_meant)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_argo_refuses_is_told() {
        let globals = Values::from([("workflow.parameters.pr".to_owned(), "1".to_owned())]);
        let step = |name: &str| json!({"name": name, "template": "t"});
        for (template, told) in [
            (json!({"container": {}, "script": {}}), "it has container and script: a template does one thing"),
            (json!({"steps": [[step("a")], [step("a")]]}), "two steps are called a"),
            (json!({"steps": [[{"template": "t"}]]}), "a step has no name"),
            (json!({"dag": {"tasks": [step("a"), step("a")]}}), "two tasks are called a"),
            (
                json!({"dag": {"tasks": [{"name": "a", "depends": "b"}, {"name": "b", "dependencies": ["a"]}]}}),
                "its tasks have depends and dependencies: Argo takes one of them",
            ),
            (
                json!({"steps": [[{"name": "a", "withItems": [1], "withParam": "[]"}]]}),
                "step a has withItems and withParam: one of them is allowed",
            ),
            (
                json!({"container": {"args": ["{{ inputs.parameters.x }}"]}}),
                "{{inputs.parameters.x}}: it has no such input",
            ),
            (
                json!({"container": {"args": ["{{inputs.artifacts.x.path}}"]}}),
                "{{inputs.artifacts.x.path}}: it has no such input artifact",
            ),
            (
                json!({"container": {"args": ["{{workflow.parameters.rp}}"]}}),
                "{{workflow.parameters.rp}}: the Workflow has no such parameter",
            ),
            (
                json!({"steps": [[{"name": "a", "when": "{{steps.b.outputs.result}} == x"}]]}),
                "{{steps.b.outputs.result}}: there is no such step",
            ),
        ] {
            let unknown = unknown_tags(&template, &globals, false).into_iter();
            let unknown = unknown.map(|(tag, why)| format!("{{{{{tag}}}}}: {why}"));
            let found: Vec<String> = mistakes(&template).into_iter().chain(unknown).collect();
            assert_eq!(found, [told], "{template}");
        }
        let inline =
            json!({"inputs": {"parameters": [{"name": "y"}]}, "container": {"args": ["{{inputs.parameters.y}}"]}});
        let fine = json!({
            "inputs": {"parameters": [{"name": "x"}]},
            "steps": [[{"name": "a", "template": "t", "arguments": {"parameters": [
                {"name": "p", "value": "{{inputs.parameters.x}} {{workflow.parameters.pr}} {{workflow.name}} {{=steps.b.outputs}}"},
            ]}}], [{"name": "b", "inline": inline, "when": "{{steps.a.outputs.result}} == {{steps.name}}"}]],
        });
        assert!(mistakes(&fine).is_empty() && unknown_tags(&fine, &globals, false).is_empty());
        let submitted = json!({"container": {"args": ["{{workflow.parameters.later}}"]}});
        assert!(unknown_tags(&submitted, &globals, true).is_empty());
    }
}
