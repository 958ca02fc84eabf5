//! The language of `docs/spec/selectors.md` sections 2 to 5, as tables.

use proptest::prelude::*;
use tortie_selector::{IndexKey, Restriction, Selector};

fn accepts(text: &str) {
    if let Err(error) = Selector::parse(text) {
        panic!("`{text}` is refused: {error}");
    }
}

fn refuses(text: &str, message: &str) {
    match Selector::parse(text) {
        Ok(selector) => panic!("`{text}` is accepted as `{selector}`"),
        Err(error) => assert_eq!(error.to_string(), message, "`{text}`"),
    }
}

fn check(text: &str, labels: &[(&str, &str)], expected: bool) {
    let selector = Selector::parse(text).unwrap_or_else(|e| panic!("`{text}`: {e}"));
    assert_eq!(selector.matches(labels), expected, "`{text}` on {labels:?}");
}

#[test]
fn words_are_operators_only_behind_a_label() {
    for text in [
        "in in {'x'}",
        "has == 'x'",
        "not notin {'a'}",
        "contains contains 'x'",
        "starts startswith 'x'",
        "a in{'a'}",
        "a contains\"x\"",
        "a ends\t with'x'",
        "a not   in {}",
        "all == 'x'",
        "global != 'x'",
        "-x == 'a'",
        ". == 'a'",
        "/ == 'a'",
        "a//b == 'a'",
        "1.2.3.4 == 'a'",
        "has( a )",
        "all( )",
        "global(\t)",
        "!!!has(a)",
        "a == 'x\ny'",
        " \t ",
        "",
        "a in {'x',}",
        "((((a == 'b'))))",
        "a=='b'&&c!='d'||!has(e)",
    ] {
        accepts(text);
    }
}

#[test]
fn errors_name_place_and_cause() {
    for (text, message) in [
        ("a = 'b'", "expected == at byte 2"),
        ("a === 'b'", "expected == at byte 4"),
        ("a == 'b' & c == 'd'", "expected && at byte 9"),
        ("a == 'b' | c == 'd'", "expected || at byte 9"),
        ("a == 'b", "unterminated string at byte 5"),
        ("a", "expected operator after label at byte 1"),
        ("a inx {'b'}", "expected operator after label at byte 2"),
        ("a IN {'b'}", "expected operator after label at byte 2"),
        ("a containsx 'b'", "expected operator after label at byte 2"),
        ("a ends withs 'b'", "expected operator after label at byte 2"),
        ("has (a)", "expected operator after label at byte 4"),
        ("has(a", "no closing ) after has( at byte 5"),
        ("has()", "expected identifier at byte 4"),
        ("all(x)", "no closing ) after all( at byte 4"),
        ("global(x)", "no closing ) after global( at byte 7"),
        ("a == b", "expected string at byte 5"),
        ("a == 5", "expected string at byte 5"),
        ("a in 'b'", "expected set at byte 5"),
        ("a in {'b'", "expected } at byte 9"),
        ("a in {,}", "expected } at byte 6"),
        ("a in {'a' 'b'}", "expected } at byte 10"),
        ("a in {'a',,}", "expected } at byte 10"),
        ("(a == 'b'", "expected ) at byte 9"),
        ("()", "unexpected token at byte 1"),
        ("!", "unexpected token at byte 1"),
        ("a == 'b' &&", "unexpected token at byte 11"),
        ("a == 'b' c", "unexpected text after the selector at byte 9"),
        ("a == 'b')", "unexpected text after the selector at byte 8"),
        ("all()\n", "expected identifier at byte 5"),
        ("all()\r", "expected identifier at byte 5"),
        ("\u{a0}all()", "expected identifier at byte 0"),
        ("a == \u{2018}b\u{2019}", "expected identifier at byte 5"),
        ("role is 'db'", "expected operator after label at byte 5"),
    ] {
        refuses(text, message);
    }
}

#[test]
fn canonical_text_of_what_is_accepted_is_accepted() {
    // Two lists in each pair of parentheses: canonical text has parentheses around both.
    let nested = |depth: usize| format!("{}has(b){}", "has(a) && has(a) || (".repeat(depth), ")".repeat(depth));
    let lists = |depth: usize| format!("{}has(b){}", "has(a) && (".repeat(depth), ")".repeat(depth));
    for text in [nested(250), lists(500)] {
        let selector = Selector::parse(&text).unwrap();
        assert_eq!(Selector::parse(&selector.canonical()).unwrap(), selector);
    }
    for text in [format!("{}has(b){}", "has(a) || has(a) && (".repeat(251), ")".repeat(251)), lists(501)] {
        assert!(Selector::parse(&text).unwrap_err().to_string().contains("nested more than 500 levels deep"));
    }
}

