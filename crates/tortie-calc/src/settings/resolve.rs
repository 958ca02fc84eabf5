//! Merges the sources of settings (E-601..E-604, resources.md section 9, D-12).

use std::collections::BTreeMap;

use ipnet::IpNet;
use serde_json::Value;
use tortie_api::model::{FelixConfiguration, Labels, Protocol};

use super::{AllowAction, DenyAction, Failsafe, HostAction, InterfacePattern, LogRate, Settings};

/// Settings of environment or file: names in lower case, without prefix, as written.
pub type Local = BTreeMap<String, String>;

/// A value that could not be used, and what is used instead.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SettingProblem {
    /// The setting.
    pub name: String,
    /// Where the value stands: `environment`, `file`, or `FelixConfiguration(name)`.
    pub source: String,
    /// What is wrong, and what is used instead.
    pub message: String,
    /// Whether the agent must not start with it (E-604). Never for values of the store.
    pub is_fatal: bool,
}

/// Settings of the five sources, strongest first: environment, file, node, selected, default.
#[derive(Clone, Copy, Debug)]
pub struct Sources<'a> {
    /// The node's name.
    pub node: &'a str,
    /// The node's labels, for configurations with a selector.
    pub node_labels: &'a Labels,
    /// `FELIX_<Name>` and `TORTIE_<Name>` variables.
    pub environment: &'a Local,
    /// The settings file.
    pub file: &'a Local,
    /// All stored configurations, in any order.
    pub stored: &'a [&'a FelixConfiguration],
}

/// The settings in force and what is wrong with their sources. Depends on the sources alone.
pub fn resolve(sources: &Sources<'_>) -> (Settings, Vec<SettingProblem>) {
    let mut problems = Vec::new();
    let scopes = scopes(sources, &mut problems);
    let mut reader = Reader { sources, scopes, problems };
    let defaults = Settings::default();

    let is_strict = reader.word("compatibility", &["Safe", "Strict"]).as_deref() == Some("Strict");
    let mut either = |name: &str, words: [&str; 2]| {
        let chosen = reader.word(name, &words);
        chosen.map_or(is_strict, |word| word == words[1])
    };
    let polices_loopback = either("wildcardLoopback", ["Exempt", "Police"]);
    let ignores_http = either("httpRules", ["NeverMatch", "IgnoreHTTP"]);
    let essentials_off = either("ipv6Essentials", ["Allow", "Off"]);
    let drops_unknown_workloads = either("unknownWorkloads", ["Leave", "Drop"]);
    let host_action = reader.word("defaultEndpointToHostAction", &["Drop", "Return", "Accept"]);

    let settings = Settings {
        node: sources.node.to_owned(),
        interface_prefixes: reader
            .text("interfacePrefix")
            .map(|text| comma_list(&text))
            .filter(|list| !list.is_empty())
            .unwrap_or(defaults.interface_prefixes),
        interface_exclude: reader.exclude().unwrap_or(defaults.interface_exclude),
        is_loopback_exempt: !polices_loopback,
        failsafe_inbound: reader.failsafes("failsafeInboundHostPorts", Failsafe::default_inbound),
        failsafe_outbound: reader.failsafes("failsafeOutboundHostPorts", Failsafe::default_outbound),
        endpoint_to_host_action: match host_action.as_deref() {
            Some("Accept") => Some(HostAction::Accept),
            Some("Return") => Some(HostAction::Return),
            Some(_) => Some(HostAction::Drop),
            None => drops_unknown_workloads.then_some(HostAction::Drop),
        },
        drops_invalid: !reader.bool("disableConntrackInvalidCheck").unwrap_or(false),
        allows_ipv6_essentials: !essentials_off,
        ignores_http,
        log_prefix: reader.text("logPrefix").unwrap_or(defaults.log_prefix),
        log_rate: reader.log_rate(),
        deny_action: match reader.either_word("FilterDenyAction", &["Drop", "Reject"]).as_deref() {
            Some("Reject") => DenyAction::Reject,
            _ => DenyAction::Drop,
        },
        filter_allow_action: reader.allow_action("FilterAllowAction"),
        mangle_allow_action: reader.allow_action("MangleAllowAction"),
        mark_mask: reader.mark_mask().unwrap_or(defaults.mark_mask),
        polices_ipv6: reader.bool("ipv6Support").unwrap_or(defaults.polices_ipv6),
        drops_unknown_workloads,
        set_size_max: reader.set_size_max().unwrap_or(defaults.set_size_max),
    };
    reader.problems.sort();
    reader.problems.dedup();
    (settings, reader.problems)
}

