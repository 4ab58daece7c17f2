//! Files that nobody means well with, at every place where a command takes one: an error that names the file, exit code 2, bounded memory and time.

use std::fs;
use std::io::Read;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

const PROGRAM: &str = env!("CARGO_BIN_EXE_stepspan");
/// Address space, in KiB: the allocator reserves more than it uses.
const MEMORY: usize = 3 << 20;
/// Only a guard against hangs: all of it takes a second.
const LIMIT: Duration = Duration::from_mins(1);

const GOOD: &str = "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec: {containers: []}\n";
const SUITE: &str = "apiVersion: stepspan.dev/v1alpha1\nkind: PolicyTest\npolicies: [good-policy.yaml]\ncases:\n- name: x\n  input: {file: FILE}\n  expect: {outcome: injected}\n";
const POLICY: &str =
    "apiVersion: stepspan.dev/v1alpha1\nkind: InjectionPolicy\nmetadata: {name: p}\nspec: {match: {templates: [x]}}\n";

/// What stands in the files, by their names.
fn hostile() -> Vec<(&'static str, Vec<u8>)> {
    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for i in 1..12 {
        let names = vec![format!("*a{}", i - 1); 10].join(", ");
        bomb += &["a", &i.to_string(), ": &a", &i.to_string(), " [", &names, "]\n"].concat();
    }
    let deep_json = format!("{}1{}", "[".repeat(200_000), "]".repeat(200_000));
    let deep_yaml = (0..3_000).map(|depth| " ".repeat(depth) + "a:\n").collect::<Vec<_>>().concat();
    let mut large = b"apiVersion: v1\nkind: Pod\nmetadata: {name: x, annotations: {a: ".to_vec();
    large.resize(100 << 20, b'x');
    vec![
        ("latin1.yaml", b"kind: Pod\nmetadata: {name: caf\xe9}\n".to_vec()),
        ("binary.yaml", (0..=255u8).cycle().take(10_000).collect()),
        ("zeros.yaml", vec![0; 10_000]),
        ("bomb.yaml", bomb.into_bytes()),
        ("deep.json", deep_json.into_bytes()),
        ("deep.yaml", deep_yaml.into_bytes()),
        ("large.yaml", large),
        ("open.yaml", b"kind: [Pod\n".to_vec()),
        ("scalar.yaml", b"only text\n".to_vec()),
        ("list.yaml", b"- 1\n- 2\n".to_vec()),
        ("empty.yaml", Vec::new()),
    ]
}

/// Runs the program with bounded memory; what it printed, both streams.
fn run(folder: &Path, args: &[&str]) -> (Option<i32>, String) {
    let begun = Instant::now();
    let bounded = format!("ulimit -v {MEMORY}; exec \"$0\" \"$@\"");
    let mut command = Command::new("bash");
    let command = command.args(["-c", &bounded, PROGRAM]).args(args).current_dir(folder).stdin(Stdio::null());
    let Output { status, stdout, stderr } = command.output().unwrap();
    assert!(begun.elapsed() < LIMIT, "{args:?} took {:?}", begun.elapsed());
    let text = [stdout, stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    assert!(!text.contains("panicked") && !text.contains("memory allocation"), "{args:?}: {text}");
    (status.code(), text)
}

#[test]
fn every_place_that_takes_a_file_refuses_what_is_none() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &[u8]| fs::write(folder.path().join(name), text).unwrap();
    write("good.yaml", GOOD.as_bytes());
    write("good-policy.yaml", POLICY.as_bytes());
    for (file, bytes) in hostile() {
        write(file, &bytes);
        write("suite.yaml", SUITE.replace("FILE", file).as_bytes());
        let places: &[&[&str]] = &[
            &["dry-run", file],
            &["dry-run", "--expand-only", file],
            &["dry-run", "-o", "sarif", file],
            &["dry-run", "good.yaml", "--policy", file],
            &["dry-run", "good.yaml", "--context", file],
            &["explain", file],
            &["trace", file],
            &["diff", "good.yaml", "--policy-new", file],
            &["diff", file, "--policy-new", "good-policy.yaml"],
            &["test", file],
            &["test", "suite.yaml"],
            &["test", "--update", file],
            &["init", "--from", file, "--into", "new"],
            &["dry-run", "-o", "html", file],
            &["replay", "--log", file],
            &["replay", "--log", "good.yaml", "--policy", file],
        ];
        for args in places {
            let (code, text) = run(folder.path(), args);
            let suite = args.contains(&"suite.yaml");
            // A case whose input is none fails.
            assert!(code == Some(if suite { 1 } else { 2 }), "{args:?}: {code:?} {text}");
            assert!(text.contains(file) || suite, "{args:?} does not name the file: {text}");
        }
        let (code, text) = run(folder.path(), &["lint", file]);
        let lacks = file == "empty.yaml" || text.contains("cannot read");
        assert!(matches!(code, Some(1 | 2)) && (text.contains(file) || lacks), "{file}: {code:?} {text}");
    }
}

#[test]
fn what_is_not_there_is_named() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("good.yaml"), GOOD).unwrap();
    std::os::unix::fs::symlink("loop", folder.path().join("loop")).unwrap();
    for path in ["gone.yaml", "good.yaml/below", "loop"] {
        for args in [
            &["dry-run", path][..],
            &["dry-run", "good.yaml", "--policy", path],
            &["dry-run", "good.yaml", "--with", path],
            &["explain", path],
            &["lint", path],
            &["test", path],
            &["init", "--from", path],
            &["replay", "--log", path],
        ] {
            let (code, text) = run(folder.path(), args);
            assert!(code == Some(2) && text.contains(path), "{args:?}: {code:?} {text}");
        }
    }
}

