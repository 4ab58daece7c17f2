//! `dry-run -o html` in a real browser.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use self::browser::Browser;

mod browser;
mod trace;

/// The page of a file of this folder, and where it is.
fn page(file: &str) -> (String, PathBuf, TempDir) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut command = Command::new(env!("CARGO_BIN_EXE_stepspan"));
    let done =
        command.current_dir(root).args(["dry-run", "-o", "html"]).arg(format!("tests/html/{file}")).output().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("page.html");
    fs::write(&path, &done.stdout).unwrap();
    (String::from_utf8(done.stdout).unwrap(), path, folder)
}

/// The trees of the page as text, a line for each place.
const OUTLINE: &str = r"[...document.querySelectorAll('.tree')].map((tree) => (function outline(list, depth) {
    return [...list.children].flatMap((item) => {
        const own = [...item.children].filter((part) => part.tagName !== 'UL').map((part) => part.textContent.trim());
        const below = item.querySelector(':scope > ul');
        return [' '.repeat(depth) + own.join(' | ')].concat(below ? outline(below, depth + 1) : []);
    });
})(tree, 0).join('\n')).join('\n')";

/// What stands between two texts, each time.
fn between<'t>(text: &'t str, before: &str, after: &str) -> Vec<&'t str> {
    text.split(before).skip(1).filter_map(|rest| Some(rest.split_once(after)?.0)).collect()
}

#[test]
fn all_text_of_manifests_stays_text() {
    let (text, path, _folder) = page("hostile.yaml");
    assert_eq!(text.matches("<script").count(), 1, "the page's own");
    let mut browser = Browser::open(&format!("file://{}", path.display()));
    browser.eval("document.querySelectorAll('details').forEach((pod) => { pod.open = true; })");
    assert_eq!(browser.eval("typeof window.hit"), "undefined");
    for (selector, count) in
        [("script", 1), ("style", 1), ("img, svg, iframe, b[onmouseover], [onclick]", 0), (".pod", 2), (".problem", 3)]
    {
        assert_eq!(browser.eval(&format!("document.querySelectorAll('{selector}').length")), count, "{selector}");
    }
    // A hint stands on a line of its own.
    let problem =
        browser.eval("[...document.querySelectorAll('.problem')].at(-1).innerText").as_str().unwrap().to_owned();
    assert!(problem.lines().count() == 2 && problem.lines().nth(1).unwrap().contains("hint: "), "{problem}");
    // What stands in the manifest is what is read; what turns a line around is shown as what it is.
    let shown = browser.eval("document.querySelector('main').textContent");
    let shown = shown.as_str().unwrap();
    for part in [
        "<script>window.hit=10</script>",
        "<script src=https://example.com/x.js></script>",
        "--><script>window.hit=8</script>]]>\\u{202e}",
        "<b onmouseover=window.hit=6>",
        "<script>window.hit=18</script>",
    ] {
        assert!(shown.contains(part), "{part}");
    }
    assert_eq!(browser.complaints, [""; 0], "nothing is refused, and nothing is fetched");
}

#[test]
fn the_page_needs_nothing_besides_itself() {
    let (text, ..) = page("pipeline.yaml");
    assert!(text.contains("default-src 'none'; style-src 'sha256-") && text.contains("script-src 'sha256-"));
    assert!(
        !text.contains("unsafe-") && !text.contains(" src=") && !text.contains(" style=") && !text.contains("@import")
    );
    let links = between(&text, "href=\"", "\"");
    let ids: Vec<&str> = between(&text, " id=\"", "\"");
    let unique: BTreeSet<&str> = ids.iter().copied().collect();
    assert_eq!(unique.len(), ids.len(), "{ids:?}");
    assert_eq!(links.len(), 7, "a link for each pod of the tree");
    for link in links {
        assert!(unique.contains(link.strip_prefix('#').unwrap()), "{link}");
    }
}

#[test]
fn the_tree_shows_what_is_injected_where() {
    let (_, path, _folder) = page("pipeline.yaml");
    let mut browser = Browser::open(&format!("file://{}", path.display()));
    let expected = "review-pr
 checkout | main injected
 verify(0:clippy) | main injected
 verify(1:unit) | main injected
 publish
  step group [0]
   image | conditional | build injected | main injected
  step group [1]
   smoke | conditional | main injected | postgres sidecar
   preview | conditional | main resource
 onExit | main injected";
    assert_eq!(browser.eval(OUTLINE), expected);
    assert_eq!(
        browser.eval("document.querySelector('.sums').innerText.replace(/\\s+/g, ' ')"),
        "7 pods 6 injected 1 labelled"
    );
    // A link opens its pod.
    browser.eval(
        "new Promise((seen) => {
            addEventListener('hashchange', () => setTimeout(seen), { once: true });
            document.querySelectorAll('.tree a')[4].click();
        })",
    );
    let opened =
        browser.eval("[...document.querySelectorAll('.pod[open] summary')].map((it) => it.textContent).join()");
    assert!(opened.as_str().unwrap().contains("smoke"), "{opened}");
    let marked =
        browser.eval("[...document.querySelectorAll('.pod[open] td.new')].map((it) => it.textContent).join('\\n')");
    assert!(marked.as_str().unwrap().contains("/stepspan/stepspan-shim"), "{marked}");
    let reasons = browser.eval("document.querySelector('.pod[open]').textContent");
    assert!(reasons.as_str().unwrap().contains("the step's own stays"), "{reasons}");
}

