//! The Fluent Bit configuration that the chart has beside the Collector's: read as YAML, its script run by LuaJIT, which Fluent Bit has in it.
//!
//! Fluent Bit itself is not tried anywhere: nothing here says that it takes this file.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use serde_json::Value;
use stepspan::yaml;

const FOLDER: &str = "charts/stepspan/logs";
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

fn text(name: &str) -> String {
    fs::read_to_string(format!("{}/{FOLDER}/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

/// What the script makes of lines of one container: of each its text and `key=value` pairs, or nothing where it drops it.
fn lines_of(pod: &str, lines: &[&str]) -> Vec<Option<(String, BTreeSet<String>)>> {
    let quoted: Vec<String> = lines.iter().map(|line| format!("[==[\n{line}]==]")).collect();
    let program = format!(
        r#"dofile("fluent-bit.lua")
        for _, line in ipairs({{{}}}) do
            local code, _, record = step("tag", 0, {{log = line .. "\n", kubernetes = {pod}}})
            io.write(code)
            if code == 1 then for key, value in pairs(record) do io.write("\1", key, "=", value) end end
            io.write("\2")
        end"#,
        quoted.join(", ")
    );
    let folder = format!("{}/{FOLDER}", env!("CARGO_MANIFEST_DIR"));
    let output = Command::new("luajit").args(["-e", &program]).current_dir(folder).output();
    let output = output.expect("is LuaJIT installed (Debian: apt-get install luajit)?");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let said = String::from_utf8(output.stdout).unwrap();
    let made = |said: &str| {
        let mut parts = said.split('\u{1}');
        match parts.next() {
            Some("-1") => return None,
            code => assert_eq!(code, Some("1"), "{said}"),
        }
        let mut pairs: BTreeSet<String> = parts.map(str::to_owned).collect();
        let raw = pairs.iter().find(|pair| pair.starts_with("raw=")).cloned().expect("a text");
        pairs.remove(&raw);
        Some((raw["raw=".len()..].to_owned(), pairs))
    };
    let made: Vec<_> = said.split_terminator('\u{2}').map(made).collect();
    assert_eq!(made.len(), lines.len());
    made
}

/// A step's pod, as Fluent Bit's filter `kubernetes` tells of it.
fn pod() -> String {
    format!(
        r#"{{
            pod_name = "p-1", namespace_name = "ci", pod_id = "u-1", container_name = "main",
            labels = {{["workflows.argoproj.io/workflow"] = "w-1", repo = "shop-api", pr = "412", taskId = "t-1", agent = "verify", stepName = "verify"}},
            annotations = {{["trace.context"] = "00-{TRACE}-b7ad6b7169203331-01", ["stepspan.dev/repo"] = "shop/api", ["workflows.argoproj.io/node-id"] = "w-1-2"}},
        }}"#
    )
}

fn texts(lines: &[&str]) -> Vec<Option<String>> {
    lines_of(&pod(), lines).into_iter().map(|line| line.map(|(text, _)| text)).collect()
}

#[test]
fn names_what_is_there() {
    let config = yaml::read(&text("fluent-bit.yaml"), 1).unwrap();
    let pipeline = &config["pipeline"];
    let plugins = |kind: &str| -> Vec<String> {
        pipeline[kind].as_array().unwrap().iter().map(|it| it["name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(plugins("inputs"), ["tail"]);
    assert_eq!(plugins("filters"), ["kubernetes", "lua"], "in this order");
    assert_eq!(plugins("outputs"), ["loki"]);
    let script = &pipeline["filters"][1];
    assert!(
        text(script["script"].as_str().unwrap()).contains(&format!("function {}(", script["call"].as_str().unwrap()))
    );

    // What is sent as labels and metadata is what the script makes, and is not sent as a line too.
    let output = &pipeline["outputs"][0];
    let list = |key: &str| output[key].as_str().unwrap().split(',').map(str::to_owned).collect::<BTreeSet<_>>();
    let used: BTreeSet<String> = list("labels")
        .union(&list("structured_metadata"))
        .filter_map(|pair| pair.split_once("=$").map(|(_, key)| key.to_owned()))
        .collect();
    assert_eq!(used, list("remove_keys"));
    let lines = lines_of(&pod(), &[&format!(r#"{{"traceId":"{TRACE}","spanId":"00f067aa0ba902b7"}}"#), "hello"]);
    let (_, pairs) = lines[1].as_ref().unwrap();
    let made: BTreeSet<String> = pairs.iter().map(|pair| pair.split_once('=').unwrap().0.to_owned()).collect();
    assert_eq!(made, used);
}

#[test]
fn tells_each_line_whose_it_is() {
    let identity = |span: &str| format!(r#"{{"traceId":"{TRACE}","spanId":"{span}"}}"#);
    let forged = r#"{"traceId":"ffffffffffffffffffffffffffffffff","spanId":"00f067aa0ba902b9"}"#;
    let (first, second) = (identity("00f067aa0ba902b7"), identity("00f067aa0ba902b8"));
    let lines = lines_of(&pod(), &["before", &first, "one", forged, "two", &second, "three"]);
    let span = |at: usize| {
        let (_, pairs) = lines[at].as_ref()?;
        pairs.iter().find_map(|pair| pair.strip_prefix("span_id=").map(str::to_owned))
    };
    assert_eq!(span(0), None);
    assert!(lines[1].is_none() && lines[5].is_none(), "the shim's lines are no step's");
    // Whoever prints such a line of another trace has printed a line.
    for at in [2, 3, 4] {
        assert_eq!(span(at).as_deref(), Some("00f067aa0ba902b7"), "{at}");
    }
    assert_eq!(span(6).as_deref(), Some("00f067aa0ba902b8"), "a command that is run again has another span");
    let (_, pairs) = lines[2].as_ref().unwrap();
    for pair in
        ["repo=shop/api", "prNumber=412", "stepName=verify", "workflowName=w-1", "nodeId=w-1-2", "container=main"]
    {
        assert!(pairs.contains(pair), "{pair}: {pairs:?}");
    }
    assert!(pairs.contains(&format!("trace_id={TRACE}")), "{pairs:?}");
}

#[test]
fn pods_of_nobody_s_workflow_are_dropped() {
    assert_eq!(lines_of(r#"{pod_name = "p", labels = {app = "x"}}"#, &["hello"]), [None]);
    assert_eq!(lines_of("nil", &["hello"]), [None]);
}

#[test]
fn secrets_are_taken_out() {
    let planted = |length: usize| format!("PLANTED{}", "Q".repeat(length));
    let cases = [
        (format!("cloud AKIA{}", planted(9)), "cloud [redacted]"),
        (format!("forge ghp_{}", planted(29)), "forge [redacted]"),
        (format!("other forge glpat-{}", planted(20)), "other forge [redacted]"),
        (format!("model sk-{}", planted(30)), "model [redacted]"),
        (format!("chat xoxb-{}", planted(12)), "chat [redacted]"),
        (format!("jwt eyJ{0}.eyJ{0}.{0}", planted(10)), "jwt [redacted]"),
        (
            format!("clone https://robot:{}@forge.example/x", planted(8)),
            "clone https://robot:[redacted]@forge.example/x",
        ),
        (format!("-H 'Authorization: Bearer {}'", planted(20)), "-H 'Authorization: Bearer [redacted]'"),
        (format!("DATABASE_PASSWORD={}", planted(1)), "DATABASE_PASSWORD=[redacted]"),
        (
            format!(r#"{{"client_secret": "{} and more", "tokens": 55}}"#, planted(1)),
            r#"{"client_secret": [redacted], "tokens": 55}"#,
        ),
        ("tokens: 55, the author: me, key=a".to_owned(), "tokens: 55, the author: me, key=a"),
    ];
    let (lines, expected): (Vec<_>, Vec<_>) = cases.iter().map(|(line, expected)| (line.as_str(), *expected)).unzip();
    assert_eq!(texts(&lines), expected.into_iter().map(|text| Some(text.to_owned())).collect::<Vec<_>>());
}

#[test]
fn a_private_key_goes_whatever_its_lines_are() {
    let kind = ["RSA", "PRIVATE", "KEY"].join(" ");
    let (begin, end) = (format!("before -----BEGIN {kind}-----"), format!("-----END {kind}-----"));
    let lines = texts(&[&begin, "QQQQ", "not base64", &end, "after"]);
    let expected = [Some("before [redacted]"), None, None, None, Some("after")];
    assert_eq!(lines, expected.map(|line| line.map(str::to_owned)));
}

/// What one of the two takes out, the other does too: they name the same words.
#[test]
fn the_collector_knows_the_same_words() {
    let (collector, script) = (text("collector.yaml"), text("fluent-bit.lua"));
    let words = [
        "PASSWORD",
        "PASSWD",
        "PASSPHRASE",
        "SECRET",
        "TOKEN",
        "API_?KEY",
        "ACCESS_?KEY",
        "PRIVATE_?KEY",
        "CREDENTIALS?",
    ];
    assert!(collector.contains(&format!("(?:{})", words.join("|"))));
    for word in words {
        assert!(script.contains(&format!("\"{word}\"")), "{word}");
    }
    let config: Value = yaml::read(&collector, 1).unwrap();
    assert!(config["processors"]["transform/secrets"].is_object());
}
