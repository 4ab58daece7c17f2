use super::*;

#[track_caller]
fn holds(source: &str) {
    assert_eq!(test(source), Ok(true), "{source}");
}

#[track_caller]
fn yields(source: &str, expected: &str) {
    assert_eq!(text(source), Ok(Some(expected.to_owned())), "{source}");
}

#[track_caller]
fn fails(source: &str, message: &str) {
    assert_eq!(text(source).map_err(|error| error.to_string()), Err(message.to_owned()), "{source}");
}

#[test]
fn the_pod_is_seen_as_it_is() {
    holds("pod.metadata.labels.tier == 'gold'");
    holds("pod.metadata.labels['a/b'] == 'slash'");
    holds("pod['metadata'].name.startsWith('build-')");
    holds("pod.spec.containers[0].env[1].name == 'B'");
    holds("pod.spec.priority == 7 && pod.spec.ratio == 0.5 && pod.spec.priority == 7.0");
    holds("pod.metadata.deletionTimestamp == null");
    holds("size(pod.spec.containers) == 2 && pod.metadata.labels.size() == 4");
    holds("pod.spec.containers == pod.spec.containers && pod.spec.nothing == []");
    holds("pod.spec.containers[1].env == [] && pod.spec.containers[0].env[1] == {'name': 'B'}");
}

#[test]
fn the_other_variables_are_seen() {
    holds("namespaceName == 'argo' && template == 'verify-unit' && container == 'main'");
    holds("namespaceLabels.team == 'build' && namespaceLabels == {'team': 'build'}");
    holds("workflow.name == 'build-x7k2' && workflow.uid == '0b1c' && workflow.labels == {}");
    yields("workflow.parameters['repo'].split('/')[1]", "app");
    yields("inputs.?taskId.or(inputs.?msg).orValue('')", "hello");
}

#[test]
fn an_absent_key_is_an_error_unless_it_is_asked_for() {
    holds("has(pod.metadata.labels.tier) && !has(pod.metadata.labels.other)");
    holds("'a/b' in pod.metadata.labels && !('x' in pod.metadata.labels)");
    holds("pod.metadata.labels.?other.orValue('none') == 'none'");
    holds("pod.metadata.?missing.other[?'deep'].orValue('none') == 'none'");
    holds("pod.metadata.?deletionTimestamp.?x.orValue('none') == 'none'");
    holds("pod.metadata.labels[?'a/b'].hasValue() && pod.metadata.labels[?'a/b'].value() == 'slash'");
    holds("!(pod.spec.containers[?9].hasValue())");
    fails(
        "pod.metadata.labels.other == 'x'",
        "no such key: other (write has(pod.metadata.labels.other) or pod.metadata.labels.?other.orValue(''))",
    );
    fails("pod.spec.containers.map(c, c['x/y'])[0]", "no such key: x/y (write 'x/y' in c or c[?'x/y'].orValue(''))");
    fails(
        "has(pod.metadata.nolabels.tier)",
        "no such key: nolabels (write has(pod.metadata.nolabels) or pod.metadata.?nolabels.orValue(''))",
    );
    fails("pod.spec.containers[7].name", "no element 7 in a list of 2");
    fails("pod.metadata.?x.value()", "the optional has no value (write orValue(...))");
}

#[test]
fn unknown_namespace_labels_are_an_error_that_another_operand_may_hide() {
    let pod = pod();
    let pod = crate::json::Json::from(&pod);
    let scope = Scope::of_pod(&pod);
    assert_eq!(compiled("namespaceLabels.team == 'x'").test(&scope), Err(EvalError::NamespaceLabelsUnknown));
    assert_eq!(compiled("true || namespaceLabels.team == 'x'").test(&scope), Ok(true));
    assert_eq!(compiled("namespaceLabels.team == 'x' || true").test(&scope), Ok(true));
    assert_eq!(
        compiled("namespaceLabels.?team.orValue('') == ''").test(&scope),
        Err(EvalError::NamespaceLabelsUnknown)
    );
}

