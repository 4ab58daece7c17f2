//! A document -> the reviews it stands for: Pods, items of Lists, AdmissionReviews; and the Workflows that have to be expanded first.
//!
//! JSON stays as it came: its bytes are put into a review, or are one. YAML is read and written as JSON once.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::admission::API_VERSION;
use crate::argo::expand::source;
use crate::yaml::{Document, Format, Leaf, Tree, YamlError};

/// An object to review.
pub(super) struct Subject<'a> {
    /// The bytes of an AdmissionReview.
    pub review: &'a [u8],
    /// The object in it.
    pub object: Object<'a>,
    /// The line of the file on which it starts.
    pub line: usize,
}

/// An object as it came.
pub(super) enum Object<'a> {
    /// JSON, which a look at it took for JSON.
    Text(&'a str),
    /// YAML, read.
    Tree(Tree<'a>),
}

impl<'a> Object<'a> {
    /// The object, read.
    ///
    /// # Errors
    /// Text that only looked like JSON.
    pub fn read(self) -> serde_json::Result<Tree<'a>> {
        match self {
            Self::Text(text) => serde_json::from_str(text),
            Self::Tree(tree) => Ok(tree),
        }
    }
}

/// Why a document, or an item of one, is not reviewed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    /// The line of the file.
    pub line: usize,
    /// The column, where it is known.
    pub column: Option<usize>,
    /// What is wrong.
    pub message: String,
    /// How to mend it.
    pub hint: Option<String>,
}

impl From<YamlError> for Refusal {
    fn from(error: YamlError) -> Self {
        Self { line: error.line, column: Some(error.column), message: error.message, hint: error.hint }
    }
}

/// As much of a manifest as tells what it is, borrowed from its text.
#[derive(Deserialize)]
struct Peek<'a> {
    #[serde(default, borrow, rename = "apiVersion")]
    api_version: Cow<'a, str>,
    #[serde(default, borrow)]
    kind: Cow<'a, str>,
    #[serde(default, borrow)]
    metadata: Option<Metadata<'a>>,
    #[serde(default, borrow)]
    items: Option<Vec<&'a RawValue>>,
    #[serde(default, borrow)]
    request: Option<Request<'a>>,
}

#[derive(Deserialize)]
struct Metadata<'a> {
    #[serde(default, borrow)]
    namespace: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct Request<'a> {
    #[serde(default, borrow)]
    object: Option<&'a RawValue>,
}

/// Finds the reviews in documents. Kept by a worker from document to document for its buffer.
pub(super) struct Finder<'a, S, W, F> {
    /// Namespace of Pods that name none.
    pub namespace: &'a str,
    /// Takes each review.
    pub subject: S,
    /// Takes each Workflow, and what starts one, with its line.
    pub workflow: W,
    /// Takes each refusal.
    pub refuse: F,
    /// Manifests of kinds that have nothing to do with pods, as Helm and Kustomize print them among others.
    pub others: usize,
    /// The review being written.
    pub buffer: Vec<u8>,
}

