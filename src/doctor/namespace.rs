//! What is each namespace's own.

use std::future::Future;

use serde_json::Value;

use super::{
    ask::{ALL, Answer, Asker, Kind, Refusal},
    egress,
    endpoint::{self, Endpoint, Host},
    install::Install,
    limits, others,
    pod::{self, Shape},
    report::Finding,
    rules::Place,
    run::{self, Interrupted},
    survey::Survey,
    trial::{self, Expected, Trials},
};
use crate::{argo::Layout, context::Context, patch, source::facts::Labels};

/// A namespace that was looked at.
#[derive(Debug)]
pub struct Examined {
    /// Its name.
    pub name: String,
    /// What was found.
    pub findings: Vec<Finding>,
    labels: Option<Labels>,
}

/// One namespace, while it is looked at.
struct Looking<'a> {
    ask: &'a Asker,
    survey: &'a Survey,
    name: &'a str,
    labels: &'a Labels,
    pod: Labels,
}

impl Examined {
    /// Looks at a namespace.
    pub async fn of(ask: &Asker, survey: &Survey, name: String) -> Self {
        let object = ask.get(Kind::NAMESPACES, None, &name).await;
        let mut findings = Vec::new();
        let labels = match &object {
            Err(Refusal::Absent) => {
                let found = format!("there is no namespace {name}");
                findings.push(Finding::fail("namespace", found, "check the name, or create it"));
                return Self { name, findings, labels: None };
            }
            Ok(object) => {
                let labels = object["metadata"]["labels"].as_object().into_iter().flatten();
                labels.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect()
            }
            Err(_) => Labels::new(),
        };
        let looking = Looking { ask, survey, name: &name, labels: &labels, pod: pod::labels() };
        let quotas = ask.list(Kind::QUOTAS, Some(&name), "", ALL).await;
        match &quotas {
            Ok(quotas) => findings.extend(limits::judge_quotas(quotas)),
            Err(refusal) => findings.push(refusal.finding("quota")),
        }
        findings.push(match ask.list(Kind::LIMIT_RANGES, Some(&name), "", ALL).await {
            Ok(ranges) => limits::judge_limit_ranges(&ranges),
            Err(refusal) => refusal.finding("limit range"),
        });
        findings.push(match &object {
            Ok(_) => limits::judge_pod_security(&labels),
            Err(refusal) => refusal.finding("pod security"),
        });
        findings.push(match ask.list(Kind::NETWORK_POLICIES, Some(&name), "", ALL).await {
            Ok(policies) => egress::judge(&policies, looking.place()),
            Err(refusal) => refusal.finding("egress"),
        });
        findings.extend(looking.others());
        findings.extend(looking.trial().await.unwrap_or_else(|refusal| vec![refusal.finding("trial pod")]));
        findings.extend(looking.endpoints().await);
        Self { name, findings, labels: Some(labels) }
    }

    /// Runs a pod that looks at the endpoints.
    ///
    /// # Errors
    /// `stopped` came first.
    pub async fn run(
        &self,
        ask: &Asker,
        survey: &Survey,
        tell: &dyn Fn(String),
        stopped: impl Future<Output = ()>,
    ) -> Result<Vec<Finding>, Interrupted> {
        let Some(labels) = &self.labels else { return Ok(Vec::new()) };
        let policies: Vec<_> = survey.policies.of(&self.name, labels).collect();
        let endpoints: Vec<Endpoint> = endpoint::of(&policies);
        run::run(ask, &self.name, (&survey.context.injector, &endpoints), (tell, stopped)).await
    }
}

