//! `FitLayer` as a tower service: readiness, bodies, errors, log lines. What tokens it accepts is in
//! the other files, which send each call to the framework and to the layer.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::FromRequestParts as _;
use axum::http::{Request, Response, header};
use axum::routing::post;
use forge_remote::testing::TestClock;
use forge_remote_fit::{Claims, EndpointTarget, FitLayer, Provenance, Verifier};
use forge_remote_tests::jwks_server::{JwksResponse, JwksServer};
use forge_remote_tests::jws::{Fit, INSTALLATION_ID, published};
use forge_remote_tests::layered_app::verifier;
use forge_remote_tests::log_capture::LogCapture;
use tower::{Layer as _, Service, ServiceExt as _, service_fn};

struct Test {
    clock: TestClock,
    verifier: Arc<Verifier>,
    _source: JwksServer,
}

impl Test {
    async fn start(response: JwksResponse) -> Self {
        let source = JwksServer::start(response).await;
        let clock = TestClock::new();
        Self {
            verifier: Arc::new(verifier(&source.url(), clock.clone())),
            clock,
            _source: source,
        }
    }

    fn layer(&self, target: EndpointTarget) -> FitLayer {
        FitLayer::new(Arc::clone(&self.verifier), target)
    }

    /// A call of the endpoint `tick` by the platform.
    fn tick<B>(&self, body: B) -> Request<B> {
        call(&Fit::backend(self.clock.now(), "tick").token(), body)
    }
}

fn call<B>(token: &str, body: B) -> Request<B> {
    Request::post("/")
        .header(header::AUTHORIZATION, format!("Bearer {token}"))
        .body(body)
        .unwrap()
}

/// A service whose clones have to be polled ready before they are called.
struct Strict {
    is_ready: bool,
    calls: Arc<AtomicUsize>,
}

impl Clone for Strict {
    fn clone(&self) -> Self {
        Self {
            is_ready: false,
            calls: Arc::clone(&self.calls),
        }
    }
}

impl Service<Request<Body>> for Strict {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Ready<Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.is_ready = true;
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<Body>) -> Self::Future {
        assert!(
            self.is_ready,
            "a service is called that was not polled ready"
        );
        self.is_ready = false;
        self.calls.fetch_add(1, Ordering::Relaxed);
        ready(Ok(Response::default()))
    }
}

#[tokio::test]
async fn the_service_that_was_ready_takes_the_call() {
    let test = Test::start(JwksResponse::Keys(published())).await;
    let calls = Arc::new(AtomicUsize::new(0));
    let mut service = test.layer(EndpointTarget::platform("tick")).layer(Strict {
        is_ready: false,
        calls: Arc::clone(&calls),
    });
    for _ in 0..3 {
        let call = test.tick(Body::empty());
        let response = service.ready().await.unwrap().call(call).await.unwrap();
        assert_eq!(response.status(), 200);
    }
    assert_eq!(calls.load(Ordering::Relaxed), 3);
}

#[tokio::test]
async fn bodies_and_errors_are_those_of_the_inner_service() {
    #[derive(Debug, PartialEq)]
    struct Failed;

    let test = Test::start(JwksResponse::Keys(published())).await;
    // Neither body is one of HTTP's: the layer cannot read or buffer it.
    let inner = service_fn(async |request: Request<Vec<u8>>| {
        let (parts, body) = request.into_parts();
        let claims = parts.extensions.get::<Claims>().unwrap();
        assert_eq!(claims.installation_id(), INSTALLATION_ID);
        assert_eq!(
            parts.extensions.get(),
            Some(&Provenance::Platform),
            "the provenance"
        );
        assert!(parts.headers[header::AUTHORIZATION].is_sensitive());
        match &body[..] {
            b"fail" => Err(Failed),
            _ => Ok(Response::new(format!("{body:?}"))),
        }
    });
    let service = test.layer(EndpointTarget::platform("tick")).layer(inner);
    let response = service.clone().oneshot(test.tick(vec![0, 255])).await;
    assert_eq!(response.unwrap().into_body(), "[0, 255]");
    let response = service.clone().oneshot(test.tick(b"fail".to_vec())).await;
    assert_eq!(response.unwrap_err(), Failed);
    let response = service.oneshot(call("a.b.c", Vec::new())).await.unwrap();
    assert_eq!(response.status(), 401);
}

