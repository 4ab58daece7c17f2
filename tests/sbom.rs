//! The bills of materials that `make image` writes beside the image, against what Cargo says of the same programs, and against the
//! programs themselves.

use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

#[path = "cluster/harness/digest.rs"]
mod digest;

use digest::sha256;

const PROGRAMS: [&str; 2] = ["stepspan", "stepspan-shim"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn target() -> PathBuf {
    root().join(env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into()))
}

fn text(program: &str) -> String {
    let path = target().join(format!("{program}.cdx.json"));
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}; write it with: make image", path.display()))
}

fn bill(program: &str) -> Value {
    serde_json::from_str(&text(program)).unwrap()
}

/// `name@version` and licence of each crate that it lists, its own among them, as `pkg:cargo` names them.
fn listed(bill: &Value) -> BTreeMap<String, String> {
    let parts = bill["components"].as_array().unwrap().iter().chain([&bill["metadata"]["component"]]);
    let crates = parts.filter_map(|part| Some((part["purl"].as_str()?.strip_prefix("pkg:cargo/")?, part)));
    let licence = |part: &Value| expression(part["licenses"][0]["expression"].as_str().unwrap_or_default());
    crates.map(|(purl, part)| (purl.to_owned(), licence(part))).collect()
}

/// An SPDX expression, also of what crates wrote before those were asked for: `MIT / Apache-2.0`.
fn expression(licence: &str) -> String {
    licence.replace('/', " OR ").split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The same, as Cargo resolves it for what the program was built for, with the features it was built with.
fn resolved(program: &str, bill: &Value) -> BTreeMap<String, String> {
    let triple = bill["metadata"]["properties"][0]["value"].as_str().expect("what it was built for");
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--locked", "--package", program, "--target", triple, "--edges", "normal,no-proc-macro"])
        .args(["--prefix", "none", "--no-dedupe", "--format", "{p}|{l}"])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines = String::from_utf8(output.stdout).unwrap();
    let entry = |line: &str| {
        let (package, licence) = line.split_once('|').unwrap();
        let mut words = package.split(' ');
        let (name, version) = (words.next().unwrap(), words.next().unwrap().trim_start_matches('v'));
        (format!("{name}@{version}"), expression(licence))
    };
    lines.lines().map(entry).collect()
}

/// `name@version` to checksum, of every package that came from a registry.
fn locked() -> BTreeMap<String, String> {
    let lock = fs::read_to_string(root().join("Cargo.lock")).unwrap();
    let field = |package: &str, key: &str| {
        let start = format!("{key} = \"");
        Some(package.lines().find_map(|line| line.strip_prefix(&start))?.trim_end_matches('"').to_owned())
    };
    lock.split("[[package]]")
        .filter_map(|package| {
            let id = format!("{}@{}", field(package, "name")?, field(package, "version")?);
            Some((id, field(package, "checksum")?))
        })
        .collect()
}

#[test]
fn it_lists_the_crates_that_cargo_resolves_and_their_licences() {
    for program in PROGRAMS {
        let bill = bill(program);
        let (listed, resolved) = (listed(&bill), resolved(program, &bill));
        assert!(resolved.len() > 40, "{program}: {resolved:?}");
        assert_eq!(listed, resolved, "{program}; of other sources than these? make image");
    }
}

#[test]
fn checksums_are_those_of_the_lock_file() {
    let locked = locked();
    for program in PROGRAMS {
        let bill = bill(program);
        for part in bill["components"].as_array().unwrap() {
            let Some(id) = part["purl"].as_str().unwrap().strip_prefix("pkg:cargo/") else { continue };
            assert_eq!(part["hashes"][0]["content"].as_str(), locked.get(id).map(String::as_str), "{program}: {id}");
            assert_eq!(locked.contains_key(id), !id.starts_with("stepspan"), "{id}");
        }
    }
}

#[test]
fn it_is_of_this_very_program_and_names_what_else_is_linked() {
    for program in PROGRAMS {
        let bill = bill(program);
        let path = target().join("container").join(program);
        let digest = sha256(&fs::read(path).unwrap());
        assert_eq!(bill["metadata"]["component"]["hashes"][0]["content"], digest, "{program}");
        let parts = bill["components"].as_array().unwrap();
        let others: BTreeSet<_> = parts
            .iter()
            .filter(|part| part["purl"].as_str().unwrap().starts_with("pkg:generic/"))
            .map(|part| part["name"].as_str().unwrap())
            .collect();
        assert_eq!(others, ["glibc", "libgcc", "rust-std"].into(), "{program}");
    }
}

/// Each edge is between things that are listed.
#[test]
fn its_graph_is_closed_and_reaches_every_crate() {
    for program in PROGRAMS {
        let bill = bill(program);
        let listed: BTreeSet<_> = listed(&bill).into_keys().map(|id| format!("pkg:cargo/{id}")).collect();
        let edges = bill["dependencies"].as_array().unwrap();
        let mut reached = BTreeSet::from([bill["metadata"]["component"]["bom-ref"].as_str().unwrap().to_owned()]);
        let name = |value: &Value| value.as_str().unwrap().to_owned();
        assert_eq!(edges.iter().map(|edge| name(&edge["ref"])).collect::<BTreeSet<_>>(), listed, "{program}");
        for _ in 0..edges.len() {
            let from: Vec<_> = edges.iter().filter(|edge| reached.contains(edge["ref"].as_str().unwrap())).collect();
            reached.extend(from.iter().flat_map(|edge| edge["dependsOn"].as_array().unwrap()).map(name));
        }
        assert_eq!(reached, listed, "{program}");
    }
}

#[test]
fn it_says_nothing_of_the_machine_that_wrote_it() {
    for program in PROGRAMS {
        let text = text(program);
        for word in [env!("CARGO_MANIFEST_DIR"), "file://", "serialNumber"] {
            assert!(!text.contains(word), "{program}: {word}");
        }
        assert!(text.contains("1970-01-01T00:00:00"), "{program}: a time of its own");
    }
}
