//! The functions of the controller: tables for each rule, and what holds for any input.

mod hostendpoints;
mod labels;
mod properties;
mod registration;
mod status;
mod support;
