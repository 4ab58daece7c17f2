//! Every page of the documentation: its links lead somewhere, its YAML is read by what it is for, its commands are those there are.
//!
//! What commands print is held by `tests/cmd` and, where they need a cluster, by `tests/cluster`.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use stepspan::policy::PolicySet;
use stepspan::policy::compile::Rules;
use stepspan::policy::load::PolicyFile;
use stepspan::yaml;

/// What Workflows of the pages may refer to.
const LINKS: &str = "charts/stepspan/workflows/links.yaml";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Paths below the repository.
pub fn pages() -> Vec<PathBuf> {
    let mut pages = Vec::new();
    let mut folders = vec![root().to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()) {
            let name = entry.file_name().unwrap().to_string_lossy().into_owned();
            if entry.is_dir() && !name.starts_with('.') && !name.starts_with("target") {
                folders.push(entry);
            } else if Path::new(&name).extension().is_some_and(|it| it == "md") {
                pages.push(entry.strip_prefix(root()).unwrap().to_owned());
            }
        }
    }
    pages.sort();
    assert!(pages.len() > 20, "{pages:?}");
    pages
}

pub fn text(page: &Path) -> String {
    fs::read_to_string(root().join(page)).unwrap()
}

/// GitHub's anchors of headings, as far as ours need them.
pub fn anchors(document: &str) -> BTreeSet<String> {
    let headings = document.lines().filter(|line| line.starts_with('#'));
    let anchor = |heading: &str| {
        let kept = heading.trim_start_matches('#').trim().to_lowercase();
        kept.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c)).collect::<String>().replace(' ', "-")
    };
    headings.map(anchor).collect()
}

/// What stands between fences of these kinds, with its first line's number.
fn blocks(page: &Path, kinds: &[&str]) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut open: Option<(usize, bool, usize, String)> = None;
    for (number, line) in text(page).lines().enumerate() {
        let indent = line.len() - line.trim_start().len();
        match (&mut open, line.trim_start().strip_prefix("```")) {
            (None, Some(kind)) => open = Some((number + 2, kinds.contains(&kind), indent, String::new())),
            (Some(_), Some(_)) => {
                let (first, wanted, _, block) = open.take().unwrap();
                found.extend(wanted.then_some((first, block)));
            }
            (Some((_, _, indent, block)), None) => {
                block.push_str(line.get(*indent..).unwrap_or_default());
                block.push('\n');
            }
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "{}: a fence stays open", page.display());
    found
}

#[test]
fn links_lead_somewhere() {
    let mut seen = 0;
    for page in pages() {
        let text = text(&page);
        for link in text.split("](").skip(1).filter_map(|rest| rest.split_once(')').map(|(link, _)| link)) {
            if link.contains("://") || link.starts_with("mailto:") || link.contains(char::is_whitespace) {
                continue;
            }
            let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
            let to = if path.is_empty() { page.clone() } else { page.parent().unwrap().join(path) };
            assert!(root().join(&to).exists(), "{}: {link} leads nowhere", page.display());
            if !anchor.is_empty() {
                let there = anchors(&self::text(&to)).contains(anchor);
                assert!(there, "{}: {link}: no such section", page.display());
            }
            seen += 1;
        }
    }
    assert!(seen > 80, "{seen}");
}

#[test]
fn yaml_is_read_by_what_it_is_for() {
    let dir = tempfile::tempdir().unwrap();
    let (mut policies, mut manifests) = (0, 0);
    for page in pages() {
        for (line, block) in blocks(&page, &["yaml"]) {
            let at = format!("{}:{line}", page.display());
            for document in yaml::documents(block.as_bytes()) {
                let value: Value = document.unwrap().read().unwrap_or_else(|error| panic!("{at}: {error}"));
                match value["kind"].as_str() {
                    Some("InjectionPolicy") => {
                        let file = PolicyFile { name: at.clone(), text: block.clone() };
                        let set = PolicySet::from_files(&[file], &Rules::default());
                        assert!(set.is_ok() || is_meant_to_be_wrong(&page), "{}", set.unwrap_err());
                        policies += 1;
                    }
                    Some("Workflow" | "WorkflowTemplate" | "CronWorkflow" | "Pod") => {
                        let file = dir.path().join("manifest.yaml");
                        fs::write(&file, &block).unwrap();
                        let output = stepspan(&["dry-run", "-o", "summary", "--with", LINKS, file.to_str().unwrap()]);
                        let said = String::from_utf8_lossy(&output.stderr);
                        assert!(matches!(output.status.code(), Some(0 | 1)), "{at}: {said}");
                        manifests += 1;
                    }
                    _ => {}
                }
            }
        }
    }
    assert!(policies > 10 && manifests > 0, "{policies} policies, {manifests} manifests");
}

/// Rules of `lint` are shown by policies that break them; `tests/docs.rs` and the rules' own tests know which.
fn is_meant_to_be_wrong(page: &Path) -> bool {
    page.ends_with("docs/lint.md")
}

