//! Where spans go: from the webhook's configuration, or from the standard variables (OpenTelemetry specification, "OpenTelemetry
//! Protocol Exporter").

use std::time::Duration;

use stepspan_contract::Config;
use stepspan_contract::env::pairs;

use crate::command::Environment;
use crate::export::{Protocol, Target};

/// The policy's Collector. `outside` holds the header values, `env` what the step itself says of exporting.
pub fn of_config(config: &Config, outside: &Environment, env: &Environment) -> Result<Target, String> {
    let protocol = Protocol::parse(&config.protocol).ok_or_else(|| format!("protocol {}", config.protocol))?;
    let mut target = Target::of_url(&config.endpoint, protocol)?;
    target.ca_file.clone_from(&config.ca_file);
    // An optional Secret that is not there leaves its variable unset; one written by hand often ends in a newline.
    let header = |(name, variable): &(String, String)| {
        Some((name.to_ascii_lowercase(), outside.text(variable)?.trim().to_owned()))
    };
    target.headers = config.headers.iter().filter_map(header).collect();
    common(&mut target, env);
    // The step's own credentials are for the step's own Collector.
    let elsewhere = env.has("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT");
    if !elsewhere && env.text("OTEL_EXPORTER_OTLP_ENDPOINT") == Some(&config.endpoint) {
        credentials(&mut target, env);
    }
    Ok(target)
}

/// The step's own Collector, for parts of a step.
pub fn of_environment(env: &Environment) -> Result<Target, String> {
    let whole = env.text("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT");
    let url = whole.or_else(|| env.text("OTEL_EXPORTER_OTLP_ENDPOINT")).ok_or("no OTEL_EXPORTER_OTLP_ENDPOINT")?;
    let protocol = match of_signal(env, "PROTOCOL") {
        Some(word) => Protocol::parse(word).ok_or_else(|| format!("protocol {word}"))?,
        None if url.trim_end_matches('/').ends_with(":4317") => Protocol::Grpc,
        None => Protocol::Http,
    };
    // Without a scheme the address is gRPC's own form, and TLS is told by another variable.
    let scheme =
        if of_signal(env, "INSECURE").is_some_and(|word| word.eq_ignore_ascii_case("true")) { "http" } else { "https" };
    let url = if url.contains("://") { url.to_owned() } else { format!("{scheme}://{url}") };
    let mut target = Target::of_url(&url, protocol)?;
    target.whole_path = whole.is_some();
    common(&mut target, env);
    credentials(&mut target, env);
    Ok(target)
}

fn common(target: &mut Target, env: &Environment) {
    target.gzip = of_signal(env, "COMPRESSION") == Some("gzip");
    target.timeout =
        of_signal(env, "TIMEOUT").and_then(|ms| ms.parse().ok()).filter(|ms| *ms > 0).map(Duration::from_millis);
}

fn credentials(target: &mut Target, env: &Environment) {
    if let Some(file) = of_signal(env, "CERTIFICATE") {
        target.ca_file.get_or_insert_with(|| file.to_owned());
    }
    let identity = of_signal(env, "CLIENT_CERTIFICATE").zip(of_signal(env, "CLIENT_KEY"));
    target.identity = identity.map(|(certificate, key)| (certificate.to_owned(), key.to_owned()));
    for (name, value) in pairs(of_signal(env, "HEADERS").unwrap_or_default()) {
        let name = name.to_ascii_lowercase();
        if !target.headers.iter().any(|(known, _)| *known == name) {
            target.headers.push((name, value));
        }
    }
}

/// The variable for traces, else the one for all signals.
fn of_signal<'a>(env: &'a Environment, name: &str) -> Option<&'a str> {
    env.text(&format!("OTEL_EXPORTER_OTLP_TRACES_{name}")).or_else(|| env.text(&format!("OTEL_EXPORTER_OTLP_{name}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(variables: &[(&str, &str)]) -> Target {
        of_environment(&variables.iter().copied().collect()).unwrap()
    }

    #[test]
    fn standard_variables_are_read() {
        let found = target(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4317/")]);
        assert_eq!((found.protocol, found.tls, found.path.as_str()), (Protocol::Grpc, false, ""));
        let found = target(&[
            ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "https://c/x"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "Authorization=Bearer%20t,a=b"),
            ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "250"),
        ]);
        assert_eq!((found.tls, found.port, found.whole_path, found.gzip), (true, 443, true, true));
        assert_eq!(found.headers, [("authorization".into(), "Bearer t".into()), ("a".into(), "b".into())]);
        assert_eq!(found.timeout, Some(Duration::from_millis(250)));
        let bare = [("OTEL_EXPORTER_OTLP_ENDPOINT", "c:4317"), ("OTEL_EXPORTER_OTLP_INSECURE", "true")];
        assert!(!target(&bare).tls && target(&bare[..1]).tls);
        assert!(of_environment(&Environment::default()).is_err());
    }

    #[test]
    fn a_policy_s_headers_come_from_its_secrets_and_a_step_s_own_stay_at_home() {
        let config = Config {
            endpoint: "http://ours:4317".into(),
            protocol: "grpc".into(),
            headers: vec![
                ("Authorization".into(), "STEPSPAN_HEADER_0".into()),
                ("x".into(), "STEPSPAN_HEADER_1".into()),
            ],
            ..Config::default()
        };
        let outside: Environment = [("STEPSPAN_HEADER_0", "secret\n")].into_iter().collect();
        let env = |endpoint| -> Environment {
            [("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint), ("OTEL_EXPORTER_OTLP_HEADERS", "own=1")].into_iter().collect()
        };
        let foreign = of_config(&config, &outside, &env("http://theirs")).unwrap();
        assert_eq!(foreign.headers, [("authorization".into(), "secret".into())]);
        assert!(!format!("{foreign:?}").contains("secret"));
        let same = of_config(&config, &outside, &env("http://ours:4317")).unwrap();
        assert_eq!(same.headers.len(), 2);
        let mut split = env("http://ours:4317");
        split.set("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://vendor");
        assert_eq!(of_config(&config, &outside, &split).unwrap().headers.len(), 1);
    }
}
