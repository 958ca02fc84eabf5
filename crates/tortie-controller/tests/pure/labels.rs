//! Labels of Kubernetes nodes on Calico's (E-813).

use tortie_api::model::Labels;
use tortie_controller::labels::{KUBE_LABELS, sync_labels};

fn labels(text: &str) -> Labels {
    let pair = |pair: &str| pair.split_once('=').map(|(key, value)| (key.to_owned(), value.to_owned()));
    text.split_whitespace().filter_map(pair).collect()
}

/// Synced labels, as text; "same" when nothing is to be written. The memory is always what Kubernetes has.
fn check(kubernetes: &str, calico: &str, memory: Option<&str>, expected: &str) {
    let mut annotations = labels("other=kept");
    annotations.extend(memory.map(|memory| (KUBE_LABELS.to_owned(), memory.to_owned())));
    let found = sync_labels(&labels(kubernetes), &labels(calico), &annotations).expect("a good memory");
    let Some(found) = found else { return assert_eq!("same", expected) };
    let text: Vec<String> = found.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    assert_eq!(text.join(" "), expected);
    assert_eq!(found.annotations["other"], "kept");
    let again = sync_labels(&labels(kubernetes), &found.labels, &found.annotations).expect("a good memory");
    assert_eq!(again, None, "once is enough");
}

#[test]
fn labels_of_kubernetes_come_win_and_go_e813() {
    check("a=1", "", None, "a=1");
    check("a=1", "mine=x", None, "a=1 mine=x");
    check("a=1", "a=2", None, "a=1");
    check("a=1 b=2", "a=1 b=2", Some(r#"{"a":"1","b":"2"}"#), "same");
    check("a=1", "a=1 b=2 mine=x", Some(r#"{"a":"1","b":"2"}"#), "a=1 mine=x");
    check("", "a=1 mine=x", Some(r#"{"a":"1"}"#), "mine=x");
    check("a=2", "a=1", Some(r#"{"a":"1"}"#), "a=2");
    check("", "mine=x", Some("null"), "same");
}

#[test]
fn a_label_that_both_had_goes_with_kubernetes_e813() {
    // The memory is written though no label changes, or the label would stay for ever.
    check("a=1", "a=1", None, "a=1");
    check("a=1", "a=1", Some("{}"), "a=1");
}

#[test]
fn the_memory_has_the_form_of_calicos_controllers_e813() {
    let found = sync_labels(&labels("b/c=2 a=1"), &Labels::new(), &Labels::new()).unwrap().unwrap();
    assert_eq!(found.annotations[KUBE_LABELS], r#"{"a":"1","b/c":"2"}"#);
}

#[test]
fn a_memory_that_cannot_be_read_changes_nothing_e813() {
    for memory in ["", "[]", r#"{"a":1}"#, "{"] {
        let annotations = Labels::from([(KUBE_LABELS.to_owned(), memory.to_owned())]);
        let error = sync_labels(&labels("a=1"), &labels("b=2"), &annotations).unwrap_err();
        assert!(error.to_string().starts_with("annotation projectcalico.org/kube-labels is no JSON object"));
    }
}
