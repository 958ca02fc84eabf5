//! The addresses of members, for whoever has to keep the way to them open (E-467).

use std::collections::BTreeMap;
use std::net::SocketAddr;

use tokio::net::lookup_host;

/// The members that are known, each with the addresses that its name had when it was resolved the last time.
#[derive(Clone, Debug, Default)]
pub(crate) struct Peers {
    members: BTreeMap<String, Vec<SocketAddr>>,
}

impl Peers {
    /// Takes the members' addresses as they are named, `SCHEME://HOST:PORT`.
    pub(crate) fn name(&mut self, addresses: &[String]) {
        let mut before = std::mem::take(&mut self.members);
        let known = |address: &String| (address.clone(), before.remove(address).unwrap_or_default());
        self.members = addresses.iter().map(known).collect();
    }

    /// Takes what the names of members that are still known were resolved to.
    pub(crate) fn learn(&mut self, resolved: Peers) {
        for (address, found) in resolved.members {
            if let Some(known) = self.members.get_mut(&address) {
                *known = found;
            }
        }
    }

    /// Resolves all names; those that cannot be resolved at the moment keep what they had.
    pub(crate) async fn resolve(&mut self) {
        for (address, found) in &mut self.members {
            match resolve(address).await {
                Ok(now) => *found = now,
                Err(error) => tracing::debug!(%address, %error, "cannot resolve a member of etcd"),
            }
        }
    }

    /// The addresses of all members.
    pub(crate) fn all(&self) -> Vec<SocketAddr> {
        let mut all: Vec<SocketAddr> = self.members.values().flatten().copied().collect();
        all.sort();
        all.dedup();
        all
    }
}

async fn resolve(address: &str) -> std::io::Result<Vec<SocketAddr>> {
    if address.starts_with("unix:") {
        // No network is needed for a socket file.
        return Ok(Vec::new());
    }
    let uri: http::Uri = address.parse().map_err(std::io::Error::other)?;
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
    let port = uri.port_u16().unwrap_or(if uri.scheme_str() == Some("https") { 443 } else { 80 });
    Ok(lookup_host((host, port)).await?.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_told_by_their_addresses_and_remembered() {
        let mut peers = Peers::default();
        let name = |text: &str| text.to_owned();
        peers.name(&[name("https://[::1]:2379"), name("http://127.0.0.1:2380"), name("http://127.0.0.1:2380")]);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let text = |peers: &mut Peers| {
            runtime.block_on(peers.resolve());
            peers.all().iter().map(SocketAddr::to_string).collect::<Vec<_>>()
        };
        assert_eq!(text(&mut peers), ["127.0.0.1:2380", "[::1]:2379"]);
        peers.members.insert(name("http://name.invalid:1"), vec!["10.0.0.1:1".parse().unwrap()]);
        assert_eq!(text(&mut peers).len(), 3);
        peers.name(&[name("http://127.0.0.1:2380"), name("unix:///run/etcd.sock")]);
        assert_eq!(text(&mut peers), ["127.0.0.1:2380"]);
    }
}