/// The stored configurations that count for this node, strongest first.
fn scopes<'a>(sources: &Sources<'a>, problems: &mut Vec<SettingProblem>) -> Vec<&'a FelixConfiguration> {
    let named = |name: &str| sources.stored.iter().find(|c| c.meta.name == name).copied();
    let mut selected: Vec<&FelixConfiguration> = sources
        .stored
        .iter()
        .filter(|c| c.meta.name != "default" && !c.meta.name.starts_with("node."))
        .filter(|c| c.node_selector.as_ref().is_some_and(|selector| selector.matches(sources.node_labels)))
        .copied()
        .collect();
    // The oldest one counts as a whole; the others are ignored with a warning (E-602).
    selected.sort_by(|a, b| (&a.meta.created, &a.meta.name).cmp(&(&b.meta.created, &b.meta.name)));
    for ignored in selected.iter().skip(1) {
        problems.push(SettingProblem {
            name: "nodeSelector".to_owned(),
            source: source_of(ignored),
            message: format!("ignored: `{}` selects this node too and is older", selected[0].meta.name),
            is_fatal: false,
        });
    }
    let node = format!("node.{}", sources.node);
    [named(&node), selected.first().copied(), named("default")].into_iter().flatten().collect()
}

fn source_of(configuration: &FelixConfiguration) -> String {
    format!("FelixConfiguration({})", configuration.meta.name)
}

fn comma_list(text: &str) -> Vec<String> {
    text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(str::to_owned).collect()
}

/// A value as it was found.
enum Found<'a> {
    Local { text: String, source: &'static str },
    Stored { value: Value, configuration: &'a FelixConfiguration },
}

struct Reader<'a> {
    sources: &'a Sources<'a>,
    scopes: Vec<&'a FelixConfiguration>,
    problems: Vec<SettingProblem>,
}