#[test]
fn what_has_no_pod_is_on_the_page_too() {
    let (_, path, _folder) = page("waits.yaml");
    let mut browser = Browser::open(&format!("file://{}", path.display()));
    let expected = "ask-
 step group [0]
  ask | done by the agent's pod
  never | skipped (when: 1 == 2)
  nested
   step group [0]
    gate | suspend
  wait(0:a) | suspend
  wait(1:b) | suspend
 step group [1]
  maybe | conditional | suspend
  build | main failed: architecture
 the agent's pod | main agent
pause | suspend";
    assert_eq!(browser.eval(OUTLINE), expected);
    assert_eq!(
        browser.eval("document.querySelector('.sums').innerText.replace(/\\s+/g, ' ')"),
        "2 pods 0 injected 1 labelled 1 failed 1 of other kinds passed over"
    );
    assert_eq!(browser.complaints, [""; 0]);
}

#[test]
fn the_page_says_the_evaluator_s_word_and_what_failed() {
    let (text, ..) = page("waits.yaml");
    let badges = between(&text, "<span class=\"badge ", "</span>");
    assert_eq!(badges, ["failed\">labelled", "labelled\">labelled"]);
    let reasons: Vec<&str> = between(&text, "</span> <span class=\"quiet\">", "</span></summary>");
    assert_eq!(reasons, ["failed: architecture", "agent"]);
}

#[test]
fn it_is_used_by_keyboard() {
    let (_, path, _folder) = page("pipeline.yaml");
    let url = format!("file://{}", path.display());
    let mut browser = Browser::open(&url);
    let visible = "document.querySelectorAll('.pod:not([hidden])').length";
    assert_eq!(browser.eval(visible), 7);
    browser.press("/");
    for key in ["p", "o", "s", "t", "g", "r", "e", "s"] {
        browser.press(key);
    }
    assert_eq!(browser.eval("document.activeElement.value"), "postgres");
    assert_eq!(browser.eval(visible), 1);
    assert_eq!(browser.eval("document.getElementById('shown').textContent"), "1 of 7 shown");
    // The filter can be handed on.
    let address = browser.eval("location.href").as_str().unwrap().to_owned();
    assert!(address.ends_with("#text=postgres"), "{address}");
    browser.go("about:blank");
    browser.go(&address);
    assert_eq!(browser.eval(visible), 1);
    browser.press("/");
    browser.press("Escape");
    assert_eq!(browser.eval(visible), 7);
    // From the filter on to the first pod, and into it.
    for _ in 0..40 {
        browser.press("Tab");
        if browser.eval("document.activeElement.tagName") == "SUMMARY" {
            break;
        }
    }
    browser.press("Enter");
    assert_eq!(browser.eval("document.activeElement.parentElement.open"), true);
    browser.go("about:blank");
    browser.go(&format!("{url}#hide=injected"));
    assert_eq!(browser.eval(visible), 1);
    assert_eq!(browser.complaints, [""; 0]);
}

#[test]
fn it_follows_the_reader_s_light_and_dark() {
    let (_, path, _folder) = page("pipeline.yaml");
    let mut browser = Browser::open(&format!("file://{}", path.display()));
    let colours = "[getComputedStyle(document.body).backgroundColor, getComputedStyle(document.body).color].join()";
    let mut seen = BTreeSet::new();
    browser.eval("document.querySelectorAll('.pod')[4].open = true");
    for scheme in ["light", "dark"] {
        browser.prefer(scheme);
        seen.insert(browser.eval(colours).as_str().unwrap().to_owned());
        let picture = browser.picture();
        assert!(picture.starts_with(b"\x89PNG") && picture.len() > 20_000);
        // The picture of the README.
        if scheme == "light" && std::env::var_os("ACCEPT").is_some() {
            fs::write(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/images/dry-run.png"), picture).unwrap();
        }
    }
    assert_eq!(seen.len(), 2, "{seen:?}");
}
