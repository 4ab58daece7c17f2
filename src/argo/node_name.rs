//! Step names from node names.
//!
//! Argo builds node names as `parent[i].step` in steps, `parent.task` in a DAG, with `(0:item)` for each item of a loop and
//! `(0)` for each attempt of a retry (`workflow/controller/{steps,dag,operator}.go`). Items are any text.

/// The step's own name, without loop item and retry number; `None` where the node is the whole Workflow.
pub fn step_name(node_name: &str) -> Option<&str> {
    let mut end = node_name.len();
    while let Some(dot) = node_name.get(..end).and_then(|head| head.rfind('.')) {
        let candidate = node_name.get(dot + 1..)?;
        if let Some(name) = plain_name(candidate) {
            return Some(name);
        }
        end = dot;
    }
    None
}

/// A node's place below its Workflow, from the rest of its name behind the Workflow's: `[0]`, `outer(0:x.y)`, `[1]`, `inner`.
pub fn parts(rest: &str) -> Vec<String> {
    let mut parts = Vec::new();
    let mut rest = rest;
    while !rest.is_empty() {
        let text = rest.strip_prefix('.').unwrap_or(rest);
        let name = if text.starts_with('[') {
            text.find(']').map_or(text.len(), |end| end + 1)
        } else {
            text.find(|c: char| !is_name_char(c)).unwrap_or(text.len())
        };
        // An item is any text: its bracket ends where the name can go on behind it.
        let ends = |at: usize| text[at..].is_empty() || text[at..].starts_with(['.', '[', '(']);
        let mut end = name;
        while text[end..].starts_with('(') {
            let closing = text[end..].match_indices(')').map(|(at, _)| end + at + 1).find(|at| ends(*at));
            end = closing.unwrap_or(text.len());
        }
        // What is of no known form is one part.
        let end = if end == 0 { text.len() } else { end };
        parts.push(text[..end].to_owned());
        rest = &text[end..];
    }
    parts
}

/// The name in `name(0:item)(0)`; `None` where the text is not of that form (then a dot stood inside an item).
fn plain_name(text: &str) -> Option<&str> {
    let end = text.find(|c: char| !is_name_char(c)).unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    let suffixed = rest.is_empty() || (rest.starts_with('(') && rest.ends_with(')'));
    (!name.is_empty() && suffixed).then_some(name)
}

fn is_name_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_read_from_any_name() {
        for (rest, expected) in [
            ("", &[][..]),
            ("(0)", &["(0)"]),
            ("[0].generate", &["[0]", "generate"]),
            (".A(0)", &["A(0)"]),
            ("[1].print(3:repo:a.b,x:(y))(1)", &["[1]", "print(3:repo:a.b,x:(y))(1)"]),
            ("[0].outer(0:x.y)[1].inner", &["[0]", "outer(0:x.y)", "[1]", "inner"]),
            (".a(0:{{item}}).b", &["a(0:{{item}})", "b"]),
            ("é[", &["é["]),
            ("[0", &["[0"]),
            ("..", &["."]),
        ] {
            assert_eq!(parts(rest), expected, "{rest}");
        }
    }

    #[test]
    fn reads_every_form() {
        for (node, step) in [
            ("wf[0].generate", Some("generate")),
            ("wf.A", Some("A")),
            ("wf.A(0)", Some("A")),
            ("wf[1].print(0:v1.2.3)", Some("print")),
            ("wf[1].print(3:repo:a.b,x:(y))(1)", Some("print")),
            ("wf[0].outer(0:x.y)[1].inner", Some("inner")),
            ("wf.onExit", Some("onExit")),
            ("wf", None),
            ("wf(0)", None),
            ("", None),
        ] {
            assert_eq!(step_name(node), step, "{node}");
        }
    }
}
