//! `OTEL_EXPORTER_OTLP_HEADERS`: `name=value,name=value`, values in percents (OpenTelemetry specification, "Protocol exporter", after W3C Baggage).

use percent_encoding::percent_decode_str;
use tonic::metadata::{AsciiMetadataKey, AsciiMetadataValue, MetadataMap};

const VARIABLE: &str = "OTEL_EXPORTER_OTLP_HEADERS";

/// Those of the environment.
///
/// # Errors
/// A header that cannot be one; without its value, which may be a secret.
pub(super) fn of_env() -> Result<MetadataMap, String> {
    read(&std::env::var(VARIABLE).unwrap_or_default())
}

fn read(text: &str) -> Result<MetadataMap, String> {
    let mut headers = MetadataMap::new();
    for (at, pair) in text.split(',').map(str::trim).enumerate().filter(|(_, pair)| !pair.is_empty()) {
        let fail = |what: &str| format!("header {} of ${VARIABLE} has no {what} (name=value,name=value)", at + 1);
        let (name, value) = pair.split_once('=').ok_or_else(|| fail("="))?;
        let name = name.trim().to_ascii_lowercase();
        let name: AsciiMetadataKey = name.parse().map_err(|_| fail("name that HTTP/2 takes"))?;
        let value = percent_decode_str(value.trim()).decode_utf8_lossy();
        let mut value: AsciiMetadataValue = value.parse().map_err(|_| fail("value that HTTP/2 takes"))?;
        value.set_sensitive(true);
        headers.insert(name, value);
    }
    Ok(headers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_read_and_a_value_is_never_shown() {
        let headers = read(" Authorization = Bearer%20a%3Db , x-tenant=ci,,").unwrap();
        assert_eq!(headers.get("authorization").unwrap(), "Bearer a=b");
        assert_eq!((headers.get("x-tenant").unwrap().to_str().unwrap(), headers.len()), ("ci", 2));
        assert!(read("").unwrap().is_empty());
        for (text, said) in [("secret", "no ="), ("a=1,b c=secret", "header 2 of"), ("a=sec%0Aret", "value that")] {
            let why = read(text).unwrap_err();
            assert!(why.contains(said) && !why.contains("sec"), "{why}");
        }
        assert!(!format!("{:?}", read("a=secret").unwrap()).contains("secret"));
    }
}
