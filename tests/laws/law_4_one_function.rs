//! Law 4: one function behind every door: the same pod gives the same patch however its review is written.

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use crate::case::{Case, body, outcome};
use crate::dice::{Dice, cases, rows};

proptest! {
    #![proptest_config(cases(300))]

    #[test]
    fn the_same_pod_gives_the_same_patch(bytes in rows(), order in any::<[u8; 32]>()) {
        let case = Case::of(&bytes);
        let set = case.set();
        let first = case.run();
        prop_assert_eq!(&case.run().patch, &first.patch, "deterministic, also with a set of its own");

        let mut bare = case.pod.clone();
        bare["metadata"].as_object_mut().unwrap().shift_remove("managedFields");
        let patch = outcome(&body(&bare, "Pod"), &bare, &set, &case.context).patch;
        prop_assert_eq!(&patch, &first.patch, "managedFields make no difference");

        let mut review: Value = serde_json::from_slice(&body(&case.pod, "Pod")).unwrap();
        review["futureField"] = json!({"request": {"uid": "no"}});
        review["request"]["userInfo"] = json!({"username": "x", "extra": {"object": ["a"]}});
        review["request"]["options"] = json!({"kind": "CreateOptions"});
        review["request"]["dryRun"] = json!(true);
        let mut dice = Dice::new(&order);
        let review = shuffled(&review, &mut dice, &["object"]);
        let spaced = serde_json::to_vec_pretty(&review).unwrap();
        let again = outcome(&spaced, &case.pod, &set, &case.context);
        prop_assert_eq!(&again.patch, &first.patch, "other fields, order and spaces make no difference");
        prop_assert!(again.reviewed.dry_run);
    }

    #[test]
    fn the_order_of_fields_in_the_pod_changes_only_the_order_of_operations(bytes in rows(), order in any::<[u8; 32]>()) {
        let case = Case::of(&bytes);
        let pod = shuffled(&case.pod, &mut Dice::new(&order), &[]);
        // Equality of JSON objects does not see order.
        prop_assert_eq!(case.run_on(&pod).after, case.run().after);
    }
}

/// The same value with its fields in another order; below the fields named, as it was.
fn shuffled(value: &Value, dice: &mut Dice<'_>, but: &[&str]) -> Value {
    match value {
        Value::Object(fields) => {
            let mut fields: Vec<_> = fields.iter().collect();
            let mut out = Map::new();
            while !fields.is_empty() {
                let (key, field) = fields.remove(dice.below(fields.len()));
                let field = if but.contains(&key.as_str()) { field.clone() } else { shuffled(field, dice, but) };
                out.insert(key.clone(), field);
            }
            Value::Object(out)
        }
        Value::Array(items) => items.iter().map(|item| shuffled(item, dice, but)).collect(),
        scalar => scalar.clone(),
    }
}
