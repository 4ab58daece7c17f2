//! The images that pods of the trials run, put together here: no registry is asked.
//!
//! A docker archive is three files (Docker Image Specification v1.2): a configuration, a layer, and a manifest that names both.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::Path,
    process::Command,
};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::NodeTools;
use crate::harness::digest::sha256;

pub const PAUSE: &str = "localhost/pause:1";
pub const ARGOEXEC: &str = "localhost/argoexec:1";
/// A shell and its tools, static.
const BUSYBOX: &str = "localhost/busybox:1";
/// One static program, `/busybox`, and nothing else.
const SCRATCH: &str = "localhost/scratch:1";
/// bash and coreutils, linked dynamically.
const DEBIAN: &str = "localhost/debian:1";

/// A Collector, where a trial asks for it.
pub const OTELCOL: &str = "localhost/otelcol:1";

/// stepspan's own, as the chart names it.
const STEPSPAN: &str = concat!("docker.io/stepspan/stepspan:", env!("CARGO_PKG_VERSION"));

/// Takes stepspan's own image away: containers that run go on, new ones find it nowhere.
pub fn remove_own() -> Result<()> {
    let output = Command::new("ctr").args(["--namespace", "k8s.io", "images", "rm", "--sync", STEPSPAN]).output()?;
    ensure!(output.status.success(), "ctr images rm: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

/// Brings it back.
pub fn restore_own(tools: &NodeTools) -> Result<()> {
    import(&tools.stepspan_image)
}

/// Puts together and imports every image, stepspan's own among them.
pub fn import_all(tools: &NodeTools, work: &Path) -> Result<()> {
    let amended = |add: Value| {
        let mut config = json!({"Env": ["PATH=/usr/bin:/bin:/usr/sbin:/sbin"]});
        for (key, value) in add.as_object().into_iter().flatten() {
            config[key] = value.clone();
        }
        config
    };
    let pause = json!({"Entrypoint": ["/bin/busybox", "sleep", "2147483647"]});
    build(work, PAUSE, &amended(pause), |root| put(&tools.busybox, &root.join("bin/busybox")))?;
    build(work, BUSYBOX, &amended(json!({})), |root| install_busybox(&tools.busybox, root))?;
    build(work, SCRATCH, &json!({}), |root| put(&tools.busybox, &root.join("busybox")))?;
    build(work, DEBIAN, &amended(json!({})), |root| copy_tree(&tools.debian_root, root))?;
    build(work, ARGOEXEC, &amended(json!({"User": "8737"})), |root| {
        put(&tools.argoexec, &root.join("bin/argoexec"))?;
        // As Argo's own image has it, for manifests of resources.
        world_writable(&root.join("tmp"))
    })?;
    import(&tools.stepspan_image)
}

/// The Collector as an image, such as its own project's: the program is what it starts.
pub fn import_collector(program: &Path, work: &Path) -> Result<()> {
    build(work, OTELCOL, &json!({"Entrypoint": ["/otelcol"]}), |root| put(program, &root.join("otelcol")))
}

fn install_busybox(busybox: &Path, root: &Path) -> Result<()> {
    put(busybox, &root.join("bin/busybox"))?;
    let applets = Command::new(busybox).arg("--list").output()?;
    for applet in String::from_utf8(applets.stdout)?.lines().filter(|name| *name != "busybox") {
        symlink("busybox", root.join("bin").join(applet))?;
    }
    world_writable(&root.join("tmp"))
}

fn copy_tree(from: &Path, root: &Path) -> Result<()> {
    let output = Command::new("cp").arg("-a").arg(from.join(".")).arg(root).output()?;
    ensure!(output.status.success(), "cp: {}", String::from_utf8_lossy(&output.stderr));
    world_writable(&root.join("tmp"))
}

fn world_writable(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder)?;
    Ok(fs::set_permissions(folder, fs::Permissions::from_mode(0o1777))?)
}

fn put(program: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to.parent().context("no folder")?)?;
    fs::copy(program, to).with_context(|| program.display().to_string())?;
    Ok(fs::set_permissions(to, fs::Permissions::from_mode(0o755))?)
}

fn build(work: &Path, tag: &str, config: &Value, fill: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    let _ = fs::remove_dir_all(work);
    let root = work.join("root");
    fs::create_dir_all(&root)?;
    fill(&root).with_context(|| format!("image {tag}"))?;
    fs::set_permissions(&root, fs::Permissions::from_mode(0o755))?;
    let layer = work.join("layer.tar");
    tar(&root, &layer, &["."])?;
    let digest = sha256(&fs::read(&layer)?);
    let architecture = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
    let config = json!({
        "architecture": architecture, "os": "linux", "config": config,
        "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{digest}")]},
    });
    fs::write(work.join("config.json"), serde_json::to_vec(&config)?)?;
    let manifest = json!([{"Config": "config.json", "RepoTags": [tag], "Layers": ["layer.tar"]}]);
    fs::write(work.join("manifest.json"), serde_json::to_vec(&manifest)?)?;
    let archive = work.join("image.tar");
    tar(work, &archive, &["config.json", "layer.tar", "manifest.json"])?;
    import(&archive)?;
    Ok(fs::remove_dir_all(work)?)
}

fn tar(folder: &Path, archive: &Path, members: &[&str]) -> Result<()> {
    let output = Command::new("tar")
        .args(["--owner=0", "--group=0", "--numeric-owner", "-C"])
        .arg(folder)
        .arg("-cf")
        .arg(archive)
        .args(members)
        .output()?;
    ensure!(output.status.success(), "tar: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

fn import(archive: &Path) -> Result<()> {
    let output = Command::new("ctr").args(["--namespace", "k8s.io", "images", "import"]).arg(archive).output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "ctr images import {}: {}", archive.display(), said.trim());
    Ok(())
}
