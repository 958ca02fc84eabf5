//! From settings to what tonic connects to: addresses, certificates, SRV records.

use std::path::Path;
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::proto::rr::RData;
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint, Identity};

use crate::settings::{Settings, Source, Tls};

/// HTTP/2 pings, while requests are on the way, and how long their answer may take (datastore.md section 2.9).
const KEEPALIVE: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(10));
/// Bytes of a certificate file.
const FILE_LEN_MAX: u64 = 4 << 20;

/// The addresses of members, with their scheme.
///
/// # Errors
/// A sentence that says which setting is of no use.
pub(crate) async fn addresses(settings: &Settings) -> Result<Vec<String>, String> {
    let named = match &settings.discovery_srv {
        Some(_) if !settings.endpoints.is_empty() => {
            return Err("both addresses and a domain for discovery are named; name one of them".to_owned());
        }
        Some(domain) => discover(domain).await?,
        None => settings.endpoints.clone(),
    };
    if named.is_empty() {
        return Err("no address of etcd is named".to_owned());
    }
    named.iter().map(|address| with_scheme(address.trim(), &settings.tls)).collect()
}

fn with_scheme(address: &str, tls: &Tls) -> Result<String, String> {
    let (scheme, rest) = match address.split_once("://") {
        Some((scheme, rest)) => (scheme, rest),
        None => (if tls.is_set() { "https" } else { "http" }, address),
    };
    match scheme {
        "https" | "http" => {}
        // A socket file, as etcd itself names it.
        "unix" if rest.starts_with('/') => return Ok(address.to_owned()),
        _ => return Err(format!("`{scheme}` in `{address}` is none of `https`, `http` and `unix`")),
    }
    let full = format!("{scheme}://{}", rest.trim_end_matches('/'));
    match full.parse::<http::Uri>() {
        Ok(uri) if uri.host().is_some_and(|host| !host.is_empty()) && uri.path() == "/" => Ok(full),
        _ => Err(format!("`{address}` is not an address; write `https://HOST:PORT`")),
    }
}

/// What tonic needs to connect to one address. Certificates are read now.
///
/// # Errors
/// A sentence that says which file or address is of no use.
pub(crate) fn endpoint(address: &str, settings: &Settings) -> Result<Endpoint, String> {
    let (interval, timeout) = KEEPALIVE;
    let endpoint = Endpoint::from_shared(address.to_owned())
        .map_err(|error| format!("`{address}`: {error}"))?
        .connect_timeout(settings.connect_timeout)
        .http2_keep_alive_interval(interval)
        .keep_alive_timeout(timeout)
        .tcp_nodelay(true);
    if !address.starts_with("https://") {
        return Ok(endpoint);
    }
    let tls = tls_config(&settings.tls)?;
    endpoint.tls_config(tls).map_err(|error| {
        format!("the certificates cannot be used: {}; they must be in PEM", crate::fault::innermost(&error))
    })
}

fn tls_config(tls: &Tls) -> Result<ClientTlsConfig, String> {
    let mut config = ClientTlsConfig::new();
    config = match &tls.ca {
        Some(ca) => config.ca_certificate(Certificate::from_pem(pem(ca, "authority")?)),
        None => config.with_native_roots(),
    };
    match (&tls.cert, &tls.key) {
        (Some(cert), Some(key)) => Ok(config.identity(Identity::from_pem(pem(cert, "certificate")?, pem(key, "key")?))),
        (None, None) => Ok(config),
        (Some(_), None) => Err("a certificate is named, and no key for it".to_owned()),
        (None, Some(_)) => Err("a key is named, and no certificate for it".to_owned()),
    }
}

fn pem(source: &Source, what: &str) -> Result<String, String> {
    let (text, place) = match source {
        Source::Inline(text) => (text.clone(), format!("the {what} in the configuration")),
        Source::File(path) => (read(path)?, format!("`{}`", path.display())),
    };
    // Anything else would be taken for an empty list, and the reason would be lost.
    if text.contains("-----BEGIN ") { Ok(text) } else { Err(format!("{place} holds no {what} in PEM")) }
}

fn read(path: &Path) -> Result<String, String> {
    let about = std::fs::metadata(path).map_err(|error| format!("cannot read `{}`: {error}", path.display()))?;
    if about.len() > FILE_LEN_MAX {
        return Err(format!("`{}` is too large for a certificate", path.display()));
    }
    std::fs::read_to_string(path).map_err(|error| format!("cannot read `{}`: {error}", path.display()))
}

/// Members by SRV records, RFC 2782: those of `etcd-client-ssl`, else those of `etcd-client`.
async fn discover(domain: &str) -> Result<Vec<String>, String> {
    let resolver = TokioResolver::builder_tokio()
        .and_then(|builder| builder.build())
        .map_err(|error| format!("cannot read the resolver's configuration: {error}"))?;
    discover_with(&resolver, domain).await
}

