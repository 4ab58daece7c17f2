//! The real `stepspan webhook` process behind a recorder, registered for one namespace.

use std::{
    fs,
    io::{Read, Write},
    net::{Ipv4Addr, TcpStream, ToSocketAddrs},
    path::{Path, PathBuf},
    process::{Command, Output},
    time::Duration,
};

use anyhow::{Context, Result, ensure};

use super::{
    Cluster,
    namespace::Namespace,
    ports,
    processes::Process,
    recorder::{Recorder, Upstream},
    wait::until,
    webhook::Webhook,
};

/// The program under test, as cargo built it.
pub const PROGRAM: &str = env!("CARGO_BIN_EXE_stepspan");
/// A call that a loaded machine is slow with is none to give up.
pub const PATIENT: [&str; 3] = ["--handshake-timeout=60s", "--header-timeout=60s", "--body-timeout=60s"];
const LIMIT: Duration = Duration::from_mins(3);
/// What the process records its reviews in, in its folder.
const RECORDS: &str = "reviews.jsonl";

/// A webhook process in force for one namespace. Fields are dropped in order: registration, recorder, process.
pub struct Stepspan<'c> {
    registration: Option<Webhook<'c>>,
    pub recorder: Recorder,
    process: Process,
    folder: PathBuf,
}

impl<'c> Stepspan<'c> {
    /// Starts the webhook with a policy (the embedded one where there is none) and registers it.
    pub fn start(cluster: &'c Cluster, namespace: &'c Namespace<'c>, policy: Option<&str>) -> Result<Self> {
        let folder = cluster.dir().join(format!("webhook-{}", namespace.name()));
        fs::create_dir_all(&folder)?;
        let ca = folder.join("ca.pem");
        let (https, ops) = (ports::free()?, ports::free()?);
        let mut args: Vec<String> =
            ["webhook", "--tls-self-signed", "--bind", "127.0.0.1", "--write-ca"].map(String::from).into();
        args.extend([ca.display().to_string(), format!("--https-port={https}"), format!("--ops-port={ops}")]);
        args.extend(PATIENT.map(String::from));
        args.push(format!("--record={}", folder.join(RECORDS).display()));
        if let Some(text) = policy {
            let file = folder.join("policy.yaml");
            fs::write(&file, text)?;
            args.push(format!("--policy={}", file.display()));
        }
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let name = format!("stepspan-{}", namespace.name());
        let mut process = cluster.spawn(&name, Path::new(PROGRAM), &args, &[])?;
        until("stepspan webhook to be ready", LIMIT, || {
            process.ensure_running()?;
            Ok(is_ready(ops).then_some(()))
        })
        .with_context(|| process.log_tail())?;
        let upstream = Upstream::Webhook { url: format!("https://127.0.0.1:{https}"), ca_pem: fs::read_to_string(ca)? };
        let recorder = Recorder::start(cluster, upstream)?;
        let registration = cluster.register_webhook(namespace, &recorder.url(), recorder.ca_pem())?;
        Ok(Self { registration: Some(registration), recorder, process, folder })
    }

    /// Takes the registration away; the process goes on.
    pub fn unregister(&mut self) -> Result<()> {
        self.registration.take().map_or(Ok(()), Webhook::unregister)
    }

    /// Ends the process at once, as a crash would; the registration stays.
    pub fn kill(&mut self) {
        self.process.stop(Duration::ZERO);
    }

    /// Runs `stepspan dry-run` on a recorded review with the webhook's own policy, and gives the patched pod.
    pub fn dry_run(&self, review: &[u8]) -> Result<serde_json::Value> {
        Ok(self.ask_of("dry-run", review)?["items"][0].take())
    }

    /// What `stepspan explain` says of a recorded review.
    pub fn explain(&self, review: &[u8]) -> Result<serde_json::Value> {
        self.ask_of("explain", review)
    }

    /// What `stepspan replay` makes of the reviews that the process recorded, under the policy it has, once there are so many: they are
    /// written after they are answered.
    pub fn replay(&self, count: usize) -> Result<serde_json::Value> {
        let records = self.folder.join(RECORDS);
        until("the reviews to be recorded", LIMIT, || {
            let text = fs::read_to_string(&records).unwrap_or_default();
            let whole = text.is_empty() || text.ends_with('\n');
            Ok((whole && text.lines().count() >= count).then_some(()))
        })?;
        let mut command = Command::new(PROGRAM);
        said(command.args(["replay", "-o", "json", "--log"]).arg(records))
    }

    fn ask_of(&self, what: &str, review: &[u8]) -> Result<serde_json::Value> {
        let input = self.folder.join("review.json");
        fs::write(&input, review)?;
        let mut command = Command::new(PROGRAM);
        command.args([what, "-o", "json"]).arg(&input);
        let policy = self.folder.join("policy.yaml");
        if policy.exists() {
            command.arg("--policy").arg(policy);
        }
        said(&mut command)
    }
}

/// What `stepspan explain` says of a pod of the cluster.
pub fn explain_live(kubeconfig: &Path, namespace: &str, pod: &str) -> Result<serde_json::Value> {
    let mut command = Command::new(PROGRAM);
    command.args(["explain", &format!("pod/{pod}"), "--namespace", namespace, "-o", "json", "--kubeconfig"]);
    said(command.arg(kubeconfig))
}

/// The JSON that a command writes.
fn said(command: &mut Command) -> Result<serde_json::Value> {
    let Output { status, stdout, stderr } = command.output()?;
    ensure!(status.code() != Some(2), "{command:?}: {}", String::from_utf8_lossy(&stderr));
    Ok(serde_json::from_slice(&stdout)?)
}

/// Whether an operations port says so.
pub fn is_ready(port: u16) -> bool {
    get(port, "/readyz").is_ok_and(|answer| answer.starts_with("HTTP/1.1 200"))
}

/// Whether this is the answer of one that is ready, or would be had this machine let it dial itself in time.
pub fn is_ready_or_slow(answer: &str) -> bool {
    let slow = || answer.contains("no answer from our own port within");
    let alone = || answer.matches("\"state\":\"failed\"").count() == 1;
    answer.starts_with("HTTP/1.1 200") || (slow() && alone())
}

/// What an operations port of this machine answers, head and body.
pub fn get(port: u16, path: &str) -> Result<String> {
    get_from((Ipv4Addr::LOCALHOST, port), path)
}

/// The same of an operations port anywhere.
pub fn get_from(address: impl ToSocketAddrs, path: &str) -> Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}
