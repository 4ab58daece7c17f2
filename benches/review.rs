//! From a review's bytes to its answer's bytes, beside the parse of the same bytes to a `serde_json::Value`.
//!
//! The walk that keeps nothing is the least that any reader of the same crate costs.
//!
//! `cargo bench --bench review`: prints medians of interleaved rounds and their ratios, never a verdict.
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    missing_docs,
    reason = "a bench: it prints, and stops where something is wrong"
)]

use std::hint::black_box;
use std::time::{Duration, Instant};

use stepspan::admission::review;
use stepspan::context::Context;
use stepspan::policy::PolicySet;
use stepspan::policy::compile::Rules;
use stepspan::policy::load::{EMBEDDED, PolicyFile};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const REVIEW: &[u8] = include_bytes!("../tests/recorded/dag-1-pod.json");
const ROUNDS: usize = 301;
const INNER: u32 = 50;

fn main() {
    let one = PolicySet::embedded(&Rules::default()).unwrap();
    let hundred = policies(100);
    let context = Context::default();
    let answer = |set: &PolicySet| black_box(review(black_box(REVIEW), set, &context).response().unwrap().len());
    let parse =
        || black_box(serde_json::from_slice::<serde_json::Value>(black_box(REVIEW)).unwrap().is_object().into());
    let walk = || black_box(serde_json::from_slice::<serde::de::IgnoredAny>(black_box(REVIEW)).is_ok().into());
    let sides: [(&str, &dyn Fn() -> usize); 4] = [
        ("parse to Value", &parse),
        ("walk over the bytes, keeping nothing", &walk),
        ("review, 1 policy", &|| answer(&one)),
        ("review, 100 policies, 1 matches", &|| answer(&hundred)),
    ];
    let mut times: Vec<Vec<Duration>> = vec![Vec::new(); sides.len()];
    for _ in 0..ROUNDS {
        for (side, times) in sides.iter().zip(&mut times) {
            let started = Instant::now();
            for _ in 0..INNER {
                black_box((side.1)());
            }
            times.push(started.elapsed() / INNER);
        }
    }
    let medians: Vec<f64> = times.iter_mut().map(|t| median(t).as_secs_f64() * 1e6).collect();
    println!(
        "review of {} bytes, {} bytes of answer, medians of {ROUNDS} interleaved rounds",
        REVIEW.len(),
        answer(&one)
    );
    for ((name, _), time) in sides.iter().zip(&medians) {
        println!("  {name:<38} {time:8.1} us   {:5.2} x parse", time / medians[0]);
    }
    println!("  100 policies : 1 policy            {:23.2} x", medians[3] / medians[2]);
    phases(&one, &context);
}

/// Where the time of one review goes.
fn phases(set: &PolicySet, context: &Context) {
    let mut sums: Vec<(&str, Duration)> = Vec::new();
    for _ in 0..2000 {
        for phase in review(REVIEW, set, context).phases {
            match sums.iter_mut().find(|(name, _)| *name == phase.name) {
                Some((_, sum)) => *sum += phase.duration,
                None => sums.push((phase.name, phase.duration)),
            }
        }
    }
    let shown: Vec<_> =
        sums.iter().map(|(name, sum)| format!("{name} {:.1}", sum.as_secs_f64() * 1e6 / 2000.0)).collect();
    println!("  of which, in us: {}", shown.join(", "));
}

/// The embedded policy, which matches, among others that do not.
fn policies(count: usize) -> PolicySet {
    let others = (1..count).map(|n| {
        format!(
            "apiVersion: stepspan.dev/v1alpha1\nkind: InjectionPolicy\nmetadata: {{name: other-{n}}}\nspec:\n  match:\n    \
             namespaces: {{include: ['team-{n}-*', '*']}}\n    podSelector: {{matchLabels: {{team: t{n}}}}}\n    \
             when: [\"pod.metadata.labels['team'] == 't{n}'\"]\n"
        )
    });
    let text: Vec<String> = std::iter::once(EMBEDDED.to_owned()).chain(others).collect();
    PolicySet::from_files(&[PolicyFile { name: "bench".into(), text: text.join("---\n") }], &Rules::default()).unwrap()
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort();
    times[times.len() / 2]
}
