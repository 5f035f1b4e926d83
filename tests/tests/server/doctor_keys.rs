//! `doctor --url` and the keys that a deployment accepts.

use forge_remote_attacks::{Keys, Scene};
use forge_remote_tests::jwks_server::{JwksResponse, JwksServer};
use forge_remote_tests::jws::published;

use crate::doctor_target::{Deployment, plain_app, stdout};

/// The key set is not read for longer than a key set can be.
#[tokio::test]
async fn a_key_set_that_cant_be_fetched_is_a_warning() {
    let mut large = published();
    large["padding"] = "x".repeat(2 * 1024 * 1024).into();
    for keys in [
        JwksResponse::Text(500, "text/plain", "down".to_owned()),
        JwksResponse::Keys(large),
    ] {
        let keys = JwksServer::start(keys).await;
        let deployment = Deployment::start(|_, _| None).await;
        let mut doctor = deployment.attack();
        doctor.env("FORGE_REMOTE_JWKS_URL", keys.url());
        assert_eq!(deployment.warnings(doctor).await, ["unfetched-keys"]);
    }
}

pub(crate) fn keys_for_development() -> Scene {
    let keys = Keys::published_for_tests().unwrap();
    Scene::new(keys, std::time::SystemTime::now())
}

/// The private half of the vectors' keys is published, so a deployment must not trust them.
#[tokio::test]
async fn a_deployment_with_keys_for_development_is_found() {
    let keys = JwksResponse::Keys(keys_for_development().key_set());
    let deployment = Deployment::of(plain_app(), keys.clone(), |_, _| None).await;
    assert_eq!(deployment.codes().await, ["public-key"]);

    // A handler that gets no system token responds with 500, which is not a rejection.
    let mut app = plain_app();
    app.env("SYSTEM", "1");
    let deployment = Deployment::of(app, keys, |_, _| None).await;
    let mut doctor = deployment.attack();
    let output = doctor.env("SYSTEM", "1").output().await.unwrap();
    assert_eq!(deployment.codes_of(&output), ["public-key"]);
    assert!(
        stdout(&output).contains("500 Internal Server Error"),
        "{}",
        stdout(&output)
    );
}

#[tokio::test]
async fn a_deployment_with_other_keys_is_found() {
    let keys = keys_for_development().with_key_ids("first", "second");
    let keys = JwksResponse::Keys(keys.key_set());
    let deployment = Deployment::of(plain_app(), keys, |_, _| None).await;
    let atlassian = JwksServer::start(JwksResponse::Keys(published())).await;
    let mut doctor = deployment.attack();
    doctor.env("FORGE_REMOTE_JWKS_URL", atlassian.url());
    let output = doctor.output().await.unwrap();
    assert_eq!(deployment.codes_of(&output), ["other-keys"]);
}

#[tokio::test]
async fn a_deployment_without_atlassians_keys_is_found() {
    let down = JwksResponse::Text(500, "text/plain", "down".to_owned());
    let deployment = Deployment::of(plain_app(), down, |_, _| None).await;
    assert_eq!(deployment.codes().await, ["no-keys"]);
}