impl<S: FnMut(Subject<'_>), W: FnMut(&Tree<'_>, usize), F: FnMut(Refusal)> Finder<'_, S, W, F> {
    /// Finds what a document holds.
    pub fn document(&mut self, document: &Document) {
        if document.format == Format::Json
            && let Ok(peek) = serde_json::from_str::<Peek<'_>>(&document.text)
            && self.json(&document.text, &peek, document.line).is_some()
        {
            return;
        }
        match document.tree() {
            Ok(tree) => self.tree(tree, document.line, ""),
            Err(error) => (self.refuse)(error.into()),
        }
    }

    /// JSON that is what it seems; `None` leaves it to the slow way, which explains what is wrong with it.
    fn json(&mut self, text: &str, peek: &Peek<'_>, line: usize) -> Option<()> {
        if let Some(items) = &peek.items {
            let of = item_kind(&peek.kind);
            let (mut line, mut seen) = (line, 0);
            for item in items {
                let item = item.get();
                // Items are slices of the text: the breaks before one give its line.
                let offset = (item.as_ptr() as usize).saturating_sub(text.as_ptr() as usize);
                line += memchr::memchr_iter(b'\n', text.as_bytes().get(seen..offset).unwrap_or_default()).count();
                seen = offset;
                let known = serde_json::from_str::<Peek<'_>>(item).ok();
                if known.and_then(|peek| self.json(item, &peek, line)).is_none() {
                    match serde_json::from_str(item) {
                        Ok(tree) => self.tree(tree, line, of),
                        Err(error) => (self.refuse)(refusal(line, error.to_string(), None)),
                    }
                }
            }
            return Some(());
        }
        match (&*peek.api_version, &*peek.kind) {
            ("v1", "Pod") => {
                let namespace = peek.metadata.as_ref().and_then(|m| m.namespace.as_deref());
                self.wrap(namespace, |buffer| buffer.extend_from_slice(text.as_bytes()));
                self.found(Object::Text(text), line);
            }
            (API_VERSION, "AdmissionReview") => {
                let object = Object::Text(peek.request.as_ref()?.object?.get());
                (self.subject)(Subject { review: text.as_bytes(), object, line });
            }
            _ => return None,
        }
        Some(())
    }

    /// Anything, read. `of` is the kind that a List gives its items where they have none.
    fn tree(&mut self, mut tree: Tree<'_>, line: usize, of: &str) {
        if let (Tree::Map(entries), "Pod") = (&mut tree, of)
            && !entries.iter().any(|(key, _)| key == "kind")
        {
            entries.retain(|(key, _)| key != "apiVersion");
            let added = [("apiVersion", "v1"), ("kind", "Pod")];
            entries.splice(..0, added.map(|(key, text)| (key.into(), Tree::text(text))));
        }
        let (api_version, kind) = (text(&tree, "apiVersion").to_owned(), text(&tree, "kind").to_owned());
        if let Some(Tree::Sequence(items)) = tree.get_mut("items") {
            let of = item_kind(&kind);
            return std::mem::take(items).into_iter().for_each(|item| self.tree(item, line, of));
        }
        match (api_version.as_str(), kind.as_str()) {
            ("v1", "Pod") => {
                self.wrap(metadata(&tree, "namespace"), |buffer| write(buffer, &tree));
                self.found(Object::Tree(tree), line);
            }
            (API_VERSION, "AdmissionReview") if reviewed(&mut tree).is_some() => {
                self.buffer.clear();
                write(&mut self.buffer, &tree);
                let object = reviewed(&mut tree).map(std::mem::take).unwrap_or_default();
                self.found(Object::Tree(object), line);
            }
            (version, kind) if source::is_source(version, kind) => (self.workflow)(&tree, line),
            _ => match foreign(&tree, &api_version, &kind, line) {
                Some(refusal) => (self.refuse)(refusal),
                None => self.others += 1,
            },
        }
    }

    fn found(&mut self, object: Object<'_>, line: usize) {
        (self.subject)(Subject { review: &self.buffer, object, line });
    }

    fn wrap(&mut self, namespace: Option<&str>, pod: impl FnOnce(&mut Vec<u8>)) {
        wrap(&mut self.buffer, namespace.filter(|n| !n.is_empty()).unwrap_or(self.namespace), pod);
    }
}

/// Writes the review of a Pod's creation, as the API server asks it.
pub(super) fn wrap(buffer: &mut Vec<u8>, namespace: &str, pod: impl FnOnce(&mut Vec<u8>)) {
    buffer.clear();
    buffer.extend_from_slice(
            br#"{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":"dry-run","kind":{"group":"","version":"v1","kind":"Pod"},"operation":"CREATE","dryRun":true,"namespace":"#,
        );
    write(buffer, &namespace);
    buffer.extend_from_slice(b",\"object\":");
    pod(buffer);
    buffer.extend_from_slice(b"}}");
}

/// Writes to memory, which cannot fail.
pub(super) fn write(buffer: &mut Vec<u8>, value: &impl serde::Serialize) {
    let _ = serde_json::to_writer(buffer, value);
}

/// A text at the top; empty where there is none.
fn text<'t>(tree: &'t Tree<'_>, key: &str) -> &'t str {
    tree.get(key).and_then(Tree::as_str).unwrap_or_default()
}

/// A text in `metadata`.
pub(super) fn metadata<'t>(tree: &'t Tree<'_>, key: &str) -> Option<&'t str> {
    tree.get("metadata")?.get(key)?.as_str()
}

/// The object that an AdmissionReview is about.
fn reviewed<'t, 'a>(review: &'t mut Tree<'a>) -> Option<&'t mut Tree<'a>> {
    review.get_mut("request")?.get_mut("object").filter(|object| object.is_map())
}

fn item_kind(list: &str) -> &str {
    list.strip_suffix("List").unwrap_or_default()
}

fn refusal(line: usize, message: String, hint: Option<&str>) -> Refusal {
    Refusal { line, column: None, message, hint: hint.map(str::to_owned) }
}

