//! `init`: puts the shim where the step finds it, and looks whether the Collector can be reached.

use std::fs::{self, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::time::{Duration, Instant};

use tokio::runtime::Builder;
use tokio::time::timeout;

use crate::args::Init;
use crate::command::ignore_broken_pipes;
use crate::export::{Protocol, Signal, Target, Verdict, connect};
use crate::identity;

/// The name of the shim in its folder.
const NAME: &str = "stepspan-shim";

/// Installs and probes. Exit code 0 whatever the probe says, 1 where the shim could not be installed.
pub fn init(asked: &Init) -> i32 {
    let began = Instant::now();
    ignore_broken_pipes();
    if let Err(error) = install(&asked.to) {
        let sentence = format!("stepspan: cannot install the shim in {}: {error}", asked.to.display());
        let _ = fs::write(&asked.termination_log, &sentence);
        line(&format!(r#""install":"failed","error":"{}""#, escape(&error.to_string())), began);
        return 1;
    }
    let probed = match asked.probe.as_deref().filter(|_| !asked.timeout.is_zero()) {
        None => r#""probe":"off""#.to_owned(),
        Some(url) => match probe(url, asked) {
            Ok(took) => format!(r#""probe":"ok","probe_ms":{}"#, milliseconds(took)),
            Err(why) => format!(r#""probe":"failed","error":"{}""#, escape(&why)),
        },
    };
    line(&format!(r#""install":"ok",{probed}"#), began);
    0
}

/// Copies this program, whole or not at all: a step never sees a half one.
fn install(folder: &Path) -> io::Result<()> {
    let program = fs::read(std::env::current_exe()?)?;
    let temporary = folder.join(format!(".{NAME}.{}", identity::random(8)));
    let written = OpenOptions::new().write(true).create_new(true).mode(0o500).open(&temporary).and_then(|mut file| {
        file.write_all(&program)?;
        // The step may run as any user, under any umask of ours.
        file.set_permissions(Permissions::from_mode(0o555))
    });
    let installed = written.and_then(|()| fs::rename(&temporary, folder.join(NAME)));
    if installed.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    installed
}

/// Name, TCP, TLS and HTTP, and an empty request: any answer at all shows that somebody speaks the protocol.
fn probe(url: &str, asked: &Init) -> Result<Duration, String> {
    let began = Instant::now();
    let protocol = Protocol::parse(&asked.protocol).ok_or_else(|| format!("protocol {}", asked.protocol))?;
    let mut target = Target::of_url(url, protocol)?;
    target.ca_file.clone_from(&asked.ca);
    let runtime = Builder::new_current_thread().enable_io().enable_time().build().map_err(|error| error.to_string())?;
    let look = async {
        let client = connect(&target).await.map_err(Verdict::why)?;
        client.send(&target, Signal::Trace, &[]).await
    };
    let looked = runtime.block_on(async { timeout(asked.timeout, look).await });
    looked.map_err(|_| format!("{}: no answer within {} ms", target.authority(), asked.timeout.as_millis()))??;
    Ok(began.elapsed())
}

fn line(fields: &str, began: Instant) {
    let text = format!("{{\"action\":\"init\",{fields},\"latency_ms\":{}}}\n", milliseconds(began.elapsed()));
    let _ = io::stdout().write_all(text.as_bytes());
}

fn milliseconds(time: Duration) -> String {
    format!("{:.1}", time.as_secs_f64() * 1e3)
}

/// A text inside a JSON string (RFC 8259, section 7).
fn escape(text: &str) -> String {
    let clean = text.chars().filter(|c| !c.is_control());
    clean.flat_map(|c| if matches!(c, '"' | '\\') { vec!['\\', c] } else { vec![c] }).collect()
}
