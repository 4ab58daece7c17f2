use super::{HEAD, found, of};
use crate::lint::Report;

/// The region that the first mistake marks, as it stands in the text.
fn marked(text: &str) -> String {
    let report = of(text);
    let invalid = report.findings.iter().find(|finding| finding.rule.id == "invalid").unwrap();
    let (start, end) = (invalid.start, invalid.end);
    let line = |n: usize| text.lines().nth(n - 1).unwrap().chars().collect::<Vec<_>>();
    if start.line == end.line {
        return line(start.line)[start.column - 1..end.column - 1].iter().collect();
    }
    format!("lines {} to {}", start.line, end.line)
}

#[test]
fn what_does_not_load_is_marked_where_it_is_wrong() {
    for (spec, expected) in [
        ("  match: {templats: [x]}\n", "templats"),
        ("  match: {templates: [😀, 5, x]}\n", "5"),
        ("  environment: \"\"\n", "\"\""),
        ("  shim: {budget: 1h}\n", "1h"),
        ("  env: {preset: \"𝄞 of all\"}\n", "\"𝄞 of all\""),
        ("  match:\n    when:\n      - \"team == '😀'\"\n", "\"team == '😀'\""),
        ("  annotations: {😀: ok}\n", "😀"),
        ("  correlation: {a: {from: [{label: \"x y\"}]}}\n", "\"x y\""),
        ("  sampling: {ratio: 7}\n", "7"),
        ("  otlp: [a]\n", "[a]"),
        ("  otlp:\n    - a\n    - b\n", "otlp"),
        ("  environment: [\n", "["),
    ] {
        assert_eq!(marked(&format!("{HEAD}{spec}")), expected, "{spec}");
    }
    // The second document, not the first.
    let text = format!("{HEAD}  environment: a\n---\n{HEAD}  environment: 5\n  match: {{templates: [x]}}\n");
    let report = of(&text);
    let invalid = report.findings.iter().find(|finding| finding.rule.id == "invalid").unwrap();
    assert_eq!((invalid.start.line, invalid.start.column, invalid.end.column), (11, 16, 17));
}

#[test]
fn the_items_of_a_list_are_looked_at_as_documents_are() {
    let item = |spec: &str| {
        format!(
            "- apiVersion: stepspan.dev/v1alpha1\n  kind: InjectionPolicy\n  metadata: {{name: p}}\n  spec: {spec}\n"
        )
    };
    let list = |items: &str| of(&format!("apiVersion: v1\nkind: List\nitems:\n{items}"));
    let told = |report: &Report| -> Vec<_> {
        report.findings.iter().map(|f| (f.rule.id, f.start.line, f.path.clone())).collect()
    };
    let mixed = format!(
        "- {{apiVersion: v1, kind: ConfigMap, metadata: {{name: x}}}}\n{}{}  status: {{conditions: []}}\n",
        item("{match: {templats: [x]}}"),
        item("{environment: prod}")
    );
    let report = list(&mixed);
    let expected = [("invalid", 8, "spec.match.templats".to_owned()), ("match-all", 12, "spec.match".to_owned())];
    assert_eq!(told(&report), expected);
    assert_eq!((report.policies, report.others), (1, 1));
    let invalid = &report.findings[0];
    assert_eq!(invalid.end.column - invalid.start.column, "templats".len());
    let nested = format!(
        "- apiVersion: v1\n  kind: List\n  items:\n{}",
        item("{environment: 5}").replace('-', "  -").replace("\n  ", "\n    ")
    );
    assert_eq!(told(&list(&nested))[0].0, "invalid");
    let webhook = "- {apiVersion: admissionregistration.k8s.io/v1, kind: MutatingWebhookConfiguration, webhooks: [{name: a.stepspan.dev}]}\n";
    assert_eq!(list(webhook).webhooks, 1);
    assert_eq!(list("- null\n").findings, []);
    // Two of one name meet.
    assert!(
        list(&[item("{environment: a}"), item("{environment: b}")].concat())
            .findings
            .iter()
            .any(|f| f.rule.id == "invalid")
    );
}

