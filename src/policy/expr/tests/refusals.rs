use super::*;

#[track_caller]
fn refuses(source: &str, message: &str) {
    assert_eq!(refused(source).to_string(), message, "{source}");
}

#[test]
fn unknown_names_come_with_a_hint() {
    refuses("pd.metadata", "column 1: unknown variable `pd`, did you mean `pod`?");
    refuses("true && metadata.name == ''", "column 9: unknown variable `metadata`, did you mean `pod.metadata`?");
    refuses("labels.x == ''", "column 1: unknown variable `labels`, did you mean `pod.metadata.labels`?");
    refuses(
        "zzzzzzzz",
        "column 1: unknown variable `zzzzzzzz`, known are pod, namespaceName, namespaceLabels, template, container, workflow, inputs",
    );
    refuses("[1].all(item, itm > 0)", "column 15: unknown variable `itm`, did you mean `item`?");
    assert!(refused("[1].all(x, x > 0) && x").to_string().starts_with("column 22: unknown variable `x`, known are "));
    refuses("template.startWith('a')", "column 19: unknown function `startWith`, did you mean `startsWith`?");
    refuses("template.lower()", "column 15: unknown function `lower`, did you mean `lowerAscii`?");
    refuses("namespace == 'a'", "column 1: `namespace` is a reserved word of CEL, write `namespaceName`");
}

#[test]
fn syntax_errors_say_where_and_what() {
    refuses("", "the expression is empty");
    refuses(" \n", "the expression is empty");
    refuses("pod.", "column 5: incomplete at '.'");
    refuses("pod ==", "column 7: unexpected end, expected an operand");
    refuses("pod.metadata[", "column 14: unexpected end, expected an operand");
    refuses("(pod", "column 5: unexpected end, expected ')'");
    refuses("pod pod", "column 5: unexpected 'pod', expected an operator or the end");
    refuses("pod.a ? 1", "column 10: unexpected end, expected an operator or `:`");
    refuses("pod.a = 1", "column 7: `=` is not an operator, write `==`");
    refuses("true and true", "column 6: unexpected 'and', expected `&&`");
    refuses("'abc", "column 1: a string without its end, or with an escape that is not known");
    refuses("'\\d'.size()", "column 1: a string without its end, or with an escape that is not known");
    refuses("#", "column 1: unexpected `#`");
    refuses("99999999999999999999", "column 1: invalid int literal");
    assert_eq!(refused("true &&\n  pod ==").column(), Some(17));
}

#[test]
fn calls_are_checked() {
    refuses("has(pod)", "column 4: write has(x.key), or 'key' in x for a key that is not a plain name");
    refuses("has(pod['a'])", "column 4: write has(x.key), or 'key' in x for a key that is not a plain name");
    refuses("size()", "column 5: write size(x) or x.size()");
    refuses("startsWith(template, 'a')", "column 11: write x.startsWith('prefix')");
    refuses("pod.spec.containers.all(c)", "column 24: write list.all(x, condition)");
    refuses("pod.spec.containers.map(c.x, 1)", "column 24: write list.map(x, value) or list.map(x, condition, value)");
    refuses("all(pod, x, true)", "column 4: write list.all(x, condition)");
}

#[test]
fn patterns_are_literal_and_valid() {
    refuses("template.matches('a(b')", "column 18: not a usable regular expression: unclosed group");
    refuses(
        "template.matches(container)",
        "column 18: the pattern of `matches` must be a literal, so that it is compiled once",
    );
    let large = refused(r"template.matches('\\w{100}\\w{100}')").to_string();
    assert!(large.starts_with("column 18: not a usable regular expression: "), "{large}");
    compiled(r"template.matches('^[\\w.-]+/(release|hotfix)-\\d{1,4}\\s\\p{L}+$')");
}

#[test]
fn what_policies_do_without_is_named() {
    refuses("1u == 1", "column 1: unsigned numbers are not supported, leave the `u` out");
    refuses("b'a' == b'a'", "column 1: bytes are not supported, write a string");
    refuses("Pod{name: 'x'} == pod", "column 4: messages are not supported, write a map");
    assert!(
        refused("type(pod) == 'map'").to_string().starts_with("column 5: unknown function `type`, known are size, ")
    );
}

#[test]
fn the_source_is_bounded() {
    let longest = format!("'{}' == ''", "x".repeat(1024 - 8));
    assert_eq!(longest.len(), 1024);
    compiled(&longest);
    refuses(&format!("{longest} "), "the expression has 1025 bytes, at most 1024 are allowed");
}

#[test]
fn nodes_are_bounded() {
    let list = |elements: usize| format!("[{}] == []", vec!["1"; elements].join(","));
    compiled(&list(197));
    refuses(&list(198), "column 402: the expression has more than 200 parts; split it into several conditions");
}

#[test]
fn depth_is_bounded() {
    let chain = |terms: usize| vec!["1"; terms].join("+") + " == 1";
    compiled(&chain(31));
    assert!(matches!(refused(&chain(32)), ExpressionError::TooDeep { .. }));
    compiled(&format!("{}true{}", "(".repeat(60), ")".repeat(60)));
    for source in deep_sources() {
        let error = refused(&source);
        let known = matches!(
            error,
            ExpressionError::TooDeep { .. } | ExpressionError::TooManyNodes { .. } | ExpressionError::Syntax { .. }
        );
        assert!(known, "{source}: {error:?}");
    }
}

/// Sources of nearly 1 KiB that recurse as deep as the grammar lets them.
fn deep_sources() -> Vec<String> {
    let nest = |open: &str, inner: &str, close: &str| {
        let times = (1024 - inner.len()) / (open.len() + close.len());
        format!("{}{inner}{}", open.repeat(times), close.repeat(times))
    };
    vec![
        nest("(", "1", ")"),
        nest("[", "1", "]"),
        nest("{1:", "1", "}"),
        nest("1+", "1", ""),
        nest("", "pod", ".a"),
        nest("", "pod", "[0]"),
        nest("", "pod", ".?a"),
        nest("", "''", ".trim()"),
        nest("-(", "1", ")"),
        nest("!(", "true", ")"),
        nest("1?1:", "1", ""),
        nest("1?", "1", ":1"),
        nest("size(", "1", ")"),
        nest("a.b(", "1", ")"),
        nest("1<", "1", ""),
        nest("1 in", " 1", ""),
        nest("has(a.b[", "1", "])"),
        nest("[1].all(x,", "true", ")"),
        nest("A{b:", "1", "}"),
        nest("(", "", ""),
        nest("[", "", ""),
        nest("{", "", ""),
        nest("1?", "", ""),
        nest("f(", "", ""),
        nest(")", "", ""),
        nest("({[", "", ""),
        nest("1||1&&", "1", ""),
    ]
}

#[test]
fn long_prefix_and_logic_chains_are_flat() {
    compiled(&format!("{}true", "!".repeat(1000)));
    compiled(&format!("{} 1", "-".repeat(1000)));
    compiled(&format!("true{}", "||true".repeat(60)));
}

#[test]
fn loops_are_bounded_in_total() {
    compiled("[1].all(a, [1].all(b, true))");
    for source in ["[1].all(a, [1].all(b, [1].all(c, true)))", "[1].map(a, a).map(b, b).map(c, c) == []"] {
        assert!(matches!(refused(source), ExpressionError::TooManyLoops { .. }), "{source}");
    }
    let six = "pod.a.all(a,".repeat(6) + "true" + &")".repeat(6);
    assert!(matches!(refused(&six), ExpressionError::TooManyLoops { .. }));
}
