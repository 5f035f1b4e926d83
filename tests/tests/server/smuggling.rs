//! Request smuggling: no second request hides in a first one.

use std::time::Duration;

use forge_remote_tests::http::Call;
use forge_remote_tests::report::Report;
use forge_remote_tests::test_app::TestApp;

use crate::http_raw::{all_responses, by_hand, statuses};

/// A request whose body contains another one, which must not run if the body's end is ambiguous.
#[tokio::test]
async fn a_smuggled_request_does_not_run() {
    let app = TestApp::start().await;
    let mut report = Report::new("smuggling");
    let token = app.fit().token();
    let inner = format!(
        "POST /tick HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nContent-Length: 0\r\n\r\n"
    );
    let long = format!("{:x}\r\n{inner}\r\n0\r\n\r\n", inner.len());
    let length = inner.len();
    let after_zero = format!("0\r\n\r\n{inner}");
    let cases: Vec<(&str, Vec<String>, &str)> = vec![
        (
            "CL.TE",
            vec![
                format!("Content-Length: {}", after_zero.len()),
                "Transfer-Encoding: chunked".into(),
            ],
            &after_zero,
        ),
        (
            "TE.CL",
            vec![
                "Transfer-Encoding: chunked".into(),
                "Content-Length: 4".into(),
            ],
            &long,
        ),
        (
            "TE first, CL of all",
            vec![
                "Transfer-Encoding: chunked".into(),
                format!("Content-Length: {}", after_zero.len()),
            ],
            &after_zero,
        ),
        (
            "CL 0 and TE",
            vec![
                "Content-Length: 0".into(),
                "Transfer-Encoding: chunked".into(),
            ],
            &after_zero,
        ),
        (
            "two lengths, short first",
            vec![
                "Content-Length: 0".into(),
                format!("Content-Length: {length}"),
            ],
            &inner,
        ),
        (
            "two lengths, long first",
            vec![
                format!("Content-Length: {length}"),
                "Content-Length: 0".into(),
            ],
            &inner,
        ),
        (
            "two lengths in one",
            vec![format!("Content-Length: 0, {length}")],
            &inner,
        ),
        (
            "two lengths in one, long first",
            vec![format!("Content-Length: {length}, 0")],
            &inner,
        ),
        ("negative length", vec!["Content-Length: -1".into()], &inner),
        (
            "length with a plus sign",
            vec!["Content-Length: +0".into()],
            &inner,
        ),
        (
            "length in hexadecimal",
            vec!["Content-Length: 0x0".into()],
            &inner,
        ),
        (
            "length with a fraction",
            vec!["Content-Length: 0.0".into()],
            &inner,
        ),
        (
            "length with an exponent",
            vec!["Content-Length: 0e1".into()],
            &inner,
        ),
        ("length empty", vec!["Content-Length: ".into()], &inner),
        (
            "length with blanks inside",
            vec!["Content-Length: 0 0".into()],
            &inner,
        ),
        (
            "length quoted",
            vec!["Content-Length: \"0\"".into()],
            &inner,
        ),
        (
            "length beyond 64 bits",
            vec!["Content-Length: 18446744073709551616".into()],
            &inner,
        ),
        (
            "length of non-ASCII digits",
            vec!["Content-Length: ０".into()],
            &inner,
        ),
        (
            "a blank before the colon of the length",
            vec!["Content-Length : 0".into()],
            &inner,
        ),
        (
            "a tab before the colon of the length",
            vec!["Content-Length\t: 0".into()],
            &inner,
        ),
        (
            "a folded length",
            vec!["Content-Length:\r\n 0".into()],
            &inner,
        ),
        (
            "unknown coding",
            vec!["Transfer-Encoding: xchunked".into()],
            &after_zero,
        ),
        (
            "identity",
            vec!["Transfer-Encoding: identity".into()],
            &after_zero,
        ),
        (
            "identity with a length",
            vec![
                "Transfer-Encoding: identity".into(),
                "Content-Length: 0".into(),
            ],
            &inner,
        ),
        (
            "chunked, then identity",
            vec!["Transfer-Encoding: chunked, identity".into()],
            &after_zero,
        ),
        (
            "chunked, then identity, in two headers",
            vec![
                "Transfer-Encoding: chunked".into(),
                "Transfer-Encoding: identity".into(),
            ],
            &after_zero,
        ),
        (
            "chunked, then rubbish",
            vec![
                "Transfer-Encoding: chunked".into(),
                "Transfer-Encoding: x".into(),
                "Content-Length: 5".into(),
            ],
            &after_zero,
        ),
        (
            "chunked quoted",
            vec!["Transfer-Encoding: \"chunked\"".into()],
            &after_zero,
        ),
        (
            "chunked with a NUL",
            vec!["Transfer-Encoding: chunked\0".into()],
            &after_zero,
        ),
        (
            "chunked after a vertical tab",
            vec![
                "Transfer-Encoding: \u{b}chunked".into(),
                "Content-Length: 5".into(),
            ],
            &after_zero,
        ),
        (
            "chunked with a parameter",
            vec![
                "Transfer-Encoding: chunked;x=y".into(),
                "Content-Length: 5".into(),
            ],
            &after_zero,
        ),
        (
            "a blank before the colon of the coding",
            vec![
                "Transfer-Encoding : chunked".into(),
                "Content-Length: 5".into(),
            ],
            &after_zero,
        ),
        (
            "a folded coding",
            vec![
                "Transfer-Encoding:\r\n chunked".into(),
                "Content-Length: 5".into(),
            ],
            &after_zero,
        ),
        (
            "a folded coding behind another header",
            vec![
                "X: y\r\n Transfer-Encoding: chunked".into(),
                "Content-Length: 5".into(),
            ],
            &after_zero,
        ),
        (
            "a bare newline before the coding",
            vec![
                "X: y\nTransfer-Encoding: chunked".into(),
                format!("Content-Length: {}", after_zero.len()),
            ],
            &after_zero,
        ),
        (
            "a bare return before the coding",
            vec![
                "X: y\rTransfer-Encoding: chunked".into(),
                format!("Content-Length: {}", after_zero.len()),
            ],
            &after_zero,
        ),
        (
            "an underscore in the coding's name",
            vec![
                "Transfer_Encoding: chunked".into(),
                format!("Content-Length: {}", after_zero.len()),
            ],
            &after_zero,
        ),
    ];
    for (name, headers, body) in &cases {
        // The outer call is invalid, and the inner one must not count as a call.
        for (form, target) in [("no token", "/tick"), ("nowhere", "/nowhere")] {
            let headers: Vec<&str> = headers.iter().map(String::as_str).collect();
            let bytes = by_hand(&format!("POST {target} HTTP/1.1"), &headers, body);
            let before = app.seen.count();
            let responses = all_responses(&app, &bytes).await;
            let outcome = match statuses(&responses).as_slice() {
                [400 | 401 | 404 | 411 | 501] | [] => app.unharmed(before).await,
                others => Err(format!(
                    "statuses {others:?}; the handler ran {} times",
                    app.seen.count() - before
                )),
            };
            report.case(format!("{name}, {form}"), outcome);
        }
    }
    report.finish();
}

