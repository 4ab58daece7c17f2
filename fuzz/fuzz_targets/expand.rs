//! Expands arbitrary YAML as Workflows and templates: they may be refused, but nothing panics, overflows, hangs, or outgrows its bounds.
//!
//! `cargo +nightly fuzz run expand -- -max_len=6000 -timeout=20 -rss_limit_mb=4000 corpus tests/cluster/expansion`

#![no_main]

use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use stepspan::argo::expand::{self, Library, MAX_NODES, Settings, Version, source};
use stepspan::yaml;

fuzz_target!(|text: &str| {
    let manifests: Vec<Value> = yaml::documents(text.as_bytes()).filter_map(|d| d.ok()?.read().ok()).collect();
    let mut library = Library::default();
    for manifest in &manifests {
        library.take(manifest, "ci");
    }
    for manifest in &manifests {
        for version in [Version::V3_7, Version::V4_1InitLess] {
            let Ok(settings) = Settings::new(version, library.controller_config()) else { continue };
            let Ok(found) = expand::expand(&source::workflow(manifest), "ci", &library, &settings) else { continue };
            assert!(found.nodes.len() <= MAX_NODES + 1 && found.pods.len() <= found.nodes.len());
            for pod in &found.pods {
                assert!(pod.object["spec"]["containers"].is_array(), "{}", pod.object);
                let _ = found.conditions(pod.node);
            }
        }
    }
});
