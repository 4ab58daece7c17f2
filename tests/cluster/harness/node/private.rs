//! Namespaces of the trials' own: network, mounts, processes.
//!
//! The test program starts itself anew through `unshare` and goes on inside. There it is process 1: with it goes every
//! container, every mount, every packet filter rule and every interface. Control groups are swept up after it, see [`cgroups`].

use std::{
    env, fs,
    path::Path,
    process::{Command, ExitStatus},
};

use anyhow::{Context, Result, ensure};

use super::{ADDRESS, BLACK_HOLE_PORT, cgroups};
use crate::harness::{
    control_plane::SERVICE_RANGE,
    run_dir::{INHERITED, RunDir},
};

pub const BRIDGE: &str = "cni0";
const INSIDE: &str = "STEPSPAN_PRIVATE";
/// Folders that kubelet and containerd insist on; what they write there goes with the run. Without the last two, they would meet
/// what another kubelet or containerd of the machine keeps.
const HIDDEN: [&str; 5] = ["/run", "/var/log", "/var/lib/cni", "/var/lib/containerd", "/var/lib/kubelet"];

/// Whether this process is the one inside.
pub fn inside() -> bool {
    env::var_os(INSIDE).is_some()
}

/// Runs this program again inside, with the same arguments, until it ends.
pub fn run(cache: &Path) -> Result<ExitStatus> {
    let dir = RunDir::create(cache)?;
    let program = env::current_exe()?;
    let status = Command::new("setpriv")
        .args(["--pdeathsig", "KILL", "--", "unshare", "--net", "--mount", "--pid", "--fork", "--kill-child"])
        .args(["--mount-proc", "--propagation", "private", "--"])
        .arg(program)
        .args(env::args_os().skip(1))
        .env(INSIDE, "1")
        .env(INHERITED, dir.path())
        .status()
        .context("cannot start the trials with a node in namespaces of their own (unshare of util-linux)");
    cgroups::sweep();
    status
}

/// Called inside, before anything else: interfaces, folders, and a port that swallows what comes.
pub fn furnish() -> Result<()> {
    cgroups::prepare();
    // Mounts of containers are made in namespaces below this one, and have to be seen by each other.
    command("mount", &["--make-rshared", "/"])?;
    for folder in HIDDEN {
        fs::create_dir_all(folder).with_context(|| folder.to_owned())?;
        command("mount", &["-t", "tmpfs", "tmpfs", folder])?;
    }
    command("ip", &["link", "set", "lo", "up"])?;
    // A bridge without an address of its own takes the lowest of its ports', which come and go with pods: connections that other
    // pods hold through it would fall silent for seconds, until their ARP entries are asked for again.
    command("ip", &["link", "add", BRIDGE, "address", "0a:00:00:63:00:01", "type", "bridge"])?;
    command("ip", &["address", "add", &format!("{ADDRESS}/16"), "dev", BRIDGE])?;
    command("ip", &["link", "set", BRIDGE, "up"])?;
    // The API server calls webhooks by their Service: kube-proxy's rules see only what has a route.
    command("ip", &["route", "add", SERVICE_RANGE, "dev", BRIDGE])?;
    fs::write("/proc/sys/net/ipv4/ip_forward", "1").context("cannot switch forwarding on")?;
    let port = BLACK_HOLE_PORT.to_string();
    command("iptables", &["-t", "raw", "-A", "PREROUTING", "-p", "tcp", "--dport", &port, "-j", "DROP"])
}

fn command(program: &str, args: &[&str]) -> Result<()> {
    let output = Command::new(program).args(args).output().with_context(|| format!("cannot run {program}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{program} {}: {}", args.join(" "), said.trim());
    Ok(())
}
