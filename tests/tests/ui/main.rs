//! What the compiler says: every mistake the macros know has its message, and what should compile
//! compiles.
//!
//! After a change of a message: `TRYBUILD=overwrite cargo test -p forge-remote-tests --test ui`,
//! then read what changed.

#[test]
fn messages() {
    let cases = trybuild::TestCases::new();
    cases.compile_fail("ui/fail/*/*.rs");
    cases.pass("ui/pass/*.rs");
}