impl Looking<'_> {
    fn place(&self) -> Place<'_> {
        Place { namespace: self.name, labels: self.labels, pod: &self.pod }
    }

    fn others(&self) -> Vec<Finding> {
        let survey = self.survey;
        let mut injectors = match &survey.configurations {
            Err(refusal) => return vec![refusal.finding(others::CHECK)],
            Ok(all) => {
                let ours = |configuration: &&Value| survey.installs.iter().any(|i| i.configuration == **configuration);
                others::webhooks(all.iter().filter(|configuration| !ours(configuration)), self.place())
            }
        };
        let mut findings = Vec::new();
        match &survey.mutations {
            Ok((policies, bindings)) => injectors.extend(others::policies(policies, bindings, self.place())),
            Err(refusal) => findings.push(refusal.finding(others::CHECK)),
        }
        findings.extend(others::judge(&injectors));
        findings
    }

    /// The install whose webhook is asked about pods of this namespace, else any that is there.
    fn install(&self) -> Option<&Install> {
        let installs = &self.survey.installs;
        let here = |install: &&Install| !others::leaves_out(&install.configuration, self.place());
        installs.iter().find(here).or_else(|| installs.first())
    }

    async fn trial(&self) -> Answer<Vec<Finding>> {
        let survey = self.survey;
        let layout = survey.seen.as_ref().map_or(Layout::InitContainer, |seen| seen.layout());
        let shape = Shape { layout, image: &survey.executor, resources: false, opted_out: false };
        let mut context = Context { ..survey.context.clone() };
        context.namespaces.insert(self.name.to_owned(), self.labels.clone());
        let install = self.install();
        let review = |shape| {
            let pod = pod::pod(shape);
            let reviewed = pod::review(&pod, self.name, &survey.policies.set, &context);
            (pod, reviewed)
        };
        // Before install the pod is sent as the webhook would make it.
        let made = |shape| {
            let (mut pod, reviewed) = review(shape);
            if install.is_none() && patch::apply(&mut pod, &reviewed.patch).is_err() {
                return pod::pod(shape);
            }
            pod
        };
        let create = async |pod: Value| self.ask.create(Kind::PODS, self.name, &pod, true).await;
        let mut trials = Trials { with: create(made(shape)).await?, ..Trials::default() };
        if !trials.with.is_success() {
            let without = create(pod::pod(Shape { opted_out: true, ..shape })).await?;
            if !without.is_success() {
                trials.with_resources = Some(create(made(Shape { resources: true, ..shape })).await?);
            }
            trials.without = Some(without);
        }
        let (_, reviewed) = review(shape);
        let stop = install.and_then(|install| survey.breakers.stop(install, self.name));
        let expected = Expected { install, stop: stop.as_ref(), place: self.place(), reviewed: &reviewed };
        Ok(trial::judge(&trials, expected))
    }

    async fn endpoints(&self) -> Vec<Finding> {
        let policies: Vec<_> = self.survey.policies.of(self.name, self.labels).collect();
        let mut findings = Vec::new();
        for Endpoint { url, .. } in endpoint::of(&policies) {
            let host = endpoint::host(&url, self.name);
            let finding = match &host {
                Host::Service { namespace, name, port, sure } => {
                    self.service(&url, (namespace, name, *port), *sure).await
                }
                Host::Pod | Host::Other => endpoint::judge_other(&url, &host),
            };
            findings.push(finding);
        }
        if policies.is_empty() {
            let hint = "see match.namespaces and namespaceSelector in docs/policy-reference.md";
            findings.push(Finding::warn("endpoint", "no policy takes this namespace", hint));
        }
        for (name, headers) in endpoint::secrets(policies.into_iter()) {
            findings.push(match self.ask.get(Kind::SECRETS, Some(self.name), &name).await {
                Ok(secret) => endpoint::judge_secret(&name, &headers, Some(&secret)),
                Err(Refusal::Absent) => endpoint::judge_secret(&name, &headers, None),
                Err(refusal) => refusal.finding("headers"),
            });
        }
        findings
    }

    async fn service(&self, url: &str, (namespace, name, port): (&str, &str, u16), sure: bool) -> Finding {
        let service = match self.ask.get(Kind::SERVICES, Some(namespace), name).await {
            Ok(service) => service,
            Err(Refusal::Absent) => {
                let gone = !sure && self.ask.get(Kind::NAMESPACES, None, namespace).await == Err(Refusal::Absent);
                return if gone {
                    endpoint::judge_other(url, &Host::Other)
                } else {
                    endpoint::judge_missing(url, namespace, name)
                };
            }
            Err(refusal) => return refusal.finding("endpoint"),
        };
        let selector = format!("kubernetes.io/service-name={name}");
        match self.ask.list(Kind::ENDPOINT_SLICES, Some(namespace), &selector, ALL).await {
            Ok(slices) => endpoint::judge_service(url, &service, &slices, port),
            Err(refusal) => refusal.finding("endpoint"),
        }
    }
}