impl<'a> Reader<'a> {
    /// The value of the strongest source that has one. Empty text is no value (E-603).
    fn find(&self, name: &str) -> Option<Found<'a>> {
        let lower = name.to_lowercase();
        for (local, source) in [(self.sources.environment, "environment"), (self.sources.file, "file")] {
            if let Some(text) = local.get(&lower).filter(|text| !text.is_empty()) {
                return Some(Found::Local { text: text.clone(), source });
            }
        }
        self.scopes.iter().find_map(|configuration| {
            let annotation = configuration.meta.annotations.get(&format!("tortie.dev/{name}"));
            let value = configuration.values.get(name).cloned().or_else(|| annotation.map(|text| text.as_str().into()));
            let value = value.filter(|value| !value.is_null() && value.as_str() != Some(""))?;
            Some(Found::Stored { value, configuration })
        })
    }

    fn problem(&mut self, name: &str, source: String, message: String, is_fatal: bool) {
        self.problems.push(SettingProblem { name: name.to_owned(), source, message, is_fatal });
    }

    /// A text of any source, and where it stands; numbers and booleans count as their text.
    fn raw(&mut self, name: &str) -> Option<(String, String)> {
        match self.find(name)? {
            Found::Local { text, source } => Some((text, source.to_owned())),
            Found::Stored { value: Value::String(text), configuration } => Some((text, source_of(configuration))),
            Found::Stored { value, configuration } => Some((value.to_string(), source_of(configuration))),
        }
    }

    fn text(&mut self, name: &str) -> Option<String> {
        self.raw(name).map(|(text, _)| text)
    }

    /// One of a few words in any case; a bad one in environment or file is fatal where it changes what is denied.
    fn word(&mut self, name: &str, words: &[&str]) -> Option<String> {
        let (text, source) = self.raw(name)?;
        match words.iter().find(|word| word.eq_ignore_ascii_case(&text)) {
            Some(word) => Some((*word).to_owned()),
            None => {
                let is_fatal = name == "defaultEndpointToHostAction" && !source.starts_with("Felix");
                let message = format!("`{text}` is not one of {}; the default is used", words.join(", "));
                self.problem(name, source, message, is_fatal);
                None
            }
        }
    }

    fn bool(&mut self, name: &str) -> Option<bool> {
        let (text, source) = self.raw(name)?;
        match text.to_lowercase().as_str() {
            "true" | "1" | "yes" | "y" | "t" => Some(true),
            "false" | "0" | "no" | "n" | "f" | "none" => Some(false),
            _ => {
                self.problem(name, source, format!("`{text}` is neither true nor false; the default is used"), false);
                None
            }
        }
    }

    /// The name of this data plane's setting, else that of the one for iptables, whichever is set.
    fn either_name(&self, rest: &str) -> String {
        let name = format!("nftables{rest}");
        if self.find(&name).is_some() { name } else { format!("iptables{rest}") }
    }

    fn either_word(&mut self, rest: &str, words: &[&str]) -> Option<String> {
        let name = self.either_name(rest);
        self.word(&name, words)
    }

    fn allow_action(&mut self, rest: &str) -> AllowAction {
        match self.either_word(rest, &["Accept", "Return"]).as_deref() {
            Some("Return") => AllowAction::Return,
            _ => AllowAction::Accept,
        }
    }

    /// The mark mask, decimal or hexadecimal, with two bits at least (E-617).
    fn mark_mask(&mut self) -> Option<u32> {
        let name = self.either_name("MarkMask");
        let (text, source) = self.raw(&name)?;
        let lower = text.to_lowercase();
        let parsed = match lower.strip_prefix("0x") {
            Some(digits) => u32::from_str_radix(digits, 16),
            None => lower.parse(),
        };
        match parsed {
            Ok(mask) if mask.count_ones() >= 2 => Some(mask),
            _ => {
                let is_fatal = !source.starts_with("Felix");
                let message = format!("`{text}` is no mask of 32 bits with two of them set; the default is used");
                self.problem(&name, source, message, is_fatal);
                None
            }
        }
    }

    fn set_size_max(&mut self) -> Option<usize> {
        let (text, source) = self.raw("maxIpsetSize")?;
        match text.parse() {
            Ok(size) if size > 0 => Some(size),
            _ => {
                self.problem("maxIpsetSize", source, format!("`{text}` is no size; the default is used"), false);
                None
            }
        }
    }

    /// `N/unit`, and the burst beside it (E-356).
    fn log_rate(&mut self) -> Option<LogRate> {
        let (text, source) = self.raw("logActionRateLimit")?;
        let units = [("second", 1), ("minute", 60), ("hour", 3600), ("day", 86_400)];
        let rate = text.split_once('/').and_then(|(lines, unit)| {
            let (_, unit_s) = units.into_iter().find(|(name, _)| *name == unit)?;
            Some((lines.parse().ok().filter(|lines| (1..=9999).contains(lines))?, unit_s))
        });
        let Some((lines, unit_s)) = rate else {
            let message = format!("`{text}` is not a rate such as `10/second`; the default is used");
            self.problem("logActionRateLimit", source, message, false);
            return None;
        };
        let burst = match self.raw("logActionRateLimitBurst") {
            None => 5,
            Some((text, source)) => text.parse().ok().filter(|burst| *burst <= 9999).unwrap_or_else(|| {
                let message = format!("`{text}` is no number from 0 to 9999; the default is used");
                self.problem("logActionRateLimitBurst", source, message, false);
                5
            }),
        };
        Some(LogRate { lines, unit_s, burst })
    }

    /// `interfaceExclude`: names, and regular expressions between slashes (E-102).
    fn exclude(&mut self) -> Option<Vec<InterfacePattern>> {
        let (text, source) = self.raw("interfaceExclude")?;
        let mut patterns = Vec::new();
        for item in comma_list(&text) {
            match item.strip_prefix('/').and_then(|rest| rest.strip_suffix('/')) {
                None => patterns.push(InterfacePattern::Exact(item)),
                Some(pattern) if regex::Regex::new(pattern).is_ok() => {
                    patterns.push(InterfacePattern::Regex(pattern.to_owned()));
                }
                Some(pattern) => {
                    let message = format!("`{pattern}` is not a regular expression; the default is used");
                    self.problem("interfaceExclude", source, message, false);
                    return None;
                }
            }
        }
        Some(patterns)
    }

    /// A list of failsafe ports. A bad entry of the store never takes any away: the good ones stay, and the built-in
    /// ones of the direction are added (resources.md section 9).
    fn failsafes(&mut self, name: &str, defaults: fn() -> Vec<Failsafe>) -> Vec<Failsafe> {
        let (parsed, source, is_stored) = match self.find(name) {
            None => return defaults(),
            Some(Found::Local { text, .. }) if text.eq_ignore_ascii_case("none") => return Vec::new(),
            Some(Found::Local { text, source }) => {
                (comma_list(&text).iter().map(|item| failsafe_text(item)).collect(), source.to_owned(), false)
            }
            Some(Found::Stored { value, configuration }) => {
                let parsed: Vec<Result<Failsafe, String>> = match &value {
                    Value::Array(items) => items.iter().map(failsafe_object).collect(),
                    other => vec![Err(format!("{other} is not a list of ports"))],
                };
                (parsed, source_of(configuration), true)
            }
        };
        let mut good = Vec::new();
        let mut has_bad = false;
        for item in parsed {
            match item {
                Ok(failsafe) => good.push(failsafe),
                Err(message) => {
                    has_bad = true;
                    let message = format!("{message}; the built-in ports are open as well");
                    self.problem(name, source.clone(), message, !is_stored);
                }
            }
        }
        if has_bad {
            good.extend(defaults());
        }
        good.sort();
        good.dedup();
        good
    }
}

