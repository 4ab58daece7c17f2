//! From the entrypoint down, as the controller executes templates (`executeTemplate` of Argo's `workflow/controller/operator.go`), each
//! step taken to succeed.

use std::collections::BTreeSet;
use std::rc::Rc;

use serde_json::Value;

use super::execution::Execution;
use super::library::Library;
use super::pod::{self, Placed};
use super::raw::{entries, kept, list, named, set, text};
use super::replace::Values;
use super::scope::{Base, Boundary, Call, Hooked, Scope, both};
use super::settings::Settings;
use super::template::{self, Kind};
use super::validate::Own;
use super::{
    Expansion, MAX_DEPTH, NodeKind, Place, Predicted, agent, bounds, dag, expression, node, shape, steps, typed,
    unresolved,
};

pub(super) struct Walk<'a> {
    pub execution: &'a Execution,
    pub library: &'a Library,
    pub settings: &'a Settings,
    pub out: Expansion,
    /// The Workflow's own templates.
    pub own: Own<'a>,
    /// Templates that have been looked at.
    pub validated: BTreeSet<String>,
    /// What has been kept so far.
    pub bytes: usize,
    /// What the templates come to that are being executed, one in another.
    pub open: usize,
    /// Where the manifest stands that is being executed: of what stands in another manifest, who refers to it.
    pub place: Place,
}

/// Executes a Workflow.
pub(super) fn walk(execution: &Execution, library: &Library, settings: &Settings) -> Expansion {
    let spec = &execution.spec;
    let (out, own, validated, place) = (Expansion::default(), Own::of(spec), BTreeSet::new(), Place::default());
    let mut walk = Walk { execution, library, settings, out, own, validated, bytes: 0, open: 0, place };
    let entry = serde_json::json!({"template": spec["entrypoint"]});
    if text(spec, "entrypoint").is_empty() {
        walk.problem(&execution.name, "spec.entrypoint is missing");
        return walk.out;
    }
    let name = execution.name.clone();
    walk.template(Call::plain(name.clone(), &entry, &spec["arguments"], Scope::default(), None), Base::Own);
    // The Workflow's exit hook runs whatever its expression says.
    let mut hooks = spec["hooks"].clone();
    if let Some(exit) = hooks.get_mut("exit").and_then(Value::as_object_mut) {
        exit.shift_remove("expression");
    }
    let (on_exit, arguments) = (text(spec, "onExit"), &spec["arguments"]);
    let hooked = Hooked { hooks: &hooks, on_exit, arguments, of: &name, condition: None };
    walk.hooks(&hooked, &Scope::default(), Base::Own);
    walk.validate_rest();
    agent::pod(&mut walk.out, execution, library, settings);
    walk.out
}

impl<'a> Walk<'a> {
    /// The template that a step, a task or a hook refers to, and where the names in it are looked up.
    fn resolve(&self, holder: &Value, base: Base<'a>) -> Result<(Value, Base<'a>), String> {
        if let Some(inline) = kept(holder, "inline") {
            return Ok((inline.clone(), base));
        }
        if let Some(reference) = kept(holder, "templateRef") {
            let cluster = reference["clusterScope"] == true;
            let found = self.library.template(&self.execution.namespace, text(reference, "name"), cluster)?;
            let base = Base::Template(found);
            return Ok((self.by_name(text(reference, "template"), base)?, base));
        }
        match text(holder, "template") {
            "" => Err("it names no template".to_owned()),
            name => Ok((self.by_name(name, base)?, base)),
        }
    }

    fn by_name(&self, name: &str, base: Base<'a>) -> Result<Value, String> {
        let (spec, of) = match base {
            Base::Own => (&self.execution.spec, String::new()),
            Base::Template(template) => {
                (&template["spec"], format!(" in {} {}", text(template, "kind"), text(&template["metadata"], "name")))
            }
        };
        let mut found =
            named(list(spec, "templates"), name).cloned().ok_or_else(|| format!("template {name} not found{of}"))?;
        for kind in ["annotations", "labels"] {
            if kept(&spec["podMetadata"], kind).is_some() {
                set(&mut found["metadata"], kind, entries(&spec["podMetadata"], kind));
            }
        }
        Ok(found)
    }