/// Nobody writes into it, so whoever opens it waits for ever.
#[test]
fn a_fifo_in_a_folder_is_passed_over() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::create_dir(at("m")).unwrap();
    fs::write(at("good.yaml"), GOOD).unwrap();
    fs::write(at("m/policy.yaml"), POLICY).unwrap();
    for name in ["m/pod.yaml", "m/tests.yaml", "m/a.json"] {
        assert!(Command::new("mkfifo").arg(at(name)).status().unwrap().success());
    }
    for (args, expected) in [
        (&["dry-run", "good.yaml", "--policy", "m"][..], 0),
        (&["dry-run", "good.yaml", "m"], 0),
        (&["dry-run", "good.yaml", "--with", "m"], 0),
        (&["lint", "m", "--fail-on", "error"], 0),
        (&["test", "m"], 1),
        (&["init", "--from", "m", "--into", "new"], 2),
    ] {
        let mut command = Command::new("timeout");
        let done = command.args(["60", PROGRAM]).args(args).current_dir(folder.path()).output().unwrap();
        assert_eq!(done.status.code(), Some(expected), "{args:?}: {done:?}");
    }
}

#[test]
fn a_folder_that_cannot_be_read_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let set = |path: &Path, mode: u32| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    fs::create_dir_all(at("m/sub")).unwrap();
    fs::write(at("good.yaml"), GOOD).unwrap();
    fs::write(at("m/policy.yaml"), POLICY).unwrap();
    // Root may read everything, so it is somebody else then, who need not be let into the folder where the program was built.
    fs::hard_link(PROGRAM, at("stepspan")).or_else(|_| fs::copy(PROGRAM, at("stepspan")).map(drop)).unwrap();
    set(folder.path(), 0o755);
    set(&at("m/sub"), 0o000);
    let root = fs::metadata(folder.path()).unwrap().uid() == 0;
    let done = [
        &["dry-run", "good.yaml", "--policy", "m"][..],
        &["lint", "m"],
        &["test", "m"],
        &["init", "--from", "m", "--into", "new"],
    ]
    .map(|args| {
        let mut command = Command::new(at("stepspan"));
        command.args(args).current_dir(folder.path());
        if root {
            command.uid(65534).gid(65534);
        }
        (args, command.output().unwrap())
    });
    set(&at("m/sub"), 0o755);
    for (args, Output { status, stderr, .. }) in done {
        let said = String::from_utf8_lossy(&stderr);
        assert!(status.code() == Some(2) && said.contains("m/sub: permission denied"), "{args:?}: {said}");
    }
}

#[test]
fn a_folder_that_holds_nothing_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("good.yaml"), GOOD).unwrap();
    fs::create_dir_all(folder.path().join("none/deeper")).unwrap();
    fs::write(folder.path().join("none/deeper/template.yaml"), GOOD).unwrap();
    for args in [&["dry-run", "none"][..], &["dry-run", "good.yaml", "--with", "none"]] {
        let (code, text) = run(folder.path(), args);
        assert!(code == Some(2) && text.contains("none: no manifest in this folder"), "{args:?}: {code:?} {text}");
    }
}

#[test]
fn templates_that_go_round_end() {
    let folder = tempfile::tempdir().unwrap();
    let template = |name: &str, other: &str| {
        format!(
            "apiVersion: argoproj.io/v1alpha1\nkind: WorkflowTemplate\nmetadata: {{name: {name}}}\nspec:\n  entrypoint: t\n  templates:\n  \
             - name: t\n    steps: [[{{name: s, templateRef: {{name: {other}, template: t}}}}]]\n"
        )
    };
    let workflow = "apiVersion: argoproj.io/v1alpha1\nkind: Workflow\nmetadata: {name: w}\nspec: {workflowTemplateRef: {name: a}}\n";
    let text = [template("a", "b"), template("b", "a"), workflow.to_owned()].join("---\n");
    fs::write(folder.path().join("round.yaml"), text).unwrap();
    for args in
        [&["dry-run", "round.yaml"][..], &["explain", "round.yaml"], &["init", "--from", "round.yaml", "--into", "x"]]
    {
        let (code, text) = run(folder.path(), args);
        assert!(code == Some(2) && text.contains("round.yaml"), "{args:?}: {code:?} {text}");
    }
}

/// A reader that goes away early, as `head` does, is no fault, and takes no exit code away.
#[test]
fn a_closed_pipe_is_no_fault() {
    let folder = tempfile::tempdir().unwrap();
    let bad = POLICY.replace("templates: [x]", "namespaces: {include: []}");
    let one = |i: usize| ["---\n", &bad.replace("name: p", &format!("name: p{i}"))].concat();
    let many = (0..3_000).map(one).collect::<Vec<_>>().concat();
    fs::write(folder.path().join("many.yaml"), many).unwrap();
    for (args, expected) in
        [(&["lint", "many.yaml"][..], 1), (&["lint", "many.yaml", "-o", "sarif"], 1), (&["schema"], 0)]
    {
        let mut command = Command::new(PROGRAM);
        command.args(args).current_dir(folder.path()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut first = [0; 1];
        child.stdout.take().unwrap().read_exact(&mut first).unwrap();
        let done = child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        assert!(
            done.status.code() == Some(expected) && !said.contains("roken pipe"),
            "{args:?}: {:?} {said}",
            done.status
        );
    }
}