/// What is wrong with a document that is neither of what we review; `None` where it is a manifest of another kind, or nothing.
fn foreign(tree: &Tree<'_>, api_version: &str, kind: &str, line: usize) -> Option<Refusal> {
    // As templates print nothing where a condition does not hold, and kubectl passes it over.
    if matches!(tree, Tree::Leaf(Leaf::Null)) {
        return None;
    }
    if !tree.is_map() {
        return Some(refusal(line, "not a Kubernetes manifest".to_owned(), Some("a manifest has apiVersion and kind")));
    }
    let name = metadata(tree, "name").map(|n| format!(" {n}")).unwrap_or_default();
    Some(match (api_version, kind) {
        (_, "") => refusal(
            line,
            format!("this manifest{name} has no kind"),
            Some("add apiVersion and kind, such as `kind: Pod`"),
        ),
        (version, "Workflow" | "WorkflowTemplate" | "ClusterWorkflowTemplate" | "CronWorkflow") => refusal(
            line,
            format!("{kind}{name} of apiVersion {version:?}"),
            Some("write `apiVersion: argoproj.io/v1alpha1`"),
        ),
        (version, "AdmissionReview") if version != API_VERSION => {
            refusal(line, format!("AdmissionReview of {version}, {API_VERSION} is expected"), None)
        }
        (_, "AdmissionReview") => refusal(
            line,
            "AdmissionReview without request.object".to_owned(),
            Some("record the request, not the response"),
        ),
        (version, "Pod") => {
            refusal(line, format!("Pod{name} of apiVersion {version:?}"), Some("write `apiVersion: v1`"))
        }
        ("", _) => refusal(line, format!("{kind}{name} has no apiVersion"), Some("a manifest has apiVersion and kind")),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::yaml;
    use serde_json::Value;

    /// Line, namespace of the review, name.
    type Found = (usize, String, String);

    /// What is found, and the refusals by line.
    fn find(text: &str) -> (Vec<Found>, Vec<(usize, String)>) {
        let (mut found, mut workflows, mut refused) = (Vec::new(), Vec::new(), Vec::new());
        let mut finder = Finder {
            namespace: "fallback",
            subject: |s: Subject<'_>| {
                let review: Value = serde_json::from_slice(s.review).unwrap();
                let object = serde_json::to_value(s.object.read().unwrap()).unwrap();
                assert_eq!(review["request"]["object"], object);
                let namespace = review["request"]["namespace"].as_str().unwrap().to_owned();
                found.push((s.line, namespace, object["metadata"]["name"].as_str().unwrap().to_owned()));
            },
            workflow: |tree: &Tree<'_>, line| workflows.push((line, metadata(tree, "name").unwrap().to_owned())),
            refuse: |r: Refusal| refused.push((r.line, r.message)),
            buffer: Vec::new(),
            others: 0,
        };
        for document in yaml::documents(text.as_bytes()) {
            finder.document(&document.unwrap());
        }
        assert!(finder.others < 2);
        found.extend(workflows.into_iter().map(|(line, name)| (line, "(expanded)".to_owned(), name)));
        (found, refused)
    }

    #[test]
    fn finds_pods_however_they_are_written() {
        let pod = |name: &str| {
            format!(r#"{{"apiVersion":"v1","kind":"Pod","metadata":{{"name":"{name}","namespace":"argo"}}}}"#)
        };
        let all = |line| vec![(line, "argo".to_owned(), "a".to_owned())];
        assert_eq!(find(&pod("a")).0, all(1));
        assert_eq!(find(&format!("# c\n---\n{}", pod("a"))).0, all(3));
        assert_eq!(find("apiVersion: v1\nkind: Pod\nmetadata:\n  name: a\n  namespace: argo\n").0, all(1));
        assert_eq!(find("apiVersion: v1\nkind: Pod\nmetadata:\n  name: a\n").0[0].1, "fallback");
        let list = format!("{{\"apiVersion\":\"v1\",\"kind\":\"List\",\"items\":[\n{},\n\n{}]}}", pod("a"), pod("b"));
        let (found, _) = find(&list);
        assert_eq!((found[0].0, found[1].0, found[1].2.as_str()), (2, 4, "b"));
        let typed = r#"{"kind":"PodList","apiVersion":"v1","items":[{"metadata":{"name":"a","namespace":"argo"}}]}"#;
        assert_eq!(find(typed).0, all(1));
        let review = format!(
            r#"{{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","request":{{"uid":"u","namespace":"argo","object":{}}}}}"#,
            pod("a")
        );
        assert_eq!(find(&review).0, all(1));
        assert_eq!(find(&format!("[]\n{review}\n{}", pod("a"))).0.len(), 2);
    }

    #[test]
    fn an_empty_document_is_passed_over() {
        let pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: a, namespace: argo}\n";
        for empty in ["null\n", "~\n", "# nothing\n"] {
            let (found, refused) = find(&format!("{empty}---\n{pod}"));
            assert_eq!((found.len(), refused), (1, Vec::new()), "{empty}");
        }
    }

    #[test]
    fn refuses_what_is_no_pod_and_goes_on() {
        let text = "kind: Workflow\napiVersion: argoproj.io/v1alpha1\nmetadata: {name: ci}\n---\nkind: CronWorkflow\napiVersion: v1\n---\na: 1\n---\n- x\n---\n\
                    kind: Pod\napiVersion: v2\n---\nkind: Deployment\napiVersion: apps/v1\n---\n{\"kind\": 3}\n";
        let (found, refused) = find(text);
        assert_eq!(found, [(1, "(expanded)".to_owned(), "ci".to_owned())]);
        let said: Vec<_> = refused.iter().map(|(line, message)| (*line, message.split(':').next().unwrap())).collect();
        assert_eq!(
            said,
            [
                (5, "CronWorkflow of apiVersion \"v1\""),
                (8, "this manifest has no kind"),
                (10, "not a Kubernetes manifest"),
                (12, "Pod of apiVersion \"v2\""),
                (18, "this manifest has no kind")
            ]
        );
    }
}
