//! Records under other policies: what differs, counted by template.
//!
//! Memory does not grow with the number of records: of each kind of difference there is a count and one example, and both kinds and
//! templates are bounded.

use std::collections::BTreeMap;
use std::fmt;

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
    /// How.
    pub how: How,
}

/// How something differs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum How {
    /// A value where there was none.
    Added,
    /// Another value.
    Changed,
    /// No value where there was one.
    Removed,
    /// From one word to another.
    Words(String, String),
}

impl fmt::Display for How {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Added => f.write_str("added"),
            Self::Changed => f.write_str("changed"),
            Self::Removed => f.write_str("removed"),
            Self::Words(from, to) => write!(f, "{from} -> {to}"),
        }
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
        let Record { review: body, mut context, keeps, step, was, .. } = Record::read(line)?;
        let body = body.get().as_bytes();
        let [older_gaps, newer_gaps] = self.gaps(keeps, &context, remembered);
        let mut run = |set, gaps: &Gaps| -> (Reviewed, Option<Gap>) {
            context.unresolved.clone_from(&gaps.unresolved);
            let reviewed = review(body, set, &context);
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
                (Some(from), Some(to)) if words => How::Words(from.clone(), to.clone()),
                (None, _) => How::Added,
                (_, None) => How::Removed,
                _ => How::Changed,
            };
            of.note(Kind { rank: rank(&what), what, how }, Seen { count: 1, pod: pod.clone(), from, to });
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
                of.note(kind, seen);
            }
        }
        for (gap, seen) in later.gaps {
            note(&mut self.gaps, gap, seen);
        }
    }
}

impl Step {
    fn note(&mut self, kind: Kind, seen: Seen) {
        let full = self.kinds.len() >= MAX_KINDS && !self.kinds.contains_key(&kind);
        let others = || Kind { rank: usize::MAX, what: OTHERS.to_owned(), how: How::Changed };
        note(&mut self.kinds, if full { others() } else { kind }, seen);
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

#[cfg(test)]
mod tests {
    use super::*;

    /// However many parts they come in.
    #[test]
    fn kinds_and_steps_are_bounded() {
        let mut all = Tally::default();
        for part in 0..3 {
            let mut tally = Tally::default();
            for i in 0..MAX_KINDS {
                let what = format!("label {part}-{i}");
                let change = Change { what, from: None, to: Some("x".to_owned()), words: false };
                tally.add("ci/build".to_owned(), "ci/pod".to_owned(), vec![change], None);
            }
            all.merge(tally);
        }
        let step = &all.steps["ci/build"];
        assert_eq!((all.differ, step.kinds.len()), (3 * MAX_KINDS, MAX_KINDS + 1));
        let counted: usize = step.kinds.values().map(|seen| seen.count).sum();
        assert_eq!(counted, all.differ);
    }
}
