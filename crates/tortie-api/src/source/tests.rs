//! Limits of a text, each at the limit and one beyond.

use super::*;

fn read_all(text: &str, builder: &mut Builder) {
    read(text, builder);
}

/// The only problem of a text, which then has no documents; `None` when it has none.
fn refusal(text: &str) -> Option<String> {
    refusal_by(&mut Builder::default(), text)
}

fn refusal_by(builder: &mut Builder, text: &str) -> Option<String> {
    read(text, builder);
    if builder.problems.is_empty() {
        return None;
    }
    assert_eq!((builder.problems.len(), builder.documents.len()), (1, 0));
    Some(builder.problems[0].message.clone())
}

fn check(allowed: &str, beyond: &str, words: &str) {
    assert_eq!(refusal(allowed), None);
    assert_eq!(refusal(beyond).as_deref(), Some(words));
}

#[test]
fn nesting_has_a_limit() {
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    check(&nested(DEPTH_MAX), &nested(DEPTH_MAX + 1), "nested more than 100 levels deep");
    assert!(refusal(&"- ".repeat(100_000)).is_some_and(|words| words.contains("nested")));
    let objects = format!("{}{}", "{a: ".repeat(100_000), "}".repeat(100_000));
    assert_eq!(refusal(&objects).as_deref(), Some("nested more than 100 levels deep"));
}

#[test]
fn nodes_have_a_limit_in_a_document_and_in_a_text() {
    let list = |items: usize| format!("[{}]", "1,".repeat(items));
    check(&list(NODES_MAX - 1), &list(NODES_MAX), "the document has more than 500000 nodes");
    let with_total = |total| refusal_by(&mut Builder { total, ..Builder::default() }, &list(3));
    assert_eq!(with_total(TEXT_NODES_MAX - 4), None);
    assert_eq!(with_total(TEXT_NODES_MAX - 3).as_deref(), Some("the text has more than 5000000 nodes"));
}

#[test]
fn anchors_and_aliases_may_repeat_so_many_nodes_and_so_much_text() {
    // The anchored list counts once for the anchor and once for each alias.
    let nodes = |aliases: usize| format!("[&a [{}], {}]", "1,".repeat(999), "*a,".repeat(aliases));
    check(&nodes(99), &nodes(100), "anchors and aliases repeat more than 100000 nodes");
    let texts = |aliases: usize| format!("[&a {}, {}]", "x".repeat(1 << 20), "*a,".repeat(aliases));
    check(&texts(3), &texts(4), "anchors and aliases repeat more than 4 MiB of text");
    let laughs = "a: &a [x,x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]\n\
                  c: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c,*c]\n\
                  e: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d,*d]\n";
    assert!(refusal(laughs).is_some_and(|words| words.contains("repeat more than")));
    // What is inside of several anchors is kept several times.
    let anchors: String = (0..90).map(|level| format!("&a{level} [")).collect();
    let nested = format!("{anchors}{}{}", "1,".repeat(2000), "]".repeat(90));
    assert!(refusal(&nested).is_some_and(|words| words.contains("repeat more than")));
}

#[test]
fn a_document_has_a_limit_of_length_and_others_do_not_count_for_it() {
    let text = |len: usize| "x".repeat(len);
    check(&text(DOCUMENT_LEN_MAX), &text(DOCUMENT_LEN_MAX + 1), "the document is longer than 10 MiB");
    let half = format!("--- {}\n", text(DOCUMENT_LEN_MAX / 2));
    assert_eq!(refusal(&half.repeat(4)), None);
    let (_, problems) = documents(&" ".repeat(TEXT_LEN_MAX + 1));
    assert_eq!(problems[0].message, "the text is longer than 64 MiB");
}

#[test]
fn documents_have_a_limit_also_those_of_json() {
    let node = documents("a: 1").0.remove(0);
    for (text, read) in [("--- 1\n--- 2\n--- 3\n", read_all as fn(&str, &mut Builder)), ("{}{}[]", read_json)] {
        let with = |count| {
            let mut builder = Builder { documents: vec![node.clone(); count], ..Builder::default() };
            read(text, &mut builder);
            builder
        };
        let allowed = with(DOCUMENTS_MAX - 3);
        assert_eq!((allowed.documents.len(), allowed.problems.len()), (DOCUMENTS_MAX, 0));
        assert_eq!(with(DOCUMENTS_MAX - 2).problems[0].message, "more than 100000 documents");
    }
}

#[test]
fn mistakes_have_a_limit() {
    let text = "k: 1\n".repeat(PROBLEMS_MAX + 10);
    let (nodes, problems) = documents(&text);
    assert_eq!((nodes.len(), problems.len()), (0, PROBLEMS_MAX + 1));
    assert_eq!(problems[PROBLEMS_MAX].message, "too many mistakes: what follows is not read");
    let unknown: String = (0..PROBLEMS_MAX + 10).map(|number| format!("  a{number}: 1\n")).collect();
    let text = format!("apiVersion: projectcalico.org/v3\nkind: Tier\nmetadata: {{name: a}}\nspec:\n{unknown}");
    let decoded = crate::decode(&text);
    assert_eq!(decoded.problems.len(), PROBLEMS_MAX + 1);
    assert_eq!(decoded.problems[PROBLEMS_MAX].message, "more than 1000 mistakes: the rest is not shown");
}
