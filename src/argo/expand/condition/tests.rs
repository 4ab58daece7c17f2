use super::*;

fn judged(when: &str) -> &'static str {
    match holds(when) {
        Ok(true) => "holds",
        Ok(false) => "does not hold",
        Err(Undecided::Later(_)) => "later",
        Err(Undecided::Beyond(_)) => "not judged",
        Err(Undecided::Unclear(..)) => "refused",
    }
}

/// As govaluate judges them, called as Argo calls it.
#[test]
fn conditions_as_argo_judges_them() {
    for (when, expected) in [
        ("", true),
        ("heads == heads", true),
        ("heads == 'tails'", false),
        ("\"a b\" != 'a b'", false),
        ("1 == 1.0", true),
        ("1 == '1'", false),
        ("2 > 1 && 10 >= 10", true),
        ("b > a || false", true),
        ("!(true && false)", true),
        ("'v1.2' =~ '^v[0-9]'", true),
        ("abc !~ 'x'", true),
        ("b in (a, b)", true),
        ("c in ('a', 'b')", false),
        ("1 + 2 * 3 == 7", true),
        ("7 % 4 == 3", true),
        ("-1 < 0", true),
        ("true", true),
        ("a == b == false", true),
        ("[x] == y", false),
        ("é == é", true),
    ] {
        assert_eq!(holds(when), Ok(expected), "{when}");
    }
}

/// The rest of its language, by its own answers.
#[test]
fn what_govaluate_takes_besides() {
    for (when, expected) in [
        // Choices, from the left.
        ("a == b ? true : false", false),
        ("true ? a == a : b == c", true),
        ("false ? true : false ? true : false", false),
        ("true ? false : true ? true : false", false),
        ("(false ? true) ?? true", true),
        // Numbers.
        ("2 ** 3 == 8", true),
        ("2 ** 3 ** 2 == 64", true),
        ("-2 ** 2 == 4", true),
        ("0x10 == 16", true),
        ("0x1F == 31", true),
        ("5 & 4 == 4", true),
        ("5 | 2 == 7", true),
        ("5 ^ 1 == 4", true),
        ("~5 == -6", true),
        ("1 << 2 == 4", true),
        ("256 >> 2 == 64", true),
        ("1 << 70 == 0", true),
        ("10 - 3 - 2 == 5", true),
        ("1 / 0 > 1", true),
        (".5 == 0.5", true),
        ("1. == 1", true),
        // Texts.
        ("'1' + 1 == '11'", true),
        ("a + b == ab", true),
        ("'x' + 1.5 == 'x1.5'", true),
        ("'x' + 100000000 == 'x1e+08'", true),
        ("'x' + 0.00001 == 'x1e-05'", true),
        ("'x' + true == 'xtrue'", true),
        ("a\\-b == 'a-b'", true),
        ("a =~ x ? true : false", false),
        ("'bc' =~ 'b' + 'c'", true),
        // What decides alone.
        ("false && 'a'", false),
        ("true || v1.Two", true),
        ("() == ()", true),
        ("(a ==)", false),
        ("(true) false", true),
    ] {
        assert_eq!(holds(when), Ok(expected), "{when}");
    }
}

#[test]
fn texts_that_are_dates_are_numbers() {
    for (when, expected) in [
        ("'2024-01-02' == '2024-01-02T00:00:00Z'", true),
        ("'2024-01-02' == 1704153600", true),
        ("'2024-01-02' < '2024-02-01'", true),
        ("'2024-01-02 3:04' == '2024-01-02   03:04'", true),
        ("'2024-01-02 03:04:05.5' == '2024-01-02 03:04:05'", true),
        ("'2024-01-02 03:04:05+01:00' == '2024-01-02 02:04:05'", true),
        ("'2024-01-02T03+0100' == '2024-01-02 02:00'", true),
        ("'2024-01-02T03:04+0100' == '2024-01-02 02:04'", true),
        ("'2024-01-02T03:04:05-0100' == '2024-01-02 04:04:05'", true),
        ("'2024-01-02T03:04:05+01:00' == '2024-01-02 02:04:05'", true),
        ("'2024-01-02T03:04+01:00' == '2024-01-02 02:04'", false),
        ("'2024-01-02T03:04:05' == '2024-01-02 03:04:05'", false),
        ("'2024-02-29' == '2024-02-29 00:00'", true),
        ("'2023-02-29' == '2023-03-01'", false),
        ("'1969-12-31' < 0", true),
        ("'12:00AM' == '0000-01-01'", true),
        ("'3:04PM' < '4:04PM'", true),
        ("'12:30' == '12:30'", true),
    ] {
        assert_eq!(holds(when), Ok(expected), "{when}");
    }
    // Neither is a text any more.
    for when in ["'2024-01-02' =~ '2024'", "'2024-02-30' > 1", "'2024-01-02 ' > 1", "'2024-1-2' > 1", "'13:00PM' > 1"] {
        assert_eq!(judged(when), "refused", "{when}");
    }
}

#[test]
fn what_only_a_run_knows_or_argo_refuses_is_undecided() {
    let later = Undecided::Later("{{steps.flip.outputs.result}}".into());
    assert_eq!(holds("{{steps.flip.outputs.result}} == heads"), Err(later));
    let deep = "(".repeat(100_000);
    for when in [
        "a-b == c",
        "a ==",
        "(a == b",
        "'a",
        "heads",
        "a.b == c",
        "1 < b",
        "a in b",
        "a = b",
        "a in (a)",
        "1a == b",
        "[x",
        "!a",
        "-a == b",
        "a!=-1",
        "true&&!false",
        "a == b, c",
        "a ?? b",
        "5 > '3'",
        "1 < 2 < 3",
        "!'a'",
        "a b == a b",
        "'it''s' == x",
        "abc =~ '['",
        "abc =~ 'x' ? true : false",
        "a === a",
        "a <> b",
        "v1.2.3 == x",
        "1.2.3 == x",
        "1e3 == 1000",
        "true ? '2024-01-02' : b",
        "1 + '2024-01-02' > 1",
        "a\\",
        " ",
        &deep,
    ] {
        assert_eq!(judged(when), "refused", "{}", &when[..when.len().min(40)]);
    }
}

/// Nothing is said of what Argo may take.
#[test]
fn what_is_not_read_is_not_judged() {
    let nested = format!("{}true{}", "(".repeat(100), ")".repeat(100));
    for when in [
        "'Mon Jan  2 15:04:05 2006' > 1",
        "2 ** 0.5 > 1",
        "10 ** 40 > 1",
        "1 << -1 == 0",
        "a =~ '\\\\Qa\\\\E'",
        "a =~ '[[]'",
        &nested,
    ] {
        assert_eq!(judged(when), "not judged", "{when}");
    }
}
