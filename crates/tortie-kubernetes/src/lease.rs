//! Leases of `coordination.k8s.io`: who may do what only one may do.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use http::Method;
use jiff::Timestamp;
use serde_json::{Value, json};
use tortie_datastore::KvError;

use crate::failure::Failure;
use crate::server::{Ask, Server};
use crate::source::segment;

/// What rights and messages call them.
pub(crate) const RESOURCE: &str = "leases.coordination.k8s.io";
/// What is being done, in messages.
const TAKE: &str = "take the lease";
/// The same.
const GIVE_BACK: &str = "give the lease back";

/// The leases of a namespace.
pub(crate) fn path(namespace: &str) -> String {
    format!("/apis/coordination.k8s.io/v1/namespaces/{}/leases", segment(namespace))
}

/// The path of one lease.
pub(crate) fn path_of(namespace: &str, name: &str) -> String {
    format!("{}/{}", path(namespace), segment(name))
}

/// The time now, as leases write it.
pub(crate) fn now() -> String {
    Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string()
}

/// Whole seconds, one at least.
pub(crate) fn seconds(ttl: Duration) -> u64 {
    ttl.as_millis().div_ceil(1000).max(1).try_into().unwrap_or(u64::MAX)
}

/// What others' leases looked like, and since when. Their clocks may be wrong: a lease has run out when it was not renewed
/// for its time by the clock of who looks.
#[derive(Default)]
pub(crate) struct Observed {
    leases: Mutex<BTreeMap<String, (Value, Instant)>>,
}

impl Observed {
    /// Whether a lease has run out, as far as can be seen from here.
    fn has_run_out(&self, name: &str, lease: &Value, at: Instant) -> bool {
        let mut leases = self.leases.lock().unwrap_or_else(PoisonError::into_inner);
        let spec = &lease["spec"];
        let duration = Duration::from_secs(spec["leaseDurationSeconds"].as_u64().unwrap_or_default());
        match leases.get(name) {
            Some((seen, since)) if seen == spec => at.saturating_duration_since(*since) >= duration,
            _ => {
                leases.insert(name.to_owned(), (spec.clone(), at));
                false
            }
        }
    }
}

/// Takes or renews a lease; whether `holder` has it now.
pub(crate) async fn take(
    server: &Server,
    observed: &Observed,
    name: &str,
    holder: &str,
    ttl: Duration,
) -> Result<bool, KvError> {
    let namespace = server.settings.lease_namespace();
    let path = path_of(&namespace, name);
    let told = |failure, verb| server.told(failure, TAKE, verb, RESOURCE.to_owned());
    let lease = match server.fetch(&Ask::get(path.clone())).await {
        Ok(lease) => lease,
        Err(failure) if failure.is_code(404) => {
            let spec = json!({"holderIdentity": holder, "leaseDurationSeconds": seconds(ttl), "acquireTime": now(),
                "renewTime": now(), "leaseTransitions": 0});
            let lease = object(&namespace, name, spec);
            let made = server.fetch(&Ask::send(Method::POST, self::path(&namespace), lease)).await;
            return is_written(made).map_err(|failure| told(failure, "create"));
        }
        Err(failure) => return Err(told(failure, "get")),
    };
    let held_by = lease["spec"]["holderIdentity"].as_str().unwrap_or_default();
    let is_ours = held_by == holder;
    if !is_ours && !held_by.is_empty() && !observed.has_run_out(name, &lease, Instant::now()) {
        return Ok(false);
    }
    let mut changed = lease.clone();
    let spec = &mut changed["spec"];
    spec["holderIdentity"] = json!(holder);
    spec["leaseDurationSeconds"] = json!(seconds(ttl));
    spec["renewTime"] = json!(now());
    if !is_ours {
        spec["acquireTime"] = json!(now());
        spec["leaseTransitions"] = json!(spec["leaseTransitions"].as_u64().unwrap_or_default() + 1);
    }
    let written = server.fetch(&Ask::send(Method::PUT, path, changed)).await;
    is_written(written).map_err(|failure| told(failure, "update"))
}

/// Gives a lease back, if `holder` has it.
pub(crate) async fn give_back(server: &Server, name: &str, holder: &str) -> Result<(), KvError> {
    let told = |failure, verb| server.told(failure, GIVE_BACK, verb, RESOURCE.to_owned());
    let path = path_of(&server.settings.lease_namespace(), name);
    let mut lease = match server.fetch(&Ask::get(path.clone())).await {
        Ok(lease) => lease,
        Err(failure) if failure.is_code(404) => return Ok(()),
        Err(failure) => return Err(told(failure, "get")),
    };
    if lease["spec"]["holderIdentity"] != holder {
        return Ok(());
    }
    // Nobody may delete it (section 3.6); one without a holder is free.
    lease["spec"]["holderIdentity"] = json!("");
    // Whoever has taken it meanwhile keeps it.
    let written = server.fetch(&Ask::send(Method::PUT, path, lease)).await;
    is_written(written).map(|_| ()).map_err(|failure| told(failure, "update"))
}

/// A new lease.
pub(crate) fn object(namespace: &str, name: &str, spec: Value) -> Value {
    json!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": name, "namespace": namespace},
        "spec": spec,
    })
}

/// Whether a lease is as it was sent; somebody else may have been faster.
pub(crate) fn is_written(answer: Result<Value, Failure>) -> Result<bool, Failure> {
    match answer {
        Ok(_) => Ok(true),
        Err(failure) if failure.is_code(409) => Ok(false),
        Err(failure) => Err(failure),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_runs_out_by_the_clock_of_who_looks() {
        let observed = Observed::default();
        let lease = |renewed: &str| json!({"spec": {"leaseDurationSeconds": 10, "renewTime": renewed}});
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        assert!(!observed.has_run_out("a", &lease("1970"), after(0)), "whatever their clock says");
        assert!(!observed.has_run_out("a", &lease("1970"), after(9)));
        assert!(!observed.has_run_out("a", &lease("1971"), after(11)), "it was renewed");
        assert!(!observed.has_run_out("a", &lease("1971"), after(20)));
        assert!(observed.has_run_out("a", &lease("1971"), after(21)));
    }

    #[test]
    fn times_are_whole_seconds_and_one_at_least() {
        assert_eq!(seconds(Duration::ZERO), 1);
        assert_eq!(seconds(Duration::from_millis(1500)), 2);
        assert_eq!(seconds(Duration::from_secs(90)), 90);
        let now = now();
        assert!(now.ends_with('Z') && now.len() == "2026-01-02T03:04:05.000000Z".len(), "{now}");
    }
}
