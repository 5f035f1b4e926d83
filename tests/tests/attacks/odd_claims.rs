//! A claim of an unexpected shape does not hide others, and an installation id is a storable ARI.

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
            "isEvaluation": license.is_evaluation,
            "billingPeriod": license.billing_period,
            "capabilitySet": license.capability_set,
            "ccpEntitlementId": license.ccp_entitlement_id,
            "ccpEntitlementSlug": license.ccp_entitlement_slug,
            "modes": license.modes,
            "subscriptionEndDate": license.subscription_end_date,
            "trialEndDate": license.trial_end_date,
            "type": license.license_type,
            "rest": license.rest,
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

/// Returns a handler's response to a FIT with this claim.
async fn seen(harness: &Harness, handler: &str, pointer: &str, claim: &Value) -> Value {
    let call = harness
        .call(handler)
        .fit(|fit| fit.set(pointer, claim.clone()));
    let response = call.send().await;
    assert_eq!(response.status(), 200, "{pointer} {claim}");
    response.json()
}

#[tokio::test]
async fn an_unexpected_member_does_not_hide_the_licence() {
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
    // The example on Atlassian's page.
    let whole = json!({ "active": true, "billingPeriod": "MONTHLY", "capabilitySet": "capabilityAdvanced",
        "ccpEntitlementId": "5e176cc2-6fa0-3c7b-8fc4-302443a16e86", "ccpEntitlementSlug": "X-3SH-1A6-33A-AS0",
        "isEvaluation": false, "subscriptionEndDate": "2026-12-08T00:00:00.000Z",
        "trialEndDate": "2027-06-08T00:00:00.000Z", "type": "commercial", "modes": ["USER_ACCESS"] });
    let seen_of = async |license: &Value| seen(&harness, "licensed", "/app/license", license).await;
    let mut claim = whole.clone();
    claim["supportEntitlementNumber"] = Value::Null;
    let mut expected = whole.clone();
    expected["rest"] = json!({});
    assert_eq!(seen_of(&claim).await, expected);

    // A member of another type is preserved in addition to its field, and so is an unknown member.
    let names = whole.as_object().unwrap().keys().map(String::as_str);
    for name in names.chain(["later", "supportEntitlementNumber"]) {
        for odd in [
            json!({}),
            json!({ "a": [null] }),
            json!(true),
            json!([null, {}]),
        ] {
            let fits = match name {
                "active" | "isEvaluation" => odd.is_boolean(),
                "modes" => odd.is_array(),
                _ => false,
            };
            let mut claim = whole.clone();
            claim[name] = odd.clone();
            let mut expected = expected.clone();
            if expected.get(name).is_some() {
                expected[name] = match &odd {
                    Value::Bool(_) if fits => odd.clone(),
                    _ if name == "modes" => json!([]),
                    _ => Value::Null,
                };
            }
            if !fits {
                expected["rest"][name] = odd;
            }
            assert_eq!(seen_of(&claim).await, expected, "{claim}");
        }
    }
    let claim = json!({ "active": true, "modes": [null, "USER_ACCESS", {}], "later": [1] });
    let seen_now = seen_of(&claim).await;
    assert_eq!(
        (&seen_now["modes"], &seen_now["rest"]),
        (&json!(["USER_ACCESS"]), &json!({ "later": [1] }))
    );
    // A value that is not an object is not a licence.
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
async fn an_unexpected_context_does_not_hide_other_products() {
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
    // An unexpected member does not hide the entry's other members.
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
async fn an_installation_id_is_an_ari_that_every_store_can_hold() {
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
