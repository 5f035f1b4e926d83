//! A library that allows itself nothing.
#![forbid(
    unsafe_code,
    missing_docs,
    unreachable_pub,
    unused_qualifications,
    non_snake_case,
    dead_code,
    unused_imports
)]
#![deny(
    warnings,
    unused,
    let_underscore,
    nonstandard_style,
    rust_2018_idioms,
    explicit_outlives_requirements,
    keyword_idents,
    missing_copy_implementations,
    missing_debug_implementations,
    redundant_lifetimes,
    single_use_lifetimes,
    trivial_casts,
    trivial_numeric_casts,
    unit_bindings,
    unused_extern_crates,
    unused_import_braces,
    unused_lifetimes,
    unused_results,
    variant_size_differences
)]

/// The offer.
pub mod handlers {
    use forge_remote::prelude::*;

    /// Counts.
    #[derive(Clone, Copy, Debug)]
    pub struct Counter(u8);

    /// Refreshes the index.
    #[scheduled_trigger(interval = "day", auth = system, scopes = ["read:jira-work"])]
    pub async fn refresh(
        call: Invocation,
        token: SystemToken,
        State(counter): State<Counter>,
    ) -> Result<()> {
        let Counter(number) = counter;
        assert!(number < u8::MAX, "{call:?}");
        drop((call, token));
        Ok(())
    }

    /// Responds to a page.
    #[endpoint(auth = [system, user])]
    pub async fn ask(
        system: Option<SystemToken>,
        user: UserToken,
        Json(number): Json<u8>,
    ) -> Json<u8> {
        drop((system, user));
        Json(number)
    }

    /// Of this crate alone.
    #[endpoint]
    pub(crate) async fn inside() -> &'static str {
        ""
    }

    // Used by nobody but Forge.
    #[endpoint]
    async fn private(Query(number): Query<u8>) -> StatusCode {
        let _: u8 = number;
        StatusCode::OK
    }
}

mod private {
    use forge_remote::prelude::*;

    #[scheduled_trigger(interval = "week")]
    pub(crate) async fn sweep() {}

    #[scheduled_trigger(interval = "week")]
    pub(super) async fn tidy() {}
}

#[test]
fn strict_lints_accept_the_generated_code() {
    drop((handlers::inside(), private::sweep(), private::tidy()));
    assert_eq!(crate::declared_in("attributes/strict.rs").len(), 6);
}
