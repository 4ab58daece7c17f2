use super::*;

const SETTINGS: Settings =
    Settings { pods: 3, after: Duration::from_secs(30), namespaces: 2, retry: Duration::from_mins(5) };

fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000 + seconds)
}

fn seen(namespace: &str, name: &str, created: u64, health: Health) -> Seen {
    let uid = format!("{namespace}/{name}");
    Seen { uid, namespace: namespace.to_owned(), name: name.to_owned(), created: at(created), health }
}

fn stuck() -> Health {
    Health::Stuck("ErrImagePull: not found".to_owned())
}

/// As many stuck pods as it takes, all seen at `now`.
fn stick(circuits: &mut Circuits, namespace: &str, now: u64) {
    for i in 0..3 {
        circuits.see(seen(namespace, &format!("p{i}-{now}"), now, stuck()), at(now));
    }
}

fn phase(circuits: &Circuits, namespace: &str) -> Option<Phase> {
    circuits.stops().namespaces.get(namespace).map(|stop| stop.phase)
}

#[test]
fn it_takes_several_pods_for_some_time() {
    let mut circuits = Circuits::new(SETTINGS, Stops::default());
    stick(&mut circuits, "ci", 0);
    assert_eq!(circuits.turn(at(29)), []);
    assert_eq!(circuits.rest(at(29)), Some(Duration::from_secs(1)));
    let turns = circuits.turn(at(30));
    assert_eq!(turns.len(), 1);
    assert_eq!(turns[0].namespace.as_deref(), Some("ci"));
    let stop = turns[0].now.as_ref().unwrap();
    assert!(stop.reason.contains("3 pods, such as p0-0: ErrImagePull: not found"), "{}", stop.reason);
    assert_eq!(stop.until, at(330));
    assert_eq!(phase(&circuits, "qa"), None);
    assert_eq!(circuits.turn(at(31)), [], "told once");
}

#[test]
fn pods_that_go_or_get_well_in_time_are_forgiven() {
    let mut circuits = Circuits::new(SETTINGS, Stops::default());
    stick(&mut circuits, "ci", 0);
    circuits.gone("ci/p0-0");
    assert_eq!(circuits.turn(at(60)), []);
    circuits.see(seen("ci", "another", 60, stuck()), at(60));
    circuits.see(seen("ci", "p1-0", 0, Health::Well), at(61));
    assert_eq!(circuits.turn(at(120)), []);
}

#[test]
fn a_reason_that_flaps_is_one_illness() {
    let mut circuits = Circuits::new(SETTINGS, Stops::default());
    stick(&mut circuits, "ci", 0);
    for i in 0..3 {
        let backoff = Health::Stuck("ImagePullBackOff".to_owned());
        circuits.see(seen("ci", &format!("p{i}-0"), 0, backoff), at(20));
    }
    assert_eq!(circuits.turn(at(30)).len(), 1);
}

#[test]
fn a_trial_that_succeeds_closes_and_one_that_fails_waits_longer() {
    let mut circuits = Circuits::new(SETTINGS, Stops::default());
    stick(&mut circuits, "ci", 0);
    circuits.turn(at(30));
    assert_eq!(circuits.turn(at(330))[0].now.as_ref().unwrap().phase, Phase::Trial);
    // The old ones are stuck as before: they say nothing of the trial.
    assert_eq!(circuits.turn(at(400)), []);
    circuits.see(seen("ci", "trial", 331, stuck()), at(340));
    let turns = circuits.turn(at(370));
    let stop = turns[0].now.as_ref().unwrap();
    assert_eq!((stop.phase, stop.until), (Phase::Open, at(370 + 600)));
    assert_eq!(turns[0].pod.as_ref().unwrap().name, "trial");
    circuits.turn(at(970));
    assert_eq!(phase(&circuits, "ci"), Some(Phase::Trial));
    let closed = circuits.see(seen("ci", "second", 975, Health::Well), at(980));
    assert_eq!(closed, [Turn { namespace: Some("ci".to_owned()), now: None, pod: None }]);
    assert_eq!(circuits.turn(at(2000)), [], "those from before are excused");
    stick(&mut circuits, "ci", 2000);
    assert_eq!(circuits.turn(at(2030)).len(), 1, "new ones are not");
}

