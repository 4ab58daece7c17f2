//! Where in its document a mistake of a Workflow stands.

use serde_json::Value;

use crate::argo::expand::{Place, replace};
use crate::yaml::{Document, Kind, Node, Span, Spanned};

/// Longer documents are not read a second time: their first line has to do.
const MAX_BYTES: usize = 4 << 20;

/// What a manifest is known by.
const NAMES: [&str; 2] = ["name", "generateName"];

/// The places of a manifest.
pub(super) struct Places {
    document: Spanned,
    name: Option<String>,
}

impl Places {
    /// Reads a document again, for `manifest`, which is it or an item of it.
    pub fn of(document: &Document, manifest: &Value) -> Option<Self> {
        let document =
            (document.text.len() <= MAX_BYTES).then(|| Spanned::read(&document.text, document.line).ok())??;
        let name = NAMES.iter().find_map(|field| manifest["metadata"][field].as_str());
        Some(Self { document, name: name.map(str::to_owned) })
    }

    /// The innermost of what a place names that is there; `None` where not even its template is.
    pub fn find(&self, place: &Place) -> Option<Span> {
        if let Some(field) = &place.field {
            return self.field(field);
        }
        let template = self.templates()?.iter().find(|one| is_named(one, place.template.as_deref()))?;
        let step = place.step.as_deref().filter(|name| !name.is_empty());
        let holder = step.and_then(|name| step_of(template, name)).unwrap_or(template);
        let tag = place.tag.as_deref().and_then(|tag| speaks_of(holder, tag));
        Some(tag.map_or(holder.span, |node| node.span))
    }

    /// What starts Workflows has their spec elsewhere.
    fn field(&self, path: &str) -> Option<Span> {
        let (manifest, own) = self.manifest()?;
        let spec = manifest.get("spec").filter(|spec| spec.get("workflowSpec").is_some());
        let of_workflow = path.strip_prefix("spec").filter(|_| spec.is_some());
        let path = of_workflow.map_or_else(|| path.to_owned(), |rest| format!("spec.workflowSpec{rest}"));
        Some(self.document.span(&format!("{own}{path}")))
    }

    fn templates(&self) -> Option<&[Node]> {
        let spec = self.manifest()?.0.get("spec")?;
        Some(list(spec.get("workflowSpec").unwrap_or(spec).get("templates")?))
    }

    /// The manifest, and what leads to it.
    fn manifest(&self) -> Option<(&Node, String)> {
        let root = &self.document.root;
        let is_meant = |one: &Node| {
            let metadata = one.get("metadata");
            let name = NAMES.iter().find_map(|field| text(metadata?, field));
            name == self.name.as_deref()
        };
        let Some(items) = root.get("items") else { return Some((root, String::new())) };
        let (at, item) = list(items).iter().enumerate().find(|(_, one)| is_meant(one))?;
        Some((item, format!("items[{at}].")))
    }
}

fn text<'n>(node: &'n Node, key: &str) -> Option<&'n str> {
    match &node.get(key)?.kind {
        Kind::Scalar(Value::String(text)) => Some(text),
        _ => None,
    }
}

fn list(node: &Node) -> &[Node] {
    if let Kind::Seq(items) = &node.kind { items } else { &[] }
}

fn is_named(node: &Node, name: Option<&str>) -> bool {
    name.is_some() && text(node, "name") == name
}

/// A step or task of a template.
fn step_of<'n>(template: &'n Node, name: &str) -> Option<&'n Node> {
    let tasks = template.get("dag").and_then(|dag| dag.get("tasks")).map_or(&[][..], list).iter();
    let groups = template.get("steps").map_or(&[][..], list).iter();
    // A group is a list, or one step.
    let steps =
        groups.flat_map(|group| if let Kind::Seq(steps) = &group.kind { steps } else { std::slice::from_ref(group) });
    tasks.chain(steps).find(|one| is_named(one, Some(name)))
}

/// The first text below a node that has a tag in it.
fn speaks_of<'n>(node: &'n Node, tag: &str) -> Option<&'n Node> {
    match &node.kind {
        Kind::Scalar(Value::String(text)) => replace::tags(text).any(|one| one.trim() == tag).then_some(node),
        Kind::Scalar(_) => None,
        Kind::Seq(items) => items.iter().find_map(|one| speaks_of(one, tag)),
        Kind::Map(entries) => entries.iter().find_map(|(_, one)| speaks_of(one, tag)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::yaml;

    #[test]
    fn the_innermost_that_is_there_is_found() {
        let text = "# first\nkind: List\nitems:\n- metadata: {name: other}\n  spec: {templates: [{name: main}]}\n- metadata:\n    name: w\n  \
                    spec:\n    workflowSpec:\n      templates:\n      - name: main\n        steps:\n        - - name: a\n            when: \
                    \"{{ x.y }} == 1\"\n        - {name: b}\n      - name: graph\n        dag: {tasks: [{name: c}]}\n";
        let document = yaml::documents(text.as_bytes()).next().unwrap().unwrap();
        let manifest = serde_json::json!({"metadata": {"name": "w"}});
        let places = Places::of(&document, &manifest).unwrap();
        let find = |template: &str, step: Option<&str>, tag: Option<&str>| {
            let own = |name: Option<&str>| name.map(str::to_owned);
            let place =
                Place { template: Some(template.to_owned()), step: own(step), tag: own(tag), ..Place::default() };
            places.find(&place).map(|at| (at.line, at.column))
        };
        assert_eq!(find("main", None, None), Some((11, 9)));
        assert_eq!(find("main", Some("a"), None), Some((13, 13)));
        assert_eq!(find("main", None, Some("x.y")), Some((14, 19)));
        assert_eq!(find("main", Some("b"), Some("x.y")), Some((15, 11)));
        assert_eq!(find("main", Some("gone"), None), Some((11, 9)));
        assert_eq!(find("graph", Some("c"), None), Some((17, 23)));
        assert_eq!(find("nowhere", None, None), None);
        assert_eq!(places.find(&Place::default()), None);
        let field = Place { field: Some("spec.templates[1].dag".to_owned()), ..Place::default() };
        assert_eq!(places.find(&field).map(|at| (at.line, at.column)), Some((17, 9)));
    }
}
