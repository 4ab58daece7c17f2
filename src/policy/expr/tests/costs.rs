use std::time::{Duration, Instant};

use super::*;

/// A pod as large as the API server takes them, in every direction an expression can look.
fn large_pod() -> Value {
    let list: Vec<Value> = (0..1000).map(|i| json!({"name": format!("n{i}"), "value": "x".repeat(200)})).collect();
    let numbers: Vec<Value> = (0..1000).map(Value::from).collect();
    let pairs: Vec<Value> = (0..300).map(|i| json!([numbers, i])).collect();
    json!({
        "list": list,
        "numbers": numbers,
        "pairs": pairs,
        "longer": vec![0; 1001],
        "text": "a".repeat(1_000_000),
        "same": "a".repeat(1_000_000),
        "part": "a".repeat(4000),
        "words": "a,".repeat(2000),
        "kib": "a".repeat(1024),
    })
}

/// Far above what any evaluation takes (some 5 ms in a debug build), far below what the hostile ones take unbounded.
const LIMIT: Duration = Duration::from_millis(500);
/// A loaded machine may stop us now and then, not each time.
const TRIES: usize = 20;

#[track_caller]
fn outcome(source: &str) -> Result<Option<String>, EvalError> {
    let pod = large_pod();
    let expression = compiled(source);
    with_scope(&pod, |scope| {
        let in_time = (0..TRIES).find_map(|_| {
            let start = Instant::now();
            let outcome = expression.text(scope);
            (start.elapsed() < LIMIT).then_some(outcome)
        });
        in_time.unwrap_or_else(|| panic!("{source} took more than {LIMIT:?} each time"))
    })
}

#[test]
fn work_is_bounded() {
    for source in [
        "pod.list.all(a, pod.list.all(b, a.name != '' && b.name != ''))",
        "pod.list.all(a, pod.list.all(b, b == a || true))",
        "pod.numbers.exists(a, pod.numbers.exists(b, a + b == -1))",
        "pod.numbers.map(a, pod.numbers.map(b, pod.numbers)).size() > 0",
        "pod.numbers.map(a, pod.numbers.map(b, [b, b, b, b, b, b, b, b, b, b, b])).size() > 0",
        "pod.numbers.all(a, pod.text == pod.same)",
        "pod.numbers.all(a, pod.text <= pod.same)",
        "pod.numbers.all(a, pod.text.contains('b') || true)",
        "pod.numbers.all(a, pod.text.startsWith(pod.same))",
        "pod.numbers.all(a, pod.text.indexOf('b') == -1)",
        "pod.numbers.all(a, size(pod.text) > 0)",
        "pod.numbers.all(a, pod.part.replace('aa', 'b').size() > 0)",
        "pod.numbers.all(a, pod.part.matches('(a|b|ab)*(aa|a)*$'))",
        "pod.numbers.all(a, string(a).matches('[ab]*a[ab]{200}c|.*'))",
        "pod.part.matches('[ab]*a[ab]{200}c')",
        "pod.numbers.all(a, pod.kib.matches('(.*a.*b){60}c') || true)",
        "pod.numbers.all(a, pod.text.split(',').size() > 0)",
        "pod.numbers.all(a, pod.pairs == pod.pairs)",
        "pod.numbers.all(a, pod.numbers in pod.pairs || true)",
        "pod.numbers.all(a, a in pod.numbers && a in pod.numbers)",
        "pod.numbers.all(a, (pod.numbers + []).size() > 0)",
        "pod.numbers.all(a, pod.part.lowerAscii() == pod.part.lowerAscii())",
        "pod.numbers.all(a, pod.part.substring(0, 3000) != '')",
        "pod.numbers.all(a, [pod.kib, pod.kib, pod.kib, pod.kib, pod.kib].join(',') != '')",
        "pod.numbers.map(a, pod.kib + pod.kib + pod.kib + pod.kib).map(b, b + b + b + b).size() > 0",
        "pod.numbers.all(a, pod[pod.text] == 1 || true)",
    ] {
        assert_eq!(outcome(source), Err(EvalError::TooCostly), "{source}");
    }
}

#[test]
fn no_operator_hides_that_a_bound_was_hit() {
    let costly = "pod.numbers.all(a, pod.numbers.all(b, b >= 0))";
    for source in [
        format!("{costly} || true"),
        format!("true && {costly} || true"),
        format!("!({costly} && false)"),
        format!("[{costly}].size() == 1 || true"),
        format!("pod[?string({costly})].orValue('x')"),
    ] {
        assert_eq!(outcome(&source), Err(EvalError::TooCostly), "{source}");
    }
}

#[test]
fn strings_are_bounded() {
    let doubled = "pod.kib.replace('a', 'aaaaaaaa')".to_owned() + &".replace('a', 'aaaaaaaa')".repeat(6);
    let terms = vec!["pod.part"; 20].join(" + ") + " != ''";
    for source in [
        &doubled,
        &terms,
        "pod.text + 'x'",
        "pod.text.lowerAscii()",
        "pod.text.replace('b', 'c')",
        "[pod.text, pod.text].join('')",
        "pod.numbers.map(a, pod.kib).join(pod.kib)",
        "[pod.part + pod.part].map(a, a + a + a + a).map(b, b + b + b + b)[0]",
    ] {
        let found = outcome(source);
        assert!(matches!(found, Err(EvalError::TextTooLong { .. })), "{source}: {found:?}");
    }
    assert_eq!(outcome("pod.text.matches('a')"), Err(EvalError::TextTooLongToMatch { bytes: 1_000_000 }));
}

#[test]
fn lists_are_bounded() {
    for (source, count) in [
        ("pod.longer.all(a, true)", 1001),
        ("pod.numbers + [1] == []", 1001),
        ("pod.words.split(',').size() > 0", 1001),
        ("pod.kib.split('').size() > 0", 1001),
        ("pod.longer.map(a, a).size() > 0", 1001),
    ] {
        assert_eq!(outcome(source), Err(EvalError::TooManyElements { count }), "{source}");
    }
    assert_eq!(outcome("pod.longer.size()"), Ok(Some("1001".to_owned())));
    assert_eq!(outcome("pod.words.split(',', 3).size()"), Ok(Some("3".to_owned())));
}

#[test]
fn what_real_policies_do_stays_far_below_the_bounds() {
    assert_eq!(outcome("pod.list.exists(e, e.name == 'n999' && e.value.startsWith('x'))"), Ok(Some("true".to_owned())));
    assert_eq!(outcome("pod.list.map(e, e.name).filter(n, n.endsWith('9')).size()"), Ok(Some("100".to_owned())));
    assert_eq!(outcome("pod.pairs.all(p, p[1] >= 0 && p[0].size() == 1000)"), Ok(Some("true".to_owned())));
}

/// A deep evaluation fits into the smallest stack a thread of a server has.
#[test]
fn evaluation_needs_little_stack() {
    let deep = "-(".repeat(30) + "1" + &")".repeat(30);
    let expression = compiled(&deep);
    let run = move || with_scope(&pod(), |scope| expression.text(scope));
    let thread = std::thread::Builder::new().stack_size(256 * 1024).spawn(run).unwrap();
    assert_eq!(thread.join().unwrap(), Ok(Some("1".to_owned())));
}
