//! Forms that Kubernetes and OpenTelemetry prescribe for names and values.

/// A qualified name as labels and annotations have it: an optional DNS prefix and `/`, then up to 63 characters
/// (`k8s.io/apimachinery/pkg/util/validation` `IsQualifiedName`).
pub fn is_qualified_name(key: &str) -> bool {
    let (prefix, name) = match key.split_once('/') {
        Some((prefix, name)) => (Some(prefix), name),
        None => (None, key),
    };
    prefix.is_none_or(is_dns_subdomain) && !name.is_empty() && is_label_value(name)
}

/// A label value: at most 63 characters, alphanumeric at both ends, `-`, `_` and `.` between; may be empty (`IsValidLabelValue`).
pub fn is_label_value(value: &str) -> bool {
    let bytes = value.as_bytes();
    let ends = [bytes.first(), bytes.last()].into_iter().flatten().all(u8::is_ascii_alphanumeric);
    bytes.len() <= 63 && ends && bytes.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}

/// A DNS subdomain: lower-case labels of up to 63 characters joined by dots, at most 253 (RFC 1123, `IsDNS1123Subdomain`).
pub fn is_dns_subdomain(name: &str) -> bool {
    let label = |l: &str| {
        let bytes = l.as_bytes();
        let plain = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit();
        let ends = [bytes.first(), bytes.last()].into_iter().all(|b| b.is_some_and(plain));
        bytes.len() <= 63 && ends && bytes.iter().all(|b| plain(b) || *b == b'-')
    };
    name.len() <= 253 && name.split('.').all(label)
}

/// A key of a Secret or ConfigMap (`IsConfigMapKey`).
pub fn is_secret_key(key: &str) -> bool {
    let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    !key.is_empty() && key.len() <= 253 && key.bytes().all(fits) && key != "." && !key.starts_with("..")
}

/// Argo's parameter names (`validateInputParameter`: letters, digits, `_` and `-`), bounded as any text of a policy.
pub fn is_parameter(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.');
    !name.is_empty() && name.len() <= 256 && name.bytes().all(plain)
}

/// A portable environment variable name (`[A-Za-z_][A-Za-z0-9_]*`).
pub fn is_env_name(name: &str) -> bool {
    let rest = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    name.bytes().next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_') && name.bytes().all(rest)
}

/// An HTTP header name that OTLP accepts (RFC 9110 token).
pub fn is_header_name(name: &str) -> bool {
    let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    !name.is_empty() && name.bytes().all(token)
}

/// `http://` or `https://`, a host, an optional port and path, no user, query, fragment, space or control character.
pub fn is_endpoint(url: &str) -> bool {
    let Some(rest) = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://")) else { return false };
    let (host, port) = host_and_port(url);
    let bracketed = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
    let host_fits = match bracketed {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => !host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || b".-_".contains(&b)),
    };
    let path_fits = rest.bytes().all(|b| b.is_ascii_graphic() && !b"?#@$\\\"".contains(&b));
    host_fits && path_fits && port.is_none_or(|p| p.parse::<u16>().is_ok_and(|p| p > 0)) && url.len() <= 256
}

/// The host, an IPv6 address in its brackets, and the port of a URL, whose scheme may be left out (OTLP/gRPC exporters take that too).
pub fn host_and_port(url: &str) -> (&str, Option<&str>) {
    let authority = url.split_once("://").map_or(url, |(_, rest)| rest).split('/').next().unwrap_or_default();
    let authority = authority.rsplit('@').next().unwrap_or_default();
    match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (authority, None),
    }
}

/// A URL as messages show it: without user, query and fragment, in which may stand what lets one in.
pub fn shown_url(url: &str) -> String {
    let is_scheme = |text: &str| text.bytes().all(|b| b.is_ascii_alphanumeric());
    let (scheme, rest) = match url.find("://") {
        Some(at) if is_scheme(&url[..at]) => url.split_at(at + 3),
        _ => ("", url),
    };
    let (place, left_out) = rest.split_at(rest.find(['?', '#']).unwrap_or(rest.len()));
    let mark = left_out.chars().next().map_or_else(String::new, |first| format!("{first}..."));
    // The last one: a password that is not encoded may hold more of them.
    match place.rfind('@') {
        Some(at) => format!("{scheme}{}{mark}", &place[at + 1..]),
        // It may hold a `?` as well: what stands before is then no host.
        None if left_out.contains('@') && !place.contains('/') => format!("{scheme}..."),
        None => format!("{scheme}{place}{mark}"),
    }
}

/// Milliseconds of a duration such as `300ms`, `2s`, `1m`; `None` where it is not of that form.
pub fn duration_ms(text: &str) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let factor = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn qualified_names() {
        for good in ["pr", "taskId", "example.com/repo", "a_b.c", "x"] {
            assert!(is_qualified_name(good), "{good}");
        }
        for bad in ["", "-a", "a/", "/a", "A.com/x", "a/b/c", "sp ace", "é", &"x".repeat(64)] {
            assert!(!is_qualified_name(bad), "{bad}");
        }
    }

    #[test]
    fn endpoints() {
        for good in
            ["http://otel-collector:4317", "https://c.example.com", "http://[::1]:4317", "http://c:4318/v1/traces"]
        {
            assert!(is_endpoint(good), "{good}");
        }
        for bad in [
            "otel:4317",
            "http://",
            "http://c:0",
            "http://c:99999",
            "http://u@c",
            "http://c/$(X)",
            "http://c d",
            "ftp://c",
        ] {
            assert!(!is_endpoint(bad), "{bad}");
        }
    }

    #[test]
    fn hosts_and_ports() {
        for (url, expected) in [
            ("http://c:4318/v1/traces", ("c", Some("4318"))),
            ("https://u:p@c.example.com", ("c.example.com", None)),
            ("http://[::1]:4317", ("[::1]", Some("4317"))),
            ("[::1]", ("[::1]", None)),
            ("otel:4317", ("otel", Some("4317"))),
            ("", ("", None)),
        ] {
            assert_eq!(host_and_port(url), expected, "{url}");
        }
    }

    #[test]
    fn urls_are_shown_without_what_may_be_secret() {
        for (url, shown) in [
            ("http://c:4317/v1", "http://c:4317/v1"),
            ("https://c.example.com/v1?token=abc", "https://c.example.com/v1?..."),
            ("https://c.example.com#token=abc", "https://c.example.com#..."),
            ("http://c/v1?mail=a@b&token=abc", "http://c/v1?..."),
            ("http://me:p@ss@c:4317/x?y", "http://c:4317/x?..."),
            ("http://me:p?ss@c:4317", "http://..."),
            ("me:pass@c:4317", "c:4317"),
            ("c:4317?a=http://x", "c:4317?..."),
            ("", ""),
        ] {
            assert_eq!(shown_url(url), shown, "{url}");
        }
    }

    #[test]
    fn durations() {
        assert_eq!(duration_ms("300ms"), Some(300));
        assert_eq!(duration_ms("2s"), Some(2_000));
        assert_eq!(duration_ms("1h"), None);
        assert_eq!(duration_ms("ms"), None);
        assert_eq!(duration_ms("99999999999999999999s"), None);
    }
}
