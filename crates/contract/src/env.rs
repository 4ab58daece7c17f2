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

/// A value percent-encoded for a list of `key=value` such as `OTEL_RESOURCE_ATTRIBUTES` (W3C Baggage octets; OpenTelemetry
/// specification, resource SDK, "Specifying resource information via an environment variable").
pub fn list_value(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'!' | b'#'..=b'+' | b'-'..=b':' | b'<' | b'>'..=b'[' | b']'..=b'~' if byte != b'%' => {
                out.push(char::from(byte));
            }
            other => {
                out.push('%');
                out.extend([other >> 4, other & 15].map(|n| char::from(b"0123456789ABCDEF"[usize::from(n)])));
            }
        }
    }
    out
}

/// The pairs of such a list, decoded; what is no pair is left out, and so are a member's properties (`;` in W3C Baggage).
pub fn pairs(list: &str) -> impl Iterator<Item = (&str, String)> {
    list.split(',').filter_map(|pair| {
        let (key, value) = pair.split_once('=')?;
        let key = key.trim();
        let value = value.split(';').next().unwrap_or_default().trim();
        (!key.is_empty()).then(|| (key, percent_decoded(value)))
    })
}

fn percent_decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let digit = |at: usize| bytes.get(at).and_then(|byte| char::from(*byte).to_digit(16));
    let (mut out, mut at) = (Vec::with_capacity(bytes.len()), 0);
    while let Some(byte) = bytes.get(at) {
        let escaped = digit(at + 1).zip(digit(at + 2)).and_then(|(high, low)| u8::try_from(high << 4 | low).ok());
        match (byte, escaped) {
            (b'%', Some(meant)) => {
                out.push(meant);
                at += 3;
            }
            (other, _) => {
                out.push(*other);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
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
    fn a_list_s_values_are_read_back() {
        let value = "a,b=c;d=%41 ünï\n";
        let list = format!(" k = {} , none,=x,z=1;p=2,bad=%4", list_value(value));
        let expected = [("k", value.to_owned()), ("z", "1".to_owned()), ("bad", "%4".to_owned())];
        assert_eq!(pairs(&list).collect::<Vec<_>>(), expected);
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
