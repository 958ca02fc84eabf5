//! Failsafe ports as text and as objects (E-501..E-503).

use std::fmt;

use ipnet::IpNet;
use serde_json::Value as Json;
use tortie_api::model::Protocol;

use super::Failsafe;

/// An entry of environment or file: `port`, `proto:port`, `proto:net:port`; IPv6 networks stand in square brackets.
pub(super) fn from_text(text: &str) -> Result<Failsafe, String> {
    let bad = || format!("`{text}` is not a failsafe port: write `22`, `tcp:22` or `tcp:10.0.0.0/8:22`");
    let (protocol, rest) = text.split_once(':').unwrap_or(("tcp", text));
    let (net, port) = match rest.rsplit_once(':') {
        None => (None, rest),
        Some((net, port)) => {
            let net = match net.strip_prefix('[').and_then(|net| net.strip_suffix(']')) {
                Some(v6) => v6,
                None if net.contains(':') => return Err(bad()),
                None => net,
            };
            (Some(net), port)
        }
    };
    failsafe(protocol, port.parse().map_err(|_| bad())?, net)
}

/// An entry of a stored list.
pub(super) fn from_json(value: &Json) -> Result<Failsafe, String> {
    let text = |name: &str| match value.get(name) {
        None | Some(Json::Null) => Ok(String::new()),
        Some(Json::String(text)) => Ok(text.clone()),
        Some(Json::Number(number)) => Ok(number.to_string()),
        Some(_) => Err(format!("`{name}` of {value} is no text")),
    };
    let port = value.get("port").and_then(Json::as_u64).and_then(|port| u16::try_from(port).ok());
    let port = port.ok_or_else(|| format!("{value} has no port between 0 and 65535"))?;
    let net = text("net")?;
    failsafe(&text("protocol")?, port, Some(net.as_str()).filter(|net| !net.is_empty()))
}

fn failsafe(protocol: &str, port: u16, net: Option<&str>) -> Result<Failsafe, String> {
    let protocol = match protocol.to_lowercase().as_str() {
        "" | "tcp" => Protocol::TCP,
        "udp" => Protocol::UDP,
        "sctp" => Protocol::SCTP,
        other => return Err(format!("`{other}` is no protocol of a failsafe port: use tcp, udp or sctp")),
    };
    let net = match net {
        None => None,
        Some(text) => {
            let net = text.parse::<IpNet>().or_else(|_| text.parse::<std::net::IpAddr>().map(IpNet::from));
            Some(net.map_err(|_| format!("`{text}` is not a network"))?.trunc())
        }
    };
    Ok(Failsafe { protocol, port, net })
}

/// The form of environment and file (E-502).
impl fmt::Display for Failsafe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let protocol = self.protocol.to_string().to_lowercase();
        match self.net {
            Some(net) if net.addr().is_ipv6() => write!(f, "{protocol}:[{net}]:{}", self.port),
            Some(net) => write!(f, "{protocol}:{net}:{}", self.port),
            None => write!(f, "{protocol}:{}", self.port),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn entry(protocol: Protocol, port: u16, net: Option<&str>) -> Failsafe {
        Failsafe { protocol, port, net: net.map(|net| net.parse().unwrap()) }
    }

    #[test]
    fn texts_have_three_forms_and_read_what_they_print_e502() {
        for (text, expected, printed) in [
            ("22", entry(Protocol::TCP, 22, None), "tcp:22"),
            ("0", entry(Protocol::TCP, 0, None), "tcp:0"),
            ("UDP:53", entry(Protocol::UDP, 53, None), "udp:53"),
            ("sctp:53", entry(Protocol::SCTP, 53, None), "sctp:53"),
            ("tcp:10.1.0.0/8:22", entry(Protocol::TCP, 22, Some("10.0.0.0/8")), "tcp:10.0.0.0/8:22"),
            ("tcp:192.0.2.1:22", entry(Protocol::TCP, 22, Some("192.0.2.1/32")), "tcp:192.0.2.1/32:22"),
            ("tcp:[2001:db8::/32]:22", entry(Protocol::TCP, 22, Some("2001:db8::/32")), "tcp:[2001:db8::/32]:22"),
        ] {
            assert_eq!(from_text(text), Ok(expected.clone()), "{text}");
            assert_eq!(expected.to_string(), printed);
            assert_eq!(from_text(printed), Ok(expected), "{printed}");
        }
        for bad in ["", "x", "icmp:1", "tcp:70000", "-1", "tcp:2001:db8::/32:22", "tcp:10.0.0.0/40:22", "tcp:[]:22"] {
            assert!(from_text(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn objects_name_protocol_port_and_net_e502() {
        for (value, expected) in [
            (json!({"port": 22}), entry(Protocol::TCP, 22, None)),
            (json!({"protocol": "UDP", "port": 1, "net": ""}), entry(Protocol::UDP, 1, None)),
            (json!({"protocol": "SCTP", "port": 1, "net": "::1"}), entry(Protocol::SCTP, 1, Some("::1/128"))),
        ] {
            assert_eq!(from_json(&value), Ok(expected), "{value}");
        }
        for bad in [
            json!({}),
            json!("22"),
            json!(22),
            json!({"port": "22"}),
            json!({"port": 65536}),
            json!({"port": 1, "protocol": "icmp"}),
            json!({"port": 1, "protocol": "17"}),
            json!({"port": 1, "protocol": ["tcp"]}),
            json!({"port": 1, "net": "10.0.0.0/33"}),
        ] {
            assert!(from_json(&bad).is_err(), "{bad}");
        }
    }
}
