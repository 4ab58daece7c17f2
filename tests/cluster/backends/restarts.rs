//! Everybody who has a part in a run is killed while it goes on: Argo's controller, a step's executor, both replicas of the watcher, the Collector.

use std::{fs, thread, time::Duration};

use anyhow::{Context, Result, ensure};
use rustix::process::Signal;

use super::{
    check::{argo_counts, counted, node, of_node, whole},
    place::{Place, Teller},
};
use crate::{
    harness::{
        Cluster,
        namespace::{Namespace, describe},
        wait::until,
    },
    node::harm::{kill, of_pod, pod_of, process, processes},
};

const LIMIT: Duration = Duration::from_mins(4);
const WAITS: &str = include_str!("workflows/waits.yaml");
/// Between a fault and what is done next: whoever was killed is missed by then.
const MISSED: Duration = Duration::from_secs(2);

pub fn nothing_is_missing_and_nothing_double(cluster: &Cluster) -> Result<()> {
    let mut place = Place::furnished(cluster, "restarts", &Teller::Watch)?;
    let submitted = place.release.steps.submit(WAITS)?;

    let first = sleeps("98781")?;
    // Its executor goes, and cannot tell Argo how it ended.
    sleeps("98782")?;
    let pod = pod_of(&place.release.steps, "without-executor")?;
    let executors = of_pod("wait", "ARGO_POD_NAME", &pod)?;
    ensure!(!executors.is_empty(), "{pod} has no executor");
    for id in executors {
        kill(id, Signal::KILL)?;
    }
    thread::sleep(MISSED);
    end("98782")?;
    cluster.restart_argo()?;
    ends(first)?;

    let second = sleeps("98783")?;
    kill_watchers(&place, Which::Leader)?;
    thread::sleep(MISSED);
    ends(second)?;

    let third = sleeps("98784")?;
    place.collector.kill();
    thread::sleep(MISSED);
    kill_watchers(&place, Which::All)?;
    cluster.restart_argo()?;
    place.collector.start()?;
    ends(third)?;

    let ended = place.release.steps.wait_end(&submitted)?;
    ensure!(ended["status"]["phase"] == "Succeeded", "{}", describe(&ended));
    let hurt = node(&ended, "without-executor")?;
    ensure!(hurt["phase"] == "Error" || hurt["phase"] == "Failed", "{hurt:#}");
    // Seven runs of commands: four steps that wait, a quick one, two attempts.
    let spans = whole(&place.jaeger, &ended, 7).with_context(|| describe(&ended))?;
    ensure!(of_node(&spans, &ended, hurt)?.is_error(), "{spans:#?}");
    for job in ["pods", "collector"] {
        counted(&place.prometheus, job, "waits", argo_counts(&[&ended]))
            .with_context(|| watchers(&place.release.home))?;
    }
    place.end()
}

/// Waits until a step's `sleep` runs; gives its shell, which is its parent.
fn sleeps(seconds: &str) -> Result<i32> {
    let id = until("the command to run", LIMIT, || process(seconds))?;
    let stat = fs::read_to_string(format!("/proc/{id}/stat"))?;
    let (_, fields) = stat.rsplit_once(')').context("no name")?;
    Ok(fields.split_whitespace().nth(1).context("no parent")?.parse()?)
}

fn ends(shell: i32) -> Result<()> {
    kill(shell, Signal::TERM)
}

fn end(seconds: &str) -> Result<()> {
    match process(seconds)? {
        Some(_) => ends(sleeps(seconds)?),
        // Its container went with the executor's.
        None => Ok(()),
    }
}

#[derive(Clone, Copy)]
enum Which {
    Leader,
    All,
}

/// Kills watchers; the kubelet starts them anew.
fn kill_watchers(place: &Place<'_>, which: Which) -> Result<()> {
    let lease = format!("/apis/coordination.k8s.io/v1/namespaces/{}/leases/stepspan-watch", place.release.home.name());
    let holder = place.cluster.api().get(&lease)?.accepted()?["spec"]["holderIdentity"].take();
    let holder = holder.as_str().context("nobody leads")?;
    let all: Vec<i32> = processes()?.into_iter().filter(|id| is_watcher(*id)).collect();
    ensure!(all.len() == 2, "{} watchers", all.len());
    let leads = |id: &i32| {
        let environ = fs::read(format!("/proc/{id}/environ")).unwrap_or_default();
        environ.split(|byte| *byte == 0).any(|part| part == format!("POD_NAME={holder}").as_bytes())
    };
    let chosen: Vec<i32> = match which {
        Which::Leader => all.into_iter().filter(leads).collect(),
        Which::All => all,
    };
    ensure!(!chosen.is_empty(), "{holder} is none of them");
    chosen.into_iter().try_for_each(|id| kill(id, Signal::KILL))
}

fn is_watcher(id: i32) -> bool {
    let line = fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
    line.split(|byte| *byte == 0).nth(1) == Some(b"watch")
}

/// What the watchers of before said last.
fn watchers(home: &Namespace<'_>) -> String {
    let pods = home.list("pods?labelSelector=app.kubernetes.io/component%3Dwatch").unwrap_or_default();
    pods.iter().map(|pod| pod["status"]["containerStatuses"].to_string()).collect::<Vec<_>>().join("\n")
}
