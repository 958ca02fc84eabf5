use super::*;
use crate::encode::{expression, expressions, look_up};
use crate::wire::Writer;

/// A rule that asks for the class of an address, as expressions one by one.
fn by_class(address: Field) -> Vec<Vec<u8>> {
    by_classes(address, None)
}

/// The same, of one that may ask for the class of the other end too.
fn by_classes(address: Field, other: Option<ClassOf>) -> Vec<Vec<u8>> {
    let (classes, map) = (Name::new("classes"), Name::new("map"));
    let end = End::Class { address, classes, other, key: vec![Field::L4Proto, Field::DestinationPort], map };
    let origin = Origin::Comment("".into());
    let mut writer = Writer::default();
    expressions(&mut writer, &Rule { matches: Vec::new(), statements: Vec::new(), end, origin });
    let bytes = writer.into_bytes();
    let list = Attributes(&bytes).nested(NFTA_RULE_EXPRESSIONS).unwrap();
    list.map(|(_, bytes)| bytes.to_vec()).collect()
}

fn one(name: &str, content: impl FnOnce(&mut Writer)) -> Vec<u8> {
    let mut writer = Writer::default();
    expression(&mut writer, name, content);
    let bytes = writer.into_bytes();
    Attributes(&bytes).next().unwrap().1.to_vec()
}

fn read(list: &[Vec<u8>]) -> Result<Rule, DecodeError> {
    let mut writer = Writer::default();
    let nest = writer.nest(NFTA_RULE_EXPRESSIONS);
    for bytes in list {
        writer.bytes(NFTA_LIST_ELEM, bytes);
    }
    writer.unnest(nest);
    rule(Attributes(&writer.into_bytes())).map(|(rule, _)| rule)
}

/// Meta key `key` into a register.
fn meta(key: u32, register: u32) -> Vec<u8> {
    one("meta", |w| {
        w.u32(NFTA_META_DREG, register);
        w.u32(NFTA_META_KEY, key);
    })
}

#[test]
fn a_rule_that_asks_for_a_class_is_read_as_it_was_written() {
    for (address, count) in [(Field::SourceV4, 6), (Field::DestinationV6, 5)] {
        let list = by_class(address);
        assert_eq!(list.len(), count);
        let End::Class { address: read, classes, other: None, key, map } = self::read(&list).unwrap().end else {
            panic!("another end");
        };
        assert_eq!((read, classes.as_str(), map.as_str()), (address, "classes", "map"));
        assert_eq!(key, [Field::L4Proto, Field::DestinationPort]);
    }
}

#[test]
fn a_rule_that_asks_for_a_class_in_another_way_is_none_of_ours_e721() {
    let v4 = by_class(Field::SourceV4);
    let counter = || one("counter", |_| {});
    let masked = |register| {
        one("bitwise", |w| {
            w.u32(NFTA_BITWISE_SREG, register);
            w.u32(NFTA_BITWISE_DREG, register);
            w.u32(NFTA_BITWISE_LEN, 4);
            for (kind, value) in [(NFTA_BITWISE_MASK, [255, 255, 0, 0]), (NFTA_BITWISE_XOR, [0; 4])] {
                let nest = w.nest(kind);
                w.bytes(NFTA_DATA_VALUE, &value);
                w.unnest(nest);
            }
        })
    };
    let with = |at: usize, more: Vec<u8>| {
        let mut list = v4.clone();
        list.insert(at, more);
        list
    };
    let class = NFT_REG32_00 + CLASS_PADDING;
    let other_map = |from| one("lookup", |w| w_lookup(w, "other", from));
    for (what, list) in [
        ("nothing behind the class", v4[..3].to_vec()),
        ("only a load behind the class", v4[..5].to_vec()),
        ("no cover", v4[1..].to_vec()),
        ("only a cover", v4[..1].to_vec()),
        ("a counter that counts classes", with(3, counter())),
        ("a masked address", with(2, masked(class + 4))),
        ("a masked class", with(3, masked(class))),
        ("half of the class is overwritten", with(3, meta(NFT_META_MARK, class + 1))),
        ("the class is overwritten", with(3, meta(NFT_META_MARK, class))),
        ("another lookup behind the class", with(5, other_map(class + 2))),
        ("the class is asked for as a match", with(5, other_map(class))),
    ] {
        assert!(read(&list).is_err(), "{what}: {:?}", read(&list));
    }
    // What comes before, or is loaded and overwritten, changes nothing.
    assert_eq!(read(&with(3, meta(NFT_META_MARK, class + 2))).unwrap().end, read(&v4).unwrap().end);
    assert_eq!(read(&with(0, counter())).unwrap().statements, [Statement::Counter]);
}

