//! nf_tables over netlink: encode, batch, read back, events.
