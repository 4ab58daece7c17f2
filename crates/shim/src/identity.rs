//! Trace and span ids inside the pod: hashes of the texts of [`stepspan_contract::identity`], or random where nothing can be counted.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use ring::digest::{SHA256, digest};
use ring::rand::{SecureRandom, SystemRandom};
use stepspan_contract::{Config, identity};

/// Where Argo keeps what its executor and a step share; every layout mounts it (`common.VarRunArgoPath`).
pub const COUNTER_FOLDER: &str = "/var/run/argo";
/// A counter file holds a decimal number; whatever is longer is not ours.
const LONGEST_COUNT: u64 = 10;

/// The step span's id: the same for the same run of the same container, another for each run.
pub fn step_span(config: &Config, pod_uid: &str, folder: &Path) -> String {
    let attempt = if pod_uid.is_empty() { None } else { count(folder, &config.container) };
    attempt.map_or_else(
        || random(16),
        |attempt| {
            let Config { workflow_uid, node_id, container, .. } = config;
            hash(&identity::step_span(workflow_uid, node_id, pod_uid, container, attempt), 16)
        },
    )
}

/// Counts the runs of this container, from 0: a containerSet's retry runs its command again. `None` where no count can be kept.
fn count(folder: &Path, container: &str) -> Option<u32> {
    let path = folder.join(format!("stepspan-runs-{}", hash(container, 16)));
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600).custom_flags(nix::libc::O_NOFOLLOW);
    let mut file: File = options.open(path).ok()?;
    let mut text = String::new();
    (&file).take(LONGEST_COUNT + 1).read_to_string(&mut text).ok()?;
    let runs: u32 = if text.is_empty() { 0 } else { text.parse().ok()? };
    file.seek(SeekFrom::Start(0)).ok()?;
    file.write_all(runs.checked_add(1)?.to_string().as_bytes()).ok()?;
    Some(runs)
}

/// The first hex digits of a text's SHA-256.
pub fn hash(text: &str, digits: usize) -> String {
    hex(digest(&SHA256, text.as_bytes()).as_ref(), digits)
}

/// So many random hex digits, at most 32, not all zero.
pub fn random(digits: usize) -> String {
    let mut bytes = [0; 16];
    // Without randomness there is still the clock and the process: better a doubtful id than no span.
    if SystemRandom::new().fill(&mut bytes).is_err() {
        let text = format!("{:?}/{}", std::time::SystemTime::now(), std::process::id());
        return hash(&text, digits);
    }
    bytes[0] |= 1;
    hex(&bytes, digits)
}

fn hex(bytes: &[u8], digits: usize) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let nibbles = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    nibbles.take(digits).map(|nibble| char::from(DIGITS[usize::from(nibble)])).collect()
}

/// The bytes of hex digits; what is no digit ends them.
pub fn bytes(hex: &str) -> Vec<u8> {
    let nibbles: Vec<u8> = hex.chars().map_while(|c| u8::try_from(c.to_digit(16)?).ok()).collect();
    nibbles.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_s_id_can_be_computed_with_sha256sum() {
        let config =
            Config { workflow_uid: "u".into(), node_id: "n".into(), container: "main".into(), ..Config::default() };
        let folder = tempfile::tempdir().unwrap();
        // printf 'stepspan/1/step/u/n/p/main/0' | sha256sum
        assert_eq!(step_span(&config, "p", folder.path()), hash("stepspan/1/step/u/n/p/main/0", 16));
        assert_eq!(step_span(&config, "p", folder.path()), hash("stepspan/1/step/u/n/p/main/1", 16));
        assert_eq!(hash("abc", 16), "ba7816bf8f01cfea");
    }

    #[test]
    fn without_a_count_ids_are_random() {
        let config = Config::default();
        let missing = Path::new("/no/such/folder");
        let ids = [step_span(&config, "p", missing), step_span(&config, "p", missing)];
        assert_ne!(ids[0], ids[1]);
        assert!(ids.iter().all(|id| stepspan_contract::traceparent::is_hex(id, 16)));
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(format!("stepspan-runs-{}", hash("", 16)));
        for odd in ["x", "4294967295", "99999999999999999999"] {
            std::fs::write(&file, odd).unwrap();
            assert_eq!(count(folder.path(), ""), None, "{odd}");
        }
    }

    #[test]
    fn hex_digits_are_bytes() {
        assert_eq!(bytes("00ff1a"), [0, 255, 26]);
        assert_eq!(bytes("zz"), [0; 0]);
    }
}