#[test]
fn a_trial_without_a_verdict_is_tried_again() {
    let mut circuits = Circuits::new(SETTINGS, Stops::default());
    stick(&mut circuits, "ci", 0);
    circuits.turn(at(30));
    circuits.turn(at(330));
    let turns = circuits.turn(at(630));
    let stop = turns[0].now.as_ref().unwrap();
    assert_eq!((stop.phase, stop.since, stop.until), (Phase::Trial, at(630), at(930)));
}

#[test]
fn a_namespace_that_is_gone_does_not_stay_stopped_nor_count() {
    let mut circuits = Circuits::new(SETTINGS, Stops::default());
    stick(&mut circuits, "preview-1", 0);
    circuits.turn(at(30));
    for i in 0..3 {
        circuits.gone(&format!("preview-1/p{i}-0"));
    }
    stick(&mut circuits, "preview-2", 100);
    let turns = circuits.turn(at(130));
    assert_eq!(turns.len(), 1, "the cluster is not stopped for a namespace without stuck pods: {turns:?}");
    circuits.turn(at(330));
    let turns = circuits.turn(at(630));
    assert!(turns.contains(&Turn::closed(Some("preview-1"))), "{turns:?}");
}

#[test]
fn a_stuck_pod_that_starts_after_all_closes_what_it_opened() {
    let mut circuits = Circuits::new(SETTINGS, Stops::default());
    stick(&mut circuits, "ci", 0);
    circuits.turn(at(30));
    let early = circuits.see(seen("ci", "long-ago", 0, Health::Well), at(40));
    assert_eq!(early, [], "it started before");
    assert_eq!(circuits.see(seen("ci", "p0-0", 0, Health::Well), at(50)).len(), 1);
    assert!(circuits.stops().is_empty());
}

#[test]
fn stuck_pods_everywhere_open_the_cluster_s_and_a_pod_of_its_trial_closes_it() {
    let mut circuits = Circuits::new(SETTINGS, Stops::default());
    stick(&mut circuits, "ci", 0);
    stick(&mut circuits, "qa", 0);
    let turns = circuits.turn(at(30));
    assert_eq!(turns.iter().map(|turn| turn.namespace.as_deref()).collect::<Vec<_>>(), [Some("ci"), Some("qa"), None]);
    assert_eq!(circuits.rest(at(30)), Some(Duration::from_mins(5)));
    circuits.see(seen("third", "on-its-way", 28, Health::Well), at(40));
    assert!(circuits.stops().cluster.is_some(), "it was let in before");
    assert_eq!(circuits.turn(at(330))[0].namespace, None, "the cluster's own trial");
    assert_eq!(circuits.rest(at(330)), Some(Duration::from_mins(5)), "namespaces wait for it");
    assert_eq!(circuits.see(seen("third", "p", 331, Health::Well), at(335)), [Turn::closed(None)]);
    // Of the namespaces it says nothing: they have trials of their own.
    circuits.turn(at(340));
    assert_eq!((phase(&circuits, "ci"), phase(&circuits, "qa")), (Some(Phase::Trial), Some(Phase::Trial)));
    assert_eq!(circuits.stops().cluster, None);
}

#[test]
fn the_cluster_goes_on_where_pods_start_elsewhere() {
    let mut circuits = Circuits::new(SETTINGS, Stops::default());
    stick(&mut circuits, "ci", 0);
    stick(&mut circuits, "qa", 0);
    circuits.see(seen("third", "p", 5, Health::Well), at(10));
    let turns = circuits.turn(at(30));
    assert_eq!(turns.iter().map(|turn| turn.namespace.as_deref()).collect::<Vec<_>>(), [Some("ci"), Some("qa")]);
}

