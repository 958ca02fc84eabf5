//! Who may do what: roles, passwords, tokens, certificates (datastore.md section 2.9).
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use tortie_api::with_causes;
use tortie_datastore::Kv;
use tortie_datastore::kv::{FaultKind, KvError, RESOURCE_PREFIX, watch_receiver};
use tortie_etcd::{Etcd, Settings, Source, Tls};
use tortie_storetest::{EtcdStore, PATIENCE, batch, put, shown, write};
use tortie_testkit::certificates::{Authority, Signed};
use tortie_testkit::etcd::{Options, ROOT, Version};

const STATUS: &str = "/calico/felix/v2/no-region/host/n/status";

fn with_users(version: Version) -> EtcdStore {
    EtcdStore::with(Options { has_users: true, ..Options::plain(version) })
}

fn with_tls(version: Version) -> EtcdStore {
    EtcdStore::with(Options { has_tls: true, ..Options::plain(version) })
}

macro_rules! on_both_versions {
    ($($start:ident: [$($case:ident),* $(,)?])*) => {
        mod etcd_3_4 {
            $($(#[test] fn $case() { super::$case(super::$start(super::Version::Debian)); })*)*
        }
        mod etcd_recent {
            $($(#[test] fn $case() { super::$case(super::$start(super::Version::Recent)); })*)*
        }
    };
}

on_both_versions! {
    with_users: [
        an_agent_reads_resources_and_writes_its_status,
        a_reader_writes_nothing,
        an_editor_writes_policies_and_no_tiers,
        a_controller_writes_what_it_owns,
        a_wrong_password_is_told,
        a_server_that_wants_a_user_says_so,
        tokens_that_a_restart_forgets_are_renewed,
    ]
    with_short_tokens: [a_token_that_runs_out_is_renewed]
    with_tls: [
        certificates_are_taken_from_text_and_from_files,
        a_server_of_another_authority_is_not_trusted,
        a_missing_certificate_is_told,
        a_certificate_of_another_authority_is_refused,
        an_expired_certificate_is_refused,
        settings_that_are_of_no_use_are_named,
    ]
}

fn with_short_tokens(version: Version) -> EtcdStore {
    EtcdStore::with(Options { has_users: true, token_ttl_s: 1, ..Options::plain(version) })
}

fn resource(kind: &str) -> String {
    format!("{RESOURCE_PREFIX}{kind}/a")
}

fn connect(store: &EtcdStore, user: &str) -> Etcd {
    Etcd::connect(&store.settings_of(user)).unwrap()
}

fn assert_refused<T: std::fmt::Debug>(result: Result<T, KvError>, user: &str) {
    let error = result.unwrap_err();
    assert!(matches!(error.fault(), Some(FaultKind::PermissionDenied { .. })), "{error:?}");
    assert!(error.is_unauthorized() && error.to_string().contains(user), "{error}");
}

fn an_agent_reads_resources_and_writes_its_status(store: EtcdStore) {
    let (root, agent) = (connect(&store, ROOT), connect(&store, "agent"));
    let first = write(&root, vec![put(&resource("tiers"), "{}")]);
    assert_eq!(agent.range(RESOURCE_PREFIX).unwrap().0.len(), 1);
    let watch = watch_receiver(&agent, &[RESOURCE_PREFIX], first.next()).unwrap();
    agent.put(STATUS, b"{}", Some(std::time::Duration::from_secs(90))).unwrap();
    agent.put(STATUS, b"{}", None).unwrap();
    assert_eq!(agent.resource_revision().unwrap(), first);
    let gone = write(&root, vec![tortie_storetest::delete(&resource("tiers"))]);
    assert_eq!(agent.resource_revision().unwrap(), gone);
    assert_eq!(shown(&batch(&watch)).len(), 1);
    // A server that is started anew wants the same of the same role.
    assert_refused(agent.range("/calico/"), "agent");
    assert_refused(agent.range(""), "agent");
    assert_refused(agent.put(&resource("tiers"), b"{}", None), "agent");
    assert_refused(agent.put("/tortie/v1/agents/n", b"{}", None), "agent");
    assert_refused(watch_receiver(&agent, &["/calico/"], first).unwrap().next_batch(PATIENCE), "agent");
    assert_refused(watch_receiver(&agent, &["/tortie/v1/"], first).unwrap().next_batch(PATIENCE), "agent");
    agent.put(STATUS, b"{}", None).unwrap();
}

fn a_reader_writes_nothing(store: EtcdStore) {
    let reader = connect(&store, "reader");
    assert_eq!(reader.range(RESOURCE_PREFIX).unwrap().0, []);
    assert_eq!(reader.range("/calico/ipam/v2/").unwrap().0, []);
    assert_refused(reader.put(&resource("tiers"), b"{}", None), "reader");
    assert_refused(reader.delete(&resource("tiers")), "reader");
    assert_refused(reader.put(STATUS, b"{}", None), "reader");
}

fn an_editor_writes_policies_and_no_tiers(store: EtcdStore) {
    let editor = connect(&store, "editor");
    for kind in ["globalnetworkpolicies", "globalnetworksets", "profiles"] {
        write(&editor, vec![put(&resource(kind), "{}")]);
    }
    assert_refused(editor.put(&resource("tiers"), b"{}", None), "editor");
    assert_refused(editor.put(&resource("hostendpoints"), b"{}", None), "editor");
    assert_eq!(editor.range(RESOURCE_PREFIX).unwrap().0.len(), 3);
}

fn a_controller_writes_what_it_owns(store: EtcdStore) {
    let (controller, full) = (connect(&store, "controller"), connect(&store, "full"));
    write(&controller, vec![put(&resource("hostendpoints"), "{}"), put(&resource("nodes"), "{}")]);
    assert_refused(controller.put(&resource("tiers"), b"{}", None), "controller");
    write(&full, vec![put(&resource("tiers"), "{}")]);
    assert_eq!(controller.range(RESOURCE_PREFIX).unwrap().0.len(), 3);
    assert_refused(full.put("/tortie/v1/x", b"{}", None), "full");
}

fn assert_unauthenticated(result: Result<Etcd, KvError>, hint: &str) {
    let error = result.err().expect("it is refused");
    assert!(matches!(error.fault(), Some(FaultKind::Unauthenticated { .. })), "{}", with_causes(&error));
    assert!(error.is_unauthorized() && error.to_string().contains(hint), "{error}");
}

fn a_wrong_password_is_told(store: EtcdStore) {
    for (user, password) in [("agent", "wrong"), ("nobody", "wrong")] {
        let settings = Settings { user: Some((user.to_owned(), password.to_owned())), ..store.settings() };
        assert_unauthenticated(Etcd::connect(&settings), user);
    }
}

fn a_server_that_wants_a_user_says_so(store: EtcdStore) {
    let nobody = Etcd::connect(&store.settings()).unwrap();
    let error = nobody.range(RESOURCE_PREFIX).unwrap_err();
    assert!(error.is_unauthorized(), "{}", with_causes(&error));
    let error = watch_receiver(&nobody, &[RESOURCE_PREFIX], tortie_datastore::Revision(1)).unwrap();
    let error = error.next_batch(PATIENCE).unwrap_err();
    assert!(error.is_unauthorized(), "{}", with_causes(&error));
}

fn tokens_that_a_restart_forgets_are_renewed(mut store: EtcdStore) {
    let root = connect(&store, ROOT);
    let first = write(&root, vec![put("w", "1")]);
    let watch = watch_receiver(&root, &["w"], first).unwrap();
    assert_eq!(shown(&batch(&watch)), ["w=1<-"]);
    store.server.restart();
    write(&root, vec![put("w", "2")]);
    assert_eq!(shown(&batch(&watch)), ["w=2<1"]);
    store.server.restart();
    assert_eq!(root.get("w").unwrap().unwrap().value, b"2");
}

/// A token that is not used runs out; a watch that was begun with it goes on.
fn a_token_that_runs_out_is_renewed(store: EtcdStore) {
    let (agent, root) = (connect(&store, "agent"), connect(&store, ROOT));
    let first = write(&root, vec![put(&resource("tiers"), "0")]);
    let watch = watch_receiver(&agent, &[RESOURCE_PREFIX], first).unwrap();
    assert_eq!(batch(&watch).revision, first);
    for number in 1..=3 {
        // The lifetime of a token is what is tested, so time has to pass.
        std::thread::sleep(std::time::Duration::from_millis(2500));
        let revision = write(&root, vec![put(&resource("tiers"), &number.to_string())]);
        assert_eq!(agent.resource_revision().unwrap(), revision);
        assert_eq!(batch(&watch).revision, revision);
    }
}

fn inline(text: &str) -> Option<Source> {
    Some(Source::Inline(text.to_owned()))
}

/// Settings with another certificate.
fn showing(store: &EtcdStore, signed: &Signed) -> Settings {
    let tls = Tls { cert: inline(&signed.certificate), key: inline(&signed.key), ..store.settings().tls };
    Settings { tls, ..store.settings() }
}

fn certificates_are_taken_from_text_and_from_files(store: EtcdStore) {
    let settings = store.settings();
    Etcd::connect(&settings).unwrap().put("a", b"1", None).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, source: &Option<Source>| {
        let Some(Source::Inline(text)) = source else { panic!("{source:?}") };
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        Some(Source::File(path))
    };
    let tls = Tls {
        ca: file("ca", &settings.tls.ca),
        cert: file("cert", &settings.tls.cert),
        key: file("key", &settings.tls.key),
    };
    let kv = Etcd::connect(&Settings { tls: tls.clone(), ..settings.clone() }).unwrap();
    assert_eq!(kv.get("a").unwrap().unwrap().value, b"1");
    // Without a scheme the certificates tell that it is encrypted.
    let address = store.server.address().trim_start_matches("https://").to_owned();
    Etcd::connect(&Settings { tls, ..Settings::at([address]) }).unwrap();
}

fn a_server_of_another_authority_is_not_trusted(store: EtcdStore) {
    let ca = inline(&Authority::new().certificate());
    for ca in [ca, None] {
        let settings = Settings { tls: Tls { ca, ..store.settings().tls }, ..store.settings() };
        let error = Etcd::connect(&settings).err().expect("it is not trusted");
        assert_eq!(error.fault(), Some(&FaultKind::Untrusted), "{}", with_causes(&error));
        assert!(with_causes(&error).contains(&store.server.address()), "{error}");
    }
}

fn a_missing_certificate_is_told(store: EtcdStore) {
    let settings = Settings { tls: Tls { ca: store.settings().tls.ca, ..Tls::default() }, ..store.settings() };
    assert_unauthenticated(Etcd::connect(&settings), "it wants a certificate");
}

fn a_certificate_of_another_authority_is_refused(store: EtcdStore) {
    let settings = showing(&store, &Authority::new().sign("root"));
    assert_unauthenticated(Etcd::connect(&settings), "refused the certificate");
}

fn an_expired_certificate_is_refused(store: EtcdStore) {
    let settings = showing(&store, &store.server.authority().sign_expired("root"));
    assert_unauthenticated(Etcd::connect(&settings), "refused the certificate");
}

fn settings_that_are_of_no_use_are_named(store: EtcdStore) {
    let good = store.settings();
    let hint = |settings: Settings| match Etcd::connect(&settings).err().expect("they are of no use").fault() {
        Some(FaultKind::BadSettings { hint }) => hint.clone(),
        other => panic!("{other:?}"),
    };
    let tls = |change: fn(&mut Tls)| {
        let mut settings = good.clone();
        change(&mut settings.tls);
        hint(settings)
    };
    assert!(tls(|tls| tls.key = None).contains("no key"));
    assert!(tls(|tls| tls.cert = None).contains("no certificate"));
    assert!(tls(|tls| tls.ca = Some(Source::File("/nonexistent/ca.pem".into()))).contains("/nonexistent/ca.pem"));
    assert!(tls(|tls| tls.cert = Some(Source::Inline("text".to_owned()))).contains("PEM"));
    let at = |address: &str| hint(Settings { endpoints: vec![address.to_owned()], ..good.clone() });
    assert!(at("ftp://127.0.0.1").contains("none of `https`, `http` and `unix`"));
    assert!(at("https://").contains("HOST:PORT"));
    assert!(hint(Settings::default()).contains("no address"));
    assert!(hint(Settings { discovery_srv: Some("example.org".to_owned()), ..good.clone() }).contains("both"));
}