#[test]
fn loops_walk_lists_and_the_keys_of_maps() {
    holds("pod.spec.containers.exists(c, c.name == 'main')");
    holds("pod.spec.containers.all(c, c.image.contains(':'))");
    holds("pod.spec.containers.exists_one(c, c.name == 'wait')");
    holds("pod.spec.containers.filter(c, c.env.size() > 0).map(c, c.name) == ['main']");
    holds("pod.spec.containers.map(c, c.name != 'wait', c.name) == ['main']");
    holds("pod.metadata.labels.exists(key, key.startsWith('workflows.'))");
    holds("pod.spec.containers.all(c, c.env.all(e, e.name.matches('^[A-Z]+$')))");
    // An error on one element does not count once another decides.
    holds("pod.spec.containers.exists(c, c.env[0].value == '1')");
    fails("pod.spec.containers.all(c, c.env[0].value == '1')", "no element 0 in a list of 0");
    holds("[].all(x, x) && ![].exists(x, x)");
    holds("{'a': 1, 'b': 2}.map(k, k) == ['a', 'b']");
    fails("pod.metadata.name.all(c, true)", "`all` does not work on string");
}

#[test]
fn strings_have_their_functions() {
    yields("pod.metadata.annotations.refs.split(',')[2].trim()", "dev");
    yields("pod.metadata.name.upperAscii()", "BUILD-X7K2");
    yields("'ÄBC'.lowerAscii()", "Äbc");
    yields("'a-b-c'.replace('-', '+') + 'a-b-c'.replace('-', '', 1)", "a+b+cab-c");
    yields("'abc'.replace('', '.')", ".a.b.c.");
    yields("['a', 'b'].join('/') + [].join() + 'x'", "a/bx");
    yields("'größe'.substring(1, 4) + 'größe'.substring(4)", "röße");
    holds("'größe'.indexOf('ß') == 3 && 'a'.indexOf('b') == -1 && size('größe') == 5");
    holds("'a,b,c'.split(',', 2) == ['a', 'b,c'] && 'äb'.split('') == ['ä', 'b'] && ''.split(',') == ['']");
    holds("'a'.split(',', 0) == [] && (' a ' + ' ').trim() == 'a' && 'abc'.split('', 2) == ['a', 'bc']");
    holds("matches('abc', 'b') && !'abc'.matches('^b') && 'abc'.endsWith('bc')");
    fails("'abc'.substring(2, 9)", "substring(2, 9) of a string of 3 characters");
    fails("'abc'.substring(2, 1)", "substring(2, 1) of a string of 3 characters");
}

#[test]
fn numbers_and_conversions() {
    holds(
        "int('42') + 1 == 43 && int(3.9) == 3 && double('0.5') == pod.spec.ratio && string(1) + string(true) == '1true'",
    );
    holds("1 < 2.5 && 2.5 < 3 && -7 / 2 == -3 && -7 % 2 == -1 && 1.5 * 2.0 == 3.0 && 'a' < 'b' && false < true");
    holds(
        "9007199254740993 != 9007199254740992.0 && bool('true') && 1 != '1' && null == null && 3 > -2.5 && -3 < -2.5",
    );
    holds(
        "(true ? 'a' : 'b') == 'a' && -(-1) == 1 && {1: 'x'}[1] == 'x' && {'k': 1}.k == 1 && 1 in {1: 2} && 2 in [1, 2]",
    );
    holds("double(9223372036854775807) > 9223372036854775807 && double(9223372036854775807) == 9223372036854775808.0");
    holds("[1, 2][1.0] == 2 && ![1][?1.0].hasValue()");
    fails("[1, 2][0.5]", "`[]` does not work on list and double");
    holds("[1] + [2] == [1, 2] && [?pod.?x, 1] == [1] && {?'a': pod.?x} == {}");
    fails("9223372036854775807 + 1", "`+` overflows a 64 bit integer");
    fails("1 % 0", "division by zero");
    fails("int('4x')", "`4x` is not a whole number");
    fails("int(1e300)", "`int` overflows a 64 bit integer");
    fails("1 + 'a'", "`+` does not work on int and string");
    fails("pod.spec < pod.spec", "`<` does not work on map and map");
    fails("{'a': 1, 'a': 2}", "not a usable key of a map: a is there twice");
}

