//! A page can call the app directly from the user's browser (`requestRemote`).

use forge_remote::prelude::*;
use forge_remote::testing::Harness;
use serde_json::json;

#[scheduled_trigger(interval = "hour")]
async fn tick() {}

/// A preflight without a token and the call with it have CORS headers for any page. Handlers that no
/// page calls have none.
#[tokio::test]
async fn a_page_can_call_from_the_browser() {
    #[endpoint(path = "/browser", auth = user)]
    async fn browser(token: Option<UserToken>) -> Json<bool> {
        Json(token.is_some())
    }

    let app = App::empty()
        .handler(forge_remote::handler!(browser))
        .handler(forge_remote::handler!(tick))
        .remote(Remote::new("backend").base_url("https://backend.example.com"));
    let harness = Harness::new(app).unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    let router = harness.app().router();
    tokio::spawn(async move { forge_remote::axum::serve(listener, router).await });
    let client = reqwest::Client::new();
    let preflight_for = |path: &str, headers: &str| {
        client
            .request(reqwest::Method::OPTIONS, format!("{origin}{path}"))
            .header("Origin", "https://example.atlassian.net")
            .header("Access-Control-Request-Method", "POST")
            .header("Access-Control-Request-Headers", headers)
            .send()
    };
    let preflight_request = |path: &str| {
        let headers = "authorization, X-Forge-OAuth-System,x-forge-oauth-user ,x-mine";
        preflight_for(path, headers)
    };
    // A `*` in the response would allow every header.
    let preflight = preflight_for(
        "/browser",
        "*,authorization, * ,x-forge-oauth-system,x-forge-oauth-next",
    );
    let preflight = preflight.await.unwrap();
    assert_eq!(
        preflight.headers()["access-control-allow-headers"],
        "authorization"
    );
    let preflight = preflight_request("/browser").await.unwrap();
    assert_eq!(preflight.status(), 204);
    let header = |name: &str| preflight.headers()[name].to_str().unwrap().to_owned();
    assert_eq!(header("access-control-allow-origin"), "*");
    assert_eq!(header("access-control-allow-methods"), "POST");
    assert_eq!(
        header("access-control-allow-headers"),
        "authorization,x-mine",
        "a script may not set Forge's headers"
    );
    assert_eq!(preflight_request("/tick").await.unwrap().status(), 405);

    let none = forge_remote::registry::Auth::NONE;
    let call = harness.call("browser").tokens(none).send().await;
    assert_eq!((call.status(), call.json()), (200, json!(false)));
    assert_eq!(call.headers()["access-control-allow-origin"], "*");
    let call = harness.call("tick").send().await;
    assert!(!call.headers().contains_key("access-control-allow-origin"));
}
