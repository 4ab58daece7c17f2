//! The nodes of a run where Argo's controller has packed them (`workflow/packer`, `util/file`): gzip in base64.

use std::io::Read;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flate2::read::GzDecoder;
use serde_json::{Map, Value};

/// Most bytes of nodes, once unpacked: etcd takes 1.5 MiB, which gzip may have made of some twenty times as much.
const MOST: u64 = 64 << 20;

/// Unpacks `status.compressedNodes`.
///
/// # Errors
/// It is not what Argo writes, or longer than 64 MiB; in words.
pub(super) fn unpack(packed: &str) -> Result<Map<String, Value>, String> {
    let bytes = STANDARD.decode(packed).map_err(|error| error.to_string())?;
    let mut json = Vec::new();
    GzDecoder::new(bytes.as_slice()).take(MOST + 1).read_to_end(&mut json).map_err(|error| error.to_string())?;
    if json.len() as u64 > MOST {
        return Err(format!("more than {} MiB", MOST >> 20));
    }
    serde_json::from_slice(&json).map_err(|error| error.to_string())
}