/// `port`, `proto:port`, `proto:net:port`; IPv6 networks stand in square brackets (E-502).
fn failsafe_text(text: &str) -> Result<Failsafe, String> {
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

fn failsafe_object(value: &Value) -> Result<Failsafe, String> {
    let text = |name: &str| match value.get(name) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Number(number)) => number.to_string(),
        _ => String::new(),
    };
    let port = value.get("port").and_then(Value::as_u64).and_then(|port| u16::try_from(port).ok());
    let port = port.ok_or_else(|| format!("{value} has no port between 0 and 65535"))?;
    let net = text("net");
    failsafe(&text("protocol"), port, Some(net.as_str()).filter(|net| !net.is_empty()))
}

fn failsafe(protocol: &str, port: u16, net: Option<&str>) -> Result<Failsafe, String> {
    let protocol = match protocol.to_lowercase().as_str() {
        "" | "tcp" | "6" => Protocol::TCP,
        "udp" | "17" => Protocol::UDP,
        "sctp" | "132" => Protocol::SCTP,
        other => return Err(format!("`{other}` is no protocol of a failsafe port")),
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

#[cfg(test)]
mod tests {
    use tortie_api::model::Meta;

    use super::*;

    fn configuration(name: &str, values: Value) -> FelixConfiguration {
        let values = values.as_object().unwrap().iter().map(|(k, v)| (k.clone(), v.clone())).collect();
        let meta = Meta { name: name.to_owned(), ..Meta::default() };
        FelixConfiguration { meta, node_selector: None, values }
    }

    fn resolved(stored: &[FelixConfiguration], environment: &[(&str, &str)]) -> (Settings, Vec<SettingProblem>) {
        let environment = environment.iter().map(|(k, v)| (k.to_lowercase(), (*v).to_owned())).collect();
        let stored: Vec<&FelixConfiguration> = stored.iter().collect();
        resolve(&Sources {
            node: "n1",
            node_labels: &Labels::new(),
            environment: &environment,
            file: &Local::new(),
            stored: &stored,
        })
    }

    fn ports(list: &[Failsafe]) -> Vec<u16> {
        list.iter().map(|failsafe| failsafe.port).collect()
    }

    #[test]
    fn the_strongest_source_wins_field_by_field_e601() {
        let stored = [
            configuration("default", serde_json::json!({"logPrefix": "a", "interfacePrefix": "tap"})),
            configuration("node.n1", serde_json::json!({"logPrefix": "b"})),
            configuration("node.n2", serde_json::json!({"logPrefix": "c"})),
        ];
        let (settings, problems) = resolved(&stored, &[]);
        assert_eq!(
            (settings.log_prefix.as_str(), settings.interface_prefixes.as_slice()),
            ("b", &["tap".to_owned()][..])
        );
        assert_eq!(problems, []);
        let (settings, _) = resolved(&stored, &[("LogPrefix", "env")]);
        assert_eq!(settings.log_prefix, "env");
    }

    #[test]
    fn failsafe_lists_replace_the_defaults_and_never_vanish_by_mistake_e502() {
        let check = |value: Value, expected: &[u16], problems: usize| {
            let stored = [configuration("default", serde_json::json!({"failsafeInboundHostPorts": value.clone()}))];
            let (settings, found) = resolved(&stored, &[]);
            assert_eq!(ports(&settings.failsafe_inbound), expected, "{value}");
            assert_eq!(found.len(), problems, "{value}");
        };
        check(serde_json::json!([]), &[], 0);
        check(serde_json::json!([{"protocol": "tcp", "port": 2222}]), &[2222], 0);
        check(serde_json::json!([{"protocol": "SCTP", "port": 7, "net": "10.0.0.0/8"}]), &[7], 0);
        let defaults = [22, 179, 2222, 2379, 2380, 5473, 6443, 6666, 6667, 68];
        check(serde_json::json!([{"port": 2222}, {"protocol": "icmp", "port": 1}]), &defaults, 1);
        check(serde_json::json!([{"port": 2222, "net": "10.0.0.0/33"}, {"port": 2222}]), &defaults, 1);
    }

    #[test]
    fn failsafe_texts_have_three_forms_e502() {
        for (text, expected) in [
            ("22", Failsafe::any(Protocol::TCP, 22)),
            ("udp:53", Failsafe::any(Protocol::UDP, 53)),
            ("tcp:10.0.0.0/8:22", Failsafe { net: "10.0.0.0/8".parse().ok(), ..Failsafe::any(Protocol::TCP, 22) }),
            (
                "tcp:[2001:db8::/32]:22",
                Failsafe { net: "2001:db8::/32".parse().ok(), ..Failsafe::any(Protocol::TCP, 22) },
            ),
        ] {
            assert_eq!(failsafe_text(text), Ok(expected), "{text}");
        }
        for bad in ["", "x", "icmp:1", "tcp:70000", "tcp:2001:db8::/32:22", "tcp:10.0.0.0/40:22"] {
            assert!(failsafe_text(bad).is_err(), "{bad}");
        }
        let (settings, _) = resolved(&[], &[("FailsafeInboundHostPorts", "none")]);
        assert_eq!(settings.failsafe_inbound, []);
    }

    #[test]
    fn settings_of_rules_are_read_whatever_data_plane_they_are_named_after_e610_to_e622() {
        let stored = [configuration(
            "default",
            serde_json::json!({
                "iptablesFilterDenyAction": "Reject", "nftablesFilterAllowAction": "Return",
                "iptablesFilterAllowAction": "Accept", "iptablesMangleAllowAction": "RETURN",
                "iptablesMarkMask": 255, "nftablesMarkMask": 0xff00, "ipv6Support": false, "maxIpsetSize": 7,
                "logActionRateLimit": "10/minute", "logActionRateLimitBurst": 9,
            }),
        )];
        let (settings, problems) = resolved(&stored, &[("unknownWorkloads", "Drop")]);
        assert_eq!(problems, []);
        let expected = Settings {
            node: "n1".to_owned(),
            deny_action: DenyAction::Reject,
            filter_allow_action: AllowAction::Return,
            mangle_allow_action: AllowAction::Return,
            mark_mask: 0xff00,
            polices_ipv6: false,
            set_size_max: 7,
            log_rate: Some(LogRate { lines: 10, unit_s: 60, burst: 9 }),
            drops_unknown_workloads: true,
            endpoint_to_host_action: Some(HostAction::Drop),
            ..Settings::default()
        };
        assert_eq!(settings, expected);
    }

    #[test]
    fn strict_turns_all_deliberate_differences_unless_one_is_set_by_itself_d1() {
        let mut strict = configuration("default", serde_json::json!({}));
        strict.meta.annotations.insert("tortie.dev/compatibility".to_owned(), "Strict".to_owned());
        let (settings, _) = resolved(std::slice::from_ref(&strict), &[]);
        assert!(!settings.is_loopback_exempt && settings.ignores_http && !settings.allows_ipv6_essentials);
        strict.meta.annotations.insert("tortie.dev/ipv6Essentials".to_owned(), "Allow".to_owned());
        let (settings, _) = resolved(&[strict], &[]);
        assert!(!settings.is_loopback_exempt && settings.allows_ipv6_essentials);
    }
}
