//! A first policy and its first suite, for the Workflows that somebody has.
//!
//! What the Workflows name (parameters, inputs, labels, annotations, variables) is looked at for what a correlation key usually comes from; the suite has a case for
//! each step, whose expectations [`super::update`] writes.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::{Map, Value, json};

use super::spec;
use crate::argo::StepPod;
use crate::argo::expand::{Library, source};
use crate::context::Context;
use crate::json::Json;
use crate::offline::Expander;
use crate::policy::PolicySet;
use crate::policy::compile::Rules;
use crate::policy::load::{LoadErrors, PolicyFile};
use crate::policy::spec::{API_VERSION, KIND};
use crate::policy::syntax;
use crate::yaml;

/// Most cases of a first suite.
const CASES: usize = 20;

/// A correlation key: what it is called elsewhere (letters and digits, in lower case), and where it goes.
struct Key {
    name: &'static str,
    known_as: &'static [&'static str],
    label: Option<&'static str>,
}

const KEYS: &[Key] = &[
    Key { name: "repo", known_as: &["repo", "repository", "reponame", "gitrepo", "repourl"], label: Some("repo") },
    Key {
        name: "prNumber",
        known_as: &["pr", "prnumber", "prid", "pullrequest", "pullrequestnumber", "pullnumber"],
        label: Some("pr"),
    },
    Key { name: "ref", known_as: &["ref", "branch", "gitref", "revision", "gitrevision", "headref"], label: None },
    Key { name: "taskId", known_as: &["taskid", "task", "taskuid"], label: Some("taskId") },
    Key { name: "agent", known_as: &["agent", "agentname", "agentid"], label: Some("agent") },
    Key { name: "commitSha", known_as: &["sha", "commitsha", "commit", "gitsha", "commitid", "headsha"], label: None },
];

/// The order in which sources are asked: what is said of the step itself before what is said of the Workflow.
const ORDER: &[&str] = &["label", "annotation", "input", "workflowLabel", "workflowAnnotation", "parameter", "env"];

/// A policy, and what it is made of.
#[derive(Debug)]
pub struct Scaffold {
    /// The text of `policy.yaml`.
    pub policy: String,
    /// The cases of `tests.yaml`; they expect nothing yet.
    pub cases: Vec<Value>,
    /// Files that the Workflows may need, relative to the suite.
    pub with: Vec<String>,
    /// Steps and Workflows without a case, with the reason.
    pub left_out: Vec<String>,
    /// Correlation keys that nothing in the Workflows seems to give.
    pub missing: Vec<&'static str>,
}

impl Scaffold {
    /// The text of `tests.yaml`.
    pub fn suite(&self) -> String {
        let mut suite = json!({"apiVersion": spec::API_VERSION, "kind": spec::KIND, "policies": ["policy.yaml"]});
        if !self.with.is_empty() {
            suite["with"] = self.with.clone().into();
        }
        suite["cases"] = self.cases.clone().into();
        written(&suite)
    }
}

