//! Claims of the platform's own that a version of this crate doesn't expect: one odd member hides no
//! other, and an installation's ARI has a shape that every store can hold.

#![allow(clippy::unwrap_used)]

use forge_remote::handler;
use forge_remote::prelude::*;
use forge_remote::testing::Harness;
use serde_json::{Value, json};

#[scheduled_trigger(interval = "hour", key = "licensed")]
async fn licensed(call: Invocation) -> Json<Value> {
    Json(match call.license() {
        None => Value::Null,
        Some(license) => json!({
            "active": license.active,
            "evaluation": license.is_evaluation,
            "period": license.billing_period,
            "capabilities": license.capability_set,
            "type": license.license_type,
        }),
    })
}

#[scheduled_trigger(interval = "day", key = "products")]
async fn products(call: Invocation) -> Json<Value> {
    let contexts = call.installation_contexts().into_iter();
    let contexts =
        contexts.map(|one| json!([one.name, one.api_base_url, one.cloud_id, one.workspace_id]));
    Json(contexts.collect())
}

fn harness() -> Harness {
    let app = App::empty().remote(Remote::new("backend").base_url("https://backend.example.com"));
    Harness::new(app.handler(handler!(licensed)).handler(handler!(products))).unwrap()
}

/// What a handler returns for a FIT with this claim.
async fn seen(harness: &Harness, handler: &str, pointer: &str, claim: &Value) -> Value {
    let call = harness
        .call(handler)
        .fit(|fit| fit.set(pointer, claim.clone()));
    let answer = call.send().await;
    assert_eq!(answer.status(), 200, "{pointer} {claim}");
    answer.json()
}

#[tokio::test]
async fn one_odd_member_hides_no_licence() {
    let harness = harness();
    for (license, active) in [
        (json!({ "active": true }), json!(true)),
        (json!({ "isActive": true }), json!(true)),
        (json!({ "active": true, "isActive": true }), json!(true)),
        (json!({ "isActive": true, "active": false }), json!(false)),
        (json!({ "active": null, "isActive": true }), json!(true)),
        (json!({ "active": "yes", "isActive": false }), json!(false)),
        (json!({ "active": "yes" }), json!(null)),
        (json!({}), json!(null)),
    ] {
        let seen = seen(&harness, "licensed", "/app/license", &license).await;
        assert_eq!(seen.get("active"), Some(&active), "{license}");
    }
    let whole = json!({ "active": true, "billingPeriod": "MONTHLY", "capabilitySet": "capabilityAdvanced",
        "isEvaluation": false, "type": "commercial" });
    let expected = json!({ "active": true, "period": "MONTHLY", "capabilities": "capabilityAdvanced",
        "evaluation": false, "type": "commercial" });
    let names = [
        ("active", "active"),
        ("billingPeriod", "period"),
        ("capabilitySet", "capabilities"),
        ("isEvaluation", "evaluation"),
        ("type", "type"),
        ("modes", ""),
        ("supportEntitlementNumber", ""),
        ("ccpEntitlementId", ""),
        ("trialEndDate", ""),
        ("later", ""),
    ];
    for (name, shown) in names {
        for odd in [
            json!([]),
            json!({}),
            json!({ "a": [null] }),
            json!(1.5e300),
            json!([null, 1]),
        ] {
            let mut license = whole.clone();
            license[name] = odd;
            let mut expected = expected.clone();
            if !shown.is_empty() {
                expected[shown] = match name {
                    "active" | "isEvaluation" => Value::Null,
                    _ if license[name].is_number() => json!(license[name].to_string()),
                    _ => Value::Null,
                };
            }
            assert_eq!(
                seen(&harness, "licensed", "/app/license", &license).await,
                expected,
                "{license}"
            );
        }
    }
    // What is no object is no licence.
    for none in [
        json!(null),
        json!("x"),
        json!([true]),
        json!(true),
        json!([]),
    ] {
        assert_eq!(
            seen(&harness, "licensed", "/app/license", &none).await,
            json!(null),
            "{none}"
        );
    }
}

#[tokio::test]
async fn one_odd_context_hides_no_product() {
    let harness = harness();
    let jira = json!({ "name": "jira", "apiBaseUrl": "https://api.atlassian.com/ex/jira/c", "cloudId": "c" });
    let shown = json!(["jira", "https://api.atlassian.com/ex/jira/c", "c", null]);
    for odd in [
        json!(null),
        json!("x"),
        json!(7),
        json!(true),
        json!([]),
        json!({}),
        json!(["jira", "x"]),
        json!({ "name": null }),
        json!({ "name": [] }),
        json!({ "name": "" }),
    ] {
        let contexts = json!([odd, jira, odd]);
        let seen = seen(
            &harness,
            "products",
            "/app/installation/contexts",
            &contexts,
        )
        .await;
        assert_eq!(seen, json!([shown]), "{odd}");
    }
    // An odd member leaves the entry's others.
    let contexts =
        json!([{ "name": "jira", "apiBaseUrl": [], "cloudId": {}, "workspaceId": "w", "more": 1 }]);
    let seen_one = seen(
        &harness,
        "products",
        "/app/installation/contexts",
        &contexts,
    )
    .await;
    assert_eq!(seen_one, json!([["jira", null, null, "w"]]));
    for none in [json!(null), json!({}), json!("x"), json!(1)] {
        let none = seen(&harness, "products", "/app/installation/contexts", &none).await;
        assert_eq!(none, json!([]));
    }
}

#[tokio::test]
async fn an_installation_has_an_ari_that_every_store_can_hold() {
    let harness = harness();
    let id = "0a3a7799-53ae-4a5b-9e7e-03338980abb5";
    let called = async |ari: &str| {
        let call = harness.call("licensed").fit(|fit| {
            let fit = fit.set("/app/installationId", json!(ari));
            fit.set("/app/installation/id", json!(ari))
        });
        call.send().await.status()
    };
    for good in [
        format!("ari:cloud:ecosystem::installation/{id}"),
        format!("ari:cloud:ecosystem:us-gov:installation/{id}"),
        format!("ari:cloud-ic:ecosystem::installation/app-1/{id}"),
        format!("ari:cloud:ecosystem::installation/{}", "a".repeat(400)),
        "ari:cloud:ecosystem::installation/%7Ba%7D~1_.-".to_owned(),
    ] {
        assert_eq!(called(&good).await, 200, "{good}");
    }
    for bad in [
        "",
        "x",
        id,
        "ari:",
        "ari:cloud",
        "ari:cloud:ecosystem::installation/a\0b",
        "ari:cloud:ecosystem::installation/a\nb",
        "ari:cloud:ecosystem::installation/a b",
        "ari:cloud:ecosystem::installation/ä",
        "ari:cloud:ecosystem::installation/\u{fffd}",
        "ari:cloud:ecosystem::installation/\u{7f}",
        &format!("ari:cloud:ecosystem::installation/{}", "a".repeat(600)),
    ] {
        assert_eq!(called(bad).await, 401, "{bad:?}");
    }
}