/// The same after a valid call: a proxy that uses the length would send the inner request as part of
/// the body, so it must not get its own response.
#[tokio::test]
async fn a_request_smuggled_behind_a_valid_call_does_not_run() {
    let app = TestApp::start().await;
    let mut report = Report::new("smuggling behind a good call");
    let inner = format!(
        "POST /tick HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\nContent-Length: 0\r\n\r\n",
        app.fit().token()
    );
    for (target, token, chunks) in [
        ("/tick", app.fit().token(), "0\r\n\r\n"),
        ("/tick", app.fit().token(), "2\r\n{}\r\n0\r\n\r\n"),
        (
            "/echo",
            app.page().token(),
            "e\r\n{\"text\":\"abc\"}\r\n0\r\n\r\n",
        ),
    ] {
        let body = format!("{chunks}{inner}");
        let auth = format!("Authorization: Bearer {token}");
        let length = format!("Content-Length: {}", body.len());
        let chunked = "Transfer-Encoding: chunked";
        for (name, headers) in [
            ("length, then coding", [&auth, length.as_str(), chunked]),
            ("coding, then length", [&auth, chunked, length.as_str()]),
            (
                "a bare newline between",
                [&auth, length.as_str(), "X: y\nTransfer-Encoding: chunked"],
            ),
        ] {
            for half_closed in [true, false] {
                let before = app.seen.count();
                let bytes = by_hand(&format!("POST {target} HTTP/1.1"), &headers, &body);
                let mut connection = app.open().await;
                connection.send(&bytes).await;
                if half_closed {
                    connection.finish().await;
                }
                let mut responses = Vec::new();
                while let Ok(Ok(Some(response))) =
                    tokio::time::timeout(Duration::from_millis(300), connection.response()).await
                {
                    responses.push(response);
                }
                let outcome = match (statuses(&responses).as_slice(), app.seen.count() - before) {
                    ([200], 1) | ([400], 0) => app.unharmed(app.seen.count()).await,
                    (others, ran) => Err(format!("statuses {others:?}; handlers ran {ran} times")),
                };
                let form = if half_closed { "half-closed" } else { "open" };
                report.case(
                    format!("{target}, {} bytes: {name}, {form}", chunks.len()),
                    outcome,
                );
            }
        }
    }
    report.finish();
}

