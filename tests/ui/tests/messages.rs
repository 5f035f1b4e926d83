//! The compiler's messages for every mistake that the macros know.
//!
//! After a change of a message: `TRYBUILD=overwrite cargo test -p forge-remote-ui`, then read the
//! difference. What must compile is in `tests/tests/attributes`: one case that compiles would make
//! trybuild generate code for every dependency.

#[rustversion::attr(not(stable(1.95)), ignore = "the messages are those of Rust 1.95")]
#[test]
fn messages() {
    trybuild::TestCases::new().compile_fail("fail/*/*.rs");
}
