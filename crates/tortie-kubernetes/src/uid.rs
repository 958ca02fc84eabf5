//! The identity of an object in the classic group, and of what is derived from native objects (datastore.md section 3.3).

use uuid::Uuid;

/// The bytes that hold version and variant, which stay as they are.
const FIXED: [usize; 2] = [6, 8];

/// Reverses the order of bits inside each byte. It is its own inverse; text that is no UUID stays as it is.
pub(crate) fn convert(text: &str) -> String {
    let Ok(uid) = Uuid::parse_str(text) else { return text.to_owned() };
    let mut bytes = uid.into_bytes();
    for (position, byte) in bytes.iter_mut().enumerate() {
        if !FIXED.contains(&position) {
            *byte = byte.reverse_bits();
        }
    }
    Uuid::from_bytes(bytes).to_string()
}

#[cfg(test)]
mod tests {
    use super::convert;

    #[test]
    fn the_example_of_the_specification_goes_there_and_back() {
        let (ours, theirs) = ("aa844ac0-87c8-440a-b270-307cdba8fd25", "55215203-e113-4450-b20e-0c3edb15bfa4");
        assert_eq!(convert(ours), theirs);
        assert_eq!(convert(theirs), ours);
        assert_eq!(convert("not-a-uid"), "not-a-uid");
    }
}