/// Bytes after an invalid chunked body must not count as a request.
#[tokio::test]
async fn bytes_after_broken_chunks_are_not_a_request() {
    let app = TestApp::start().await;
    let mut report = Report::new("broken chunks");
    let inner = format!(
        "POST /tick HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\nContent-Length: 0\r\n\r\n",
        app.fit().token()
    );
    let huge_extension = format!("2;{}\r\n{{}}\r\n0\r\n\r\n", "x".repeat(200_000));
    for (name, body) in [
        ("no size", "\r\n{}\r\n0\r\n\r\n"),
        ("a size that is not a number", "g\r\n{}\r\n0\r\n\r\n"),
        ("a negative size", "-2\r\n{}\r\n0\r\n\r\n"),
        ("a size with a plus sign", "+2\r\n{}\r\n0\r\n\r\n"),
        ("a size in 0x form", "0x2\r\n{}\r\n0\r\n\r\n"),
        ("a blank before the size", " 2\r\n{}\r\n0\r\n\r\n"),
        (
            "a size beyond 64 bits",
            "10000000000000002\r\n{}\r\n0\r\n\r\n",
        ),
        ("a size of all ones", "ffffffffffffffff\r\n{}\r\n0\r\n\r\n"),
        ("a size with an underscore", "0_2\r\n{}\r\n0\r\n\r\n"),
        ("too much data", "2\r\n{}}\r\n0\r\n\r\n"),
        ("no line end behind the data", "2\r\n{}0\r\n\r\n"),
        ("bare newlines", "2\n{}\n0\n\n"),
        ("a bare return", "2\r{}\r0\r\r"),
        ("a bare newline in the extension", "2;x\n{}\r\n0\r\n\r\n"),
        ("200,000 bytes of extension", &huge_extension),
        ("a NUL in the size", "2\0\r\n{}\r\n0\r\n\r\n"),
    ] {
        let before = app.seen.count();
        let head = Call::post("/echo")
            .bearer(&app.page().token())
            .header("Transfer-Encoding", "chunked")
            .unframed()
            .keep_alive();
        let bytes = [&head.bytes()[..], body.as_bytes(), inner.as_bytes()].concat();
        let responses = all_responses(&app, &bytes).await;
        let outcome = if statuses(&responses).contains(&200) || responses.len() > 1 {
            Err(format!("statuses {:?}", statuses(&responses)))
        } else {
            app.unharmed(before).await
        };
        report.case(name, outcome);
    }
    report.finish();
}
