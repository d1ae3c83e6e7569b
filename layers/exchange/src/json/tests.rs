//! JSON as JavaScript reads and writes it, in pairs of text and result. A failure shows the text.

use super::*;

#[test]
fn what_is_read_is_written_as_javascript_writes_it() {
    for (text, expected) in [
        (
            " [ 1.50, -0, 1e21, \"\\u00e9\\/\" ] ",
            "[1.5,0,1e+21,\"é/\"]",
        ),
        (
            "{\"b\":1,\"10\":2,\"2\":3,\"b\":4}",
            "{\"2\":3,\"10\":2,\"b\":4}",
        ),
        (
            "{\"a\":{\"__proto__\":{\"x\":1},\"b\":2}}",
            "{\"a\":{\"b\":2}}",
        ),
        ("\"\\ud83d\\ude00\"", "\"😀\""),
        (
            "\"\\ud83d|\\ude00\\\\ud83d\"",
            "\"\u{fffd}|\u{fffd}\\\\ud83d\"",
        ),
        ("\"\\ud83d\"", "\"\u{fffd}\""),
        ("123456789012345678", "123456789012345680"),
        ("5e-324", "5e-324"),
    ] {
        assert_eq!(Json::parse(text).unwrap().to_string(), expected, "{text}");
    }
}

#[test]
fn what_is_no_json_is_an_error() {
    for text in [
        "",
        "{",
        "1 2",
        "\"\\é\"",
        "\"\\u12\"",
        "nul",
        "\u{feff}1",
        &"[".repeat(200),
    ] {
        assert!(Json::parse(text).is_err(), "{text}");
    }
}
