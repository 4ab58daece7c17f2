//! The nodes of a run where Argo's controller has packed them (`workflow/packer`, `util/file`): gzip in base64. They are read as they are unpacked.

use std::io::{BufReader, Read};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flate2::read::GzDecoder;
use serde::de::DeserializeSeed;

/// Most bytes of nodes, once unpacked: the controller packs into 1 MiB (`maxWorkflowSize` of `packer.go`), which gzip may have made of some
/// twenty times as much.
const MOST: u64 = 32 << 20;

/// Unpacks `status.compressedNodes` into what `seed` makes of it.
///
/// # Errors
/// It is not what Argo writes, or longer than 32 MiB; in words.
pub(super) fn unpack<'de, S: DeserializeSeed<'de>>(packed: &str, seed: S) -> Result<S::Value, String> {
    let bytes = STANDARD.decode(packed).map_err(|error| error.to_string())?;
    let mut unpacked = BufReader::new(GzDecoder::new(bytes.as_slice()).take(MOST));
    let mut json = serde_json::Deserializer::from_reader(&mut unpacked);
    let read = seed.deserialize(&mut json).and_then(|value| json.end().map(|()| value));
    read.map_err(|error| match unpacked.get_ref().limit() {
        0 => format!("more than {} MiB", MOST >> 20),
        _ => error.to_string(),
    })
}
