//! Control groups are the machine's, whatever namespaces there are. containerd keeps those of its containers in one of its own.

use std::{
    fs,
    path::{Path, PathBuf},
};

const MOUNT: &str = "/sys/fs/cgroup";
/// The group is named as containerd's namespace for Kubernetes.
const GROUP: &str = "k8s.io";

/// Makes the group, where nobody else has one, and gives it weight: pods without requests weigh next to nothing (`cpu.shares` 2), and
/// all of them together would weigh as much as one process outside.
pub fn prepare() {
    for hierarchy in hierarchies() {
        // Version 1, version 2; a hierarchy without CPU has neither.
        for (kind, file, weight) in
            [("cpu.shares", "cpu.shares", "65536"), ("cgroup.subtree_control", "cpu.weight", "10000")]
        {
            let group = hierarchy.join(GROUP);
            if hierarchy.join(kind).exists() && fs::create_dir(&group).is_ok() {
                let _ = fs::write(group.join(file), weight);
            }
        }
    }
}

/// Removes what is left of it. A group with processes in it stays, whosever it is.
pub fn sweep() {
    for hierarchy in hierarchies() {
        remove(&hierarchy.join(GROUP));
    }
}

/// The one of version 2, and those of version 1 below it.
fn hierarchies() -> Vec<PathBuf> {
    let mut all = folders(Path::new(MOUNT));
    all.push(MOUNT.into());
    all
}

fn folders(of: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(of).into_iter().flatten().flatten();
    entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())).map(|entry| entry.path()).collect()
}

fn remove(group: &Path) {
    for below in folders(group) {
        remove(&below);
    }
    // The files of a group go with it; only groups are removed.
    let _ = fs::remove_dir(group);
}
