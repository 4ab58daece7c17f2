use std::{fs, path::Path};

use serde_json::Value;
use stepspan::{policy::crd, yaml};

use super::{CHART, diff, render, text};

/// The table of `charts/stepspan/README.md` is made from the comments of `values.yaml` (`ACCEPT=1` makes it anew).
#[test]
fn the_readme_says_what_the_values_say() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(CHART);
    let values = fs::read_to_string(folder.join("values.yaml")).unwrap();
    let readme = fs::read_to_string(folder.join("README.md")).unwrap();
    let (head, rest) = readme.split_once(BEGIN).expect("the marker of the table");
    let (_, tail) = rest.split_once(END).expect("the marker of its end");
    let expected = format!("{head}{BEGIN}\n\n{}\n{END}{tail}", table(&values));
    if std::env::var_os("ACCEPT").is_some() {
        fs::write(folder.join("README.md"), &expected).unwrap();
        return;
    }
    assert!(readme == expected, "README.md says otherwise: make accept\n{}", diff(&readme, &expected));
}

/// `templates/crd.yaml` is made from the types that read policies (`ACCEPT=1` makes it anew).
#[test]
fn the_definition_of_policies_is_that_of_the_types() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(CHART).join("templates/crd.yaml");
    let mut definition = crd::definition();
    definition["metadata"]["annotations"] = serde_json::json!({"helm.sh/resource-policy": "keep"});
    let mut written = Vec::new();
    yaml::write(&definition, &mut written).unwrap();
    let written = text(&written);
    assert!(!written.contains("{{"), "Helm would read a template in it");
    let expected = format!("{{{{- if .Values.crd.install }}}}\n{CRD_HEAD}\n{written}{{{{- end }}}}\n");
    if std::env::var_os("ACCEPT").is_some() {
        fs::write(&path, &expected).unwrap();
    }
    let found = fs::read_to_string(&path).unwrap_or_default();
    assert!(found == expected, "templates/crd.yaml is another: make accept\n{}", diff(&found, &expected));
}

/// Helm reads no templates in them, though Grafana's legends look like some.
#[test]
fn a_dashboard_in_a_config_map_is_its_file() {
    let rendered =
        render(&["--set", "dashboards.enabled=true", "--set", "dashboards.annotations.grafana_folder=steps"]);
    let maps: Vec<Value> = yaml::documents(rendered.as_bytes())
        .map(|document| document.unwrap().read().unwrap())
        .filter(|object| object["metadata"]["labels"]["grafana_dashboard"] == "1")
        .collect();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(CHART).join("dashboards");
    let mut found = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = format!("stepspan-{}", path.file_name().unwrap().to_string_lossy());
        let map = maps.iter().find(|map| map["data"][&name].is_string()).unwrap_or_else(|| panic!("no {name}"));
        assert_eq!(map["data"][&name].as_str().unwrap().trim(), fs::read_to_string(&path).unwrap().trim());
        assert_eq!(map["metadata"]["annotations"]["grafana_folder"], "steps");
        found += 1;
    }
    assert_eq!((maps.len(), found > 1), (found, true));
}

const CRD_HEAD: &str = "\
# Made from src/policy/spec by `make accept`. Helm upgrades it like any other object, and leaves it when the release goes: with it
# would go every policy.";
const BEGIN: &str = "<!-- values -->";
const END: &str = "<!-- end -->";

/// A row for each value, with the comment before it; a comment before a group stands in a row of its own.
fn table(values: &str) -> String {
    let mut rows = vec!["| value | default | |".to_owned(), "|---|---|---|".to_owned()];
    let (mut path, mut said): (Vec<(usize, &str)>, Vec<&str>) = (Vec::new(), Vec::new());
    for line in values.lines() {
        let text = line.trim_start();
        let indent = line.len() - text.len();
        if let Some(comment) = text.strip_prefix('#') {
            said.push(comment.trim());
        } else if let Some((key, value)) = text.split_once(':') {
            path.retain(|(depth, _)| *depth < indent);
            path.push((indent, key));
            let name = path.iter().map(|(_, key)| *key).collect::<Vec<_>>().join(".");
            let (value, said) = (value.trim(), std::mem::take(&mut said).join(" ").replace('|', "\\|"));
            if !value.is_empty() || !said.is_empty() {
                let value = if value.is_empty() { String::new() } else { format!("`{value}`") };
                rows.push(format!("| `{name}` | {value} | {said} |"));
            }
        } else {
            said.clear();
        }
    }
    rows.join("\n") + "\n"
}