/// Where the interpreter of the `cel` crate yields something the language has no overload for.
#[test]
fn types_are_checked_where_the_crate_does_not() {
    fails("[1] + {'a': 1}", "`+` does not work on list and map");
    fails("pod.?metadata.or(1)", "`or` does not work on optional and int");
    holds("pod.metadata.?name.?x.orValue('none') == 'none' && !has(pod.spec.?ratio.x)");
}

#[test]
fn a_condition_is_a_bool_and_a_source_a_text() {
    assert_eq!(test("pod.metadata.name"), Err(EvalError::NotBool("string")));
    assert_eq!(text("pod.metadata.labels"), Err(EvalError::NotText("map")));
    assert_eq!(text("pod.metadata.deletionTimestamp"), Ok(None));
    assert_eq!(text("pod.metadata.labels.empty"), Ok(None));
    assert_eq!(text("pod.metadata.?other"), Ok(None));
    yields("pod.metadata.?name", "build-x7k2");
    yields("pod.spec.priority", "7");
    yields("pod.spec.hostNetwork", "false");
    yields("pod.spec.ratio", "0.5");
}

#[test]
fn an_expression_is_shared_shown_and_sent() {
    fn is_shared<T: Send + Sync + Clone + 'static>(_: &T) {}
    let expression = compiled("pod.spec.priority == 7");
    is_shared(&expression);
    assert_eq!(expression.source(), "pod.spec.priority == 7");
    assert_eq!(format!("{expression:?}"), "Expression(\"pod.spec.priority == 7\")");
    assert_eq!(expression.clone(), expression);
}

#[test]
fn what_a_pod_has_to_carry_is_known() {
    let references = compiled(
        "workflow.parameters.repo + workflow.parameters[?'a/b'].orValue(inputs.msg) + workflow.labels['l'] + workflow.name",
    )
    .references();
    let expected = References {
        parameters: ["a/b".to_owned(), "repo".to_owned()].into(),
        labels: ["l".to_owned()].into(),
        inputs: ["msg".to_owned()].into(),
        ..References::default()
    };
    assert_eq!(references, expected);
    assert_eq!(compiled("'x' in inputs && has(inputs.y)").references().inputs, ["x".to_owned(), "y".to_owned()].into());
    assert_eq!(compiled("workflow.annotations.?x.y").references().annotations, ["x".to_owned()].into());
    assert!(compiled("inputs[template] == ''").references().dynamic);
    assert!(compiled("workflow.parameters.exists(p, p == '')").references().dynamic);
    assert!(compiled("[namespaceLabels.team].size() == 1").references().namespace_labels);
    assert_eq!(compiled("pod.metadata.labels.inputs == template").references(), References::default());
    let of_pod = |source| compiled(source).references().pod;
    for beyond in ["pod.spec.x == 1", "has(pod.spec)", "size(pod) > 0", "pod[template] == ''", "[pod].size() == 1"] {
        assert!(of_pod(beyond).beyond_metadata, "{beyond}");
    }
    let named = of_pod("pod.metadata.annotations['a/b'] == '' || has(pod.metadata.annotations.c)");
    assert_eq!((named.annotations, named.any_annotation), (["a/b".to_owned(), "c".to_owned()].into(), false));
    for any in [
        "pod.metadata.annotations.exists(k, k == '')",
        "pod.metadata.annotations[template] == ''",
        "'x' in pod.metadata.annotations",
    ] {
        assert!(of_pod(any).any_annotation && !of_pod(any).beyond_metadata, "{any}");
    }
}
