//! What is the same for all namespaces: fetched once.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::SystemTime,
};

use futures_util::future::join_all;
use serde_json::Value;

use super::{
    Error, Options,
    argo::{self, Controller, Seen},
    ask::{ALL, Answer, Asker, Kind, Refusal},
    breaker::{self, Breakers},
    certificates,
    install::{self, Install},
    policies::{self, Policies},
    report::{Finding, State},
    server,
};
use crate::{context::Context, policy::compile::Rules};

/// Pods that are looked at for Argo's layout.
const PODS: usize = 50;
/// Selects pods of workflows, and none of [`super::run`]'s.
pub const OF_WORKFLOWS: &str = "workflows.argoproj.io/workflow,workflows.argoproj.io/workflow!=stepspan-doctor";
/// Namespaces that are looked at where none is named.
const NAMESPACES: usize = 10;

/// The answers.
#[derive(Debug)]
pub struct Survey {
    /// MutatingWebhookConfigurations.
    pub configurations: Answer<Vec<Value>>,
    /// MutatingAdmissionPolicies and their bindings; none where the API server has none.
    pub mutations: Answer<(Vec<Value>, Vec<Value>)>,
    /// Our installs.
    pub installs: Vec<Install>,
    /// What their circuit breakers have stopped.
    pub breakers: Breakers,
    /// What goes into pods besides the policies.
    pub context: Context,
    /// The policies in force.
    pub policies: Policies,
    /// What pods of workflows look like.
    pub seen: Answer<Seen>,
    /// The image of Argo's executor.
    pub executor: String,
    version: Answer<Value>,
    nodes: Answer<Vec<Value>>,
    controllers: Answer<Vec<Controller>>,
    about_policies: Vec<Finding>,
    release: Option<String>,
}

impl Survey {
    /// Asks.
    ///
    /// # Errors
    /// There is nobody to ask.
    pub async fn take(ask: &Asker, options: Options) -> Result<Self, Error> {
        let version = ask.version().await;
        match &version {
            Err(Refusal::Failed(why)) => return Err(Error::Unreachable(why.clone())),
            Err(Refusal::Unauthorized(why)) => {
                let text = format!("{why}: it does not know you; log in again, or give another --kubeconfig");
                return Err(Error::Unreachable(text));
            }
            _ => {}
        }
        let (nodes, deployments, pods, configurations, mutations, resources) = tokio::join!(
            ask.list_metadata(Kind::NODES, "", ALL),
            ask.list(Kind::DEPLOYMENTS, None, "", ALL),
            ask.list(Kind::PODS, None, OF_WORKFLOWS, PODS),
            ask.list(Kind::WEBHOOKS, None, "", ALL),
            mutations(ask),
            ask.list(Kind::POLICIES, None, "", ALL),
        );
        let controllers = deployments.map(|all| argo::controllers(&all));
        let named = controllers.iter().flatten().find_map(|controller| controller.executor.clone());
        let (installs, release) = installs(&configurations, options.release.as_deref());
        let (config_maps, breakers) = tokio::join!(config_maps(ask, release.as_deref()), breakers(ask, &installs));
        let mut context = context(&config_maps);
        if let Some(image) = options.image {
            context.injector.image = image;
        }
        let rules = Rules { allow_env: context.allow_env.clone() };
        let (policies, about_policies) = in_force(options.policies, config_maps, resources, &rules);
        Ok(Self {
            configurations,
            mutations,
            installs,
            breakers,
            context,
            policies,
            seen: pods.map(|pods| Seen::of(&pods)),
            executor: named.unwrap_or_else(|| argo::EXECUTOR.to_owned()),
            version,
            nodes,
            controllers,
            about_policies,
            release,
        })
    }

    /// What of the policies, and of what they are about, may not be read.
    pub fn unread(&self) -> impl Iterator<Item = &Finding> {
        self.about_policies.iter().filter(|finding| finding.state == State::Skip)
    }

    /// What the cluster is like without us.
    pub fn cluster(&self) -> Vec<Finding> {
        let init_less = self.seen.as_ref().is_ok_and(|seen| seen.init_less > 0);
        let mut findings = vec![match &self.version {
            Ok(version) => server::judge_version(version, init_less),
            Err(refusal) => refusal.finding("server"),
        }];
        findings.push(match &self.nodes {
            Ok(nodes) => server::judge_nodes(nodes, &self.context.injector),
            Err(refusal) => refusal.finding("nodes"),
        });
        match &self.controllers {
            Ok(controllers) => {
                findings.extend(argo::judge_controllers(controllers));
                findings.extend(argo::judge_retries(controllers, self.installs.iter().any(Install::fails_closed)));
            }
            Err(refusal) => findings.push(refusal.finding("argo")),
        }
        findings.push(match &self.seen {
            Ok(seen) => argo::judge_pods(*seen),
            Err(refusal) => refusal.finding("step pods"),
        });
        findings
    }

