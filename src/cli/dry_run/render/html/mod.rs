//! `-o html`: one page that needs nothing besides itself.
//!
//! Written as it comes, pod by pod; what is only known at the end (the counts) stands at the end and is shown on top by the style. All text of
//! manifests is escaped.

mod diff;
mod tree;

use std::fmt::Write as _;

use super::super::step::{Step, Tally};
use super::explain::{Section, sections};
use super::row::why;
use super::{Piece, diff as unified, patched};
use crate::cli::page;
pub(super) use crate::cli::page::text;

pub(super) use self::tree::{Leaf, tree};

const STYLE: &str = concat!(include_str!("../../../page.css"), include_str!("page.css"));
const SCRIPT: &str = include_str!("page.js");

/// All before the first pod.
pub(super) fn head() -> String {
    let body = r#"<body>
<header>
<h1>stepspan dry-run</h1>
<div class="find" role="search" hidden>
<label>Filter <input id="text" type="search" autocomplete="off" placeholder="pod, step, policy, value" aria-keyshortcuts="/"></label>
<label><input type="checkbox" autocomplete="off" value="injected" checked> injected</label>
<label><input type="checkbox" autocomplete="off" value="labelled" checked> labelled</label>
<label><input type="checkbox" autocomplete="off" value="skipped" checked> skipped</label>
<label><input type="checkbox" autocomplete="off" value="failed" checked> failed</label>
<button type="button" id="open">Open all</button>
<output id="shown" aria-live="polite"></output>
</div>
</header>
<main>
"#;
    page::head("stepspan dry-run", STYLE, SCRIPT) + body
}

/// All after the last pod.
pub(super) fn foot(tally: Tally) -> String {
    let words = [
        ("injected", tally.injected),
        ("labelled", tally.labelled),
        ("skipped", tally.skipped),
        ("failed", tally.failed),
        ("refused", tally.bad),
    ];
    let mut list = String::new();
    for (word, count) in words.into_iter().filter(|(word, count)| *count > 0 || *word == "injected") {
        let _ = write!(list, r#"<li class="{word}"><b>{count}</b> {word}</li>"#);
    }
    if tally.others > 0 {
        let _ = write!(list, "<li><b>{}</b> of other kinds passed over</li>", tally.others);
    }
    let pods = super::super::super::counted(tally.pods(), "pod", "pods");
    format!(
        "</main>\n<aside aria-label=\"Summary\"><ul class=\"sums\"><li><b>{pods}</b></li>{list}</ul></aside>\n<script>{SCRIPT}</script>\n</body>\n</html>\n"
    )
}

/// A document that is no input.
pub(super) fn problem(message: &str) -> String {
    let lines: Vec<String> = message.lines().map(text).collect();
    format!("<p class=\"problem\" role=\"note\">{}</p>\n", lines.join("<br>"))
}

/// A pod: one line that opens to its reasons and its diff.
pub(super) fn pod(step: Step<'_>) -> Piece {
    // It is counted, found and coloured by one word, and says the evaluator's.
    let (word, outcome) = (step.verdict().label(), step.reviewed.outcome.label());
    let name = step.name();
    let leaf = Leaf::of(&step, word);
    let id = leaf.id();
    let mut out = String::new();
    let _ = writeln!(
        out,
        "<details class=\"pod\" id=\"{id}\" data-word=\"{word}\"><summary><span class=\"badge {word}\">{outcome}</span> \
         <b>{}</b> <span>{}</span> <span class=\"quiet\">{}</span></summary>",
        text(&name),
        text(&leaf.place()),
        text(&why(&step.reviewed).join(", ")),
    );
    let _ = writeln!(out, "<p class=\"quiet\">{}:{}</p>", text(&step.file), step.line);
    for condition in &step.conditions {
        let _ = writeln!(out, "<p>only if {}</p>", text(condition));
    }
    for section in sections(&step) {
        table(&section, &mut out);
    }
    if step.reviewed.patch.is_empty() {
        out.push_str("<p>Nothing is patched.</p>\n");
    } else {
        let before = unified::as_yaml(&step.before);
        let after = unified::as_yaml(&patched(step.before, &step.reviewed.patch));
        diff::side_by_side(&before, &after, &mut out);
    }
    out.push_str("</details>\n");
    Piece::Pod(Box::new(leaf), out.into_bytes())
}

fn table(section: &Section, out: &mut String) {
    if section.rows.is_empty() {
        return;
    }
    let _ = writeln!(out, "<table class=\"facts\"><caption>{}</caption>", text(&section.title));
    for [first, second, third] in &section.rows {
        let _ = writeln!(
            out,
            "<tr><th scope=\"row\">{}</th><td>{}</td><td class=\"quiet\">{}</td></tr>",
            text(first),
            text(second),
            text(third)
        );
    }
    out.push_str("</table>\n");
}
