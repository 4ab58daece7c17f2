//! One real cluster for all trials: etcd, kube-apiserver, kube-controller-manager and Argo's workflow-controller.
//!
//! At [`Level::Api`] there is no node: pods are created, admitted and stored, but none runs. [`unfold`] plays the part of
//! the kubelet and of Argo's executor, so that whole workflows reach their end. What a trial sees of pods is what the API
//! server stored after all admission. At [`Level::Node`] a real [`node`] runs them, in namespaces of its own.
//!
//! Invariants:
//! - All servers listen on 127.0.0.1 only, or in a network of their own; all files are under one folder, which goes with the
//!   cluster.
//! - The programs are stopped in the order Argo, controller manager, API server, etcd (the API server takes half a
//!   minute to go when etcd is gone first), on success, failure, panic and SIGINT alike.
//! - Trials run in parallel on the one cluster: each takes a [`Namespace`] of its own, and webhooks are registered for
//!   one namespace.
//! - A limit of time is a guard against hangs, never part of what is tested.

pub mod api;
pub mod authority;
pub mod cert_manager;
pub mod collector;
pub mod control_plane;
pub mod crds;
pub mod digest;
pub mod doctor;
pub mod ids;
pub mod kept;
pub mod known;
pub mod likeness;
pub mod namespace;
pub mod node;
pub mod ports;
pub mod processes;
pub mod recorder;
pub mod replicas;
mod run_dir;
pub mod stepspan;
pub mod tools;
mod unfold;
pub mod wait;
pub mod watch;
pub mod way;
pub mod webhook;
pub mod workflows;