#[test]
fn sizes_within_the_limits_are_accepted_and_no_input_overflows_the_stack() {
    accepts(&format!("{}a == 'b'{}", "(".repeat(200), ")".repeat(200)));
    accepts(&vec!["a == 'b'"; 1000].join(" || "));
    accepts(&format!("{}has(a)", "!".repeat(60_000)));
    accepts(&format!("has({})", "a".repeat(512)));
    accepts(&format!("{} == 'x'", "a".repeat(512)));
    refuses(&format!("has({})", "a".repeat(513)), "label too long at byte 4");
    refuses(&format!("{} == 'x'", "a".repeat(513)), "label too long at byte 0");
    assert!(Selector::parse(&"(".repeat(65_536)).is_err());
    assert!(Selector::parse(&"!(".repeat(32_768)).is_err());
    let nested = |depth: usize| format!("{}a == 'b'{}", "(".repeat(depth), ")".repeat(depth));
    accepts(&nested(500));
    refuses(&nested(501), "nested more than 500 levels deep at byte 501");
    let long = |len: usize| format!("a == '{}'", "x".repeat(len - 7));
    accepts(&long(64 << 10));
    refuses(&long((64 << 10) + 1), "the selector is longer than 64 KiB at byte 65536");
    let deep = format!("{}a == 'b'{}", "!(".repeat(500), ")".repeat(500));
    let selector = Selector::parse(&deep).unwrap();
    assert_eq!(selector.clone(), selector);
    assert!(selector.canonical().len() > 500);
}

#[test]
fn operators_mean_what_section_4_says() {
    check("role != 'db'", &[], true);
    check("role != 'db'", &[("role", "web")], true);
    check("role != 'db'", &[("role", "db")], false);
    check("role in {}", &[("role", "db")], false);
    check("role not in {}", &[], true);
    check("role not in {'db'}", &[("role", "db")], false);
    check("role contains ''", &[("role", "")], true);
    check("role contains ''", &[], false);
    check("role starts with ''", &[("role", "x")], true);
    check("role ends with 'b'", &[("role", "db")], true);
    check("has(role)", &[("role", "")], true);
    check("!has(role)", &[], true);
    check("!all()", &[("a", "b")], false);
    check("global()", &[], true);
    check("", &[], true);
    check("!a == 'b'", &[("a", "b")], false);
    check("a == 'x' || b == 'y' && c == 'z'", &[("a", "x")], true);
    check("(a == 'x' || b == 'y') && c == 'z'", &[("a", "x")], false);
    check("!!a == 'b'", &[("a", "b")], true);
    check("a == 'B'", &[("a", "b")], false);
}

#[test]
fn canonical_text_and_identifier_are_those_of_section_5() {
    for (text, canonical) in [
        ("! (has( b)||! has(a ))", "!(has(b) || !has(a))"),
        ("a in {'d','a','a'}", "a in {\"a\", \"d\"}"),
        ("a=='x'&&b=='y'", "(a == \"x\" && b == \"y\")"),
        ("((a == 'x'))", "a == \"x\""),
        ("a == 'x\"y'", "a == 'x\"y'"),
        ("!(!has(a))", "!!has(a)"),
        ("!!!has(a)", "!has(a)"),
        ("(a == 'x' && b == 'y') && c == 'z'", "((a == \"x\" && b == \"y\") && c == \"z\")"),
        ("a startswith 'x' || b notin {}", "(a starts with \"x\" || b not in {})"),
        ("", "all()"),
    ] {
        assert_eq!(Selector::parse(text).unwrap().canonical(), canonical, "`{text}`");
    }
    for (text, id) in [
        ("all()", "s:5y5I3VdRZfDU01O--xXAPx2yxCQQqMf0M6IWug"),
        ("!(has(b) || !has(a))", "s:Iss0uCleLYv1GSv_pNm7hAO58kE9jAx1NKyG3Q"),
        ("!(a == \"b\" && !c != \"d\")", "s:lh3haoY1ikTRkd4UZu0nWSaIBknYLPJLX16d-w"),
    ] {
        assert_eq!(Selector::parse(text).unwrap().id(), id, "`{text}`");
    }
}

/// A selector and its text.
fn any_selector() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("all()".to_owned()),
        "[abc]".prop_map(|l| format!("has({l})")),
        ("[abc]", "==|!=|contains|starts with|ends with", "[xy]{0,2}").prop_map(|(l, o, v)| format!("{l} {o} '{v}'")),
        ("[abc]", "in|not in", prop::collection::vec("[xy]{0,2}", 0..3)).prop_map(|(l, o, v)| format!(
            "{l} {o} {{{}}}",
            v.iter().map(|v| format!("'{v}'")).collect::<Vec<_>>().join(",")
        )),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            inner.clone().prop_map(|e| format!("!({e})")),
            prop::collection::vec(inner.clone(), 2..4).prop_map(|v| format!("({})", v.join(" && "))),
            prop::collection::vec(inner, 2..4).prop_map(|v| format!("({})", v.join(" || "))),
        ]
    })
}

