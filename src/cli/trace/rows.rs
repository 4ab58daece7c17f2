//! A run as lines: what is in what, when, and how it ended.

use crate::trace::node::Node;
use crate::trace::phase::{Kind, Phase};
use crate::trace::pod::Pod;
use crate::trace::span::Span;
use crate::trace::status::Time;
use crate::trace::{Known, Run, Spans, Tree};

/// What is deeper stands at this depth: a tree to look at.
const DEEPEST: usize = 40;

/// A line of the waterfall.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Row {
    /// For each level above: whether something follows there. Empty for the Workflow.
    pub follows: Vec<bool>,
    /// Its span.
    pub span: Span,
    /// How it ended, or where it is.
    pub phase: Phase,
    /// Until then it waited: to be scheduled, for its image, for what runs before its command.
    pub waited: Option<Time>,
    /// Argo's message.
    pub message: String,
    /// What Argo calls it: with loop item and attempt.
    pub title: String,
}

/// A run as lines.
#[derive(Debug)]
pub(super) struct Waterfall {
    /// The Workflow first.
    pub rows: Vec<Row>,
    /// When the first began, and the last ended; what goes on ends with the last thing that is known.
    pub start: Time,
    /// See there.
    pub end: Time,
}

impl Waterfall {
    /// Of a run that has begun. A group or a retry with one node in it is left out: that one stands for it. `now` is when the Workflow
    /// was read, where that is known.
    pub fn of(run: &Run, known: &Known, now: Option<Time>) -> Option<Self> {
        let tree = Tree::of(run);
        let spans = Spans::of(run, &tree, known);
        let root = spans.workflow()?;
        let start = root.start;
        let mut rows = vec![Row {
            follows: Vec::new(),
            span: root,
            phase: run.phase,
            waited: run.started,
            message: run.message.clone(),
            title: run.name.clone(),
        }];
        let mut left: Vec<(&Node, Vec<bool>)> = Vec::new();
        push(&mut left, tree.inside(None), &[]);
        while let Some((node, follows)) = left.pop() {
            let inside = tree.inside(Some(node));
            if let (Kind::StepGroup | Kind::Retry, [only]) = (node.kind, inside) {
                left.push((only, follows));
                continue;
            }
            let Some(span) = spans.node(node) else { continue };
            push(&mut left, inside, &follows);
            let waited = known.pods.get(&node.id).and_then(Pod::began);
            let (phase, message) = (node.phase, node.message.clone());
            let title = title(run, node, &span);
            rows.push(Row { follows, span, phase, waited, message, title });
        }
        let last = rows.iter().map(|row| row.span.end.unwrap_or(row.span.start)).max().unwrap_or(start);
        let goes_on = rows.iter().any(|row| row.span.end.is_none());
        let end = if goes_on { now.unwrap_or(last).max(last) } else { last };
        Some(Self { rows, start, end })
    }

    /// When a line ends, or that it goes on.
    pub fn end_of(&self, row: &Row) -> Time {
        row.span.end.unwrap_or(self.end)
    }
}

/// What Argo shows for it; without the Workflow's name, which the line above has.
fn title(run: &Run, node: &Node, span: &Span) -> String {
    if node.name == run.name {
        return span.name.clone();
    }
    let shown = node.display_name.as_str();
    shown.strip_prefix(run.name.as_str()).and_then(|rest| rest.strip_prefix('.')).unwrap_or(shown).to_owned()
}

fn push<'n>(left: &mut Vec<(&'n Node, Vec<bool>)>, nodes: &[&'n Node], above: &[bool]) {
    // What has not begun has no line.
    let begun: Vec<&Node> = nodes.iter().copied().filter(|node| node.started.is_some()).collect();
    for (at, node) in begun.iter().enumerate().rev() {
        let mut follows = above.to_vec();
        if follows.len() < DEEPEST {
            follows.push(at + 1 < begun.len());
        }
        left.push((node, follows));
    }
}

/// `850ms`, `12s`, `3m05s`, `2h04m`, `3d02h`: as short as tells two apart.
pub(super) fn span_of_time(nanos: u64) -> String {
    let (ms, seconds) = (nanos / 1_000_000, nanos / 1_000_000_000);
    match seconds {
        0 if ms > 0 => format!("{ms}ms"),
        0..60 => format!("{seconds}s"),
        60..3_600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        3_600..86_400 => format!("{}h{:02}m", seconds / 3_600, seconds % 3_600 / 60),
        _ => format!("{}d{:02}h", seconds / 86_400, seconds % 86_400 / 3_600),
    }
}
