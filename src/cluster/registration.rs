//! The MutatingWebhookConfiguration that sends us requests: which CAs it trusts, and whether an operator has paused us.

use futures_util::StreamExt;
use k8s_openapi::{ByteString, api::admissionregistration::v1::MutatingWebhookConfiguration};
use kube::{
    Api, Client,
    api::{Patch, PatchParams},
    runtime::{WatchStreamExt, watcher::watch_object},
};
use serde_json::json;
use tokio::sync::watch;

use super::{Known, Listener};

/// Who writes our fields, for `managedFields`: a tool that applies the rest does not take them away.
pub const FIELD_MANAGER: &str = "stepspan";
/// `true` on the configuration stops injection on all replicas at once.
pub const PAUSED_ANNOTATION: &str = "stepspan.dev/paused";

/// Parameters of our patches.
pub(super) fn by_us() -> PatchParams {
    PatchParams { field_manager: Some(FIELD_MANAGER.into()), ..PatchParams::default() }
}

/// What is to be known of the configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Registration {
    /// Each webhook's name and caBundle, PEM.
    pub webhooks: Vec<(String, String)>,
    /// An operator has paused injection.
    pub paused: bool,
}

impl Registration {
    fn of(configuration: &MutatingWebhookConfiguration) -> Self {
        let annotations = configuration.metadata.annotations.as_ref();
        let webhooks = configuration.webhooks.iter().flatten().map(|webhook| {
            let bundle = webhook.client_config.ca_bundle.as_ref().map(|ByteString(pem)| String::from_utf8_lossy(pem));
            (webhook.name.clone(), bundle.unwrap_or_default().into_owned())
        });
        let paused = annotations.and_then(|all| all.get(PAUSED_ANNOTATION)).is_some_and(|value| value == "true");
        Self { webhooks: webhooks.collect(), paused }
    }

    /// Whether every webhook trusts exactly `bundle`.
    pub fn trusts(&self, bundle: &str) -> bool {
        !self.webhooks.is_empty() && self.webhooks.iter().all(|(_, trusted)| trusted == bundle)
    }
}

/// Keeps `state` up to date for as long as this is polled; `listener` hears of each change and failure.
pub async fn follow(client: Client, name: &str, state: watch::Sender<Known<Registration>>, listener: &dyn Listener) {
    let api: Api<MutatingWebhookConfiguration> = Api::all(client);
    let mut changes = std::pin::pin!(watch_object(api, name).default_backoff());
    while let Some(change) = changes.next().await {
        let now = match change {
            Ok(Some(configuration)) => Known::Is(Registration::of(&configuration)),
            Ok(None) => Known::Absent,
            Err(error) => {
                listener.failed(format!("the MutatingWebhookConfiguration {name}: {error}"));
                continue;
            }
        };
        if *state.borrow() == now {
            continue;
        }
        if let Known::Is(registration) = &now {
            listener.registered(registration);
        }
        state.send_replace(now);
    }
}

/// Makes every webhook of the configuration trust `bundle`.
///
/// # Errors
/// The API server's refusal.
pub async fn trust(client: &Client, name: &str, registration: &Registration, bundle: &str) -> kube::Result<()> {
    let api: Api<MutatingWebhookConfiguration> = Api::all(client.clone());
    let encoded = ByteString(bundle.as_bytes().to_vec());
    let entry = |(name, _): &(String, String)| json!({"name": name, "clientConfig": {"caBundle": encoded}});
    let patch = json!({"webhooks": registration.webhooks.iter().map(entry).collect::<Vec<_>>()});
    // Merged by the webhooks' names (`patchMergeKey` in k8s.io/api/admissionregistration/v1/types.go).
    api.patch(name, &by_us(), &Patch::Strategic(patch)).await.map(drop)
}
