//! `{{...}}` in a text, as Argo's `util/template` puts values in its place.
//!
//! Argo replaces in the JSON of a whole template; here it is done string by string, which comes to the same unless a tag
//! reaches from one string into another.

use std::collections::BTreeMap;

use serde_json::Value;

use super::expression;

/// Values by tag, such as `inputs.parameters.repo`.
pub type Values = BTreeMap<String, String>;

/// Most bytes that the texts of one value come to; what is beyond stays as it is.
const MAX_BYTES: usize = 8 << 20;

/// Puts values in the place of tags. A tag that has none stays as it is.
pub fn in_text(text: &str, values: &Values) -> String {
    bounded(text, values, MAX_BYTES)
}

fn bounded(text: &str, values: &Values, most: usize) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("{{").filter(|_| out.len() <= most) {
        out.push_str(before);
        let Some((tag, after)) = after.split_once("}}") else {
            out.push_str("{{");
            rest = after;
            break;
        };
        match tag.strip_prefix('=') {
            Some(source) => match expression::evaluate(source, values) {
                Ok(value) => out.push_str(&expression::written(&value)),
                Err(_) => out.extend(["{{", tag, "}}"]),
            },
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

/// The first tag of a text that no value is known of.
pub fn unknown_in<'t>(text: &'t str, values: &Values) -> Option<&'t str> {
    // A value that is its own tag says that there is one, which nobody knows yet.
    let is_known = |tag: &&str| values.get(*tag).is_some_and(|value| !tags(value).any(|inner| inner.trim() == *tag));
    tags(text).map(str::trim).find(|tag| !is_known(tag))
}

/// What stands between `{{` and `}}`.
pub fn tags(text: &str) -> impl Iterator<Item = &str> {
    text.split("{{").skip(1).filter_map(|rest| Some(rest.split_once("}}")?.0))
}

/// The same in every string of a value, keys too.
pub fn in_value(value: &Value, values: &Values) -> Value {
    let mut left = MAX_BYTES;
    each(value, values, &mut left)
}

fn each(value: &Value, values: &Values, left: &mut usize) -> Value {
    match value {
        Value::String(text) => Value::String(charged(text, values, left)),
        Value::Array(items) => items.iter().map(|item| each(item, values, left)).collect(),
        Value::Object(map) => {
            let entry = |(key, value): (&String, &Value)| (charged(key, values, left), each(value, values, left));
            Value::Object(map.iter().map(entry).collect())
        }
        other => other.clone(),
    }
}

fn charged(text: &str, values: &Values, left: &mut usize) -> String {
    if !text.contains("{{") {
        return text.to_owned();
    }
    let made = bounded(text, values, *left);
    *left = left.saturating_sub(made.len());
    made
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
            ("{{=1+1}} {{a}}", "2 1"),
            ("{{=steps.x.outputs.result}}{{=a + '}'}}", "{{=steps.x.outputs.result}}1}"),
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