    /// The namespaces that hold workflows, or pods of them; `default` where none does or that may not be asked.
    pub async fn namespaces(&self, ask: &Asker) -> (Vec<String>, Finding) {
        const CHECK: &str = "namespaces";
        let mut refused = None;
        let mut names = BTreeSet::new();
        for (kind, selector) in [(Kind::WORKFLOWS, ""), (Kind::PODS, OF_WORKFLOWS)] {
            match ask.list_metadata(kind, selector, ALL).await {
                Ok(items) => {
                    names.extend(items.iter().filter_map(|i| i["metadata"]["namespace"].as_str()).map(str::to_owned));
                }
                Err(Refusal::Absent) => {}
                Err(refusal) => refused = Some(refusal),
            }
        }
        let all = names.len();
        let chosen: Vec<String> = names.into_iter().take(NAMESPACES).collect();
        let fallback = vec!["default".to_owned()];
        match refused {
            Some(refusal) if chosen.is_empty() => (fallback, refusal.finding(CHECK)),
            _ if chosen.is_empty() => {
                let found = "none holds a workflow: `default` is looked at";
                (fallback, Finding::skip(CHECK, found, "name those in which steps will run with --namespace"))
            }
            _ if all > chosen.len() => {
                let found = format!("{} of {all} that hold workflows", chosen.len());
                (chosen, Finding::skip(CHECK, found, "name others with --namespace"))
            }
            _ => {
                let found = format!("workflows are in {}", chosen.join(", "));
                (chosen, Finding::ok(CHECK, found))
            }
        }
    }

    /// What our own objects are like.
    pub async fn install(&self, ask: &Asker) -> Vec<Finding> {
        let mut findings = match &self.configurations {
            Err(refusal) => vec![refusal.finding("webhook")],
            Ok(_) if self.installs.is_empty() => {
                let place = self.release.as_ref().map_or_else(String::new, |release| format!(" in {release}"));
                let hint = "helm install stepspan charts/stepspan --namespace stepspan --create-namespace";
                vec![Finding::skip("webhook", format!("stepspan is not installed{place}"), hint)]
            }
            Ok(_) => Vec::new(),
        };
        for install in &self.installs {
            findings.extend(install::judge_configuration(install));
            findings.extend(certificates::judge_bundles(install, SystemTime::now()));
            findings.extend(served(ask, install).await);
            findings.extend(self.breakers.judge(install));
        }
        findings.extend(self.about_policies.iter().cloned());
        findings
    }
}

/// The policies in force, and what goes into pods besides.
#[derive(Debug)]
pub struct InForce {
    /// The policies.
    pub policies: Policies,
    /// What goes into pods besides.
    pub context: Context,
    /// What is wrong with them, or could not be read.
    pub findings: Vec<Finding>,
}

impl InForce {
    /// Asks for nothing else.
    pub async fn ask(ask: &Asker) -> Self {
        let (configurations, resources) =
            tokio::join!(ask.list(Kind::WEBHOOKS, None, "", ALL), ask.list(Kind::POLICIES, None, "", ALL));
        let (_, release) = installs(&configurations, None);
        let config_maps = config_maps(ask, release.as_deref()).await;
        let context = context(&config_maps);
        let rules = Rules { allow_env: context.allow_env.clone() };
        let (policies, findings) = in_force(None, config_maps, resources, &rules);
        Self { policies, context, findings }
    }
}

/// Our installs, and the namespace of the release.
fn installs(configurations: &Answer<Vec<Value>>, release: Option<&str>) -> (Vec<Install>, Option<String>) {
    let of = |configuration| Install::of(configuration, release);
    let installs: Vec<_> = configurations.iter().flatten().filter_map(of).collect();
    let served = || installs.iter().find_map(|install| install.service.clone()).map(|(namespace, _)| namespace);
    let release = release.map(str::to_owned).or_else(served);
    (installs, release)
}

