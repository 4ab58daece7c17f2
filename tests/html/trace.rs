//! `trace -o html` in a real browser.

use std::fs;
use std::io::Write as _;
use std::process::{Command, Stdio};

use serde_json::Value;

use super::browser::Browser;

/// The page of a recorded run with other texts in it.
#[test]
fn a_run_is_a_waterfall_that_opens_and_runs_nothing() {
    let recorded = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/runs/node-retry.json");
    let mut run: Value = serde_json::from_slice(&fs::read(recorded).unwrap()).unwrap();
    let nodes = run["status"]["nodes"].as_object_mut().unwrap();
    let failed = nodes.values_mut().find(|node| node["phase"] == "Failed").unwrap();
    failed["message"] = "<script>window.hit=1</script>\u{202e}".into();
    failed["displayName"] = "<img src=x onerror=window.hit=2>".into();
    failed["templateName"] = "\"><b onmouseover=window.hit=3>".into();
    let mut child = Command::new(env!("CARGO_BIN_EXE_stepspan"))
        .args(["trace", "-", "-o", "html", "--url", "https://jaeger.example/trace/{traceId}?uiFind={spanId}"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(run.to_string().as_bytes()).unwrap();
    let page = child.wait_with_output().unwrap().stdout;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("page.html");
    fs::write(&path, page).unwrap();

    let mut browser = Browser::open(&format!("file://{}", path.display()));
    let count = |browser: &mut Browser, selector: &str| {
        browser.eval(&format!("document.querySelectorAll('{selector}').length")).as_u64().unwrap()
    };
    // The Workflow, the retry and its three attempts.
    assert_eq!((count(&mut browser, ".row"), count(&mut browser, ".row svg")), (5, 5));
    assert_eq!(count(&mut browser, "script, img, b, iframe, [onclick]"), 0);
    // By keyboard: to the link in the head, then to the first line.
    for key in ["Tab", "Tab", "Enter"] {
        browser.press(key);
    }
    assert_eq!(count(&mut browser, ".row[open]"), 1);
    browser.eval("document.querySelectorAll('details').forEach((row) => { row.open = true; })");
    let shown = browser.eval("document.querySelector('main').innerText").as_str().unwrap().to_owned();
    for text in
        ["<script>window.hit=1</script>\\u{202e}", "<img src=x onerror=window.hit=2>", "window.hit=3", "error.type"]
    {
        assert!(shown.contains(text), "{text}: {shown}");
    }
    let links = browser
        .eval("[...document.querySelectorAll('a')].every((a) => a.href.startsWith('https://jaeger.example/trace/'))");
    assert_eq!((links, count(&mut browser, "a")), (true.into(), 6));
    // A bar has a width: one in four of the whole at least is the retry's.
    let widths = browser
        .eval("[...document.querySelectorAll('svg rect:last-child')].map((bar) => bar.getBoundingClientRect().width)");
    let widths: Vec<f64> = widths.as_array().unwrap().iter().filter_map(Value::as_f64).collect();
    assert!(widths[0] > 300.0 && widths[2] < widths[0] / 2.0, "{widths:?}");
    for scheme in ["light", "dark"] {
        browser.prefer(scheme);
        let contrast =
            browser.eval("getComputedStyle(document.body).color != getComputedStyle(document.body).backgroundColor");
        assert_eq!(contrast, true, "{scheme}");
    }
    assert_eq!(browser.eval("typeof window.hit"), "undefined");
    assert_eq!(browser.complaints, [""; 0], "nothing is refused, and nothing is fetched");
}