async fn discover_with(resolver: &TokioResolver, domain: &str) -> Result<Vec<String>, String> {
    let mut reason = String::new();
    for (service, scheme) in [("etcd-client-ssl", "https"), ("etcd-client", "http")] {
        let name = format!("_{service}._tcp.{}.", domain.trim_end_matches('.'));
        match resolver.srv_lookup(name.as_str()).await {
            Ok(found) => {
                let mut members: Vec<_> = found
                    .answers()
                    .iter()
                    .filter_map(|record| match &record.data {
                        RData::SRV(srv) => Some((srv.priority, srv.target.to_utf8(), srv.port)),
                        _ => None,
                    })
                    .collect();
                members.sort();
                let address = |(_, target, port): (u16, String, u16)| {
                    format!("{scheme}://{}:{port}", target.trim_end_matches('.'))
                };
                let addresses: Vec<String> = members.into_iter().map(address).collect();
                if !addresses.is_empty() {
                    return Ok(addresses);
                }
            }
            Err(error) => reason = error.to_string(),
        }
    }
    Err(format!("no member is found by the SRV records of `{domain}` ({reason})"))
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, SocketAddr, UdpSocket};

    use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig};
    use hickory_resolver::net::runtime::TokioRuntimeProvider;
    use hickory_resolver::proto::op::{Message, ResponseCode};
    use hickory_resolver::proto::rr::rdata::SRV;
    use hickory_resolver::proto::rr::{Name, Record};

    use super::*;

    fn scheme(address: &str, is_tls: bool) -> Result<String, String> {
        let ca = is_tls.then(|| Source::Inline(String::new()));
        with_scheme(address, &Tls { ca, ..Tls::default() })
    }

    #[test]
    fn addresses_get_their_scheme_from_the_certificates() {
        assert_eq!(scheme("a:2379", false).as_deref(), Ok("http://a:2379"));
        assert_eq!(scheme("a:2379", true).as_deref(), Ok("https://a:2379"));
        assert_eq!(scheme("https://[::1]:2379/", false).as_deref(), Ok("https://[::1]:2379"));
        assert_eq!(scheme("http://a:2379", true).as_deref(), Ok("http://a:2379"), "certificates count for https only");
        assert_eq!(scheme("unix:///run/etcd.sock", true).as_deref(), Ok("unix:///run/etcd.sock"));
        for (address, is_tls) in
            [("ftp://a", true), ("unix://a", false), ("", false), ("https://", true), ("a/b", false)]
        {
            assert!(scheme(address, is_tls).is_err(), "{address}");
        }
    }

    /// A name server that knows some SRV records; it ends with the test program.
    fn name_server(records: &'static [(&'static str, u16, u16, &'static str)]) -> SocketAddr {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = socket.local_addr().unwrap();
        std::thread::spawn(move || {
            let mut buffer = [0; 512];
            while let Ok((len, client)) = socket.recv_from(&mut buffer) {
                let ask = Message::from_vec(&buffer[..len]).unwrap();
                let mut answer = Message::response(ask.metadata.id, ask.metadata.op_code);
                let name = ask.queries[0].name().clone();
                for (owner, priority, port, target) in records {
                    if name == Name::from_ascii(owner).unwrap() {
                        let data = RData::SRV(SRV::new(*priority, 0, *port, Name::from_ascii(target).unwrap()));
                        answer.answers.push(Record::from_rdata(name.clone(), 60, data));
                    }
                }
                if answer.answers.is_empty() {
                    answer.metadata.response_code = ResponseCode::NXDomain;
                }
                answer.queries = ask.queries;
                socket.send_to(&answer.to_vec().unwrap(), client).unwrap();
            }
        });
        address
    }

    fn discovered(records: &'static [(&'static str, u16, u16, &'static str)]) -> Result<Vec<String>, String> {
        let server = name_server(records);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut connection = ConnectionConfig::udp();
            connection.port = server.port();
            let server = NameServerConfig::new(server.ip(), true, vec![connection]);
            let config = ResolverConfig::from_parts(None, Vec::new(), vec![server]);
            let builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
            discover_with(&builder.build().unwrap(), "example.org").await
        })
    }

    #[test]
    fn members_are_found_by_srv_records_the_encrypted_ones_first() {
        const PLAIN: (&str, u16, u16, &str) = ("_etcd-client._tcp.example.org.", 10, 2379, "c.example.org.");
        let both = discovered(&[
            PLAIN,
            ("_etcd-client-ssl._tcp.example.org.", 20, 2380, "b.example.org."),
            ("_etcd-client-ssl._tcp.example.org.", 10, 2379, "a.example.org."),
        ]);
        assert_eq!(both.unwrap(), ["https://a.example.org:2379", "https://b.example.org:2380"]);
        assert_eq!(discovered(&[PLAIN]).unwrap(), ["http://c.example.org:2379"]);
        let error = discovered(&[]).unwrap_err();
        assert!(error.contains("example.org"), "{error}");
    }
}
