//! Incremental calculation: resources and host facts in, host policy out.