fn stepspan(args: &[&str]) -> std::process::Output {
    Command::new(env!("CARGO_BIN_EXE_stepspan")).current_dir(root()).args(args).output().unwrap()
}

/// The commands of a page: lines of `sh`, and those behind a `$` of `console`.
pub fn commands(page: &Path) -> Vec<(usize, String)> {
    let mut all = blocks(page, &["sh", "bash"]);
    for (line, block) in blocks(page, &["console"]) {
        let typed = block.lines().filter_map(|line| line.strip_prefix("$ ")).map(|line| format!("{line}\n"));
        all.push((line, typed.collect()));
    }
    all
}

#[test]
fn commands_are_a_shell_s() {
    for page in pages() {
        for (line, block) in commands(&page) {
            let output = Command::new("bash").args(["-n", "-c", &block]).output().unwrap();
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{}:{line}: {said}", page.display());
        }
    }
}

/// Each call of `stepspan`, wherever on a line it stands: the program knows its command and its options.
#[test]
fn options_are_those_of_the_program() {
    let mut calls = 0;
    for page in pages() {
        for (line, block) in commands(&page) {
            let joined = block.replace("\\\n", " ");
            let parts =
                joined.lines().filter_map(|line| line.split(" # ").next()).flat_map(|line| line.split(['|', ';']));
            for part in parts.flat_map(|part| part.split("&&")) {
                // By itself, or as kubectl's `exec ... -- stepspan ...` calls it.
                let call = part.split_once(" -- ").map_or(part, |(_, call)| call);
                let Some((_, words)) = call.trim().split_once(' ').filter(|(program, _)| is_program(program)) else {
                    continue;
                };
                let words = words.split_whitespace().take_while(|word| !word.starts_with(['>', '<']));
                let args: Vec<&str> = words.chain(["--help"]).collect();
                let output = stepspan(&args);
                let said = String::from_utf8_lossy(&output.stderr);
                assert!(output.status.success(), "{}:{line}: {args:?}: {said}", page.display());
                calls += 1;
            }
        }
    }
    assert!(calls > 8, "{calls}");
}

/// Pages whose commands need nothing but this repository are run as they stand.
#[test]
fn what_needs_no_cluster_is_run() {
    let programs = Path::new(env!("CARGO_BIN_EXE_stepspan")).parent().unwrap().display();
    let path = format!("{programs}:{}", std::env::var("PATH").unwrap());
    for (line, block) in commands(Path::new("docs/migration.md")) {
        let bash =
            Command::new("bash").args(["-e", "-c", &block]).current_dir(root()).env("PATH", &path).output().unwrap();
        let said = String::from_utf8_lossy(&bash.stderr);
        assert!(bash.status.success(), "docs/migration.md:{line}: {said}");
    }
}

fn is_program(word: &str) -> bool {
    word == "stepspan" || word == "/bin/stepspan"
}

/// What a page says can be made, can be made; a test that it names is there.
#[test]
fn recipes_and_tests_are_there() {
    let makefile = fs::read_to_string(root().join("Makefile")).unwrap();
    let sources = sources();
    for page in pages() {
        let text = text(&page);
        for recipe in text.split("`make ").skip(1).filter_map(|rest| rest.split(['`', ' ', '\n']).next()) {
            let there = makefile.lines().any(|line| line.starts_with(&format!("{recipe}:")));
            assert!(there, "{}: make {recipe}", page.display());
        }
        for call in text.split("`cargo test ").skip(1).filter_map(|rest| rest.split_once('`').map(|(call, _)| call)) {
            let Some((_, filter)) = call.split_once("-- ") else { continue };
            let last = filter.rsplit("::").find(|part| !part.is_empty()).unwrap();
            assert!(sources.contains(last), "{}: cargo test {call}: no {last}", page.display());
        }
    }
}

/// All tests' code.
fn sources() -> String {
    let mut all = String::new();
    let mut folders: Vec<PathBuf> = ["tests", "src", "crates", "benches"].map(|name| root().join(name)).into();
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|it| it == "rs") {
                all.push_str(&path.display().to_string());
                all.push_str(&fs::read_to_string(&path).unwrap());
            }
        }
    }
    all
}

/// The table of what was asked for: each line names a test, or several, that there are.
#[test]
fn what_is_accepted_is_proven_by_tests_that_are_there() {
    let page = text(Path::new("docs/observability.md"));
    let (_, table) = page.split_once("## What is proven").unwrap();
    let sources = sources();
    let rows: Vec<&str> = table.lines().filter(|line| line.starts_with("| ")).skip(1).collect();
    assert!(rows.len() > 20, "{}", rows.len());
    for row in rows {
        let proof = row.rsplit(" | ").next().unwrap();
        let names: Vec<&str> = proof.split('`').skip(1).step_by(2).collect();
        assert!(!names.is_empty(), "no test: {row}");
        for name in names {
            let last = name.rsplit("::").next().unwrap();
            let is_there = sources.contains(&format!("fn {last}(")) || sources.contains(&format!("{last}\""));
            assert!(is_there || root().join(name).exists(), "no test {name}: {row}");
        }
    }
}
