//! `-o html`: the waterfall as a page. It has no script: a line opens to what is known of it.

use std::fmt::Write as _;
use std::io::{self, Write};

use super::input::Found;
use super::rows::{Row, Waterfall, span_of_time};
use super::table::{lines, sign};
use super::url::Url;
use crate::cli::page::{head, text};
use crate::trace::Run;
use crate::trace::phase::Phase;
use crate::trace::span::Value;
use crate::trace::status::{Time, rfc3339};

const STYLE: &str = concat!(include_str!("../page.css"), include_str!("page.css"));

/// A page with all runs.
pub(super) fn write(found: &[Found], url: Option<&Url>, now: Option<Time>, out: &mut impl Write) -> io::Result<()> {
    let title = match found {
        [one] => format!("{}: stepspan trace", one.run.name),
        _ => "stepspan trace".to_owned(),
    };
    out.write_all(head(&title, STYLE, "").as_bytes())?;
    out.write_all(b"<body>\n<main>\n")?;
    for Found { run, known } in found {
        match Waterfall::of(run, known, now) {
            Some(waterfall) => out.write_all(section(run, &waterfall, url).as_bytes())?,
            None => writeln!(out, "<h1>{}</h1>\n<p>It has not begun.</p>", text(&run.name))?,
        }
    }
    out.write_all(b"</main>\n</body>\n</html>\n")
}

fn section(run: &Run, waterfall: &Waterfall, url: Option<&Url>) -> String {
    let mut out = String::new();
    let Some(root) = waterfall.rows.first() else { return out };
    let took = span_of_time(waterfall.end - waterfall.start);
    let trace = root.span.trace.as_str();
    let trace = match url {
        Some(url) => format!("<a href=\"{}\" rel=\"noreferrer\">{trace}</a>", text(&url.of(run, &root.span))),
        None => trace.to_owned(),
    };
    // Writing to a String cannot fail.
    let _ = writeln!(
        out,
        "<section>\n<h1>{}</h1>\n<p><span class=\"{}\">{}</span> in {took}, from {}; namespace {}; trace <code>{trace}</code></p>",
        text(&run.name),
        class(run.phase),
        run.phase.as_str(),
        rfc3339(waterfall.start),
        text(&run.namespace),
    );
    for row in &waterfall.rows {
        line(run, row, waterfall, url, &mut out);
    }
    out.push_str("</section>\n");
    out
}

fn line(run: &Run, row: &Row, waterfall: &Waterfall, url: Option<&Url>, out: &mut String) {
    let took = span_of_time(waterfall.end_of(row) - row.span.start);
    let class = class(row.phase);
    let _ = writeln!(
        out,
        "<details class=\"row\"><summary><span class=\"name\"><span class=\"lines\">{}</span>{}</span> \
         <span class=\"{class}\" title=\"{phase}\"><span aria-hidden=\"true\">{}</span><span class=\"unseen\">{phase}</span></span> \
         <span class=\"took\">{took}</span> {}</summary>",
        lines(row, "├─ ", "└─ "),
        text(&row.title),
        sign(row.phase),
        bar(row, waterfall, class),
        phase = row.phase.as_str(),
    );
    if !row.message.is_empty() {
        let _ = writeln!(out, "<p class=\"{class}\">{}</p>", text(&row.message));
    }
    out.push_str("<table class=\"facts\">\n");
    let mut fact = |key: &str, value: &str| {
        let _ = writeln!(out, "<tr><th scope=\"row\">{}</th><td>{}</td></tr>", text(key), text(value));
    };
    fact("span", row.span.id.as_str());
    fact("began", &rfc3339(row.span.start));
    for (key, value) in &row.span.attributes {
        fact(key, &shown(value));
    }
    for event in &row.span.events {
        let of: Vec<String> = event.attributes.iter().map(|(_, value)| shown(value)).collect();
        let after = span_of_time(event.at.saturating_sub(row.span.start));
        fact(event.name, format!("after {after}  {}", of.join(" ")).trim_end());
    }
    for link in &row.span.links {
        fact(link.role, &link.to.to_string());
    }
    out.push_str("</table>\n");
    if let Some(url) = url.filter(|url| url.is_of_spans()) {
        let _ = writeln!(out, "<p><a href=\"{}\" rel=\"noreferrer\">This span</a></p>", text(&url.of(run, &row.span)));
    }
    out.push_str("</details>\n");
}

fn shown(value: &Value) -> String {
    match value {
        Value::Text(text) => text.clone(),
        Value::Int(number) => number.to_string(),
        Value::Bool(yes) => yes.to_string(),
    }
}

/// Waiting, then running, in thousandths of the whole. By attributes: the page's policy allows no styles on elements.
fn bar(row: &Row, waterfall: &Waterfall, class: &str) -> String {
    let all = u128::from((waterfall.end - waterfall.start).max(1));
    let part = |at: Time| u128::from(at.saturating_sub(waterfall.start)) * 1000 / all;
    let (from, to) = (part(row.span.start).min(997), part(waterfall.end_of(row)));
    let began = row.waited.map_or(from, part).clamp(from, to.max(from));
    format!(
        "<svg class=\"bar\" viewBox=\"0 0 1000 10\" preserveAspectRatio=\"none\" aria-hidden=\"true\">\
         <rect class=\"waiting\" x=\"{from}\" y=\"4\" width=\"{}\" height=\"2\"/>\
         <rect class=\"{class}\" x=\"{began}\" y=\"1\" width=\"{}\" height=\"8\"/></svg>",
        began - from,
        to.saturating_sub(began).max(3),
    )
}

fn class(phase: Phase) -> &'static str {
    match phase {
        Phase::Succeeded => "good",
        Phase::Failed | Phase::Error => "bad",
        Phase::Skipped | Phase::Omitted => "quiet",
        Phase::Running | Phase::Pending => "warn",
    }
}
