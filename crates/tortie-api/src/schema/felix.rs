//! `spec` of FelixConfiguration: every field that Calico publishes.
//!
//! Those that mean nothing to host protection are checked for type and enumeration and stored as they are
//! (resources.md section 9). The order is that in which Calico's tools print them.

mod agent;
mod bpf;
mod dataplane;
mod network;
mod routes;

use super::{Field, NO_LIMIT, Text, Type, optional, required, rules};

const BOOL: Type = Type::Bool;
const INT: Type = Type::Int(i32::MIN as i64, u32::MAX as i64);
const PORT: Type = Type::Int(0, 65535);
const DURATION: Type = Type::Text(Text::Duration);
const TEXT: Type = Type::Text(Text::Any(NO_LIMIT));
const TEXTS: Type = Type::List(&TEXT, NO_LIMIT);
const ON_OFF: Type = Type::Text(Text::OneOf(&["Enabled", "Disabled"]));
const ALLOW: Type = Type::Text(Text::OneOfAnyCase(&["Accept", "Return"]));
const DENY: Type = Type::Text(Text::OneOfAnyCase(&["Drop", "Reject"]));
const SEVERITY: Type = Type::Text(Text::OneOfAnyCase(&["Trace", "Debug", "Info", "Warning", "Error", "Fatal"]));
const MARK: Type = Type::Int(0, u32::MAX as i64);

const FAILSAFES: Type = Type::List(
    &Type::Object(&[
        optional(
            "protocol",
            Type::Text(Text::FailsafeProtocol),
            "`tcp`, `udp` or `sctp`, in any case. Absent means tcp.",
        ),
        required("port", PORT, "The destination port."),
        optional(
            "net",
            TEXT,
            "The network or address of the other side, which limits the entry to its family. Absent means any address.",
        ),
    ]),
    NO_LIMIT,
);

const ROUTE_TABLES: Type = Type::Object(&[
    required("min", INT, calicos!("The first table of the range.")),
    required("max", INT, calicos!("The last table of the range.")),
]);
const ROUTE_TABLE_RANGE: Type = Type::Ruled(&ROUTE_TABLES, rules::ROUTE_TABLE_RANGE);
const ROUTE_TABLE_RANGES: Type = Type::Ruled(
    &Type::List(&Type::Ruled(&ROUTE_TABLES, rules::ROUTE_TABLE_RANGES_ENTRY), NO_LIMIT),
    rules::ROUTE_TABLE_RANGES,
);

const HEALTH_OVERRIDES: Type = Type::List(
    &Type::Object(&[
        required(
            "name",
            Type::Text(Text::HealthName),
            "The part of the agent. In Tortie's there are `CalculationGraph` and `InternalDataplaneMainLoop`; others \
             are ignored.",
        ),
        required("timeout", DURATION, "How long that part may take. 0 is for ever."),
    ]),
    NO_LIMIT,
);

/// The parts in the order of the whole.
const PARTS: [&[Field]; 5] = [dataplane::FIELDS, agent::FIELDS, network::FIELDS, bpf::FIELDS, routes::FIELDS];

pub(super) const SPEC: &[Field] = &joined::<{ len(&PARTS) }>(&PARTS);

const fn len(parts: &[&[Field]]) -> usize {
    let (mut total, mut part) = (0, 0);
    while part < parts.len() {
        total += parts[part].len();
        part += 1;
    }
    total
}

const fn joined<const LEN: usize>(parts: &[&[Field]]) -> [Field; LEN] {
    let mut all = [parts[0][0]; LEN];
    let (mut at, mut part) = (0, 0);
    while part < parts.len() {
        let mut field = 0;
        while field < parts[part].len() {
            all[at] = parts[part][field];
            at += 1;
            field += 1;
        }
        part += 1;
    }
    all
}