    /// Executes a template.
    pub fn template(&mut self, call: Call<'_>, base: Base<'a>) {
        if self.out.cut {
            return;
        }
        if call.scope.depth >= MAX_DEPTH {
            let round = round(&call.scope.above).join(" -> ");
            let why = format!("more than {MAX_DEPTH} templates in one another ({round}): Argo stops there too");
            // The whole name says the same over and over.
            let end = call.name.floor_char_boundary(MAX_NAME);
            let place = self.place_of(&call.name);
            self.problem_at(&format!("{}...", &call.name[..end]), why, place);
            return;
        }
        let (found, base) = match self.resolve(call.holder, base) {
            Ok(found) => found,
            Err(why) => return self.problem(&call.name, why),
        };
        let template = text(&found, "name").to_owned();
        let Some(kind) = Kind::of(&found) else {
            return self.problem(&call.name, format!("template {template} says nothing of what it does"));
        };
        let key = format!("{}/{template}", Self::base_name(base));
        self.validate(&call, base, &key, &found);
        let Some(above) = self.above(&call, &key, &template) else { return };
        let merged = self.with_defaults(&found, kind);
        // What the defaults add may make another thing of it.
        let kind = merged.as_ref().and_then(Kind::of).unwrap_or(kind);
        let is_boundary = matches!(kind, Kind::Steps | Kind::Dag);
        let boundary = is_boundary.then(|| Rc::new(Boundary::of(&found)));
        let mut merged = merged.unwrap_or(found);
        let retried = merged["retryStrategy"].is_object() || self.execution.spec["retryStrategy"].is_object();
        let has_name = kind.has_pod() && !retried;
        merged = match self.filled(&call, &merged, has_name.then(|| self.pod_name(&call.name, &template))) {
            Ok(made) => made,
            Err(why) => return self.problem(&call.name, why),
        };
        let mut scope = call.scope.clone();
        let mut name = call.name.clone();
        let mut condition = call.condition;
        if retried {
            scope.parent = self.node(&name, NodeKind::Retry, &template, &scope, condition.take());
            name = format!("{name}(0)");
            merged =
                template::substitute(&merged, &self.first_attempt(&name, &template, kind), &self.execution.globals);
        }
        if kept(&merged, "memoize").is_some() && condition.is_none() {
            condition = Some("the cache of `memoize` has no entry".to_owned());
        }
        let Some(at) = self.node(&name, NodeKind::of(kind), &template, &scope, condition) else { return };
        let artifacts = Rc::new(list(&merged["inputs"], "artifacts").to_vec());
        let inner = Scope { boundary, artifacts, parent: Some(at), depth: scope.depth + 1, above, ..scope.clone() };
        match kind {
            Kind::Steps => {
                self.inside((&name, base), &merged, |walk| steps::execute(walk, &name, &merged, &inner, base));
            }
            Kind::Dag => self.inside((&name, base), &merged, |walk| dag::execute(walk, &name, &merged, &inner, base)),
            // Requests are the agent's.
            Kind::Suspend | Kind::Http | Kind::Plugin => {}
            _ => self.pod(at, &name, &merged, kind, &scope),
        }
    }

    /// The template with every value in its place.
    fn filled(&self, call: &Call<'_>, template: &Value, pod_name: Option<String>) -> Result<Value, String> {
        let mut locals = Values::from([
            (call.own_name.0.to_owned(), call.own_name.1.clone()),
            ("node.name".to_owned(), call.name.clone()),
        ]);
        locals.extend(pod_name.map(|name| ("pod.name".to_owned(), name)));
        let Execution { namespace, globals, .. } = self.execution;
        let place = template::Surroundings { namespace, library: self.library, globals };
        let made = template::process(template, call.arguments, &locals, place)?;
        // Keys are texts too.
        shape::check(&made)?;
        Ok(made)
    }

    fn base_name(base: Base<'_>) -> String {
        match base {
            Base::Own => String::new(),
            Base::Template(template) => format!("{}/{}", text(template, "kind"), text(&template["metadata"], "name")),
        }
    }

    /// The templates above with this one; `None` where it stands in itself and only the run knows for how long.
    fn above(&mut self, call: &Call<'_>, key: &str, template: &str) -> Option<Rc<Vec<(String, bool)>>> {
        let above = &call.scope.above;
        let since = above.iter().rposition(|(known, _)| known == key).filter(|_| !template.is_empty());
        let unsure = |from: usize| call.condition.is_some() || above.iter().skip(from + 1).any(|(_, sure)| !sure);
        if since.is_some_and(unsure) {
            self.node(&call.name, NodeKind::Recursion, template, &call.scope, call.condition.clone());
            return None;
        }
        let mut all = above.to_vec();
        all.push((key.to_owned(), call.condition.is_none()));
        Some(Rc::new(all))
    }

