//! What the tests share: the program in plain words, and frames.
#![allow(dead_code, reason = "each test uses a part")]

pub(crate) mod frames;
pub(crate) mod model;

use tortie_netmon::Mac;

/// The address of the interface that programs of tests stand on.
pub(crate) const MAC: Mac = [2, 0, 0, 0, 0, 1];
