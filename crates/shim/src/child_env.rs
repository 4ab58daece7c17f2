//! The environment of the command: what admission could not settle, and where its own spans belong.

use stepspan_contract::env::{Group, group, list_has_key, list_value, merge_lists, pairs};
use stepspan_contract::{EnvRule, OnConflict, names};

use crate::command::Environment;

const RESOURCE_ATTRIBUTES: &str = "OTEL_RESOURCE_ATTRIBUTES";
/// W3C Baggage, section 3.3.2: what every platform carries.
const LONGEST_BAGGAGE: usize = 8_192;

/// Removes what is ours alone.
pub fn strip(env: &mut Environment) {
    env.remove_prefix(names::PRIVATE_PREFIX);
}

/// Settles the variables that admission left to us: here `envFrom` and `valueFrom` are values like others.
pub fn settle(env: &mut Environment, rules: &[EnvRule]) {
    let sets = |wanted: Group| {
        env.names().filter_map(group).any(|found| found == wanted)
            || wanted == Group::Service
                && env.text(RESOURCE_ATTRIBUTES).is_some_and(|l| list_has_key(l, "service.name"))
    };
    let theirs: Vec<Group> =
        [Group::Service, Group::Exporter, Group::Sampler].into_iter().filter(|g| sets(*g)).collect();
    for rule in rules {
        let own = group(&rule.name);
        if rule.on_conflict != OnConflict::Override && own.is_some_and(|group| theirs.contains(&group)) {
            continue;
        }
        let foreign_service = rule.name == RESOURCE_ATTRIBUTES && theirs.contains(&Group::Service);
        let value = if foreign_service { without_service_name(&rule.value) } else { rule.value.clone() };
        match (env.get(&rule.name).map(|bytes| std::str::from_utf8(bytes).map(ToOwned::to_owned)), rule.on_conflict) {
            (Some(Ok(theirs)), OnConflict::Merge) => env.set(&rule.name, &merge_lists(&theirs, &value)),
            // What is no text cannot be merged, and stays as it is.
            (Some(_), OnConflict::Keep | OnConflict::Skip | OnConflict::Merge) => {}
            (None, _) | (Some(_), OnConflict::Override) => env.set(&rule.name, &value),
        }
    }
}

fn without_service_name(list: &str) -> String {
    list.split(',').filter(|pair| !list_has_key(pair, "service.name")).collect::<Vec<_>>().join(",")
}

/// Tells the command where its spans belong. `baggage` are the correlation values; the command's own members win.
pub fn hand_on(env: &mut Environment, (trace, span, sampled): (&str, &str, bool), baggage: &[(&str, &str)]) {
    let foreign = env.text("TRACEPARENT").is_none_or(|text| !text.contains(trace));
    if foreign {
        // It belongs to the trace of the traceparent that is replaced here.
        env.remove("TRACESTATE");
    }
    env.set("TRACEPARENT", &format!("00-{trace}-{span}-{:02x}", u8::from(sampled)));
    for (name, value) in [("TRACE_ID", trace), ("SPAN_ID", span)] {
        if !env.has(name) {
            env.set(name, value);
        }
    }
    if env.get("BAGGAGE").is_some_and(|bytes| std::str::from_utf8(bytes).is_err()) {
        return;
    }
    let theirs = env.text("BAGGAGE").unwrap_or_default().to_owned();
    let own: Vec<&str> = pairs(&theirs).map(|(key, _)| key).collect();
    let mut list = theirs.trim_end_matches(',').to_owned();
    for (key, value) in baggage.iter().filter(|(key, value)| !value.is_empty() && is_token(key) && !own.contains(key)) {
        let member = format!("{key}={}", list_value(value));
        if list.len() + member.len() < LONGEST_BAGGAGE {
            if !list.is_empty() {
                list.push(',');
            }
            list.push_str(&member);
        }
    }
    if !list.is_empty() {
        env.set("BAGGAGE", &list);
    }
}

/// A key of W3C Baggage (RFC 7230 token).
fn is_token(key: &str) -> bool {
    !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(name: &str, value: &str, on_conflict: OnConflict) -> EnvRule {
        EnvRule { name: name.into(), value: value.into(), on_conflict }
    }

    #[test]
    fn what_the_step_has_counts_as_the_policy_says() {
        let rules = [
            rule("OTEL_EXPORTER_OTLP_ENDPOINT", "http://ours", OnConflict::Keep),
            rule("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc", OnConflict::Keep),
            rule("OTEL_SERVICE_NAME", "ours", OnConflict::Keep),
            rule("OTEL_RESOURCE_ATTRIBUTES", "service.name=ours,a=1,b=2", OnConflict::Merge),
            rule("OTEL_LOGS_EXPORTER", "none", OnConflict::Override),
            rule("OTEL_TRACES_SAMPLER", "always_on", OnConflict::Skip),
        ];
        let own = [
            ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://theirs"),
            ("OTEL_RESOURCE_ATTRIBUTES", "service.name=theirs,b=3"),
            ("OTEL_LOGS_EXPORTER", "otlp"),
        ];
        let mut env: Environment = own.into_iter().collect();
        settle(&mut env, &rules);
        let expected = [
            ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://theirs"),
            ("OTEL_RESOURCE_ATTRIBUTES", "service.name=theirs,b=3,a=1"),
            ("OTEL_LOGS_EXPORTER", "none"),
            ("OTEL_TRACES_SAMPLER", "always_on"),
        ];
        assert_eq!(env, expected.into_iter().collect());
    }

    #[test]
    fn the_command_is_told_where_its_spans_belong() {
        let own = [("TRACESTATE", "x=1"), ("SPAN_ID", "mine"), ("BAGGAGE", "repo=mine;p=1"), ("STEPSPAN_CONFIG", "c")];
        let mut env: Environment = own.into_iter().collect();
        strip(&mut env);
        let baggage = [("repo", "ours"), ("ref", "a b,c"), ("bad key", "x"), ("agent", "")];
        hand_on(&mut env, ("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7", true), &baggage);
        let expected = [
            ("SPAN_ID", "mine"),
            ("BAGGAGE", "repo=mine;p=1,ref=a%20b%2Cc"),
            ("TRACEPARENT", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
            ("TRACE_ID", "4bf92f3577b34da6a3ce929d0e0e4736"),
        ];
        assert_eq!(env, expected.into_iter().collect());
    }
}
