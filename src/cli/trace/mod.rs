//! `stepspan trace`: what happened in a run, from its Workflow alone.

mod html;
mod input;
#[cfg(feature = "webhook")]
mod live;
mod rows;
mod table;
mod url;

use std::io::{self, BufWriter, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::bail;
use clap::ValueEnum;
use terminal_size::terminal_size_of;

use self::input::Found;
use self::rows::Waterfall;
use self::url::Url;
#[cfg(feature = "webhook")]
use super::cluster::Cluster;
use super::palette::{Colour, Palette, harmless};
use super::{tell, written};
use crate::source::files::is_stdin;
use crate::trace::status::Time;
use crate::trace::{Spans, Tree, otlp};

/// Where stdout is no terminal.
const WIDTH: usize = 120;

/// Show a run as a waterfall: what waited, ran, failed and was tried again
///
/// Takes Workflows as the API server stores them, from a file or stdin (with their pods, if they are there too), or the names of
/// Workflows of a cluster. The ids are those that `watch` and the shim send, so a line here is a span there; what `argo retry` has
/// run again has the ids of its first run. -o json is what a Collector takes, for runs that nobody watched.
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
#[command(after_help = "Exit status: 0 shown; 2 bad input, or no such Workflow.")]
pub(super) struct Args {
    /// File, `-` for stdin, or the name of a Workflow of the cluster
    #[arg(value_name = "WORKFLOW", required = true)]
    workflows: Vec<PathBuf>,
    /// How to print it
    #[arg(short, long, value_name = "FORMAT", default_value = "table")]
    output: Format,
    /// Where a trace can be looked at: {traceId}, {spanId}, {workflow}, {namespace} and {uid} are filled in
    #[arg(long, value_name = "TEMPLATE", env = "STEPSPAN_TRACE_URL")]
    url: Option<Url>,
    /// Columns to fill [default: the terminal's, or 120]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(40..=1000))]
    width: Option<u16>,
    /// When to colour
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    color: Colour,
    /// Namespace of a Workflow of the cluster [default: the context's]
    #[cfg(feature = "webhook")]
    #[arg(short, long, value_name = "NAMESPACE")]
    namespace: Option<String>,
    #[cfg(feature = "webhook")]
    #[command(flatten)]
    cluster: Cluster,
}

const EXAMPLES: &str = "\
Examples:
  stepspan trace ci-x7k2q -n builds
  kubectl get workflow,pod -n builds -o json | stepspan trace - -o html > runs.html

  # What ran before anybody watched, sent to a Collector:
  stepspan trace ci-x7k2q -o json | curl -H 'Content-Type: application/json' -d @- http://otel-collector:4318/v1/traces";

/// How it is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// A waterfall
    Table,
    /// OTLP/JSON: one `ExportTraceServiceRequest` a line for each Workflow
    Json,
    /// A page
    Html,
}

/// Shows everything the arguments name.
pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let is_file = |path: &PathBuf| is_stdin(path) || path.exists() || path.components().count() > 1;
    let (files, names): (Vec<_>, Vec<_>) = args.workflows.iter().cloned().partition(is_file);
    let mut found = if files.is_empty() { Vec::new() } else { input::read(&files)? };
    let mut now = None;
    if !names.is_empty() {
        found.extend(of_cluster(&names, args)?);
        now = Some(clock());
    }
    let mut out = BufWriter::new(io::stdout().lock());
    let done = match args.output {
        Format::Table => table(args, &found, now, &mut out),
        Format::Json => found.iter().try_for_each(|one| json(one, &mut out)),
        Format::Html => html::write(&found, args.url.as_ref(), now, &mut out),
    };
    written(done.and_then(|()| out.flush()))?;
    Ok(ExitCode::SUCCESS)
}

fn table(args: &Args, found: &[Found], now: Option<Time>, out: &mut impl Write) -> io::Result<()> {
    let seen = terminal_size_of(io::stdout()).map(|(width, _)| width.0);
    let width = args.width.or(seen).map_or(WIDTH, usize::from);
    let palette = Palette::of(args.color);
    let mut first = true;
    for Found { run, known } in found {
        let Some(waterfall) = Waterfall::of(run, known, now) else {
            tell(format!("note: {} has not begun", harmless(&run.name)));
            continue;
        };
        if !std::mem::take(&mut first) {
            writeln!(out)?;
        }
        table::write(run, &waterfall, args.url.as_ref(), (width, palette), out)?;
    }
    Ok(())
}

/// What goes on is not in it: a span is sent once, when it has ended.
fn json(Found { run, known }: &Found, out: &mut impl Write) -> io::Result<()> {
    let tree = Tree::of(run);
    let spans = Spans::of(run, &tree, known).all();
    let request = otlp::request(&spans, &otlp::resource());
    writeln!(out, "{request}")
}

fn clock() -> Time {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
}

fn of_cluster(names: &[PathBuf], args: &Args) -> anyhow::Result<Vec<Found>> {
    let names: Option<Vec<&str>> = names.iter().map(|name| name.to_str()).collect();
    let Some(names) = names else { bail!("a Workflow's name is text") };
    #[cfg(feature = "webhook")]
    return live::find(&names, args);
    #[cfg(not(feature = "webhook"))]
    bail!("{}: no such file, and this build has no client of the Kubernetes API", names.join(" "));
}