#[test]
fn comments_allow_what_stands_at_or_below_their_line() {
    let allowed = |text: &str| (found(text), of(text).allowed);
    let body = "  match: {}\n  otlp:\n    endpoint: http://c:4317\n";
    let at_spec = "apiVersion: stepspan.dev/v1alpha1\nkind: InjectionPolicy\nmetadata: {name: p}\n# stepspan-lint: allow(match-all, bare-host) meant\n\n# more\nspec:\n";
    assert_eq!(allowed(&format!("{at_spec}{body}")), (vec![], 2));
    let behind = body.replace("4317\n", "4317  # stepspan-lint: allow(bare-host) meant\n");
    assert_eq!(allowed(&format!("{HEAD}{behind}")), (vec![("match-all", 5)], 1));
    for (comment, told) in [
        ("allow(bare-hosts) meant", "did you mean `bare-host`?"),
        ("allow(bare-host)", "say behind the bracket why it is meant"),
        ("permit", "allow(match-all) why that is meant"),
        ("allow(allow-comment) no", "`stepspan lint --rules` lists them"),
    ] {
        let report = of(&format!("{HEAD}  # stepspan-lint: {comment}\n{body}"));
        let hint = report.findings.iter().find(|f| f.rule.id == "allow-comment").and_then(|f| f.hint.clone());
        assert!(hint.is_some_and(|hint| hint.contains(told)) || told.contains("--rules"), "{comment}");
        assert_eq!(report.allowed, 0);
    }
    // In a text it is none.
    assert!(
        found(&format!("{HEAD}  annotations: {{a: \"# stepspan-lint: allow(match-all) no\"}}\n"))
            .contains(&("match-all", 4))
    );
}

#[test]
fn a_comment_that_begins_what_stands_below_a_key_is_for_that_key() {
    let head = HEAD.replace("spec:", "spec:  # of steps");
    let comment = "  # stepspan-lint: allow(match-all) meant\n";
    let allowed = |text: &str| (found(text), of(text).allowed);
    assert_eq!(allowed(&format!("{head}{comment}  environment: a\n")), (vec![], 1));
    assert_eq!(allowed(&format!("{head}\n  # more\n{comment}  environment: a\n")), (vec![], 1));
    let second = format!("{head}  environment: a\n{comment}  serviceName: b\n");
    assert_eq!(allowed(&second), (vec![("match-all", 4), ("allow-comment", 6)], 0));
    // It is for the key, not for all below it.
    let bare = comment.replace("match-all", "bare-host");
    let text = format!("{HEAD}{bare}  match: {{templates: [x]}}\n  otlp: {{endpoint: \"http://c:1\"}}\n");
    assert_eq!(allowed(&text), (vec![("allow-comment", 5), ("bare-host", 7)], 0));
}

#[test]
fn a_comment_is_not_called_idle_where_the_rules_did_not_look() {
    let comment = |rule: &str| format!("# stepspan-lint: allow({rule}) meant\n");
    let broken = format!("{HEAD}  match: {{templats: [x]}}\n");
    let fine = format!("{HEAD}  match: {{templates: [x]}}\n");
    let told = |text: &str| found(text).iter().filter(|(id, _)| *id == "allow-comment").count();
    assert_eq!(told(&format!("{}{broken}", comment("match-all"))), 0);
    assert_eq!(told(&format!("{}{broken}---\n{}{fine}", comment("match-all"), comment("match-all"))), 1);
    assert_eq!(told(&format!("{broken}---\n{}{fine}", comment("equal-priority"))), 0);
    assert_eq!(told(&format!("{broken}---\n{}{fine}", comment("protocol-port"))), 0);
    assert_eq!(told(&format!("{}{fine}", comment("equal-priority"))), 1);
    assert_eq!(told(&format!("{}spec: {{a: [\n", comment("match-all"))), 0);
}
