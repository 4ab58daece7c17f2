//! Text in XML, and the test cases of JUnit.

use std::fmt::Write;

/// Text for elements and attributes; what XML 1.0 has no way to write (section 2.2, `Char`) becomes U+FFFD.
pub(super) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&apos;"),
            '\n' => out.push_str("&#10;"),
            '\t' => out.push_str("&#9;"),
            '\r' => out.push_str("&#13;"),
            '\0'..='\x1f' | '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            '\x7f'..='\u{9f}' => drop(write!(out, "&#{};", u32::from(c))),
            other => out.push(other),
        }
    }
    out
}

/// What says in a test case that it did not pass.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ending<'a> {
    /// `failure`, `error` or `skipped`.
    pub element: &'a str,
    /// In one line.
    pub message: &'a str,
    /// At length; may be empty.
    pub text: &'a str,
}

/// A test case of JUnit by its name and class, how it ended where it did not pass, and what else there is to say.
pub(super) fn testcase(names: [&str; 2], ending: Option<Ending<'_>>, note: &str) -> String {
    named(names, &contents(ending, note))
}

/// What a test case holds: how it ended where it did not pass, and what else there is to say.
pub(super) fn contents(ending: Option<Ending<'_>>, note: &str) -> String {
    let mut inside = String::new();
    // Writing to a String cannot fail.
    if let Some(Ending { element, message, text }) = ending {
        let _ = write!(inside, "      <{element} message=\"{}\"", escaped(message));
        let _ =
            if text.is_empty() { writeln!(inside, "/>") } else { writeln!(inside, ">{}</{element}>", escaped(text)) };
    }
    if !note.is_empty() {
        let _ = writeln!(inside, "      <system-out>{}</system-out>", escaped(note));
    }
    inside
}

/// A test case by its name and class, and what it holds.
pub(super) fn named([name, class]: [&str; 2], inside: &str) -> String {
    let head = format!("    <testcase name=\"{}\" classname=\"{}\"", escaped(name), escaped(class));
    if inside.is_empty() { format!("{head}/>\n") } else { format!("{head}>\n{inside}    </testcase>\n") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_a_name_holds_the_xml_is_valid() {
        assert_eq!(
            escaped("a<b>&\"'\n\t\u{1b}[0m\0\u{85}é"),
            "a&lt;b&gt;&amp;&quot;&apos;&#10;&#9;\u{fffd}[0m\u{fffd}&#133;é"
        );
    }
}