/// Why there is none.
#[derive(Debug, thiserror::Error)]
pub enum ScaffoldError {
    /// No document is a Workflow or the like.
    #[error("there is no Workflow, WorkflowTemplate, ClusterWorkflowTemplate or CronWorkflow in it")]
    NoWorkflow,
    /// What Argo would refuse.
    #[error("{0}")]
    Refused(String),
    /// No step was found.
    #[error("no step of it runs a pod")]
    NoStep,
    /// What was made is no policy: a fault of ours.
    #[error("the policy made of it does not load: {0}")]
    Policy(#[from] LoadErrors),
}

/// Makes a policy and a suite for the manifests of some files; each file's path is relative to the suite.
///
/// # Errors
/// No Workflow, or none that Argo would run.
pub fn scaffold(files: &[(String, Vec<Value>)]) -> Result<Scaffold, ScaffoldError> {
    let all = || files.iter().flat_map(|(_, manifests)| manifests);
    let workflows: Vec<&Value> = all().filter(|manifest| is_workflow(manifest)).collect();
    let first = workflows.first().ok_or(ScaffoldError::NoWorkflow)?;
    let mut found = BTreeSet::new();
    for manifest in &workflows {
        sources(manifest, &mut found);
    }
    let (correlation, missing) = correlation(&found);
    let policy = written(&policy(&name_of(first), &workflows, &correlation));
    let file = PolicyFile { name: "policy.yaml".into(), text: policy.clone() };
    let set = PolicySet::from_files(&[file], &Rules::default())?;
    let mut left_out = Vec::new();
    let cases = cases(files, &set, &mut left_out);
    if cases.is_empty() {
        return Err(left_out.into_iter().next().map_or(ScaffoldError::NoStep, ScaffoldError::Refused));
    }
    // Where there are several files, each may need the others.
    let with = if files.len() > 1 { files.iter().map(|(file, _)| file.clone()).collect() } else { Vec::new() };
    Ok(Scaffold { policy, cases, with, left_out, missing })
}

fn is_workflow(manifest: &Value) -> bool {
    let text = |field: &str| manifest[field].as_str().unwrap_or_default();
    source::is_source(text("apiVersion"), text("kind"))
}

fn written(value: &Value) -> String {
    let mut text = Vec::new();
    // Writing to memory cannot fail, and what is written is UTF-8.
    let _ = yaml::write(value, &mut text);
    String::from_utf8(text).unwrap_or_default()
}

/// The policy's name: the Workflow's own, as far as it may be one.
fn name_of(manifest: &Value) -> String {
    let metadata = &manifest["metadata"];
    let name = metadata["name"].as_str().or(metadata["generateName"].as_str()).unwrap_or_default();
    let name = name.trim_matches(|c: char| !c.is_ascii_alphanumeric()).to_lowercase();
    if syntax::is_dns_subdomain(&name) { name } else { "steps".to_owned() }
}

fn policy(name: &str, workflows: &[&Value], correlation: &Map<String, Value>) -> Value {
    let namespaces: Option<BTreeSet<&str>> =
        workflows.iter().map(|manifest| manifest["metadata"]["namespace"].as_str()).collect();
    let namespaces = match namespaces {
        Some(names) => json!({"include": names}),
        None => json!({"exclude": ["kube-*"]}),
    };
    json!({
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": {"name": name},
        "spec": {
            "match": {"namespaces": namespaces},
            "environment": "dev",
            "serviceName": name,
            "correlation": correlation,
            "otlp": {"endpoint": crate::policy::effective::DEFAULT_ENDPOINT, "protocol": "grpc"},
        },
    })
}

/// What a Workflow names, as `(kind of source, name)`.
fn sources(manifest: &Value, found: &mut BTreeSet<(&'static str, String)>) {
    let spec = match &manifest["spec"]["workflowSpec"] {
        Value::Null => &manifest["spec"],
        inner => inner,
    };
    let own = if manifest["kind"] == "Workflow" { &manifest["metadata"] } else { &spec["workflowMetadata"] };
    for (source, names) in [
        ("workflowLabel", keys(&own["labels"])),
        ("workflowAnnotation", keys(&own["annotations"])),
        ("workflowLabel", keys(&manifest["spec"]["workflowMetadata"]["labels"])),
        ("label", keys(&spec["podMetadata"]["labels"])),
        ("annotation", keys(&spec["podMetadata"]["annotations"])),
        ("parameter", names(&spec["arguments"]["parameters"])),
    ] {
        found.extend(names.into_iter().map(|name| (source, name)));
    }
    let defaults = std::iter::once(&spec["templateDefaults"]);
    for template in spec["templates"].as_array().into_iter().flatten().chain(defaults) {
        let containers = [&template["container"], &template["script"]];
        let set = template["containerSet"]["containers"].as_array().into_iter().flatten();
        let variables = containers.into_iter().chain(set).flat_map(|container| names(&container["env"]));
        for (source, names) in [
            ("label", keys(&template["metadata"]["labels"])),
            ("annotation", keys(&template["metadata"]["annotations"])),
            ("input", names(&template["inputs"]["parameters"])),
            ("env", variables.collect()),
        ] {
            found.extend(names.into_iter().map(|name| (source, name)));
        }
    }
}

fn keys(map: &Value) -> Vec<String> {
    map.as_object().into_iter().flatten().map(|(key, _)| key.clone()).collect()
}

fn names(list: &Value) -> Vec<String> {
    list.as_array().into_iter().flatten().filter_map(|entry| Some(entry["name"].as_str()?.to_owned())).collect()
}

/// The correlation keys, and those that nothing gives.
fn correlation(found: &BTreeSet<(&'static str, String)>) -> (Map<String, Value>, Vec<&'static str>) {
    let plain = |name: &str| -> String {
        let own = name.rsplit('/').next().unwrap_or(name);
        own.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect()
    };
    let (mut keys, mut missing) = (Map::new(), Vec::new());
    for key in KEYS {
        let fits = |name: &str| key.known_as.contains(&plain(name).as_str());
        let of = |source: &&'static str| {
            let source = *source;
            let names = found.iter().filter(move |(kind, name)| *kind == source && fits(name));
            names.map(move |(_, name)| json!({source: name})).collect::<Vec<_>>()
        };
        let mut from: Vec<Value> = ORDER.iter().flat_map(of).collect();
        if key.name == "agent" {
            from.push(json!({"builtin": "templateName"}));
        }
        if from.is_empty() {
            missing.push(key.name);
            continue;
        }
        let mut entry = Map::from_iter([("from".to_owned(), Value::from(from))]);
        match key.label {
            Some(label) => entry.insert("label".to_owned(), label.into()),
            None if key.name == "commitSha" => entry.insert("annotation".to_owned(), key.name.into()),
            None => None,
        };
        keys.insert(key.name.to_owned(), entry.into());
    }
    keys.insert("stepName".to_owned(), json!({"from": [{"builtin": "stepName"}], "label": "stepName"}));
    (keys, missing)
}

/// A step as a case may name it.
struct Step {
    /// Which Workflow of its file it is of.
    workflow: usize,
    title: String,
    node: String,
    pod: String,
    namespace: String,
}

impl Step {
    fn read(workflow: usize, pod: &Value) -> Option<Self> {
        let json = Json::from(pod.clone());
        let step = StepPod::read(&json, "default")?;
        Some(Self {
            workflow,
            title: step.step_name().unwrap_or(&step.template).to_owned(),
            node: step.node_name?.to_owned(),
            pod: pod["metadata"]["name"].as_str().unwrap_or_default().to_owned(),
            namespace: pod["metadata"]["namespace"].as_str().unwrap_or("default").to_owned(),
        })
    }

    /// The `step`, and the `namespace` where that is needed, by which no other step is meant.
    fn chosen<'s>(&'s self, all: &[Self]) -> Option<(&'s str, Option<&'s str>)> {
        let alone = |(name, namespace): &(&str, Option<&str>)| {
            let meant = all.iter().filter(|step| {
                [&step.title, &step.node, &step.pod].into_iter().any(|known| known == name)
                    && namespace.is_none_or(|namespace| step.namespace == namespace)
            });
            meant.count() == 1
        };
        let (title, node) = (self.title.as_str(), self.node.as_str());
        let place = Some(self.namespace.as_str());
        [(title, None), (node, None), (title, place), (node, place)].into_iter().find(alone)
    }

    /// A name that no other case has.
    fn case_name(&self, file: &str, cases: &[Value]) -> String {
        let free = |name: &String| cases.iter().all(|case| case["name"] != **name);
        let Self { title, node, namespace, .. } = self;
        let names = [title.clone(), node.clone(), format!("{node} in {namespace}"), format!("{title} of {file}")];
        let numbered = (2..).map(|number| format!("{title} of {file}, {number}"));
        names.into_iter().chain(numbered).find(free).unwrap_or_default()
    }
}

/// A case for each step of each Workflow, the first pass of a loop for all of it; what has none is told.
fn cases(files: &[(String, Vec<Value>)], policies: &PolicySet, left_out: &mut Vec<String>) -> Vec<Value> {
    let mut expander = Expander { library: Library::filled_by("--from"), ..Expander::default() };
    for manifest in files.iter().flat_map(|(_, manifests)| manifests) {
        expander.library.take(manifest, "default");
    }
    let (mut cases, mut more) = (Vec::new(), 0);
    for (file, manifests) in files {
        let mut steps = Vec::new();
        let is_template = |manifest: &&Value| source::is_template(manifest["kind"].as_str().unwrap_or_default());
        let workflows = || manifests.iter().filter(|manifest| is_workflow(manifest));
        // As a case takes them: steps of templates count only where there is nothing else.
        let templates_too = workflows().all(|manifest| is_template(&manifest));
        let counted = workflows().filter(|manifest| templates_too || !is_template(manifest));
        for (workflow, manifest) in counted.enumerate() {
            let pods = expander.pods(manifest, "default", policies, &Context::default());
            match pods.problems.first() {
                Some(problem) => left_out.push(problem.message.clone()),
                None => steps.extend(pods.pods.iter().filter_map(|expanded| Step::read(workflow, &expanded.pod))),
            }
        }
        let mut seen = BTreeSet::new();
        for step in &steps {
            if !seen.insert((step.workflow, &step.title)) {
                continue;
            }
            match step.chosen(&steps) {
                None => left_out.push(format!("{}: another step of {file} has all its names", step.node)),
                Some(_) if cases.len() == CASES => more += 1,
                Some((name, namespace)) => {
                    let mut input = json!({"file": file, "step": name});
                    if let Some(namespace) = namespace {
                        input["namespace"] = namespace.into();
                    }
                    cases.push(json!({"name": step.case_name(file, &cases), "input": input}));
                }
            }
        }
    }
    if more > 0 {
        left_out.push(format!("{more} more steps: {CASES} cases are enough to begin with"));
    }
    cases
}

/// How `file` is called from within `folder`; both absolute, without links.
pub fn relative(folder: &Path, file: &Path) -> String {
    let (from, to): (Vec<_>, Vec<_>) = (folder.components().collect(), file.components().collect());
    let common = from.iter().zip(&to).take_while(|(a, b)| a == b).count();
    let up = from.iter().skip(common).map(|_| "..".to_owned());
    let down = to.iter().skip(common).map(|part| part.as_os_str().to_string_lossy().into_owned());
    up.chain(down).collect::<Vec<_>>().join("/")
}
