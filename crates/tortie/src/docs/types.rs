//! Types in words for users.

use tortie_api::schema::{MapRule, Text, Type};

/// What one value of a type is called, for instance `list of networks, at most 256`.
pub(super) fn name(ty: &Type) -> String {
    match ty {
        Type::Text(text) => text_names(*text).0.to_owned(),
        Type::Int(min, max) => integer(*min, *max),
        Type::Float => "number".to_owned(),
        Type::Bool => "true or false".to_owned(),
        Type::List(item, usize::MAX) | Type::Keyed(item, _) => format!("list of {}", plural(item)),
        Type::List(item, limit) => format!("list of {}, at most {limit}", plural(item)),
        Type::Set(item, usize::MAX) => format!("list of different {}", plural(item)),
        Type::Set(item, limit) => format!("list of different {}, at most {limit}", plural(item)),
        Type::Map(MapRule::Labels) => "map of labels".to_owned(),
        Type::Map(MapRule::Annotations) => "map of annotations".to_owned(),
        Type::Map(MapRule::Free) => "map of text to text".to_owned(),
        Type::Object(_) => "object".to_owned(),
        Type::IntOrText => "integer or text".to_owned(),
        Type::Any => "anything".to_owned(),
        Type::Ruled(inner, _) => name(inner),
    }
}

/// The words that a value may be, or those in a list.
pub(super) fn values(ty: &Type) -> Option<&'static [&'static str]> {
    match ty {
        Type::Text(Text::OneOf(words) | Text::OneOfAnyCase(words)) => Some(words),
        Type::List(inner, _) | Type::Set(inner, _) | Type::Keyed(inner, _) | Type::Ruled(inner, _) => values(inner),
        _ => None,
    }
}

fn plural(ty: &Type) -> String {
    match ty {
        Type::Text(text) => text_names(*text).1.to_owned(),
        Type::Object(_) => "objects".to_owned(),
        Type::Ruled(inner, _) => plural(inner),
        // Lists of these have no better word in any kind.
        other => name(other),
    }
}

/// An integer with the bounds that say anything.
fn integer(min: i64, max: i64) -> String {
    match (min, max) {
        // 32 bits, signed or not: Calico's own fields have no other bounds in its schema.
        (..=-2_147_483_648, 4_294_967_295..) => "integer".to_owned(),
        (min, i64::MAX) => format!("integer, {min} at least"),
        (min, max) => format!("integer {min} to {max}"),
    }
}

/// One, and several of them.
fn text_names(text: Text) -> (&'static str, &'static str) {
    match text {
        Text::Any(_) | Text::LogPrefix => ("text", "texts"),
        Text::OneOf(_) => ("word", "words"),
        Text::OneOfAnyCase(_) => ("word in any case", "words in any case"),
        Text::Name | Text::HealthName => ("name", "names"),
        Text::TierName => ("name of a tier", "names of tiers"),
        Text::Interface => ("name of an interface", "names of interfaces"),
        Text::Address => ("address", "addresses"),
        Text::AddressV4 => ("IPv4 address", "IPv4 addresses"),
        Text::AddressV6 => ("IPv6 address", "IPv6 addresses"),
        Text::StrictNet => ("network", "networks"),
        Text::LooseNet => ("network or address", "networks and addresses"),
        Text::LooseNetV4 => ("IPv4 network or address", "IPv4 networks and addresses"),
        Text::LooseNetV6 => ("IPv6 network or address", "IPv6 networks and addresses"),
        Text::Selector | Text::ScopedSelector | Text::NamespaceSelector => ("selector", "selectors"),
        Text::Protocol | Text::PortProtocol | Text::FailsafeProtocol => ("protocol", "protocols"),
        Text::Port => ("port, range or name of a port", "ports, ranges and names of ports"),
        Text::NumericPort => ("port or range", "ports and ranges"),
        Text::PortName => ("name of a port", "names of ports"),
        Text::Duration | Text::FreeDuration => ("duration, such as 1m30s", "durations"),
        Text::Regex => ("regular expression", "regular expressions"),
        Text::Mac => ("hardware address", "hardware addresses"),
        Text::RateLimit => ("rate, such as 10/minute", "rates"),
        Text::MetricsHost => ("address or host name", "addresses and host names"),
        Text::Region => ("DNS label", "DNS labels"),
        Text::HttpPath => ("path of a URL", "paths of URLs"),
        Text::AsNumber => ("number of an autonomous system", "numbers of autonomous systems"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_named_from_a_users_view() {
        let check = |ty: Type, expected: &str| assert_eq!(name(&ty), expected);
        check(Type::Int(0, 65535), "integer 0 to 65535");
        check(Type::Int(0, i64::MAX), "integer, 0 at least");
        check(Type::Int(i64::MIN, i64::MAX), "integer");
        check(Type::Int(i32::MIN.into(), u32::MAX.into()), "integer");
        check(Type::Set(&Type::Text(Text::StrictNet), 256), "list of different networks, at most 256");
        check(Type::List(&Type::Ruled(&Type::Object(&[]), &[]), 1024), "list of objects, at most 1024");
        check(Type::Map(MapRule::Labels), "map of labels");
        let words = Type::Set(&Type::Text(Text::OneOf(&["Ingress", "Egress"])), usize::MAX);
        check(words, "list of different words");
        assert_eq!(values(&words), Some(["Ingress", "Egress"].as_slice()));
        assert_eq!(values(&Type::Bool), None);
    }
}
