//! Files are uploaded in forms and downloaded in chunks, and redirects never receive the token.

use std::time::Duration;

use forge_remote::client::{AtlassianClient, ClientError, Download, Form};
use forge_remote::path;
use forge_remote_tests::fake_api::{
    InstantClock, RawServer, ReceivedCall, SITE, Server, error_text, local, respond,
    scheduled_call, scheduled_call_for,
};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

async fn content(mut download: Download) -> Result<Vec<u8>, ClientError> {
    let mut content = Vec::new();
    while let Some(piece) = download.chunk().await? {
        content.extend_from_slice(&piece);
    }
    Ok(content)
}

#[tokio::test]
async fn a_form_is_sent_as_browsers_do() {
    let server = Server::in_turn(vec![
        respond(503, json!({})),
        respond(200, json!([{ "id": "1" }])),
    ])
    .await;
    let received = scheduled_call_for(&server).await;
    let atlassian = local(&server).clock(InstantClock::default());
    let jira = atlassian.jira(&received.call).as_app(&received.system);
    let form = Form::new()
        .text("comment", "ü\r\n")
        .file(
            "file",
            "a \"quoted\"\r\nX-Evil: ü.txt",
            "text/plain; charset=utf-8",
            "one\r\ntwo",
        )
        .file("file", "empty", "application/octet-stream", Vec::new());
    assert_eq!(format!("{form:?}"), "Form(3 parts)");
    let upload = jira
        .post(path!("/rest/api/3/issue/{}/attachments", "A-1"))
        .multipart(form)
        .idempotent();
    let attached: Value = upload.fetch().await.unwrap();
    assert_eq!(attached[0]["id"], "1");

    let requests = server.requests();
    assert_eq!(requests.len(), 2, "an idempotent request is sent again");
    for one in requests {
        assert_eq!(one.header("x-atlassian-token"), "no-check");
        let content_type = one.header("content-type");
        let boundary = content_type
            .strip_prefix("multipart/form-data; boundary=")
            .unwrap();
        let expected = [
            "",
            "\r\nContent-Disposition: form-data; name=\"comment\"\r\n\r\nü\r\n\r\n",
            "\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a %22quoted%22%0D%0AX-Evil: ü.txt\"\r\n\
             Content-Type: text/plain; charset=utf-8\r\n\r\none\r\ntwo\r\n",
            "\r\nContent-Disposition: form-data; name=\"file\"; filename=\"empty\"\r\n\
             Content-Type: application/octet-stream\r\n\r\n\r\n",
            "--\r\n",
        ];
        let expected = expected.join(&format!("--{boundary}"));
        assert_eq!(String::from_utf8(one.bytes.to_vec()).unwrap(), expected);
        assert_eq!(one.header("content-length"), expected.len().to_string());
        assert_eq!(one.header("transfer-encoding"), "");
    }

    let wrong = Form::new().file("file", "x", "text/plain\r\nX-Evil: 1", "x");
    let error = jira
        .post("/rest")
        .multipart(wrong)
        .send()
        .await
        .unwrap_err();
    assert!(matches!(error, ClientError::Invalid { .. }), "{error}");
    assert_eq!(server.lines().len(), 2);
}

#[tokio::test]
async fn a_download_yields_chunks_up_to_its_limit() {
    let text = "0123456789".repeat(20_000);
    let response = respond(200, Value::Null)
        .text(&text)
        .header("content-type", "text/plain");
    let server = Server::in_turn(vec![response]).await;
    let received = scheduled_call_for(&server).await;
    // Larger than the limit for whole responses.
    let atlassian = local(&server).response_limit(1000);
    let jira = atlassian.jira(&received.call).as_app(&received.system);
    let call = || jira.get(path!("/rest/api/3/attachment/content/{}", 1));
    let download = call().download(200_000).await.unwrap();
    assert_eq!(download.length(), Some(200_000));
    assert_eq!(download.status(), 200);
    assert!(!received.is_in(&format!("{download:?}")));
    assert_eq!(content(download).await.unwrap(), text.as_bytes());
    assert_eq!(server.requests()[0].header("accept"), "*/*");

    // Rejected because of its announced length.
    let error = call().download(199_999).await.unwrap_err();
    assert!(matches!(error, ClientError::Unusable { .. }), "{error}");
    assert!(
        error
            .to_string()
            .contains("larger than the download's limit"),
        "{error}"
    );

    // An error's status is known before the body is read.
    let server = Server::in_turn(vec![respond(404, json!({ "message": "gone" }))]).await;
    let received = scheduled_call_for(&server).await;
    let jira = local(&server).jira(&received.call).as_app(&received.system);
    let error = jira.get("/rest").download(10).await.unwrap_err();
    assert!(
        error.is_not_found() && error.to_string().contains("gone"),
        "{error}"
    );
}

