//! `{{...}}` in a text, as Argo's `util/template` puts values in its place.
//!
//! Argo replaces in the JSON of a whole template; here it is done string by string, which comes to the same unless a tag
//! reaches from one string into another.

use std::collections::BTreeMap;

use serde_json::Value;

/// Values by tag, such as `inputs.parameters.repo`.
pub type Values = BTreeMap<String, String>;

/// Puts values in the place of tags. A tag that has none stays as it is.
pub fn in_text(text: &str, values: &Values) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("{{") {
        out.push_str(before);
        let Some((tag, after)) = after.split_once("}}") else {
            out.push_str("{{");
            rest = after;
            break;
        };
        match tag.strip_prefix('=') {
            // What an expression comes to is for another to find out.
            Some(_) => out.extend(["{{", tag, "}}"]),
            None => out.push_str(&in_tag(tag, values)),
        }
        rest = after;
    }
    out.push_str(rest);
    out
}

/// `simpleReplace` of Argo's `util/template/simple_template.go`.
fn in_tag(tag: &str, values: &Values) -> String {
    if let Some(value) = values.get(tag.trim()) {
        return value.clone();
    }
    // A tag in a tag: the inner one alone, and the outer one where it is looked at again.
    let inner = tag.rfind("{{").filter(|at| *at > 0).and_then(|at| Some((&tag[..at], values.get(&tag[at + 2..])?)));
    match inner {
        Some((outer, value)) => format!("{{{{{outer}{value}"),
        None => format!("{{{{{tag}}}}}"),
    }
}

/// The same in every string of a value, keys too.
pub fn in_value(value: &Value, values: &Values) -> Value {
    match value {
        Value::String(text) if text.contains("{{") => Value::String(in_text(text, values)),
        Value::Array(items) => items.iter().map(|item| in_value(item, values)).collect(),
        Value::Object(map) => map.iter().map(|(key, value)| (in_text(key, values), in_value(value, values))).collect(),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn values() -> Values {
        [("a", "1"), ("which", "a"), ("inputs.parameters.a", "x{{b}}")]
            .map(|(k, v)| (k.to_owned(), v.to_owned()))
            .into()
    }

    #[test]
    fn tags_with_a_value_are_replaced_and_others_stay() {
        for (text, expected) in [
            ("", ""),
            ("no tag", "no tag"),
            ("{{a}}{{ a }}-{{b}}", "11-{{b}}"),
            ("{{=1+1}} {{a}}", "{{=1+1}} 1"),
            ("an open {{a", "an open {{a"),
            ("}} {{a}}", "}} 1"),
            ("{{inputs.parameters.a}}", "x{{b}}"),
            ("{{inputs.parameters.{{which}}}}", "{{inputs.parameters.a}}"),
            ("{{inputs.parameters.{{b}}}}", "{{inputs.parameters.{{b}}}}"),
            ("{{}}", "{{}}"),
        ] {
            assert_eq!(in_text(text, &values()), expected, "{text}");
        }
    }

    #[test]
    fn keys_are_strings_too() {
        let value = json!({"{{a}}": ["{{a}}", 2, null, {"k": "{{which}}"}]});
        assert_eq!(in_value(&value, &values()), json!({"1": ["1", 2, null, {"k": "a"}]}));
    }
}
