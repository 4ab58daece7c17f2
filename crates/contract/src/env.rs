//! Groups of OpenTelemetry variables that only make sense together: if a step sets one, ours are dropped whole.

/// A group of variables; see [`group`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Group {
    /// `OTEL_SERVICE_NAME` and the key `service.name` of `OTEL_RESOURCE_ATTRIBUTES`.
    Service,
    /// Where and how to export: endpoint, protocol, certificate, headers; the per-signal forms too, since a
    /// step's own `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT` must not meet a protocol of ours.
    Exporter,
    /// `OTEL_TRACES_SAMPLER` and its argument.
    Sampler,
}

/// The group a variable belongs to, `None` for one that stands alone.
pub fn group(name: &str) -> Option<Group> {
    match name {
        "OTEL_SERVICE_NAME" => Some(Group::Service),
        "OTEL_TRACES_SAMPLER" | "OTEL_TRACES_SAMPLER_ARG" => Some(Group::Sampler),
        _ => {
            let rest = name.strip_prefix("OTEL_EXPORTER_OTLP_")?;
            let rest = ["TRACES_", "METRICS_", "LOGS_"].iter().find_map(|s| rest.strip_prefix(s)).unwrap_or(rest);
            matches!(rest, "ENDPOINT" | "PROTOCOL" | "CERTIFICATE" | "HEADERS" | "INSECURE").then_some(Group::Exporter)
        }
    }
}

/// Whether a comma list of `key=value` (the form of `OTEL_RESOURCE_ATTRIBUTES`) has the key.
pub fn list_has_key(list: &str, key: &str) -> bool {
    list.split(',').any(|pair| pair.split('=').next().is_some_and(|k| k.trim() == key))
}

/// Merges comma lists of `key=value`: the pairs of `theirs` stay as they are, those of `ours` follow where the key is new.
pub fn merge_lists(theirs: &str, ours: &str) -> String {
    let mut merged = theirs.trim_end_matches(',').to_owned();
    for pair in ours.split(',').filter(|p| !p.is_empty()) {
        let key = pair.split('=').next().unwrap_or(pair).trim();
        if !list_has_key(theirs, key) {
            if !merged.is_empty() {
                merged.push(',');
            }
            merged.push_str(pair);
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_hold_the_per_signal_forms() {
        assert_eq!(group("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"), Some(Group::Exporter));
        assert_eq!(group("OTEL_EXPORTER_OTLP_PROTOCOL"), Some(Group::Exporter));
        assert_eq!(group("OTEL_EXPORTER_OTLP_TIMEOUT"), None);
        assert_eq!(group("OTEL_SERVICE_NAME"), Some(Group::Service));
    }

    #[test]
    fn the_step_s_own_keys_win_in_a_merge() {
        assert_eq!(
            merge_lists("team=a,k8s.namespace=x", "service.name=s,k8s.namespace=y"),
            "team=a,k8s.namespace=x,service.name=s"
        );
        assert_eq!(merge_lists("", "a=1,b=2"), "a=1,b=2");
    }
}
