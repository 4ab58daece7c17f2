//! Where the ledger is kept: a ConfigMap for each shard, in our own namespace.
//!
//! Each write names the version it is based on. A holder that lost the Lease and does not know it finds that another has written, and stops.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client};

use super::ledger::{Ledger, SHARDS};

/// The key of the ConfigMap: JSON, packed by gzip.
const KEY: &str = "ledger.json.gz";
/// The API server takes a mebibyte.
const MOST: usize = 1_000_000;
/// A shard is not larger than that, unpacked.
const MOST_UNPACKED: u64 = 64 << 20;

/// The ledger could not be read or written.
#[derive(Debug, thiserror::Error)]
pub(super) enum StoreError {
    /// Another holder has written since.
    #[error("ConfigMap {0}: another replica has written it, or somebody has deleted it")]
    Conflict(String),
    /// It is not what we wrote.
    #[error(
        "ConfigMap {0} is {1}; take its binaryData away to begin anew: Workflows that still exist are then counted once more"
    )]
    Unreadable(String, String),
    /// It does not fit.
    #[error("ConfigMap {0}: {1} bytes, where {MOST} fit: there are too many Workflows")]
    TooLarge(String, usize),
    /// The API server's answer.
    #[error("ConfigMap {0}: {1}")]
    Failed(String, kube::Error),
}

/// The ConfigMaps, and the version of each that ours is based on.
#[derive(Debug, Clone)]
pub(super) struct Store {
    api: Api<ConfigMap>,
    name: String,
    /// Name, version, labels and annotations: whoever made them goes on to find them.
    found: [Option<ObjectMeta>; SHARDS],
}

impl Store {
    /// Those that begin with `name`; nothing is read yet.
    pub(super) fn new(client: Client, namespace: &str, name: &str) -> Self {
        Self { api: Api::namespaced(client, namespace), name: name.to_owned(), found: Default::default() }
    }

    /// Reads all there is.
    ///
    /// # Errors
    /// No answer, or one that is not ours.
    pub(super) async fn load(&mut self, ledger: &mut Ledger) -> Result<(), StoreError> {
        for shard in 0..SHARDS {
            let name = self.name_of(shard);
            let found = self.api.get_opt(&name).await.map_err(|error| StoreError::Failed(name.clone(), error))?;
            let Some(map) = found else { continue };
            let wrong = |why: &dyn std::fmt::Display| StoreError::Unreadable(name.clone(), why.to_string());
            self.found[shard] = Some(kept(map.metadata));
            // Made by hand, to give rights for it alone: it is empty.
            let Some(packed) = map.binary_data.and_then(|mut data| data.remove(KEY)) else { continue };
            let mut bytes = Vec::new();
            let unpacked = GzDecoder::new(packed.0.as_slice()).take(MOST_UNPACKED).read_to_end(&mut bytes);
            unpacked.map_err(|error| wrong(&error))?;
            ledger.restore(shard, &bytes).map_err(|error| wrong(&error))?;
        }
        Ok(())
    }

    /// Writes a shard; gives what it is called then.
    ///
    /// # Errors
    /// It was not written; or it is not known whether it was.
    pub(super) async fn write(&self, shard: usize, bytes: &[u8]) -> Result<ObjectMeta, StoreError> {
        let name = self.name_of(shard);
        let packed = pack(bytes);
        if packed.len() > MOST || bytes.len() as u64 > MOST_UNPACKED {
            return Err(StoreError::TooLarge(name, packed.len()));
        }
        let is_new = self.found[shard].is_none();
        let new = || ObjectMeta { name: Some(name.clone()), ..ObjectMeta::default() };
        let map = ConfigMap {
            metadata: self.found[shard].clone().unwrap_or_else(new),
            binary_data: Some(BTreeMap::from([(KEY.to_owned(), ByteString(packed))])),
            ..ConfigMap::default()
        };
        let params = PostParams::default();
        let written =
            if is_new { self.api.create(&params, &map).await } else { self.api.replace(&name, &params, &map).await };
        match written {
            Ok(map) => Ok(kept(map.metadata)),
            // Also where somebody has deleted it: begin anew.
            Err(kube::Error::Api(status)) if status.code == 409 || (status.code == 404 && !is_new) => {
                Err(StoreError::Conflict(name))
            }
            Err(error) => Err(StoreError::Failed(name, error)),
        }
    }

    /// A shard was written, and is called so.
    pub(super) fn written(&mut self, shard: usize, metadata: ObjectMeta) {
        self.found[shard] = Some(metadata);
    }

    fn name_of(&self, shard: usize) -> String {
        format!("{}-{shard}", self.name)
    }
}

/// What a write has to say again.
fn kept(metadata: ObjectMeta) -> ObjectMeta {
    let ObjectMeta { name, resource_version, labels, annotations, owner_references, finalizers, .. } = metadata;
    ObjectMeta { name, resource_version, labels, annotations, owner_references, finalizers, ..ObjectMeta::default() }
}

fn pack(bytes: &[u8]) -> Vec<u8> {
    let mut gzip = GzEncoder::new(Vec::with_capacity(bytes.len() / 2), Compression::fast());
    // Writing to a Vec cannot fail.
    let _ = gzip.write_all(bytes);
    gzip.finish().unwrap_or_default()
}