/// Bytes without an announced length are counted, and a stalled download ends.
#[tokio::test]
async fn a_download_without_end_ends() {
    let server = unmeasured(usize::MAX).await;
    let received = call_at(&server.origin).await;
    let atlassian = AtlassianClient::on_loopback(&server.origin).unwrap();
    let jira = atlassian.jira(&received.call).as_app(&received.system);
    let mut download = jira.get("/rest").download(10_000).await.unwrap();
    assert_eq!(download.length(), None);
    let mut read = 0;
    let error = loop {
        match download.chunk().await {
            Ok(Some(piece)) => read += piece.len(),
            Ok(None) => panic!("it ended after {read} bytes"),
            Err(error) => break error,
        }
    };
    assert!(read <= 10_000, "{read}");
    assert!(
        error
            .to_string()
            .contains("larger than the download's limit"),
        "{error}"
    );
    assert!(download.chunk().await.is_err(), "the error repeats");

    let server = unmeasured(1).await;
    let atlassian = AtlassianClient::on_loopback(&server.origin).unwrap();
    let received = call_at(&server.origin).await;
    let jira = atlassian.jira(&received.call).as_app(&received.system);
    let call = jira.get("/rest").timeout(Duration::from_millis(50));
    let mut download = call.download(10_000).await.unwrap();
    let error = loop {
        match download.chunk().await {
            Ok(piece) => assert!(piece.is_some()),
            Err(error) => break error,
        }
    };
    assert!(
        error.to_string().contains("did not arrive in time"),
        "{error}"
    );
}

/// A download that receives a byte now and then makes too little progress, and ends.
#[tokio::test]
async fn a_download_that_drips_ends() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    let dripping = tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let begin = b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n";
            let _ = stream.read(&mut [0; 8192]).await;
            let mut sent = stream.write_all(begin).await;
            while sent.is_ok() {
                tokio::time::sleep(Duration::from_millis(20)).await;
                sent = stream.write_all(b"x").await;
            }
        }
    });
    let received = call_at(&origin).await;
    let atlassian = AtlassianClient::on_loopback(&origin).unwrap();
    let jira = atlassian.jira(&received.call).as_app(&received.system);
    let call = jira.get("/rest").timeout(Duration::from_millis(500));
    let started = std::time::Instant::now();
    let error = content(call.download(10_000).await.unwrap())
        .await
        .unwrap_err();
    assert!(error.to_string().contains("too slow"), "{error}");
    assert!(started.elapsed() < Duration::from_secs(10));
    dripping.abort();
}

