//! The arguments of handlers.

use forge_remote::fit::{Claims, Provenance};
use forge_remote::prelude::*;
use forge_remote::testing::Harness;

#[endpoint]
async fn claims(claims: Claims) -> String {
    claims.installation_id().to_owned()
}

#[endpoint]
async fn claims_before_another(claims: Claims, call: Invocation) -> String {
    assert_eq!(claims.jti(), call.jti());
    claims.installation_id().to_owned()
}

#[endpoint]
async fn provenance(provenance: Provenance, _: Invocation) -> String {
    format!("{provenance:?}")
}

/// This crate enables the extractors of `forge-remote-fit`, which are for routes behind its own layer.
#[tokio::test]
async fn claims_and_provenance_are_the_verified_calls() -> Result<()> {
    let harness = Harness::new(crate::app_of("attributes/arguments.rs"))?;
    for (key, expected) in [
        ("claims", "ari:cloud:ecosystem::installation/"),
        (
            "claims-before-another",
            "ari:cloud:ecosystem::installation/",
        ),
        ("provenance", "Page"),
    ] {
        let answer = harness.call(key).send().await;
        assert_eq!(answer.status(), 200, "{key}: {answer:?}");
        assert!(answer.text().starts_with(expected), "{key}: {answer:?}");
    }
    Ok(())
}
