//! Findings as SARIF 2.1.0 (OASIS, "Static Analysis Results Interchange Format"), as code scanning takes it.

use std::io::{self, Write};

use serde_json::{Value, json};

use crate::yaml::Span;

/// A rule, as a viewer shows it.
pub(super) struct Rule {
    /// Its name.
    pub id: &'static str,
    /// What it finds, in a sentence.
    pub finds: &'static str,
    /// `error`, `warning` or `note`.
    pub level: &'static str,
}

/// One result.
#[derive(Debug)]
pub(super) struct Result {
    /// The rule's index.
    pub rule: usize,
    /// `error`, `warning` or `note`.
    pub level: &'static str,
    /// What is wrong, and how to mend it.
    pub message: String,
    /// The file; `-` for stdin.
    pub file: String,
    /// From its first character to behind its last; `None` where the whole file is meant.
    pub region: Option<(Span, Span)>,
    /// A logical place, such as a field or a pod.
    pub place: String,
}

/// Writes a log of one run.
pub(super) fn write(out: &mut dyn Write, rules: &[Rule], results: &[Result]) -> io::Result<()> {
    let described = |rule: &Rule| {
        json!({
            "id": rule.id, "shortDescription": {"text": rule.finds}, "defaultConfiguration": {"level": rule.level},
        })
    };
    let log = json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {
                "name": "stepspan", "semanticVersion": env!("CARGO_PKG_VERSION"), "rules": rules.iter().map(described).collect::<Value>(),
            }},
            // Columns count characters (section 3.14.17).
            "columnKind": "unicodeCodePoints",
            "results": results.iter().map(|result| of(result, rules)).collect::<Value>(),
        }],
    });
    serde_json::to_writer_pretty(&mut *out, &log)?;
    writeln!(out)
}

fn of(result: &Result, rules: &[Rule]) -> Value {
    let mut physical = json!({"artifactLocation": {"uri": uri(&result.file)}});
    if let Some((start, end)) = result.region {
        physical["region"] =
            json!({"startLine": start.line, "startColumn": start.column, "endLine": end.line, "endColumn": end.column});
    }
    let mut location = json!({"physicalLocation": physical});
    if !result.place.is_empty() {
        location["logicalLocations"] = json!([{"fullyQualifiedName": result.place}]);
    }
    json!({
        "ruleId": rules.get(result.rule).map(|rule| rule.id), "ruleIndex": result.rule, "level": result.level,
        "message": {"text": result.message}, "locations": [location],
    })
}

/// A path as a URI reference (RFC 3986): relative where the path is.
fn uri(path: &str) -> String {
    let path = path.strip_prefix("./").unwrap_or(path);
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~/!$&'()*+,;=@".contains(&b);
    let encoded = path.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") });
    let encoded: String = encoded.collect();
    if encoded.starts_with('/') { format!("file://{encoded}") } else { encoded }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_become_references() {
        assert_eq!(uri("./a b/é.yaml"), "a%20b/%C3%A9.yaml");
        assert_eq!(uri("/x/p:1.yaml"), "file:///x/p%3A1.yaml");
    }
}
