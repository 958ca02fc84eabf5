//! What the fuzz targets call: a listing without a kernel. No part of the API.

use tortie_api::flow::Flow;
use tortie_netlink::wire::{Messages, Writer};

use crate::codec;
use crate::consts::{IPCTNL_MSG_CT_DELETE, NFNL_SUBSYS_CTNETLINK};
use crate::flows::listed;

/// The flows in the messages of a listing.
pub fn flows(bytes: &[u8]) -> Vec<Flow> {
    Messages(bytes).filter_map(|message| listed(&message)).collect()
}

/// The original tuple, zone and identity of a flow as they are named to the kernel, and read back.
pub fn named(flow: &Flow) -> Option<Flow> {
    let mut writer = Writer::default();
    let message = writer.begin(NFNL_SUBSYS_CTNETLINK, IPCTNL_MSG_CT_DELETE, 0, 1, 0);
    codec::write_identity(&mut writer, flow);
    writer.end(message);
    let bytes = writer.into_bytes();
    let attributes = Messages(&bytes).next()?.attributes();
    codec::identity(attributes).map(|(original, zone, id)| Flow { original, zone, id, ..flow.clone() })
}
