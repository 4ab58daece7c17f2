//! Custom resources' definitions from a folder of manifests.

use std::{fs, path::Path, time::Duration};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::{api::Api, wait::until};

const COLLECTION: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
const LIMIT: Duration = Duration::from_mins(5);

/// Applies every file of `folder`, and returns when objects of all kinds can be created.
pub fn install(api: &Api, folder: &Path) -> Result<()> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder)? {
        let manifest = fs::read_to_string(entry?.path())?;
        let name = manifest
            .lines()
            .find_map(|line| line.strip_prefix("  name: "))
            .with_context(|| format!("a CRD without a name in {}", folder.display()))?
            .to_owned();
        api.apply(&format!("{COLLECTION}/{name}"), manifest.into_bytes())?.accepted().context(name.clone())?;
        names.push(name);
    }
    ensure!(!names.is_empty(), "no CRDs in {}", folder.display());
    for name in names {
        until(&format!("CRD {name} to be established"), LIMIT, || {
            let crd = api.get(&format!("{COLLECTION}/{name}"))?.accepted()?;
            let conditions = crd["status"]["conditions"].as_array();
            let established = json!("Established");
            let is_true = |c: &Value| c["type"] == established && c["status"] == "True";
            Ok(conditions.is_some_and(|all| all.iter().any(is_true)).then_some(()))
        })?;
    }
    Ok(())
}