/// One that asks for both: cover, own address, its class, address, its class, two loads, the map.
fn by_pair() -> Vec<Vec<u8>> {
    by_classes(Field::SourceV4, Some(ClassOf { address: Field::DestinationV4, classes: Name::new("own") }))
}

#[test]
fn a_rule_that_asks_for_a_pair_is_read_as_it_was_written() {
    for (address, other) in [(Field::SourceV4, Field::DestinationV4), (Field::DestinationV6, Field::SourceV6)] {
        let own = ClassOf { address: other, classes: Name::new("own") };
        let list = by_classes(address, Some(own.clone()));
        assert_eq!(list.len(), 8);
        let map = Name::new("map");
        let key = vec![Field::L4Proto, Field::DestinationPort];
        let end = End::Class { address, classes: Name::new("classes"), other: Some(own), key, map };
        assert_eq!(read(&list).unwrap().end, end);
    }
}

#[test]
fn a_rule_that_asks_for_a_pair_in_another_way_is_none_of_ours_e721() {
    let pair = by_pair();
    let class = NFT_REG32_00 + CLASS_PADDING;
    let with = |at: usize, more: Vec<u8>| {
        let mut list = pair.clone();
        list.insert(at, more);
        list
    };
    let without = |at: usize| {
        let mut list = pair.clone();
        list.remove(at);
        list
    };
    let other_map = |from| one("lookup", |w| w_lookup(w, "other", from));
    for (what, list) in [
        ("nothing behind the own class", pair[..3].to_vec()),
        ("an address behind the own class", pair[..4].to_vec()),
        ("no map", pair[..5].to_vec()),
        ("no cover", without(0)),
        ("two covers", with(3, pair[0].clone())),
        ("a cover behind both", with(5, pair[0].clone())),
        ("the own class twice", [&pair[..3], &pair[1..]].concat()),
        ("a counter that counts classes", with(3, one("counter", |_| {}))),
        ("the own class is overwritten", with(3, meta(NFT_META_MARK, class + 2))),
        ("half of the own class is overwritten", with(3, meta(NFT_META_MARK, class + 3))),
        ("the own class is overwritten at last", with(5, meta(NFT_META_MARK, class + 2))),
        ("half of the class is overwritten", with(5, meta(NFT_META_MARK, class + 1))),
        ("another lookup behind the own class", with(3, other_map(class + 2))),
        ("another lookup behind both", with(7, other_map(class + 4))),
    ] {
        assert!(read(&list).is_err(), "{what}: {:?}", read(&list));
    }
    assert_eq!(read(&with(5, meta(NFT_META_MARK, class + 4))).unwrap().end, read(&pair).unwrap().end);
}

fn w_lookup(w: &mut Writer, set: &str, from: u32) {
    w.text(NFTA_LOOKUP_SET, set);
    w.u32(NFTA_LOOKUP_SREG, from);
}

#[test]
fn a_key_that_is_masked_or_partly_overwritten_is_none_of_ours_e721() {
    let load = |field: Field| {
        let Some(Source::Payload { base, offset }) = source_of(field) else { panic!("not in a header") };
        one("payload", |w| {
            w.u32(NFTA_PAYLOAD_DREG, NFT_REG32_00);
            w.u32(NFTA_PAYLOAD_BASE, base);
            w.u32(NFTA_PAYLOAD_OFFSET, offset);
            w.u32(NFTA_PAYLOAD_LEN, field.width() as u32);
        })
    };
    let mut writer = Writer::default();
    look_up(&mut writer, &Name::new("map"), NFT_REG32_00, NFT_REG_VERDICT);
    let bytes = writer.into_bytes();
    let lookup = Attributes(&bytes).next().unwrap().1.to_vec();
    assert!(read(&[load(Field::SourceV6), lookup.clone()]).is_ok());
    let overwritten = [load(Field::SourceV6), meta(NFT_META_MARK, NFT_REG32_00 + 2), lookup];
    assert!(read(&overwritten).is_err());
}
