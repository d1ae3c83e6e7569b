//! The document's schema, as the TypeScript package identifies it: a struct with one field, `text`, of
//! kind text (`Schema.struct({ text: Schema.text() })` there).
//!
//! Constants only. The test derives them from the schema, as the package does.

/// The schema's hash in @kyneta/exchange 2.3.2: "02", then FNV-1a-128 of the schema as JSON text.
pub(crate) const HASH: &str = "02cd0629243854b7d6f39abbc4ace6f345";

/// The same schema's hash in @kyneta/exchange 1.8.0: "01", then FNV-1a-128 of an older text of it.
pub(crate) const HASH_OF_1_8: &str = "013fbde8421f24f0836b3396166bd76adc";

/// The name of the Loro container that holds the field: FNV-1a-128 of the field's path and generation.
pub(crate) const TEXT: &str = "aa53b81ea63c64bf6f3c739c3600fbff";

#[cfg(test)]
mod tests {
    use super::*;

    /// FNV-1a with 128 bits, as 32 hexadecimal digits.
    fn fnv_1a(text: &str) -> String {
        const START: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
        const PRIME: u128 = 0x0100_0000_0000_0000_0000_013b;
        let hash = text.bytes().fold(START, |hash, byte| {
            (hash ^ u128::from(byte)).wrapping_mul(PRIME)
        });
        format!("{hash:032x}")
    }

    #[test]
    fn the_constants_follow_from_the_schema() {
        let json = r#"["p",[["text",["t","text"]]]]"#;
        assert_eq!(HASH, format!("02{}", fnv_1a(json)));
        assert_eq!(HASH_OF_1_8, format!("01{}", fnv_1a("p(text:t:text)")));
        assert_eq!(TEXT, fnv_1a("text:1"));
    }
}