#[tokio::test]
async fn without_keys_the_call_gets_503() {
    let test = Test::start(JwksResponse::Text(500, "text/plain", String::new())).await;
    let inner = service_fn(async |_: Request<()>| {
        panic!("the call reached the service");
        #[allow(unreachable_code)]
        Ok::<Response<String>, Infallible>(Response::default())
    });
    let service = test.layer(EndpointTarget::platform("tick")).layer(inner);
    let response = service.oneshot(test.tick(())).await.unwrap();
    assert_eq!(response.status(), 503);
    assert_eq!(response.headers()[header::RETRY_AFTER], "5");
    assert!(response.body().contains("keys_unavailable"));
}

#[tokio::test]
async fn a_page_that_is_not_listed_is_rejected_with_403() {
    let test = Test::start(JwksResponse::Keys(published())).await;
    let mut target = EndpointTarget::page("notes");
    target.pages = vec!["admin-page".to_owned()];
    let inner =
        service_fn(async |_: Request<()>| Ok::<_, Infallible>(Response::new(String::new())));
    let service = test.layer(target).layer(inner);
    for (page, status) in [("forge-remote-app-boot", 403), ("admin-page", 200)] {
        let fit = Fit::page(test.clock.now()).claim("/app/module/key", page);
        let response = service.clone().oneshot(call(&fit.token(), ())).await;
        assert_eq!(response.unwrap().status(), status, "{page}");
    }
}

#[tokio::test]
async fn a_target_of_the_platform_for_a_user_accepts_calls_with_and_without_one() {
    let test = Test::start(JwksResponse::Keys(published())).await;
    let inner =
        service_fn(async |_: Request<()>| Ok::<_, Infallible>(Response::new(String::new())));
    let now = test.clock.now();
    let with_user = || Fit::backend(now, "tick").claim("/principal", "712020:user");
    for (name, target, fit, status) in [
        (
            "no user",
            EndpointTarget::platform_for_user("tick"),
            Fit::backend(now, "tick"),
            200,
        ),
        (
            "a user",
            EndpointTarget::platform_for_user("tick"),
            with_user(),
            200,
        ),
        (
            "a page",
            EndpointTarget::platform_for_user("tick"),
            Fit::page(now),
            401,
        ),
        (
            "a user, without a need",
            EndpointTarget::platform("tick"),
            with_user(),
            401,
        ),
    ] {
        let service = test.layer(target).layer(inner);
        let response = service.oneshot(call(&fit.token(), ())).await.unwrap();
        assert_eq!(response.status(), status, "{name}");
    }
}

#[tokio::test]
async fn a_route_without_the_layer_gets_500() {
    async fn whoami(claims: Claims) -> String {
        claims.installation_id().to_owned()
    }

    let logged = LogCapture::default();
    let _guard = logged.start();
    let router = Router::new().route("/", post(whoami));
    let test = Test::start(JwksResponse::Keys(published())).await;
    let response = router.oneshot(test.tick(Body::empty())).await.unwrap();
    assert_eq!(response.status(), 500);
    let body = to_bytes(response.into_body(), 4096).await.unwrap();
    let body = String::from_utf8(body.to_vec()).unwrap();
    assert!(
        body.contains("internal_error") && !body.contains("FitLayer"),
        "{body}"
    );
    assert!(logged.has("without a `FitLayer`"));

    let (mut parts, ()) = Request::new(()).into_parts();
    let rejection = Claims::from_request_parts(&mut parts, &())
        .await
        .unwrap_err();
    assert_eq!(rejection.status(), 500);
    assert!(body.contains(&rejection.body_text()));
}

#[tokio::test]
async fn rejections_are_logged_ten_times_a_minute_without_the_token() {
    let test = Test::start(JwksResponse::Keys(published())).await;
    let inner =
        service_fn(async |_: Request<()>| Ok::<_, Infallible>(Response::new(String::new())));
    // The limit is the verifier's: a layer for each endpoint does not multiply it.
    let [first, second] = ["tick", "tock"].map(|key| {
        let layer = test.layer(EndpointTarget::platform(key));
        layer.layer(inner)
    });
    let token = Fit::backend(test.clock.now(), "another").token();
    let logged = LogCapture::default();
    let _guard = logged.start();
    for _ in 0..20 {
        for service in [&first, &second] {
            let response = service.clone().oneshot(call(&token, ())).await.unwrap();
            assert_eq!(response.status(), 401);
        }
    }
    let lines = logged.take();
    assert_eq!(lines.matches("wrong_endpoint").count(), 10, "{lines}");
    for part in token.split('.').chain([INSTALLATION_ID]) {
        assert!(!lines.contains(part), "{lines}");
    }
}
