//! Names that stand in pods: paths, volumes, environment variables, annotations.

/// Where the shim's volume is mounted, read-only, in every step container.
pub const MOUNT_PATH: &str = "/stepspan";
/// The shim, on the volume that the init container fills and in our image alike.
pub const SHIM_PATH: &str = "/stepspan/stepspan-shim";
/// What stands between emissary's `--` and the user's argv.
pub const SHIM_ARGV: [&str; 3] = [SHIM_PATH, "run", "--"];
/// The volume that carries the shim.
pub const VOLUME: &str = "stepspan";
/// The empty volume over the init container's service-account token path.
pub const NO_TOKEN_VOLUME: &str = "stepspan-no-token";
/// The volume that carries the policy's CA bundle, from the annotation [`CA_ANNOTATION`].
pub const CA_VOLUME: &str = "stepspan-ca";
/// All volumes of ours.
pub const VOLUMES: [&str; 3] = [VOLUME, NO_TOKEN_VOLUME, CA_VOLUME];
/// Where the CA bundle's volume is mounted.
pub const CA_MOUNT_PATH: &str = "/stepspan-ca";
/// The CA bundle (PEM) as the step and its shim see it.
pub const CA_PATH: &str = "/stepspan-ca/ca.pem";
/// Our init container.
pub const INIT_CONTAINER: &str = "stepspan-init";
/// The path at which Kubernetes mounts a service account's token.
pub const TOKEN_PATH: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// Every private variable begins with this; the shim removes them from the child's environment.
pub const PRIVATE_PREFIX: &str = "STEPSPAN_";
/// The shim's own path, for scripts that show their parts: `"$STEPSPAN" run --name build -- make`.
pub const SHIM_ENV: &str = "STEPSPAN";
/// Where parts of a step hand their spans to the step's shim: the one private variable that the command sees.
pub const RELAY_ENV: &str = "STEPSPAN_RELAY";
/// The serialised [`crate::Config`].
pub const CONFIG_ENV: &str = "STEPSPAN_CONFIG";
/// The pod's UID (downward API): unknown at admission, part of the step span's id.
pub const POD_UID_ENV: &str = "STEPSPAN_POD_UID";
/// The pod's name (downward API), only where admission did not know it (`generateName`).
pub const POD_NAME_ENV: &str = "STEPSPAN_POD_NAME";
/// Prefix of the variables that bring OTLP header values from Secrets: `STEPSPAN_HEADER_0`, ...
pub const HEADER_ENV_PREFIX: &str = "STEPSPAN_HEADER_";

/// Every annotation of ours begins with this.
pub const ANNOTATION_PREFIX: &str = "stepspan.dev/";
/// What was done with the pod.
pub const STATUS_ANNOTATION: &str = "stepspan.dev/status";
/// The CA bundle of the policy, projected into the pod by the downward API.
pub const CA_ANNOTATION: &str = "stepspan.dev/ca-bundle";
/// Each container that has the shim and the node it is of, `main=<Workflow UID>/<node id>`, a space between two: what is left to compute the id
/// of its span for whoever knows the pod's UID, such as a collector of logs.
pub const SPAN_NODES_ANNOTATION: &str = "stepspan.dev/span-nodes";
/// Names the values that were unknown offline.
pub const DYNAMIC_ANNOTATION: &str = "stepspan.dev/dynamic";
/// The default opt-out: the value `false` leaves a pod alone.
pub const OPT_OUT_ANNOTATION: &str = "stepspan.dev/inject";
/// Those that have a meaning of their own: no correlation key can have one of them.
pub const OWN_ANNOTATIONS: [&str; 5] =
    [STATUS_ANNOTATION, CA_ANNOTATION, SPAN_NODES_ANNOTATION, DYNAMIC_ANNOTATION, OPT_OUT_ANNOTATION];
/// The traceparent of the pod's node: trace id, node span id and the sampling decision.
pub const TRACE_CONTEXT_ANNOTATION: &str = "trace.context";
