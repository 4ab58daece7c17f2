//! A link out: where a trace can be looked at.

use std::fmt::Write as _;
use std::str::FromStr;

use crate::trace::Run;
use crate::trace::span::Span;

/// A URL with names in braces.
#[derive(Debug, Clone)]
pub(super) struct Url(String);

/// What stands in braces.
const NAMES: [&str; 5] = ["traceId", "spanId", "workflow", "namespace", "uid"];

impl FromStr for Url {
    type Err = String;

    /// Only a web page's: a page of ours leads there by a click.
    fn from_str(text: &str) -> Result<Self, String> {
        if !text.starts_with("http://") && !text.starts_with("https://") {
            return Err("begins with http:// or https://".into());
        }
        let names = text.split('{').skip(1).map(|rest| rest.split_once('}').map(|(name, _)| name));
        match names.into_iter().find(|name| !name.is_some_and(|name| NAMES.contains(&name))) {
            Some(_) => Err(format!("in braces stands one of {}", NAMES.join(", "))),
            None => Ok(Self(text.to_owned())),
        }
    }
}

impl Url {
    /// The link to a span.
    pub fn of(&self, run: &Run, span: &Span) -> String {
        let values = [span.trace.as_str(), span.id.as_str(), &run.name, &run.namespace, &run.uid];
        let mut text = self.0.clone();
        for (name, value) in NAMES.into_iter().zip(values) {
            text = text.replace(&format!("{{{name}}}"), &encoded(value));
        }
        text
    }

    /// Whether each span has a link of its own.
    pub fn is_of_spans(&self) -> bool {
        self.0.contains("{spanId}")
    }
}

/// As a part of a path or query (RFC 3986, section 2.3: what is not unreserved, in percents).
fn encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(out, "%{byte:02X}");
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_leads_to_a_web_page_by_known_names() {
        assert!("https://jaeger/trace/{traceId}?uiFind={spanId}".parse::<Url>().is_ok());
        assert!("javascript:alert(1)".parse::<Url>().is_err());
        assert!("https://jaeger/{trace}".parse::<Url>().unwrap_err().contains("traceId"));
        assert!("https://jaeger/{traceId".parse::<Url>().is_err());
        assert_eq!(encoded("a b/\"é"), "a%20b%2F%22%C3%A9");
    }
}