/// A second server would see the token if it was sent there.
#[tokio::test]
async fn a_redirect_is_followed_without_the_token() {
    let media = Server::start(|_, request| match request.target.as_str() {
        "/file/1?signature=s" => respond(302, Value::Null)
            .text("")
            .header("location", "/file/2"),
        "/file/2" => respond(200, Value::Null).text("content"),
        _ => respond(302, Value::Null)
            .text("")
            .header("location", "/again"),
    })
    .await;
    for status in [301, 302, 303, 307, 308] {
        let to = format!("{}/file/1?signature=s", media.origin);
        let api = Server::in_turn(vec![respond(status, json!({})).header("location", &to)]).await;
        let received = scheduled_call_for(&api).await;
        let jira = local(&api).jira(&received.call).as_app(&received.system);
        let call = || {
            jira.get(path!("/rest/api/3/attachment/content/{}", 1))
                .header("range", "bytes=0-9")
                .header("x-own", "secret")
        };
        let before = media.lines().len();
        let download = call().follow_without_token().download(100).await.unwrap();
        assert_eq!(content(download).await.unwrap(), b"content");
        let text = call().follow_without_token().send().await.unwrap();
        assert_eq!(text.text().unwrap(), "content");
        let seen = media.requests().split_off(before);
        assert_eq!(seen.len(), 4);
        for one in seen {
            assert_eq!(one.method, "GET");
            assert_eq!(one.header("range"), "bytes=0-9");
            assert!(!received.is_in(&format!("{one:?}")), "{one:?}");
            for header in [
                "authorization",
                "cookie",
                "x-own",
                "x-b3-traceid",
                "referer",
            ] {
                assert_eq!(one.header(header), "", "{header}");
            }
        }
        // The API received the token.
        assert!(received.is_in(api.requests()[0].header("authorization")));

        // Redirects are only followed for reads, and only on request.
        let posted = jira
            .post("/rest")
            .follow_without_token()
            .send()
            .await
            .unwrap_err();
        assert_eq!(posted.status().unwrap().as_u16(), status);
        let error = call().send().await.unwrap_err();
        assert!(
            error
                .to_string()
                .contains("`Request::follow_without_token`"),
            "{error}"
        );
    }

    // Redirects in a circle.
    let to = format!("{}/again", media.origin);
    let api = Server::in_turn(vec![respond(303, json!({})).header("location", &to)]).await;
    let received = scheduled_call_for(&api).await;
    let jira = local(&api).jira(&received.call).as_app(&received.system);
    let before = media.lines().len();
    let error = jira
        .get("/rest")
        .follow_without_token()
        .send()
        .await
        .unwrap_err();
    assert_eq!(error.status().unwrap().as_u16(), 302);
    assert_eq!(media.lines().len() - before, 3);
}

#[tokio::test]
async fn a_redirect_to_an_unsafe_address_is_an_error() {
    for to in [
        "https://media.example/x",
        "http://192.168.0.1/x",
        "http://u:p@127.0.0.1/x",
        "file:///etc/passwd",
        "//evil.example/x",
        "http://[",
    ] {
        let api = Server::in_turn(vec![respond(302, json!({})).header("location", to)]).await;
        let received = scheduled_call_for(&api).await;
        let jira = local(&api).jira(&received.call).as_app(&received.system);
        let error = jira
            .get("/rest")
            .follow_without_token()
            .send()
            .await
            .unwrap_err();
        assert!(
            matches!(error, ClientError::Unusable { .. }),
            "{to}: {error}"
        );
        assert!(error.to_string().contains("redirects to"), "{to}: {error}");
        assert!(!error_text(&error).contains("u:p@"), "{error}");
        assert_eq!(api.lines().len(), 1);
    }
}

/// An error of the redirect target is not blamed on the app's scopes.
#[tokio::test]
async fn an_expired_address_is_reported_as_such() {
    let media = Server::in_turn(vec![respond(403, json!({ "message": "expired" }))]).await;
    let to = format!("{}/file?signature=s3cret", media.origin);
    let api = Server::in_turn(vec![respond(303, json!({})).header("location", &to)]).await;
    let received = scheduled_call_for(&api).await;
    let jira = local(&api).jira(&received.call).as_app(&received.system);
    let content = jira.get(path!("/rest/api/3/attachment/content/{}", 1));
    let error = content.follow_without_token().send().await.unwrap_err();
    let text = error_text(&error);
    assert!(
        text.contains("call the API again") && !text.contains("scope"),
        "{text}"
    );
    assert!(!text.contains("s3cret"), "{text}");
    assert_eq!(error.status_error().unwrap().likely_scope(), None);
}

async fn call_at(origin: &str) -> ReceivedCall {
    scheduled_call(&[("jira", &format!("{origin}/ex/jira/{SITE}"))]).await
}

/// Starts a server whose response has no length and consists of pieces of 256 bytes.
async fn unmeasured(pieces: usize) -> RawServer {
    let begin = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    RawServer::start(
        begin,
        format!("100\r\n{}\r\n", "x".repeat(256)),
        pieces,
        false,
    )
    .await
}