fn any_labels() -> impl Strategy<Value = std::collections::BTreeMap<String, String>> {
    prop::collection::btree_map("[abc]", "[xy]{0,2}", 0..4)
}

#[test]
fn an_index_is_asked_where_the_fewest_are() {
    let check = |text: &str, expected: Option<&[&str]>| {
        // `rare` has one item at each value, all else ten.
        let weight = |key: &IndexKey| if key.label == "rare" && key.value.is_some() { 1 } else { 10 };
        let found = Selector::parse(text).unwrap().index_keys(&weight);
        let found = found.map(|keys| keys.into_iter().map(|key| [Some(key.label), key.value]).collect::<Vec<_>>());
        let found = found.map(|keys| keys.into_iter().map(|k| k.into_iter().flatten().collect::<Vec<_>>().join("=")));
        let expected = expected.map(|keys| keys.iter().map(|key| (*key).to_owned()).collect::<Vec<_>>());
        assert_eq!(found.map(Iterator::collect::<Vec<_>>), expected, "`{text}`");
    };
    check("a == 'x'", Some(&["a=x"]));
    check("a in {'x', 'y'}", Some(&["a=x", "a=y"]));
    check("has(a)", Some(&["a"]));
    check("a contains 'x'", Some(&["a"]));
    check("a == 'x' && rare == 'y' && b != 'z'", Some(&["rare=y"]));
    check("b != 'z' && has(a)", Some(&["a"]));
    check("rare == 'x' || a == 'x' || rare == 'x'", Some(&["a=x", "rare=x"]));
    check("!!has(a)", Some(&["a"]));
    check("!all()", Some(&[]));
    check("a in {}", Some(&[]));
    for anywhere in ["all()", "a != 'x'", "!has(a)", "a not in {'x'}", "a == 'x' || b != 'y'", "!(a == 'x')"] {
        check(anywhere, None);
    }
}

proptest! {
    #[test]
    fn canonical_text_means_the_same(text in any_selector(), labels in any_labels()) {
        let selector = Selector::parse(&text).unwrap();
        let again = Selector::parse(&selector.canonical()).unwrap();
        prop_assert_eq!(selector.matches(&labels), again.matches(&labels));
    }

    #[test]
    fn any_text_returns(text in any::<String>()) {
        let _ = Selector::parse(&text);
    }

    #[test]
    fn text_of_tokens_returns(text in "[ab'\"(){}!=&|, \n]{0,40}|(has\\(|all\\(|a |in |not |!|\\(|\\)|'x'|&&|==){0,12}") {
        if let Ok(selector) = Selector::parse(&text) {
            Selector::parse(&selector.canonical()).unwrap();
        }
    }

    #[test]
    fn all_that_is_selected_is_at_an_index_key(text in any_selector(), labels in any_labels(), odd in any::<bool>()) {
        let selector = Selector::parse(&text).unwrap();
        let weight = |key: &IndexKey| key.label.len() + usize::from(key.value.is_some() == odd);
        if let (true, Some(keys)) = (selector.matches(&labels), selector.index_keys(&weight)) {
            let is_at = |key: &IndexKey| {
                labels.get(&key.label).is_some_and(|have| key.value.as_ref().is_none_or(|value| have == value))
            };
            prop_assert!(keys.iter().any(is_at), "`{}` selects {:?}, which is at none of {:?}", text, labels, keys);
        }
    }

    #[test]
    fn the_verdict_depends_on_what_is_read(text in any_selector(), one in any_labels(), other in any_labels()) {
        let selector = Selector::parse(&text).unwrap();
        let tells_apart = |key: &IndexKey| match (&key.value, one.get(&key.label), other.get(&key.label)) {
            (None, one, other) => one != other,
            (Some(value), one, other) => (one == Some(value)) != (other == Some(value)),
        };
        if !selector.reads().iter().any(tells_apart) {
            prop_assert_eq!(selector.matches(&one), selector.matches(&other), "`{}`: {:?}, {:?}", text, one, other);
        }
    }

    #[test]
    fn restrictions_are_necessary(text in any_selector(), labels in any_labels()) {
        let selector = Selector::parse(&text).unwrap();
        if selector.matches(&labels) {
            let restrictions = selector.restrictions();
            prop_assert!(restrictions.is_some(), "`{}` matches {:?} but is said to match nothing", text, labels);
            for (label, restriction) in restrictions.into_iter().flatten() {
                let holds = match (restriction, labels.get(&label)) {
                    (Restriction::Absent, value) => value.is_none(),
                    (Restriction::Present, value) => value.is_some(),
                    (Restriction::OneOf(values), value) => value.is_some_and(|v| values.contains(v)),
                };
                prop_assert!(holds, "`{}`: label {} of {:?}", text, label, labels);
            }
        }
    }
}
