//! GitHub's workflow commands: `::error file=...,line=...,title=...::message`.

/// The line of an annotation; `level` is `error`, `warning` or `notice`, `line` 0 where the whole file is meant.
pub(super) fn annotation(level: &str, file: &str, line: usize, title: &str, message: &str) -> String {
    let place = if line > 0 { format!(",line={line}") } else { String::new() };
    format!("::{level} file={}{place},title={}::{}", property(file), property(title), data(message))
}

fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_a_text_ends_the_command() {
        let line = annotation("error", "a,b:c.yaml", 3, "x\ny", "50 %\r\n::warning::no");
        assert_eq!(line, "::error file=a%2Cb%3Ac.yaml,line=3,title=x%0Ay::50 %25%0D%0A::warning::no");
        assert!(annotation("notice", "a", 0, "t", "m").starts_with("::notice file=a,title=t::"));
    }
}
