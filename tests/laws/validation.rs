//! What the API server refuses in a pod, as far as an injector can cause it.
//!
//! After `ValidatePodCreate` of `k8s.io/kubernetes/pkg/apis/core/validation` and `k8s.io/apimachinery/pkg/util/validation`.

use std::collections::BTreeSet;

use regex::Regex;
use serde_json::Value;

use crate::case::{list, text};

const DNS_LABEL: &str = "^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$";
const DNS_SUBDOMAIN: &str = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$";
const QUALIFIED: &str = "^([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]$";
const ENV_NAME: &str = "^[-._a-zA-Z][-._a-zA-Z0-9]*$";
const CONFIG_KEY: &str = "^[-._a-zA-Z0-9]+$";

/// All reasons to refuse a pod.
pub fn faults(pod: &Value) -> Vec<String> {
    let mut faults = Faults(Vec::new());
    faults.metadata(&pod["metadata"]);
    faults.spec(&pod["spec"]);
    faults.0
}

/// Whether a text has the form of a pattern.
pub fn is(pattern: &str, text: &str, longest: usize) -> bool {
    text.len() <= longest && Regex::new(pattern).unwrap().is_match(text) && !text.ends_with('\n')
}

pub fn is_label_value(text: &str) -> bool {
    text.is_empty() || is(QUALIFIED, text, 63)
}

pub fn is_qualified_name(key: &str) -> bool {
    match key.split_once('/') {
        Some((prefix, name)) => is(DNS_SUBDOMAIN, prefix, 253) && is(QUALIFIED, name, 63),
        None => is(QUALIFIED, key, 63),
    }
}

struct Faults(Vec<String>);

impl Faults {
    fn check(&mut self, fits: bool, what: impl FnOnce() -> String) {
        if !fits {
            self.0.push(what());
        }
    }

    fn metadata(&mut self, metadata: &Value) {
        let (name, generated) = (text(metadata, "name"), text(metadata, "generateName"));
        self.check(!name.is_empty() || !generated.is_empty(), || "no name".to_owned());
        self.check(name.is_empty() || is(DNS_SUBDOMAIN, name, 253), || format!("name {name}"));
        for (key, value) in metadata["labels"].as_object().into_iter().flatten() {
            self.check(is_qualified_name(key), || format!("label {key}"));
            self.check(value.as_str().is_some_and(is_label_value), || format!("label {key}: {value}"));
        }
        let mut size = 0;
        for (key, value) in metadata["annotations"].as_object().into_iter().flatten() {
            self.check(is_qualified_name(&key.to_lowercase()), || format!("annotation {key}"));
            self.check(value.is_string(), || format!("annotation {key}: {value}"));
            size += key.len() + value.as_str().map_or(0, str::len);
        }
        self.check(size <= 256 * 1024, || format!("{size} bytes of annotations"));
    }

    fn spec(&mut self, spec: &Value) {
        let mut volumes = BTreeSet::new();
        for volume in list(spec, "volumes") {
            let name = text(volume, "name");
            self.check(is(DNS_LABEL, name, 63), || format!("volume {name}"));
            self.check(volumes.insert(name), || format!("volume {name} twice"));
            self.check(volume.as_object().is_some_and(|v| v.len() == 2), || format!("volume {name}: one source"));
            let path = &volume["downwardAPI"]["items"][0]["fieldRef"]["fieldPath"];
            let key = path.as_str().map(|p| p.trim_start_matches("metadata.annotations['").trim_end_matches("']"));
            self.check(key.is_none_or(is_qualified_name), || format!("volume {name}: {path}"));
        }
        let mut names = BTreeSet::new();
        self.check(!list(spec, "containers").is_empty(), || "no containers".to_owned());
        for container in list(spec, "initContainers").iter().chain(list(spec, "containers")) {
            let name = text(container, "name");
            self.check(is(DNS_LABEL, name, 63), || format!("container {name}"));
            self.check(names.insert(name), || format!("container {name} twice"));
            self.check(!text(container, "image").is_empty(), || format!("container {name}: no image"));
            self.env(container);
            self.mounts(container, &volumes);
            self.resources(container);
        }
    }

    fn env(&mut self, container: &Value) {
        for entry in list(container, "env") {
            let name = text(entry, "name");
            self.check(is(ENV_NAME, name, 4096), || format!("env {name}"));
            let both = !text(entry, "value").is_empty() && entry.get("valueFrom").is_some();
            self.check(!both, || format!("env {name}: value and valueFrom"));
            if let Some(secret) = entry["valueFrom"].get("secretKeyRef") {
                self.check(is(DNS_SUBDOMAIN, text(secret, "name"), 253), || format!("secret {secret}"));
                self.check(is(CONFIG_KEY, text(secret, "key"), 253), || format!("secret {secret}"));
            }
        }
    }

    fn mounts(&mut self, container: &Value, volumes: &BTreeSet<&str>) {
        let devices = list(container, "volumeDevices");
        let mut paths = BTreeSet::new();
        for mount in list(container, "volumeMounts") {
            let (name, path) = (text(mount, "name"), text(mount, "mountPath"));
            self.check(volumes.contains(name), || format!("mount of no volume {name}"));
            self.check(!path.is_empty() && paths.insert(path), || format!("mount path {path}"));
            self.check(!devices.iter().any(|d| text(d, "devicePath") == path), || format!("device path {path}"));
            self.check(!devices.iter().any(|d| text(d, "name") == name), || format!("device and mount {name}"));
        }
        for device in devices {
            self.check(volumes.contains(text(device, "name")), || format!("device of no volume {device}"));
        }
    }

    fn resources(&mut self, container: &Value) {
        let resources = &container["resources"];
        for kind in ["requests", "limits"] {
            for (name, amount) in resources[kind].as_object().into_iter().flatten() {
                self.check(quantity(amount).is_some(), || format!("{kind} {name}: {amount}"));
            }
        }
        for (name, limit) in resources["limits"].as_object().into_iter().flatten() {
            let request = resources["requests"].get(name).and_then(quantity);
            self.check(request.is_none_or(|r| Some(r) <= quantity(limit)), || format!("{name}: over its limit"));
        }
    }
}

/// A quantity (`k8s.io/apimachinery/pkg/api/resource`): a number and a binary, decimal or exponent suffix.
pub fn quantity(value: &Value) -> Option<f64> {
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let form = Regex::new(r"^([+-]?[0-9]*\.?[0-9]*)([eE][+-]?[0-9]+|[numkMGTPE]?|[KMGTPE]i)$").unwrap();
    let parts = form.captures(&text)?;
    let number: f64 = parts[1].parse().ok()?;
    let suffix = &parts[2];
    let position = |units: &str| suffix.chars().next().and_then(|c| units.find(c));
    let factor = match suffix {
        "" => 1.0,
        "n" => 1e-9,
        "u" => 1e-6,
        "m" => 1e-3,
        binary if binary.ends_with('i') => 1024f64.powi(i32::try_from(position("KMGTPE")?).ok()? + 1),
        decimal if decimal.len() == 1 => 1000f64.powi(i32::try_from(position("kMGTPE")?).ok()? + 1),
        exponent => format!("1{exponent}").parse().ok()?,
    };
    Some(number * factor)
}
