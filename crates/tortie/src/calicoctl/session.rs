//! The store that a command asks.

use std::path::Path;
use std::sync::Arc;

use tortie_datastore::{Access, Resources, Store};

use super::error::Error;
use super::flags::Given;
use super::input;
use crate::store::{ConfigFault, Unopened};

/// Where the store is. It is found before input is read and opened after that: mistakes in files come before those of the
/// connection, but not before a connection file that is not there.
pub(super) struct Located(Result<Unopened, Error>);

impl Located {
    /// Finds the store that flags, environment and files name.
    pub(super) fn find(given: &Given) -> Result<Located, Error> {
        let config = given.text("config").map(Path::new);
        match Unopened::of_calicoctl(config, given.text("context")) {
            // Who compares no versions opens nothing before input is read.
            Err(fault @ ConfigFault::Unread { .. }) if !given.is_set("allow-version-mismatch") => {
                Err(Error::config(fault))
            }
            found => Ok(Located(found.map_err(Error::config))),
        }
    }

    /// Opens it.
    pub(super) fn open(self, access: Access) -> Result<Session, Error> {
        let place = self.0?;
        if place.is_cluster() {
            unconfigured(&place).map_or(Ok(()), |cause| Err(Error::NoCluster(cause)))?;
        } else {
            contradiction(&place).map_or(Ok(()), |cause| Err(Error::Client(cause)))?;
        }
        let opened = place.open(access);
        Ok(Session { store: opened.map_err(|failure| Error::config(failure.into()))? })
    }

    /// Opens it, and makes what every store has; a failure of that is left for the command to meet.
    pub(super) fn open_initialised(self) -> Result<Session, Error> {
        let session = self.open(Access::Write)?;
        let _ = session.resources().ensure_initialised();
        Ok(session)
    }
}

/// What settings of etcd contradict each other, or name files that are not there. The order is Calico's.
fn contradiction(place: &Unopened) -> Option<String> {
    let setting = |field| place.setting(field);
    if setting("etcdEndpoints").is_some() && setting("etcdDiscoverySrv").is_some() {
        let words =
            r#"multiple discovery or bootstrap options specified, use either "etcdEndpoints" or "etcdDiscoverySrv""#;
        return Some(words.to_owned());
    }
    let [ca, cert, key] = ["etcdCACertFile", "etcdCertFile", "etcdKeyFile"].map(setting);
    let [inline_ca, inline_cert, inline_key] = ["etcdCACert", "etcdCert", "etcdKey"].map(setting);
    let has_inline = [inline_ca, inline_cert, inline_key].iter().any(Option::is_some);
    if has_inline && [ca, cert, key].iter().any(Option::is_some) {
        return Some("Cannot mix inline certificate-key and certificate / key files".to_owned());
    }
    let cause = if has_inline {
        (inline_cert.is_none() || inline_key.is_none())
            .then(|| "Certificate and Key must both be present inline.".to_owned())
    } else if cert.is_some() != key.is_some() {
        let [cert, key] = [cert, key].map(Option::unwrap_or_default);
        Some(format!("KeyFile and CertFile must both be present[key: {key}, cert: {cert}]"))
    } else {
        [cert, key, ca].into_iter().flatten().find_map(unread)
    };
    cause.map(|cause| format!("could not initialize etcdv3 client: {cause}"))
}

/// Where no cluster is configured, or by a file that is not there.
fn unconfigured(place: &Unopened) -> Option<String> {
    if let Some(file) = place.setting("kubeconfig") {
        let is_missing = !file.contains(':') && !Path::new(file).exists();
        return is_missing.then(|| format!("stat {file}: no such file or directory"));
    }
    let is_named = ["kubeconfigInline", "k8sAPIEndpoint"].iter().any(|field| place.setting(field).is_some());
    let is_in_pod = std::env::var_os("KUBERNETES_SERVICE_HOST").is_some_and(|host| !host.is_empty());
    let has_file = || std::env::home_dir().is_some_and(|home| home.join(".kube/config").exists());
    (!is_named && !is_in_pod && !has_file()).then(|| {
        "invalid configuration: no configuration has been provided, try setting KUBERNETES_MASTER environment variable"
            .to_owned()
    })
}

/// What keeps this file from being read.
fn unread(file: &str) -> Option<String> {
    let path = Path::new(file);
    std::fs::File::open(path).err().map(|cause| input::open(path, &cause).to_string())
}

/// An open store.
pub(super) struct Session {
    pub(super) store: Arc<dyn Store>,
}

impl Session {
    /// Finds and opens the store of a command that reads nothing else.
    ///
    /// # Errors
    /// What keeps it from being asked, without the words in front that commands with input have.
    pub(super) fn open(given: &Given, access: Access) -> Result<Session, Error> {
        Located::find(given)?.open(access).map_err(Error::bare)
    }

    /// Finds and opens it, and makes what every store has.
    ///
    /// # Errors
    /// As [`Session::open`].
    pub(super) fn open_initialised(given: &Given) -> Result<Session, Error> {
        Located::find(given)?.open_initialised().map_err(Error::bare)
    }

    pub(super) fn resources(&self) -> Resources<'_> {
        Resources::new(&*self.store)
    }
}