    /// `mergedTemplateDefaultsInto`; `None` where the Workflow has no defaults for its templates.
    fn with_defaults(&self, template: &Value, kind: Kind) -> Option<Value> {
        let defaults = kept(&self.execution.spec, "templateDefaults")?;
        let mut merged = super::merge::merge(defaults, &typed::pruned(template), super::merge::Into::Argo);
        kind.keep_only(&mut merged);
        Some(merged)
    }

    fn first_attempt(&self, name: &str, template: &str, kind: Kind) -> Values {
        let last = [
            ("retries", "0"),
            ("lastRetry.exitCode", "0"),
            ("lastRetry.duration", "0"),
            ("lastRetry.status", ""),
            ("lastRetry.message", ""),
        ];
        let mut values: Values = last.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        if kind.has_pod() {
            values.insert("pod.name".to_owned(), self.pod_name(name, template));
        }
        values
    }

    pub fn pod_name(&self, node: &str, template: &str) -> String {
        node::known_pod_name(&self.execution.name, node, template)
    }

    fn pod(&mut self, at: usize, name: &str, template: &Value, kind: Kind, scope: &Scope) {
        let boundary = scope.boundary.as_deref();
        let (execution, settings) = (self.execution, self.settings);
        let library = self.library;
        let placed =
            Placed { execution, settings, library, template, kind, node: name, boundary, on_exit: scope.on_exit };
        match pod::build(&placed) {
            Ok(pod) => {
                if !self.charge(name, bounds::weight(&pod)) {
                    return;
                }
                self.check_images(name, template, &pod);
                self.out.nodes[at].pod = Some(self.out.pods.len());
                let unresolved = unresolved::sources(&pod, &template["inputs"], execution);
                self.out.pods.push(Predicted { object: pod, node: at, unresolved });
            }
            Err(why) => self.problem(name, why),
        }
    }

    /// Hooks of a step, a task or the Workflow: `exit`, and those that wait for a condition.
    pub fn hooks(&mut self, hooked: &Hooked<'_>, scope: &Scope, base: Base<'a>) {
        let Hooked { hooks, on_exit, arguments, of, condition } = *hooked;
        for (name, hook) in hooks.as_object().into_iter().flatten() {
            let own = match text(hook, "expression") {
                "" => None,
                source => match expression::evaluate(source, &self.execution.globals) {
                    Ok(Value::Bool(false)) => continue,
                    Ok(Value::Bool(true)) => None,
                    _ => Some(format!("`{source}` holds")),
                },
            };
            let condition = both(condition, own);
            let exit = name == "exit";
            if exit && !on_exit.is_empty() {
                continue;
            }
            if !exit && text(hook, "expression").is_empty() {
                self.problem(of, format!("hook {name} has no expression"));
                continue;
            }
            let node = if exit { format!("{of}.onExit") } else { format!("{of}.hooks.{name}") };
            let given = kept(hook, "arguments");
            let arguments = if exit { given.unwrap_or(arguments) } else { given.unwrap_or(&Value::Null) };
            let arguments = super::replace::in_value(arguments, &self.execution.globals);
            let arguments = steps::handed_on(&arguments, &scope.artifacts);
            let scope = Scope { on_exit: exit, ..scope.clone() };
            self.template(Call::plain(node, hook, &arguments, scope, condition), base);
        }
        if !on_exit.is_empty() {
            let holder = serde_json::json!({"template": on_exit});
            let scope = Scope { on_exit: true, ..scope.clone() };
            let condition = both(condition, None);
            self.template(Call::plain(format!("{of}.onExit"), &holder, arguments, scope, condition), base);
        }
    }
}

/// As much of the name of a node is told that many others stand around.
const MAX_NAME: usize = 60;

/// The templates that stand in one another again and again, as `kind/holder/name`.
fn round(above: &[(String, bool)]) -> Vec<&str> {
    let Some(((last, _), before)) = above.split_last() else { return Vec::new() };
    let since = before.iter().rposition(|(known, _)| known == last).unwrap_or(before.len());
    above.iter().skip(since).map(|(known, _)| known.trim_start_matches('/')).collect()
}
