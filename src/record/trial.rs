//! Records under other policies: what differs, counted by template.
//!
//! Memory does not grow with the number of records: of each kind of difference there is a count and one example, and both kinds and
//! templates are bounded.

use std::collections::BTreeMap;

use super::changes::{self, Change};
use super::gaps::{Gap, Gaps, Keeps};
use super::{Account, Record, Unreadable};
use crate::admission::{Reviewed, review};
use crate::context::Context;
use crate::policy::PolicySet;

/// Templates that are told apart.
const MAX_STEPS: usize = 10_000;
/// Kinds of difference that are told apart, of each template.
const MAX_KINDS: usize = 500;
/// What stands for all others.
const OTHERS: &str = "(others)";
/// Combinations of what records hold and policies read that are remembered.
const MAX_REMEMBERED: usize = 8;

/// The policies that are tried.
#[derive(Debug)]
pub struct Trial {
    /// What the others are compared with; `None`: what was decided when the record was made.
    pub older: Option<PolicySet>,
    /// The others.
    pub newer: PolicySet,
}

/// What came of some records.
#[derive(Debug, Default)]
pub struct Tally {
    /// Records.
    pub reviews: usize,
    /// Of these, so many differ.
    pub differ: usize,
    /// By template.
    pub steps: BTreeMap<String, Step>,
    /// Those that cannot be told.
    pub gaps: BTreeMap<Gap, Seen>,
}

/// What came of the records of one template.
#[derive(Debug, Default)]
pub struct Step {
    /// Records.
    pub reviews: usize,
    /// Of these, so many differ.
    pub differ: usize,
    /// In what.
    pub kinds: BTreeMap<Kind, Seen>,
}

/// A kind of difference.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Kind {
    rank: usize,
    /// What differs, such as `outcome` or `label agent`.
    pub what: String,
    /// How: two words with an arrow, or `added`, `removed`, `changed`.
    pub how: String,
}

impl Kind {
    /// Values differ, which only an example can show.
    pub fn is_of_values(&self) -> bool {
        ["added", "removed", "changed"].contains(&self.how.as_str())
    }
}

/// How often, and an example.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// How often.
    pub count: usize,
    /// The first pod, as `namespace/name`.
    pub pod: String,
    /// Of that pod, the value before.
    pub from: Option<String>,
    /// Of that pod, the value after.
    pub to: Option<String>,
}

/// The gaps of both sides, by what records hold.
pub type Remembered = Vec<((Keeps, Vec<String>), [Gaps; 2])>;

impl Trial {
    /// Tries one line.
    ///
    /// # Errors
    /// It is no record.
    pub fn line(&self, line: &[u8], remembered: &mut Remembered, tally: &mut Tally) -> Result<(), Unreadable> {
        let Record { review: body, context, keeps, step, was, .. } = Record::read(line)?;
        let body = body.get().as_bytes();
        let [older_gaps, newer_gaps] = self.gaps(keeps, &context, remembered);
        let run = |set, gaps: &Gaps| -> (Reviewed, Option<Gap>) {
            let reviewed = review(body, set, &Context { unresolved: gaps.unresolved.clone(), ..context.clone() });
            let gap = gaps.met(&reviewed);
            (reviewed, gap)
        };
        let (newer, gap) = run(&self.newer, newer_gaps);
        let pod = format!("{}/{}", newer.namespace, newer.name);
        let (differences, gap) = match &self.older {
            _ if gap.is_some() => (Vec::new(), gap),
            None => (changes::of_accounts(&was, &Account::of(&newer)), None),
            Some(set) => {
                let (older, gap) = run(set, older_gaps);
                let mut differences = changes::of_accounts(&Account::of(&older), &Account::of(&newer));
                // Where the outcome is another, the rest follows from it.
                if older.outcome == newer.outcome {
                    differences.extend(changes::of_patches(body, &older.patch, &newer.patch));
                }
                (differences, gap)
            }
        };
        tally.add(step, pod, differences, gap);
        Ok(())
    }

    fn gaps<'r>(&self, keeps: Keeps, context: &Context, remembered: &'r mut Remembered) -> &'r [Gaps; 2] {
        let key = (keeps, context.allow_env.clone());
        let at = remembered.iter().position(|(known, _)| *known == key).unwrap_or_else(|| {
            let of = |set: &PolicySet| Gaps::of(set, &key.0, &key.1);
            let gaps = [self.older.as_ref().map(of).unwrap_or_default(), of(&self.newer)];
            if remembered.len() == MAX_REMEMBERED {
                remembered.remove(0);
            }
            remembered.push((key, gaps));
            remembered.len() - 1
        });
        &remembered[at].1
    }
}

impl Tally {
    /// Records that cannot be told.
    pub fn untold(&self) -> usize {
        self.gaps.values().map(|seen| seen.count).sum()
    }

    fn add(&mut self, step: String, pod: String, differences: Vec<Change>, gap: Option<Gap>) {
        self.reviews += 1;
        let of = room(&mut self.steps, step, MAX_STEPS, OTHERS.to_owned());
        of.reviews += 1;
        if let Some(gap) = gap {
            note(&mut self.gaps, gap, Seen { count: 1, pod, from: None, to: None });
            return;
        }
        if differences.is_empty() {
            return;
        }
        self.differ += 1;
        of.differ += 1;
        for Change { what, from, to, words } in differences {
            let how = match (&from, &to) {
                (Some(from), Some(to)) if words => format!("{from} -> {to}"),
                (None, _) => "added".to_owned(),
                (_, None) => "removed".to_owned(),
                _ => "changed".to_owned(),
            };
            let seen = Seen { count: 1, pod: pod.clone(), from, to };
            let kind = Kind { rank: rank(&what), what, how };
            let full = of.kinds.len() >= MAX_KINDS && !of.kinds.contains_key(&kind);
            let others = || Kind { rank: usize::MAX, what: OTHERS.to_owned(), how: "changed".to_owned() };
            note(&mut of.kinds, if full { others() } else { kind }, seen);
        }
    }

    /// Adds what came of later records.
    pub fn merge(&mut self, later: Self) {
        self.reviews += later.reviews;
        self.differ += later.differ;
        for (step, Step { reviews, differ, kinds }) in later.steps {
            let of = room(&mut self.steps, step, MAX_STEPS, OTHERS.to_owned());
            of.reviews += reviews;
            of.differ += differ;
            for (kind, seen) in kinds {
                note(&mut of.kinds, kind, seen);
            }
        }
        for (gap, seen) in later.gaps {
            note(&mut self.gaps, gap, seen);
        }
    }
}

/// The entry of a key, or of `others` where there is no room for one more.
fn room<K: Ord, V: Default>(map: &mut BTreeMap<K, V>, key: K, most: usize, others: K) -> &mut V {
    let key = if map.len() >= most && !map.contains_key(&key) { others } else { key };
    map.entry(key).or_default()
}

fn note<K: Ord>(map: &mut BTreeMap<K, Seen>, key: K, seen: Seen) {
    map.entry(key).and_modify(|known| known.count += seen.count).or_insert(seen);
}

/// What one wants to see first.
fn rank(what: &str) -> usize {
    const ORDER: [&str; 9] =
        ["outcome", "policies", "container", "value", "source", "label", "annotation", "variable", "setting"];
    let first = what.split(' ').next().unwrap_or_default();
    ORDER.iter().position(|known| *known == first).unwrap_or(ORDER.len())
}
