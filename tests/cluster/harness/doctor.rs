//! `stepspan doctor` as an engineer calls it, and what it said.

use std::{fmt, path::PathBuf, process::Command};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::{Cluster, stepspan::PROGRAM};

/// Who calls it.
pub struct Doctor {
    kubeconfig: PathBuf,
}

/// What it said.
pub struct Examined {
    pub code: Option<i32>,
    pub report: Value,
    pub stderr: String,
}

impl Doctor {
    /// As cluster administrator.
    pub fn of(cluster: &Cluster) -> Self {
        Self::by(cluster.dir().join("admin.kubeconfig"))
    }

    /// As whoever the kubeconfig is of.
    pub fn by(kubeconfig: PathBuf) -> Self {
        Self { kubeconfig }
    }

    /// The command, for a trial that does more with it.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(PROGRAM);
        command.arg("doctor").arg("--kubeconfig").arg(&self.kubeconfig).args(args);
        command
    }

    /// What it finds, as JSON.
    pub fn ask(&self, args: &[&str]) -> Result<Examined> {
        let output = self.command(args).args(["-o", "json"]).output()?;
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        let report = serde_json::from_slice(&output.stdout).with_context(|| stderr.clone())?;
        Ok(Examined { code: output.status.code(), report, stderr })
    }
}

impl Examined {
    /// The findings of a check, of one namespace or of cluster and install.
    pub fn of(&self, namespace: Option<&str>, check: &str) -> Vec<&Value> {
        let all = self.report["checks"].as_array().into_iter().flatten();
        all.filter(|it| it["check"] == check && it["namespace"].as_str() == namespace).collect()
    }

    /// An error where no finding of the check has this state and this text in it.
    pub fn expect(&self, namespace: Option<&str>, check: &str, state: &str, text: &str) -> Result<()> {
        let says = |it: &&Value| it["state"] == state && it["found"].as_str().is_some_and(|found| found.contains(text));
        let all = self.of(namespace, check);
        ensure!(all.iter().any(says), "`{check}` is not `{state}: {text}`\n{self}");
        Ok(())
    }
}

impl fmt::Display for Examined {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "exit {:?}\n{}\n{:#}", self.code, self.stderr, self.report)
    }
}
