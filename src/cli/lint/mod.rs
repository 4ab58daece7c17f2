//! `stepspan lint`: what is likely wrong with policies.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::ValueEnum;

use super::palette::{Colour, Palette};
use super::{counted, tell, written};
use crate::lint::{self, Report, Severity, rule};
use crate::policy::compile::Rules;
use crate::policy::load::PolicyFile;
use crate::source::files;

mod report;

/// Find what is likely wrong with policies
///
/// Looks at what keeps a policy from loading, at what it can never do (conditions no pod satisfies, sources nobody asks), and at what it should not do (take
/// everything, publish a secret, keep pods from starting). docs/lint.md has a section for each rule. A comment allows a finding, with a reason:
/// `# stepspan-lint: allow(match-all) every namespace is meant`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exit status: 0 nothing found; 1 something of the --fail-on severity or worse; 2 a path that cannot be read, or no policy."
)]
pub(super) struct Args {
    /// Policy files, folders of them at any depth, or - for stdin; manifests of other kinds are passed over
    #[arg(value_name = "PATH", required_unless_present = "rules")]
    paths: Vec<PathBuf>,
    /// How to print it
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    output: Format,
    /// The least severity that fails
    #[arg(long, value_name = "SEVERITY", default_value = "warning")]
    fail_on: Least,
    /// Variable that policies may set besides OTEL_*; a trailing * takes all with that beginning
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    allow_env: Vec<String>,
    /// List the rules, and look at nothing
    #[arg(long)]
    rules: bool,
    /// When to colour
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    color: Colour,
}

/// How it is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// For people
    Text,
    /// A JSON object a finding
    Json,
    /// SARIF 2.1.0, for code scanning
    Sarif,
    /// Annotations of GitHub's checks
    Github,
}

/// What fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Least {
    /// Only errors
    Error,
    /// Errors and warnings
    Warning,
    /// Everything that is found
    Info,
}

impl Least {
    fn severity(self) -> Severity {
        match self {
            Self::Error => Severity::Error,
            Self::Warning => Severity::Warning,
            Self::Info => Severity::Info,
        }
    }
}

/// Looks at all of it.
pub(super) fn run(args: Args) -> anyhow::Result<ExitCode> {
    let mut stdout = io::stdout().lock();
    let palette = Palette::of(args.color);
    if args.rules {
        written(report::rules(&mut stdout, rule::ALL, palette))?;
        return Ok(ExitCode::SUCCESS);
    }
    let (files, bad) = gather(&args.paths);
    let report = lint::lint(&files, &Rules { allow_env: args.allow_env });
    written(report::write(&mut stdout, args.output, &report.findings, palette))?;
    tell(summary(&report));
    let looked = report.policies + report.webhooks > 0 || !report.findings.is_empty();
    if !looked && !bad {
        tell("error: no policy in any of these paths: a policy is a document of kind InjectionPolicy");
    }
    let failed = report.findings.iter().any(|finding| finding.severity >= args.fail_on.severity());
    Ok(ExitCode::from(match (bad || !looked, failed) {
        (true, _) => 2,
        (false, true) => 1,
        (false, false) => 0,
    }))
}

/// What was looked at and what was found, in a line.
fn summary(report: &Report) -> String {
    let count = |severity| report.findings.iter().filter(|finding| finding.severity == severity).count();
    let found = [(Severity::Error, "error", "errors"), (Severity::Warning, "warning", "warnings")];
    let mut parts: Vec<String> = found.iter().map(|(of, one, many)| counted(count(*of), one, many)).collect();
    parts.push(format!("{} info", count(Severity::Info)));
    if report.allowed > 0 {
        parts.push(format!("{} allowed by comments", report.allowed));
    }
    if report.others > 0 {
        parts.push(counted(report.others, "other document passed over", "other documents passed over"));
    }
    format!("{}: {}", counted(report.policies, "policy", "policies"), parts.join(", "))
}

/// The texts of all files below the paths; whether something could not be read.
fn gather(paths: &[PathBuf]) -> (Vec<PolicyFile>, bool) {
    let (mut found, mut bad) = (Vec::new(), false);
    let mut wrong = |what: &Path, error: &io::Error| {
        tell(format!("error: {}: {}", what.display(), files::cannot(error)));
        bad = true;
    };
    for path in paths {
        let listed = if files::is_stdin(path) { Ok(vec![path.clone()]) } else { files::below(path) };
        match listed {
            Ok(files) => {
                for file in files {
                    match files::read(&file) {
                        Ok(text) => found.push(PolicyFile { name: file.display().to_string(), text }),
                        Err(error) => wrong(&file, &error),
                    }
                }
            }
            Err(error) => wrong(path, &error),
        }
    }
    (found, bad)
}
