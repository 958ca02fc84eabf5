//! Nodes, as they lie in a store. Calico does not check every entry when it writes (resources.md section 8.1), so what
//! cannot be read is left out and reported; a node is never invalid because of an address.

use std::net::IpAddr;

use serde_json::Value;

use super::{Object, Reader};
use crate::checks;
use crate::model::{Family, Meta, Node, NodeInterface};

impl Reader {
    pub(super) fn node(&mut self, meta: Meta, spec: &Object) -> Node {
        let empty = Object::new();
        let bgp = self.part(spec, "bgp", "spec.bgp").unwrap_or(&empty);
        let wireguard = self.part(spec, "wireguard", "spec.wireguard").unwrap_or(&empty);
        Node {
            meta,
            bgp_ipv4: self.node_address(bgp, "ipv4Address", "spec.bgp.ipv4Address", Family::V4),
            bgp_ipv6: self.node_address(bgp, "ipv6Address", "spec.bgp.ipv6Address", Family::V6),
            ipip_ipv4: self.node_address(bgp, "ipv4IPIPTunnelAddr", "spec.bgp.ipv4IPIPTunnelAddr", Family::V4),
            vxlan_ipv4: self.node_address(spec, "ipv4VXLANTunnelAddr", "spec.ipv4VXLANTunnelAddr", Family::V4),
            vxlan_ipv6: self.node_address(spec, "ipv6VXLANTunnelAddr", "spec.ipv6VXLANTunnelAddr", Family::V6),
            wireguard_ipv4: self.node_address(
                wireguard,
                "interfaceIPv4Address",
                "spec.wireguard.interfaceIPv4Address",
                Family::V4,
            ),
            wireguard_ipv6: self.node_address(
                wireguard,
                "interfaceIPv6Address",
                "spec.wireguard.interfaceIPv6Address",
                Family::V6,
            ),
            internal_ips: self.internal_ips(spec),
            interfaces: self.interfaces(spec),
            kubernetes_name: self.kubernetes_name(spec),
        }
    }

    fn internal_ips(&mut self, spec: &Object) -> Vec<IpAddr> {
        let mut addresses = Vec::new();
        for (path, item) in self.entries(spec, "addresses", "spec.addresses") {
            if item.get("type").and_then(Value::as_str) == Some("InternalIP") {
                addresses.extend(self.address_of(item.get("address"), &format!("{path}.address"), None));
            }
        }
        addresses
    }

    fn interfaces(&mut self, spec: &Object) -> Vec<NodeInterface> {
        let mut interfaces: Vec<NodeInterface> = Vec::new();
        for (path, item) in self.entries(spec, "interfaces", "spec.interfaces") {
            let Some(name) = item.get("name").and_then(Value::as_str).filter(|name| !name.is_empty()) else {
                self.warn(&path, "an interface without a name: the entry is left out");
                continue;
            };
            // A name that stands twice is one interface.
            let known = interfaces.iter().position(|interface| interface.name == name).unwrap_or_else(|| {
                interfaces.push(NodeInterface { name: name.to_owned(), addresses: Vec::new() });
                interfaces.len() - 1
            });
            let texts = item.get("addresses").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
            for (number, text) in texts.iter().enumerate() {
                let address = self.address_of(Some(text), &format!("{path}.addresses[{number}]"), None);
                let addresses = &mut interfaces[known].addresses;
                addresses.extend(address.filter(|address| !addresses.contains(address)));
            }
        }
        interfaces
    }

    /// The first reference to Kubernetes counts, as in Calico.
    fn kubernetes_name(&mut self, spec: &Object) -> Option<String> {
        let references = self.entries(spec, "orchRefs", "spec.orchRefs");
        let is_kubernetes = |item: &&Object| item.get("orchestrator").and_then(Value::as_str) == Some("k8s");
        let item = references.into_iter().map(|(_, item)| item).find(is_kubernetes)?;
        item.get("nodeName").and_then(Value::as_str).filter(|name| !name.is_empty()).map(str::to_owned)
    }

    fn node_address(&mut self, object: &Object, name: &str, path: &str, family: Family) -> Option<IpAddr> {
        // Calico leaves a text out or writes it empty.
        let value = object.get(name).filter(|value| !value.is_null() && value.as_str() != Some(""))?;
        self.address_of(Some(value), path, Some(family))
    }

    /// An address, its mask removed; what is none is left out.
    fn address_of(&mut self, value: Option<&Value>, path: &str, family: Option<Family>) -> Option<IpAddr> {
        let text = value.and_then(Value::as_str).unwrap_or_default();
        let address = checks::loose_net(text).ok().map(|net| net.addr());
        let address = address.filter(|address| family.is_none_or(|family| Family::of(*address) == family));
        if address.is_none() {
            self.warn(path, format!("`{text}` is not an address that can stand here: it is left out"));
        }
        address
    }

    /// A member that is an object; anything else is left out.
    fn part<'a>(&mut self, object: &'a Object, name: &str, path: &str) -> Option<&'a Object> {
        match object.get(name) {
            None | Some(Value::Null) => None,
            Some(Value::Object(inner)) => Some(inner),
            Some(_) => {
                self.warn(path, "an object is wanted here: it is left out");
                None
            }
        }
    }

    /// The objects of a list with their paths; anything else is left out.
    fn entries<'a>(&mut self, object: &'a Object, name: &str, path: &str) -> Vec<(String, &'a Object)> {
        let items = match object.get(name) {
            None | Some(Value::Null) => return Vec::new(),
            Some(Value::Array(items)) => items,
            Some(_) => {
                self.warn(path, "a list is wanted here: it is left out");
                return Vec::new();
            }
        };
        let mut entries = Vec::with_capacity(items.len());
        for (number, item) in items.iter().enumerate() {
            let path = format!("{path}[{number}]");
            match item.as_object() {
                Some(item) => entries.push((path, item)),
                None => self.warn(&path, "an object is wanted here: the entry is left out"),
            }
        }
        entries
    }
}
