//! GitHub's workflow commands: `::error file=...,line=...,title=...::message`.

/// The line of an annotation; `level` is `error`, `warning` or `notice`, the line 0 where the whole file is meant.
pub(super) fn annotation(level: &str, file: &str, at: (usize, Option<usize>), title: &str, message: &str) -> String {
    let place = match at {
        (0, _) => String::new(),
        (line, None) => format!(",line={line}"),
        (line, Some(column)) => format!(",line={line},col={column}"),
    };
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
        let line = annotation("error", "a,b:c.yaml", (3, None), "x\ny", "50 %\r\n::warning::no");
        assert_eq!(line, "::error file=a%2Cb%3Ac.yaml,line=3,title=x%0Ay::50 %25%0D%0A::warning::no");
        assert!(annotation("error", "a", (3, Some(7)), "t", "m").starts_with("::error file=a,line=3,col=7,title=t::"));
        assert!(annotation("notice", "a", (0, None), "t", "m").starts_with("::notice file=a,title=t::"));
    }
}