#[test]
fn it_is_in_doubt_whether_our_part_starts_anywhere_until_it_does() {
    let mut circuits = Circuits::new(SETTINGS, Stops::default());
    circuits.see(seen("a", "one", 0, stuck()), at(0));
    assert!(!circuits.is_in_doubt(), "one namespace");
    circuits.see(seen("b", "one", 0, stuck()), at(1));
    assert!(circuits.is_in_doubt());
    circuits.see(seen("d", "fine", 0, Health::Well), at(2));
    assert!(!circuits.is_in_doubt());
}

#[test]
fn one_stuck_pod_in_each_of_several_namespaces_is_several_pods() {
    let mut circuits = Circuits::new(SETTINGS, Stops::default());
    for namespace in ["a", "b", "c"] {
        circuits.see(seen(namespace, "p", 0, stuck()), at(0));
    }
    let turns = circuits.turn(at(30));
    assert_eq!(turns.len(), 1);
    let stop = turns[0].now.as_ref().unwrap();
    assert!(turns[0].namespace.is_none() && stop.reason.contains("3 pods of 3 namespaces, such as a/p"), "{stop:?}");
}

#[test]
fn a_trial_s_pod_is_known_by_a_clock_that_is_behind() {
    let mut circuits = Circuits::new(SETTINGS, Stops::default());
    stick(&mut circuits, "ci", 0);
    circuits.turn(at(30));
    circuits.turn(at(330));
    assert_eq!(circuits.see(seen("ci", "trial", 325, Health::Well), at(335)), [Turn::closed(Some("ci"))]);
}

#[test]
fn a_stuck_pod_that_fails_counts_as_failed() {
    let mut circuits = Circuits::new(SETTINGS, Stops::default());
    stick(&mut circuits, "ci", 0);
    for i in 0..3 {
        circuits.see(seen("ci", &format!("p{i}-0"), 0, Health::Failed("Error".to_owned(), at(5))), at(6));
    }
    assert_eq!(circuits.turn(at(7)).len(), 1);
}

#[test]
fn failed_pods_count_at_once_and_not_forever() {
    let mut circuits = Circuits::new(SETTINGS, Stops::default());
    let failed = || Health::Failed("Error: cannot install".to_owned(), at(0));
    for name in ["a", "b"] {
        circuits.see(seen("ci", name, 0, failed()), at(1));
    }
    assert_eq!(circuits.turn(at(601)), [], "two are not enough, and now they are old");
    circuits.see(seen("ci", "c", 0, Health::Failed(String::new(), at(601))), at(602));
    assert_eq!(circuits.turn(at(603)), []);
    for name in ["d", "e"] {
        circuits.see(seen("ci", name, 600, Health::Failed(String::new(), at(603))), at(603));
    }
    assert_eq!(circuits.turn(at(603)).len(), 1);
}

#[test]
fn another_holder_goes_on_and_an_operator_is_obeyed() {
    let mut first = Circuits::new(SETTINGS, Stops::default());
    stick(&mut first, "ci", 0);
    first.turn(at(30));
    let written = serde_json::to_string(first.stops()).unwrap();
    let mut second = Circuits::new(SETTINGS, serde_json::from_str(&written).unwrap());
    assert_eq!(second.stops(), first.stops());
    assert_eq!(second.turn(at(330)).len(), 1, "its trial is due");
    first.overrule(Stops::default(), at(40));
    assert_eq!(first.turn(at(60)), [], "closed by hand, and the stuck pods are excused");
}

#[test]
fn a_trial_never_waits_longer_than_an_hour() {
    let mut circuits = Circuits::new(SETTINGS, Stops::default());
    stick(&mut circuits, "ci", 0);
    let mut now = 30;
    for i in 0..20 {
        circuits.turn(at(now));
        let until = circuits.stops().namespaces["ci"].until.duration_since(at(0)).unwrap().as_secs();
        assert!(until - now <= 3600);
        circuits.turn(at(until));
        circuits.see(seen("ci", &format!("trial{i}"), until, stuck()), at(until));
        now = until + 30;
    }
}
