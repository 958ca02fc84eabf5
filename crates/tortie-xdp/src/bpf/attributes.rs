//! The structures of `union bpf_attr` and of answers (`linux/bpf.h`), without padding between their fields.

use super::NAME_LEN;

#[repr(C)]
#[derive(Default)]
pub(super) struct MapCreate {
    pub(super) kind: u32,
    pub(super) key_len: u32,
    pub(super) value_len: u32,
    pub(super) entries_max: u32,
    pub(super) flags: u32,
    pub(super) inner_map: u32,
    pub(super) numa_node: u32,
    pub(super) name: [u8; NAME_LEN],
}

#[repr(C)]
#[derive(Default)]
pub(super) struct Element {
    pub(super) map: u32,
    pub(super) padding: u32,
    pub(super) key: u64,
    /// Or the next key.
    pub(super) value: u64,
    pub(super) flags: u64,
}

#[repr(C)]
#[derive(Default)]
pub(super) struct Batch {
    pub(super) from: u64,
    pub(super) to: u64,
    pub(super) keys: u64,
    pub(super) values: u64,
    pub(super) count: u32,
    pub(super) map: u32,
    pub(super) element_flags: u64,
    pub(super) flags: u64,
}

#[repr(C)]
#[derive(Default)]
pub(super) struct ProgramLoad {
    pub(super) kind: u32,
    pub(super) instructions_len: u32,
    pub(super) instructions: u64,
    pub(super) licence: u64,
    pub(super) log_level: u32,
    pub(super) log_len: u32,
    pub(super) log: u64,
    pub(super) kernel_version: u32,
    pub(super) flags: u32,
    pub(super) name: [u8; NAME_LEN],
    pub(super) interface: u32,
    pub(super) attach_type: u32,
}

#[repr(C)]
#[derive(Default)]
pub(super) struct PinAttributes {
    pub(super) path: u64,
    pub(super) descriptor: u32,
    pub(super) flags: u32,
}

#[repr(C)]
#[derive(Default)]
pub(super) struct TestRun {
    pub(super) program: u32,
    pub(super) verdict: u32,
    pub(super) data_in_len: u32,
    pub(super) data_out_len: u32,
    pub(super) data_in: u64,
    pub(super) data_out: u64,
    pub(super) repeat: u32,
    pub(super) duration: u32,
}

#[repr(C)]
#[derive(Default)]
pub(super) struct InfoAttributes {
    pub(super) descriptor: u32,
    pub(super) len: u32,
    pub(super) info: u64,
}

/// The beginning of `struct bpf_prog_info`.
#[repr(C)]
#[derive(Default)]
pub(super) struct RawProgramInfo {
    pub(super) kind: u32,
    pub(super) id: u32,
    pub(super) tag: [u8; 8],
    pub(super) jited_len: u32,
    pub(super) xlated_len: u32,
    pub(super) jited: u64,
    pub(super) xlated: u64,
    pub(super) load_time: u64,
    pub(super) created_by: u32,
    pub(super) maps_len: u32,
    pub(super) maps: u64,
    pub(super) name: [u8; NAME_LEN],
}

/// The beginning of `struct bpf_map_info`.
#[repr(C)]
#[derive(Default)]
pub(super) struct RawMapInfo {
    pub(super) kind: u32,
    pub(super) id: u32,
    pub(super) key_len: u32,
    pub(super) value_len: u32,
    pub(super) entries_max: u32,
}

/// The beginning of `struct bpf_link_info`, of a link of XDP.
#[repr(C)]
#[derive(Default)]
pub(super) struct RawLinkInfo {
    pub(super) kind: u32,
    pub(super) id: u32,
    pub(super) program: u32,
    pub(super) padding: u32,
    pub(super) interface: u32,
    pub(super) padding_end: u32,
}

#[repr(C)]
#[derive(Default)]
pub(super) struct LinkCreate {
    pub(super) program: u32,
    pub(super) interface: u32,
    pub(super) attach_type: u32,
    pub(super) flags: u32,
}

#[repr(C)]
#[derive(Default)]
pub(super) struct LinkUpdate {
    pub(super) link: u32,
    pub(super) program: u32,
    pub(super) flags: u32,
    pub(super) old_program: u32,
}
