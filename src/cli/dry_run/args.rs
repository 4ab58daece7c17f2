//! The arguments of `stepspan dry-run`.

use std::path::PathBuf;

use clap::{ArgGroup, ValueEnum};

use crate::argo::expand::Version;
use crate::cli::facts::Facts;
use crate::cli::palette::Colour;
use crate::context::Context;
#[cfg(feature = "webhook")]
use crate::policy::PolicySet;

use super::input::Given;

/// Show what the webhook does to step pods, without a cluster
///
/// Takes Pods, Lists of them, AdmissionReviews, and Workflows, WorkflowTemplates, ClusterWorkflowTemplates and CronWorkflows, which it
/// expands to the pods that Argo would create; as YAML or JSON. Each pod goes through the webhook's own evaluator.
/// Data goes to stdout, everything else to stderr.
#[derive(Debug, clap::Args)]
#[command(after_help = "Exit status: 0 done; 1 a step could not be injected; 2 bad input.", after_long_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(flatten)]
    pub input: Input,
    /// Policy file or folder [default: the built-in agent-steps policy]
    #[arg(long = "policy", value_name = "PATH", display_order = 1)]
    pub policies: Vec<PathBuf>,
    /// What to print [default: a line for each step, then its diff]
    #[arg(short, long, display_order = 1, value_name = "FORMAT")]
    pub output: Option<Format>,
    /// Print the pods of Workflows as Argo creates them, without injection
    #[arg(long)]
    pub expand_only: bool,
    #[command(flatten)]
    pub facts: Facts,
}

/// The manifests that are looked at, and how. Policies and formats stand before `--color` in the help: `display_order`.
#[derive(Debug, clap::Args)]
#[command(group(ArgGroup::new("manifests").required(true).multiple(true).args(["files", "filenames"])))]
pub(crate) struct Input {
    /// Manifests: files, folders (one level), or - for stdin
    #[arg(value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// The same, in kubectl's manner
    #[arg(short = 'f', long = "filename", value_name = "FILE")]
    pub filenames: Vec<PathBuf>,
    /// When to colour
    #[arg(long, value_name = "WHEN", default_value = "auto", display_order = 10)]
    pub color: Colour,
    /// Namespace of manifests that name none [default: default]
    #[arg(short, long, value_name = "NAME", display_order = 10)]
    pub namespace: Option<String>,
    /// Version of Argo whose pods Workflows become
    #[arg(long, value_name = "VERSION", default_value = "3.7", display_order = 10)]
    pub argo: Argo,
}

/// How Argo lays out its pods.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Argo {
    /// 3.5 to 3.7
    #[value(name = "3.7")]
    V3_7,
    /// 4.1, with an init container
    #[value(name = "4.1")]
    V4_1,
    /// 4.1, with the executor from an image volume
    #[value(name = "4.1-initless")]
    V4_1InitLess,
}

impl From<Argo> for Version {
    fn from(argo: Argo) -> Self {
        match argo {
            Argo::V3_7 => Self::V3_7,
            Argo::V4_1 => Self::V4_1,
            Argo::V4_1InitLess => Self::V4_1InitLess,
        }
    }
}

/// What is printed, as it is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// A line for each step
    Summary,
    /// What changes, as a unified diff of YAML
    Diff,
    /// The patched pods, as a stream of YAML documents
    Yaml,
    /// The patched pods, as one List
    Json,
    /// A JSON object a line: pod, RFC 6902 patch, decisions
    Patch,
    /// JUnit XML: a test case for each step container
    Junit,
    /// SARIF 2.1.0: steps that could not be injected, and documents that are no input
    Sarif,
    /// The same as annotations of GitHub's checks
    Github,
    /// One page that needs no network: each pod's diff with its reasons, each Workflow's steps as a tree
    Html,
}

/// What is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Output {
    /// A line for each step, then its diff.
    Both,
    /// As `dry-run` is asked.
    Of(Format),
    /// Of `explain`: tables.
    Explain,
    /// Of `explain`: a JSON object a line.
    ExplainJson,
    /// Of `diff`: unified diffs.
    Compare,
    /// Of `diff`: a JSON object a line.
    CompareJson,
}

/// The policies of a job.
#[derive(Debug)]
pub(crate) enum Policies {
    /// Files and folders; the embedded one where there are none.
    At(Vec<PathBuf>),
    /// Known already.
    #[cfg(feature = "webhook")]
    Loaded(PolicySet),
}

/// What is to be done: `dry-run`, `explain` and `diff` differ in nothing else.
#[derive(Debug)]
pub(crate) struct Job {
    /// The manifests.
    pub input: Input,
    /// Manifests besides those that are named.
    pub given: Vec<Given>,
    /// What is known besides.
    pub facts: Facts,
    /// What is known before that.
    pub context: Context,
    /// The policies.
    pub policies: Policies,
    /// What to compare them with.
    pub newer: Option<Vec<PathBuf>>,
    /// What to print.
    pub output: Output,
    /// Pods of Workflows without injection.
    pub expand_only: bool,
}

impl Job {
    /// Of what most have.
    pub fn new(input: Input, facts: Facts, policies: Policies) -> Self {
        let (given, context, output) = (Vec::new(), Context::default(), Output::Both);
        Self { input, given, facts, context, policies, newer: None, output, expand_only: false }
    }
}

const EXAMPLES: &str = "\
Exit status:
  0  done
  1  a step that a policy selects could not be injected
  2  bad input: the other documents were still done

Examples:
  # What would happen to the pods of a namespace?
  kubectl get pods -n argo -o yaml | stepspan dry-run - --policy policies/

  # Only the lines, with the namespaces' labels known:
  kubectl get ns -o yaml > namespaces.yaml
  stepspan dry-run pods/ --with namespaces.yaml -o summary

  # The exact patch, and why:
  stepspan dry-run pod.yaml -o patch | jq .decisions

  # What becomes of a Workflow, with the templates it refers to:
  stepspan dry-run workflow.yaml --with templates/

  # The pods of a Workflow as Argo 4.1 creates them, without us:
  stepspan dry-run workflow.yaml --expand-only --argo 4.1

  # In CI:
  stepspan dry-run pods/ -o junit > report.xml";