/// The release's ConfigMaps.
async fn config_maps(ask: &Asker, release: Option<&str>) -> Answer<Vec<Value>> {
    match release {
        Some(release) => ask.list(Kind::CONFIG_MAPS, Some(release), install::LABEL, ALL).await,
        None => Ok(Vec::new()),
    }
}

fn context(config_maps: &Answer<Vec<Value>>) -> Context {
    config_maps.as_ref().ok().and_then(|maps| install::context_of(maps)).unwrap_or_default()
}

/// What each install's circuit breaker has written; no other namespace's ConfigMaps are looked at.
async fn breakers(ask: &Asker, installs: &[Install]) -> Breakers {
    let services: BTreeSet<_> = installs.iter().filter_map(|install| install.service.clone()).collect();
    let answers = services.into_iter().map(async |(namespace, service)| {
        let answer = ask.get(Kind::CONFIG_MAPS, Some(&namespace), &breaker::config_map(&service)).await;
        ((namespace, service), answer)
    });
    join_all(answers).await.into_iter().collect()
}

/// Who serves an install, and by which certificate.
async fn served(ask: &Asker, install: &Install) -> Vec<Finding> {
    let (Some((namespace, service)), Some(server_name)) = (&install.service, install.server_name()) else {
        let url = install.pods().and_then(|webhook| webhook["clientConfig"]["url"].as_str()).unwrap_or("?");
        let hint = "`/readyz` of whatever is there says how it is";
        return vec![Finding::skip("endpoints", format!("called by its URL, {url}"), hint)];
    };
    let selector = format!("kubernetes.io/service-name={service}");
    let (slices, deployments) = tokio::join!(
        ask.list(Kind::ENDPOINT_SLICES, Some(namespace), &selector, ALL),
        ask.list(Kind::DEPLOYMENTS, Some(namespace), install::LABEL, ALL),
    );
    let mut findings = vec![match &slices {
        Ok(slices) => install::judge_endpoints(&server_name, slices),
        Err(refusal) => refusal.finding("endpoints"),
    }];
    let named = match &deployments {
        Ok(deployments) => {
            findings.extend(install::judge_deployments(deployments));
            install::secret_of(deployments)
        }
        Err(refusal) => {
            findings.push(refusal.finding("replicas"));
            None
        }
    };
    let (secret, own) = named.unwrap_or_else(|| (format!("{service}-tls"), true));
    findings.push(match ask.get(Kind::SECRETS, Some(namespace), &secret).await {
        Ok(it) => certificates::judge_secret(install, &certificates::data(&it), own, SystemTime::now()),
        Err(Refusal::Absent) => {
            let hint = "helm upgrade makes it, or cert-manager, or you do";
            Finding::fail("certificate", format!("there is no Secret {secret} in {namespace}"), hint)
        }
        Err(refusal) => refusal.finding("certificate"),
    });
    findings
}

/// The policies to look at, and what is to be said of them.
fn in_force(
    given: Option<Policies>,
    config_maps: Answer<Vec<Value>>,
    resources: Answer<Vec<Value>>,
    rules: &Rules,
) -> (Policies, Vec<Finding>) {
    if let Some(given) = given {
        let findings = policies::judge(&given, &BTreeMap::new());
        return (given, findings);
    }
    let mut unread = BTreeMap::new();
    let mut take = |what: &'static str, answer: Answer<Vec<Value>>| {
        answer.unwrap_or_else(|refusal| {
            if refusal != Refusal::Absent {
                unread.insert(what, refusal);
            }
            Vec::new()
        })
    };
    let maps = take("config maps", config_maps);
    let resources = take("resources", resources);
    let holds = |map: &Value| map["metadata"]["name"].as_str().is_some_and(|name| name.ends_with("-policies"));
    let maps: Vec<_> = maps.into_iter().filter(holds).collect();
    let (policies, mut findings) = policies::of_cluster(&maps, &resources, rules);
    findings.extend(policies::judge_resources(&resources));
    findings.extend(policies::judge(&policies, &unread));
    (policies, findings)
}

/// MutatingAdmissionPolicies and their bindings, of the newest version that is served.
async fn mutations(ask: &Asker) -> Answer<(Vec<Value>, Vec<Value>)> {
    for version in ["v1", "v1beta1", "v1alpha1"] {
        let list = |plural| ask.list(Kind::admission(version, plural), None, "", ALL);
        match list("mutatingadmissionpolicies").await {
            Err(Refusal::Absent) => {}
            policies => return Ok((policies?, list("mutatingadmissionpolicybindings").await?)),
        }
    }
    Ok((Vec::new(), Vec::new()))
}