use std::{
    net::TcpListener,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use anyhow::{Context, Result};
use rustix::process::Signal;
use tokio::runtime::{Handle, Runtime};

use self::{
    api::Api,
    authority::Authority,
    collector::{Address, Collector},
    control_plane::{ADMIN_TOKEN, ControlPlane, Level, argo_objects, hold_healthz_port, write_kubeconfig},
    namespace::Namespace,
    node::{Node, NodeTools},
    processes::Process,
    run_dir::RunDir,
    tools::Tools,
    unfold::Unfolding,
    wait::until,
    way::Way,
};

/// Start-up takes seconds; a loaded machine may take longer.
const START_LIMIT: Duration = Duration::from_mins(5);
/// Nothing is kept, so nothing need end well: an API server stopped in its first seconds would take six more.
const STOP_PATIENCE: Duration = Duration::from_secs(1);
/// How often a start is repeated because another program took a chosen port first.
const PORT_RACES: usize = 3;

/// The running cluster.
pub struct Cluster {
    api: Api,
    port: u16,
    authority: Authority,
    dir: RunDir,
    /// In the order they were started; stopped from the end.
    processes: Mutex<Vec<Process>>,
    hands: Hands,
    plane: Arc<ControlPlane>,
    tools: Tools,
    runtime: Runtime,
    /// See [`hold_healthz_port`].
    _healthz: Option<TcpListener>,
}

/// What brings pods to their end.
enum Hands {
    Unfolding(Unfolding),
    Node(Box<Node>),
}

impl Cluster {
    /// Starts everything and returns when workflows can be submitted. Call it on the main thread: the programs end
    /// with the thread that started them.
    pub fn start(tools: &Tools, node: Option<&NodeTools>) -> Result<Self> {
        // Both the client and the recorder would otherwise have to choose.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut races = 0;
        loop {
            match Self::start_once(tools, node) {
                Err(error) if races < PORT_RACES && format!("{error:#}").contains("address already in use") => {
                    races += 1;
                }
                outcome => return outcome,
            }
        }
    }

    fn start_once(tools: &Tools, node: Option<&NodeTools>) -> Result<Self> {
        let runtime = Runtime::new()?;
        let dir = RunDir::create(&tools.cache)?;
        let authority = Authority::new()?;
        let plane =
            ControlPlane::prepare(dir.path(), &authority, if node.is_some() { Level::Node } else { Level::Api })?;
        let api = Api::new(plane.port, authority.der(), ADMIN_TOKEN, runtime.handle())?;

        let healthz = hold_healthz_port();
        let mut processes = vec![plane.start_etcd(tools)?, plane.start_api_server(tools)?];
        let started = start_rest(tools, &plane, &api, &mut processes).and_then(|()| match node {
            Some(node) => Node::start((node, &tools.otelcol), &plane, &api, &mut processes)
                .map(|node| Hands::Node(Box::new(node))),
            None => Unfolding::start(&api, runtime.handle(), &plane.logs().join("unfold.log")).map(Hands::Unfolding),
        });
        let hands = match started {
            Ok(hands) => hands,
            Err(error) => {
                stop_in_order(&mut processes);
                dir.keep_logs();
                return Err(error);
            }
        };
        let processes = Mutex::new(processes);
        let (port, plane, tools) = (plane.port, Arc::new(plane), tools.clone());
        Ok(Self { api, port, authority, dir, processes, hands, plane, tools, runtime, _healthz: healthz })
    }

    /// The API as cluster administrator.
    pub fn api(&self) -> &Api {
        &self.api
    }

    /// Writes a kubeconfig for whoever has the token; gives its path.
    pub fn write_kubeconfig(&self, user: &str, token: &str) -> Result<PathBuf> {
        write_kubeconfig(self.dir(), self.port, user, token)
    }

    /// The same for whoever reaches the API server by a way that can be cut.
    pub fn write_kubeconfig_by(&self, way: &Way, user: &str, token: &str) -> Result<PathBuf> {
        write_kubeconfig(self.dir(), way.port, user, token)
    }

    /// The image of Argo's executor, as the controller is told.
    pub fn executor_image(&self) -> String {
        self.plane.executor_image(&self.tools)
    }

    /// Where the API server listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// A way to the API server that can be cut.
    pub fn way(&self) -> Result<Way> {
        Way::to(self.port, self.runtime())
    }

    /// Issues certificates for servers that the API server calls.
    pub fn authority(&self) -> &Authority {
        &self.authority
    }

    /// For servers of a test, such as [`recorder::Recorder`].
    pub fn runtime(&self) -> &Handle {
        self.runtime.handle()
    }

    /// A folder for files of a test; it goes with the cluster.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// A new namespace with a service account for workflows. `stem` begins its name; `labels` may be `json!({})`.
    pub fn namespace(&self, stem: &str, labels: &serde_json::Value) -> Result<Namespace<'_>> {
        Namespace::create(self, stem, labels)
    }

    /// Starts a further program, such as the webhook under test. It ends with the calling thread at the latest.
    /// `name` names its log and has to be the only one of its kind.
    pub fn spawn(&self, name: &str, program: &Path, args: &[&str], env: &[(&str, &str)]) -> Result<Process> {
        Process::spawn(name, program, args, env, &self.dir.logs())
    }

    /// A Collector of a trial's own, whose files are in `folder`.
    pub fn collector(&self, address: &Address, folder: &Path) -> Result<Collector> {
        Collector::start(&self.tools.otelcol, address, folder, &self.dir.logs())
    }

    /// What it is made of.
    pub fn tools(&self) -> &Tools {
        &self.tools
    }

    /// The node, for trials at [`Level::Node`].
    pub fn node(&self) -> Result<&Node> {
        match &self.hands {
            Hands::Node(node) => Ok(node),
            Hands::Unfolding(_) => anyhow::bail!("this cluster has no node"),
        }
    }

    /// Kills the API server and starts it anew; returns when it answers.
    pub fn restart_api_server(&self) -> Result<()> {
        self.restart("kube-apiserver", ControlPlane::start_api_server)?;
        until("the API server to answer again", START_LIMIT, || {
            self.ensure_running()?;
            Ok(self.api.get("/readyz").ok().filter(api::Reply::is_success))
        })?;
        // Its watch of its own ConfigMap ends with the API server, and it spins on that for ever (3.7.3).
        self.restart_argo()
    }

    /// Kills Argo's controller and starts it anew.
    pub fn restart_argo(&self) -> Result<()> {
        self.restart("workflow-controller", ControlPlane::start_argo)
    }

    /// Kills a program and starts it anew.
    fn restart(&self, name: &str, start: fn(&ControlPlane, &Tools) -> Result<Process>) -> Result<()> {
        let (plane, tools) = (Arc::clone(&self.plane), self.tools.clone());
        let mut processes = self.processes();
        let old = processes.iter_mut().find(|process| process.name() == name).with_context(|| name.to_owned())?;
        old.stop(Duration::ZERO);
        // A program ends with the thread that started it, and this one may be a trial's: the runtime's lives longer.
        let started = self.runtime.spawn(async move { start(&plane, &tools) });
        *old = self.runtime.block_on(started)??;
        Ok(())
    }

    /// Stops etcd for a while, as a disk that hangs would.
    pub fn pause_etcd(&self, pause: Duration) -> Result<()> {
        self.signal("etcd", Signal::STOP)?;
        std::thread::sleep(pause);
        self.signal("etcd", Signal::CONT)
    }

    fn signal(&self, name: &str, signal: Signal) -> Result<()> {
        let mut processes = self.processes();
        let process = processes.iter_mut().find(|process| process.name() == name).with_context(|| name.to_owned())?;
        process.signal(signal);
        Ok(())
    }

    /// An error with the end of its log if one of the programs is gone.
    pub fn ensure_running(&self) -> Result<()> {
        self.processes().iter_mut().try_for_each(Process::ensure_running)
    }

    /// The ends of the logs that tell why a workflow does not move on.
    pub fn tails(&self) -> String {
        let hands = if matches!(self.hands, Hands::Node(_)) { "kubelet" } else { "unfold" };
        ["workflow-controller", hands]
            .map(|name| {
                let path = self.dir.logs().join(format!("{name}.log"));
                format!("--- end of {name}.log\n{}", processes::tail(&path))
            })
            .join("\n")
    }

    /// Stops everything; harmless when repeated. With `keep_logs`, the logs are left in the cache folder and named.
    pub fn stop(&self, keep_logs: bool) {
        if let Hands::Unfolding(unfolding) = &self.hands {
            unfolding.stop();
        }
        stop_in_order(&mut self.processes());
        if keep_logs {
            self.dir.keep_logs();
        }
        self.dir.remove();
    }

    fn processes(&self) -> MutexGuard<'_, Vec<Process>> {
        self.processes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.stop(false);
    }
}

fn start_rest(tools: &Tools, plane: &ControlPlane, api: &Api, processes: &mut Vec<Process>) -> Result<()> {
    until("kube-apiserver to be ready", START_LIMIT, || {
        processes.iter_mut().try_for_each(Process::ensure_running)?;
        Ok(api.get("/readyz").ok().filter(api::Reply::is_success))
    })
    .with_context(|| processes.iter().map(Process::log_tail).collect::<Vec<_>>().join("\n"))?;
    processes.push(plane.start_controller_manager(tools)?);
    crds::install(api, &tools.argo_crds)?;
    for (path, object) in argo_objects() {
        api.create(path, &object)?.settled().with_context(|| path.to_owned())?;
    }
    processes.push(plane.start_argo(tools)?);
    Ok(())
}

fn stop_in_order(processes: &mut Vec<Process>) {
    while let Some(mut process) = processes.pop() {
        process.stop(STOP_PATIENCE);
    }
}
