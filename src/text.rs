//! Texts from outside, made fit for where they are written.

use std::borrow::Cow;

pub use stepspan_contract::env::list_value;

use crate::identity::h;

/// Longest value in an environment variable, in bytes.
pub const MAX_ENV: usize = 256;
/// Longest value in an annotation, in bytes.
pub const MAX_ANNOTATION: usize = 1024;
/// Longest label value (`k8s.io/apimachinery` `LabelValueMaxLength`).
const MAX_LABEL: usize = 63;

/// The longest beginning of a text that has at most so many bytes and ends at a character's end.
pub fn cut(text: &str, bytes: usize) -> &str {
    let mut end = bytes.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default()
}

/// A value without control characters, cut to so many bytes.
pub fn clean(text: &str, bytes: usize) -> String {
    if !text.chars().any(char::is_control) {
        return cut(text, bytes).to_owned();
    }
    let kept: String = text.chars().filter(|c| !c.is_control()).collect();
    cut(&kept, bytes).to_owned()
}

/// A value as text of a variable that the kubelet expands: every `$` doubled (law 9; `k8s.io/kubernetes/third_party/forked/golang/expansion`).
pub fn unexpanded(text: &str) -> Cow<'_, str> {
    if text.contains('$') { text.replace('$', "$$").into() } else { text.into() }
}

/// The safe form of a value as a label: `/` becomes `-`, ends are alphanumeric, at most 63 characters; whatever else is lost is
/// marked by 8 hex digits of a hash, so that two values never share a label by accident. `None` for an empty value.
pub fn label_value(text: &str) -> Option<String> {
    if text.is_empty() {
        return None;
    }
    let fit = |c: char| if c == '/' { '-' } else { c };
    let dashed: String = text.chars().map(fit).collect();
    if crate::policy::syntax::is_label_value(&dashed) {
        return Some(dashed);
    }
    let plain = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.') { c } else { '-' };
    let kept: String = dashed.chars().map(plain).take(MAX_LABEL - 9).collect();
    let kept = kept.trim_matches(|c: char| !c.is_ascii_alphanumeric());
    let hash = h(&format!("label/{text}"), 8);
    Some(if kept.is_empty() { hash } else { format!("{kept}-{hash}") })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::syntax::is_label_value;
    use proptest::prelude::*;

    #[test]
    fn labels_of_everyday_values_are_readable() {
        assert_eq!(label_value("acme/widgets").as_deref(), Some("acme-widgets"));
        assert_eq!(label_value("42").as_deref(), Some("42"));
        assert_eq!(label_value(""), None);
        assert!(label_value("feature: x").is_some_and(|l| l.starts_with("feature--x-") && l.len() == 19));
        assert!(label_value("///").is_some_and(|l| l.len() == 8));
    }

    #[test]
    fn list_values_are_encoded() {
        assert_eq!(list_value("a,b=c%;\\\" é"), "a%2Cb%3Dc%25%3B%5C%22%20%C3%A9");
        assert_eq!(list_value("acme/widgets:1.0_x-y~z"), "acme/widgets:1.0_x-y~z");
    }

    proptest! {
        #[test]
        fn any_value_gives_a_label(text in any::<String>()) {
            if let Some(label) = label_value(&text) {
                prop_assert!(is_label_value(&label) && !label.is_empty());
                prop_assert!(label_value(&label).as_deref() == Some(&label), "safe form is a fixed point");
            }
        }

        #[test]
        fn cleaned_text_is_short_and_plain(text in any::<String>(), bytes in 0usize..300) {
            let clean = clean(&text, bytes);
            prop_assert!(clean.len() <= bytes && !clean.chars().any(char::is_control));
        }
    }
}
