//! Ports of one OTLP protocol where the other is spoken, in what policies come to where they meet.
//!
//! The first policy that writes a leaf decides it ([`crate::policy::merge`]): endpoint and protocol of a pod may be of two policies, and either
//! may be the default.

use super::overlap::{may_meet, takes_all_of};
use super::rule::PROTOCOL_PORT;
use super::{Finding, Found, turn};
use crate::policy::effective::DEFAULT_ENDPOINT;
use crate::policy::load::Written;
use crate::policy::spec::Protocol;
use crate::policy::syntax::host_and_port;

/// The policies that write an endpoint, and those that write a protocol, as they take turns.
struct Writers<'w> {
    endpoints: Vec<&'w Written>,
    protocols: Vec<&'w Written>,
}

/// Who decides endpoint and protocol of a pod; `None` is the default.
#[derive(Clone, Copy)]
struct Pair<'w> {
    endpoint: Option<&'w Written>,
    protocol: Option<&'w Written>,
}

/// Looks at each endpoint and each protocol beside all that may count with it; `order` is the order in which policies take turns.
pub(super) fn check(order: &[&Written], findings: &mut Vec<Finding>) {
    let that = |writes: fn(&Written) -> bool| order.iter().copied().filter(|one| writes(one)).collect();
    let endpoints: Vec<&Written> = that(|one| endpoint(one).is_some());
    let writers = Writers { endpoints, protocols: that(|one| protocol(one).is_some()) };
    for one in order {
        let mut found = Found { file: &one.file, place: &one.place, findings };
        endpoint_of(one, &writers, &mut found);
        protocol_of(one, &writers, &mut found);
    }
}

fn endpoint(one: &Written) -> Option<&str> {
    one.policy.spec.otlp.endpoint.as_deref()
}

fn protocol(one: &Written) -> Option<Protocol> {
    one.policy.spec.otlp.protocol
}

/// A policy's endpoint, first beside what the policy itself says.
fn endpoint_of(one: &Written, writers: &Writers<'_>, found: &mut Found<'_>) {
    if endpoint(one).is_none() {
        return;
    }
    let own = Some(one).filter(|one| protocol(one).is_some());
    let others = writers.protocols.iter().map(|other| Some(*other));
    let pairs = [own, None].into_iter().chain(others).map(|protocol| Pair { endpoint: Some(one), protocol });
    let Some((pair, what)) = pairs.filter(|pair| pair.is_told_at_endpoint()).find_map(|pair| pair.wrong(writers))
    else {
        return;
    };
    let protocol = pair.spoken().as_str();
    let (message, hint) = match pair.protocol.filter(|other| !std::ptr::eq(*other, one)) {
        None => (format!("{what}, and the protocol is {protocol}"), "change the port, or `protocol`".to_owned()),
        Some(other) => {
            let name = &other.policy.metadata.name;
            let hint = if turn(one) < turn(other) {
                "write `protocol` beside it, or change the port".to_owned()
            } else {
                format!("change the port, or the protocol of `{name}`")
            };
            (format!("{what}, and where `{name}` matches too the protocol is {protocol}"), hint)
        }
    };
    found.add(&PROTOCOL_PORT, "spec.otlp.endpoint", message, hint);
}

/// A policy's protocol, beside the endpoints of others and the default.
fn protocol_of(one: &Written, writers: &Writers<'_>, found: &mut Found<'_>) {
    if protocol(one).is_none() {
        return;
    }
    let others = writers.endpoints.iter().map(|other| Some(*other));
    let pairs = others.chain([None]).map(|endpoint| Pair { endpoint, protocol: Some(one) });
    let Some((pair, what)) = pairs.filter(|pair| !pair.is_told_at_endpoint()).find_map(|pair| pair.wrong(writers))
    else {
        return;
    };
    let (message, hint) = match pair.endpoint {
        None => {
            (format!("where no policy gives an endpoint the default counts, and {what}"), "write `endpoint` beside it")
        }
        Some(other) => {
            let name = &other.policy.metadata.name;
            (
                format!("where `{name}` matches too its endpoint counts, and {what}"),
                "write `endpoint` beside it, or take it out",
            )
        }
    };
    found.add(&PROTOCOL_PORT, "spec.otlp.protocol", message, hint);
}

impl<'w> Pair<'w> {
    /// Itself, and whose port it is, where that is the other protocol's and some pod comes to this.
    fn wrong(self, writers: &Writers<'w>) -> Option<(Self, &'static str)> {
        self.mismatch().filter(|_| self.may_be(writers)).map(|what| (self, what))
    }

    fn mismatch(self) -> Option<&'static str> {
        let url = self.endpoint.and_then(endpoint).unwrap_or(DEFAULT_ENDPOINT);
        match (self.spoken(), host_and_port(url).1) {
            (Protocol::Grpc, Some("4318")) => Some("4318 is the port of OTLP/HTTP"),
            (Protocol::HttpProtobuf, Some("4317")) => Some("4317 is the port of OTLP/gRPC"),
            _ => None,
        }
    }

    fn spoken(self) -> Protocol {
        self.protocol.and_then(protocol).unwrap_or(Protocol::Grpc)
    }

    /// Whether it is the endpoint that has to change: not the default, and not one whose policy has the protocol for it, which another overrules.
    fn is_told_at_endpoint(self) -> bool {
        let Some(one) = self.endpoint else { return false };
        let overruled = self.protocol.is_some_and(|other| !std::ptr::eq(other, one));
        let fits = || Self { endpoint: Some(one), protocol: Some(one) }.mismatch().is_none();
        !(overruled && protocol(one).is_some() && fits())
    }

    /// Whether there may be a pod for which just these two decide.
    fn may_be(self, writers: &Writers<'w>) -> bool {
        let both: Vec<&Written> = self.endpoint.into_iter().chain(self.protocol).collect();
        let meet = match (self.endpoint, self.protocol) {
            (Some(a), Some(b)) => std::ptr::eq(a, b) || may_meet(a, b),
            _ => true,
        };
        meet && !is_forestalled(self.endpoint, &writers.endpoints, &both)
            && !is_forestalled(self.protocol, &writers.protocols, &both)
    }
}

/// Whether a writer that comes before this one takes all pods that both take.
fn is_forestalled(one: Option<&Written>, writers: &[&Written], both: &[&Written]) -> bool {
    let mut before = writers.iter().take_while(|writer| one.is_none_or(|one| !std::ptr::eq(**writer, one)));
    before.any(|writer| takes_all_of(writer, both))
}
