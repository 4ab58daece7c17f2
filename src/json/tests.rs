use super::*;

#[test]
fn reads_what_serde_json_reads_and_borrows_it() {
    let text =
        r#"{"a":[1,-2,1.5,1e400000,null,true,"x\ny"],"b":{"c":"d"}}"#.replace("1e400000", "18446744073709551615");
    let json: Json<'_> = serde_json::from_str(&text).unwrap();
    let value: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(Value::from(&json), value);
    assert_eq!(serde_json::to_string(&json).unwrap(), value.to_string());
    assert_eq!(Json::from(&value), json);
    assert!(matches!(json.pointer("/b/c"), Some(Json::String(Cow::Borrowed("d")))));
    assert_eq!(json["a"].as_array().map(<[_]>::len), Some(7));
    assert_eq!(json["no"]["such"], Json::Null);
}

#[test]
fn the_last_of_several_names_wins_in_small_and_large_objects() {
    for count in [2, FEW, 3 * FEW] {
        let fields: Vec<_> = (0..count).map(|n| format!("\"k{}\":{n}", n % (count / 2))).collect();
        let text = format!("{{{}}}", fields.join(","));
        let json: Json<'_> = serde_json::from_str(&text).unwrap();
        let value: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(Value::from(&json), value);
        assert!((0..count / 2).all(|n| json.get(&format!("k{n}")).is_some()));
    }
}

#[test]
fn an_object_that_grows_and_shrinks_finds_its_names() {
    let mut object = Object::default();
    for n in (0..100).rev() {
        object.insert(format!("k{n}").into(), "v".into());
        assert!((n..100).all(|n| object.contains_key(&format!("k{n}"))));
    }
    for n in 0..100 {
        assert!(object.remove(&format!("k{n}")).is_some());
        assert!((n + 1..100).all(|n| object.contains_key(&format!("k{n}"))));
    }
}
