//! A stack in a senseless order does not compile, and rustc says why in a sentence of ours.

#[test]
fn a_senseless_order_is_told_in_a_sentence() {
    let cases = trybuild::TestCases::new();
    cases.compile_fail("tests/ui/*.rs");
}
