//! The header `Authorization`: where the FIT is, and how it is written.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use crate::encoding::b64;
use crate::{Cases, Request, Scene};

pub(super) fn no_token(_: &Scene, cases: &mut Cases) {
    for (name, call) in [
        ("no header", Request::post("/tick")),
        (
            "empty header",
            Request::post("/tick").header("Authorization", ""),
        ),
        (
            "blank header",
            Request::post("/tick").header("Authorization", "   "),
        ),
        (
            "Bearer alone",
            Request::post("/tick").header("Authorization", "Bearer"),
        ),
        (
            "Bearer and a blank",
            Request::post("/tick").header("Authorization", "Bearer "),
        ),
        ("Bearer null", Request::post("/tick").bearer("null")),
        (
            "Bearer undefined",
            Request::post("/tick").bearer("undefined"),
        ),
        ("Bearer .", Request::post("/tick").bearer(".")),
        ("Bearer ..", Request::post("/tick").bearer("..")),
        ("Bearer ...", Request::post("/tick").bearer("...")),
        ("Bearer {}", Request::post("/tick").bearer("{}")),
        ("Bearer *", Request::post("/tick").bearer("*")),
        ("page without a token", Request::post("/ui")),
        (
            "page with an OAuth token only",
            Request::post("/ui").header("x-forge-oauth-user", "a.b.c"),
        ),
        (
            "with a session cookie",
            Request::post("/ui").header("Cookie", "session=1; admin=true"),
        ),
        (
            "from inside",
            Request::post("/tick")
                .header("X-Forwarded-For", "127.0.0.1")
                .header("X-Real-IP", "127.0.0.1"),
        ),
        (
            "in a proxy's header",
            Request::post("/tick")
                .header("X-Forwarded-User", "admin")
                .header("X-Authenticated", "true"),
        ),
    ] {
        cases.request(name, &[401], || call.clone());
    }
}

pub(super) fn other_scheme(scene: &Scene, cases: &mut Cases) {
    let token = scene.fit().token();
    for scheme in [
        "Basic",
        "Digest",
        "JWT",
        "Token",
        "token",
        "Negotiate",
        "DPoP",
        "HOBA",
        "MAC",
        "OAuth",
        "Forge",
        "AWS4-HMAC-SHA256",
        "Bearer:",
        "Bearer,",
        "Bearer;",
        "Bearers",
        "Beare",
        "Bear",
        "XBearer",
        "Bearer Bearer",
        "Basic Bearer",
        "bearer_token",
        "Вearer",
        "Bearer\u{a0}",
        "Ｂearer",
        "BeareR\u{301}",
    ] {
        let call = Request::post("/tick").header("Authorization", format!("{scheme} {token}"));
        cases.request(scheme, &[401], || call.clone());
    }
    for (name, value) in [
        ("the token without a scheme", token.clone()),
        (
            "Basic with the token as password",
            format!("Basic {}", STANDARD.encode(format!("x:{token}"))),
        ),
        (
            "Basic with the token as user",
            format!("Basic {}", STANDARD.encode(format!("{token}:"))),
        ),
        ("glued to the scheme", format!("Bearer{token}")),
        ("after an equals sign", format!("Bearer={token}")),
        ("after a colon", format!("Bearer:{token}")),
        ("after a slash", format!("Bearer/{token}")),
        ("after a comma", format!("Bearer,{token}")),
        ("after a plus sign", format!("Bearer+{token}")),
        ("after an encoded blank", format!("Bearer%20{token}")),
        ("after an underscore", format!("Bearer_{token}")),
        ("the scheme after it", format!("{token} Bearer")),
        (
            "a header inside the header",
            format!("Authorization: Bearer {token}"),
        ),
        ("the scheme in quotes", format!("\"Bearer\" {token}")),
        ("a parameter", format!("Bearer token={token}")),
        ("a quoted parameter", format!("Bearer token=\"{token}\"")),
        (
            "a parameter before it",
            format!("Bearer realm=\"forge\" {token}"),
        ),
        (
            "a parameter and a comma before it",
            format!("Bearer realm=\"forge\", {token}"),
        ),
        (
            "a parameter after it",
            format!("Bearer {token} realm=\"forge\""),
        ),
        (
            "a parameter after a comma",
            format!("Bearer {token}, realm=\"forge\""),
        ),
    ] {
        let call = Request::post("/tick").header("Authorization", value);
        cases.request(name, &[401], || call.clone());
    }
}

pub(super) fn odd_separator(scene: &Scene, cases: &mut Cases) {
    let token = scene.fit().token();
    for (name, separator) in [
        ("a tab", &b"\t"[..]),
        ("two blanks", b"  "),
        ("blank and tab", b" \t"),
        ("tab and blank", b"\t "),
        ("many blanks", b"          "),
        ("a no-break space (Latin-1)", b"\xa0"),
        ("a no-break space (UTF-8)", "\u{a0}".as_bytes()),
        ("a blank and a no-break space", " \u{a0}".as_bytes()),
        ("an ideographic space", "\u{3000}".as_bytes()),
        ("a zero-width space", "\u{200b}".as_bytes()),
        ("a blank and a zero-width space", " \u{200b}".as_bytes()),
        ("a byte order mark", "\u{feff}".as_bytes()),
        ("a blank and a byte order mark", " \u{feff}".as_bytes()),
        ("a line separator", "\u{2028}".as_bytes()),
        ("a next-line", b"\x85"),
        ("a vertical tab", b"\x0b"),
        ("a form feed", b"\x0c"),
        ("a NUL", b"\0"),
        ("a blank and a NUL", b" \0"),
        ("an escape", b"\x1b"),
        ("a delete", b"\x7f"),
        ("a carriage return", b"\r"),
        ("a folded line", b"\r\n "),
        ("a folded line with a tab", b"\r\n\t"),
        ("a blank and a folded line", b" \r\n "),
        ("a bare newline and a blank", b"\n "),
    ] {
        let value = [b"Bearer", separator, token.as_bytes()].concat();
        let call = Request::post("/tick").header("Authorization", value);
        cases.request(name, &[400, 401], || call.clone());
    }
    for (name, end) in [
        ("a comma after it", ","),
        ("a semicolon after it", ";"),
        ("a dot after it", "."),
        ("a slash after it", "/"),
        ("a tilde after it", "~"),
        ("an encoded blank after it", "%20"),
        ("an encoded newline after it", "%0a"),
        ("an encoded NUL after it", "%00"),
        ("a NUL after it", "\0"),
        ("a no-break space after it", "\u{a0}"),
        ("a zero-width space after it", "\u{200b}"),
        ("a fragment after it", "#x"),
        ("a query after it", "?x"),
    ] {
        let call = Request::post("/tick").bearer(&format!("{token}{end}"));
        cases.request(name, &[400, 401], || call.clone());
    }
}

pub(super) fn quoted_token(scene: &Scene, cases: &mut Cases) {
    let token = scene.fit().token();
    for (name, text) in [
        ("double quotes", format!("\"{token}\"")),
        ("single quotes", format!("'{token}'")),
        ("backquotes", format!("`{token}`")),
        ("angle brackets", format!("<{token}>")),
        ("round brackets", format!("({token})")),
        ("square brackets", format!("[{token}]")),
        ("braces", format!("{{{token}}}")),
        ("an opening quote only", format!("\"{token}")),
        ("encoded dots", token.replace('.', "%2E")),
        ("encoded dots in lower case", token.replace('.', "%2e")),
        ("doubly encoded dots", token.replace('.', "%252e")),
        ("ideographic full stops", token.replace('.', "\u{3002}")),
        ("one-dot leaders", token.replace('.', "\u{2024}")),
        ("commas for dots", token.replace('.', ",")),
        ("colons for dots", token.replace('.', ":")),
        ("base64url over it", b64(&token)),
        ("base64 over it", STANDARD.encode(&token)),
        (
            "hexadecimal",
            token.bytes().map(|byte| format!("{byte:02x}")).collect(),
        ),
        ("a JSON string", json!(token).to_string()),
        ("a JSON object", json!({"token": token}).to_string()),
        ("a data URL", format!("data:application/jwt,{token}")),
        ("RFC 2047", format!("=?utf-8?Q?{token}?=")),
        ("RFC 8187", format!("UTF-8''{token}")),
        ("a variable", format!("${{{token}}}")),
        ("backwards", token.chars().rev().collect()),
        ("in capitals", token.to_uppercase()),
        ("in small letters", token.to_lowercase()),
        (
            "fullwidth letters",
            token
                .chars()
                .map(|c| {
                    if c.is_ascii_alphanumeric() {
                        char::from_u32(c as u32 + 0xfee0).unwrap()
                    } else {
                        c
                    }
                })
                .collect(),
        ),
    ] {
        cases.rejected(name, || text.clone());
    }
}

pub(super) fn token_elsewhere(scene: &Scene, cases: &mut Cases) {
    let token = scene.fit().token();
    let bearer = format!("Bearer {token}");
    for name in [
        "access_token",
        "token",
        "jwt",
        "fit",
        "id_token",
        "authorization",
        "Authorization",
        "auth",
        "bearer",
    ] {
        let call = Request::post(&format!("/tick?{name}={token}"));
        cases.request(format!("query {name}"), &[401], || call.clone());
        let call = Request::post("/tick").header("Cookie", format!("{name}={token}"));
        cases.request(format!("cookie {name}"), &[401], || call.clone());
        let call = Request::post("/tick")
            .header("Content-Type", "application/x-www-form-urlencoded")
            .body(format!("{name}={token}"));
        cases.request(format!("form {name}"), &[401], || call.clone());
        let call = Request::post("/tick").json(&json!({ name: token }));
        cases.request(format!("JSON {name}"), &[401], || call.clone());
    }
    let call = Request::post(&format!("/tick?Authorization=Bearer%20{token}"));
    cases.request("query with scheme", &[401], || call.clone());
    let call = Request::post(&format!("/tick#access_token={token}"));
    cases.request("fragment", &[400, 401], || call.clone());
    let call = Request::post(&format!("/tick;{token}"));
    cases.request("path parameter", &[401, 404], || call.clone());
    let call = Request::post(&format!("/tick/{token}"));
    cases.request("path segment", &[401, 404], || call.clone());
    let call = Request::post("/tick").body(&token);
    cases.request("body", &[401], || call.clone());
    let trailer = format!("0\r\nAuthorization: {bearer}\r\n\r\n");
    let call = Request::post("/tick")
        .header("Transfer-Encoding", "chunked")
        .header("Trailer", "Authorization")
        .unframed()
        .body(trailer);
    cases.request("trailer", &[400, 401], || call.clone());
    for header in [
        "X-Authorization",
        "X-Forwarded-Authorization",
        "X-Original-Authorization",
        "Proxy-Authorization",
        "X-Forge-Authorization",
        "X-Access-Token",
        "X-Auth-Token",
        "X-JWT-Assertion",
        "X-Amzn-Oidc-Data",
        "X-Forge-OAuth-System",
        "X-Forge-OAuth-User",
        "X-Forge-Invocation-Token",
        "Authorisation",
        "Authorization-Token",
        "Authentication",
        "Authentication-Info",
        "WWW-Authenticate",
        "HTTP-Authorization",
        "REDIRECT_HTTP_AUTHORIZATION",
        "Authorization_",
        "X-HTTP-Authorization",
        "Sec-WebSocket-Protocol",
        "Bearer",
    ] {
        for (form, value) in [("bare", &token), ("with scheme", &bearer)] {
            let call = Request::post("/tick").header(header, value);
            cases.request(format!("{header}, {form}"), &[401], || call.clone());
        }
    }
    // Basic credentials in the target.
    let call = Request::post(&format!("http://x:{token}@backend.example.com/tick"));
    cases.request("user information of the target", &[400, 401, 404], || {
        call.clone()
    });
}

pub(super) fn several_tokens(scene: &Scene, cases: &mut Cases) {
    let (one, two) = (scene.fit().token(), scene.fit().token());
    let bad = "e30.e30.AAAA";
    let twice = |first: &str, second: &str| {
        Request::post("/tick")
            .header("Authorization", first)
            .header("Authorization", second)
    };
    let bearer = |token: &str| format!("Bearer {token}");
    for (name, call) in [
        (
            "two headers, both good",
            twice(&bearer(&one), &bearer(&two)),
        ),
        (
            "two headers, the same token",
            twice(&bearer(&one), &bearer(&one)),
        ),
        (
            "two headers, good and bad",
            twice(&bearer(&one), &bearer(bad)),
        ),
        (
            "two headers, bad and good",
            twice(&bearer(bad), &bearer(&one)),
        ),
        ("two headers, good and empty", twice(&bearer(&one), "")),
        ("two headers, empty and good", twice("", &bearer(&one))),
        (
            "two headers, good and Basic",
            twice(&bearer(&one), "Basic eDp5"),
        ),
        (
            "two headers, Basic and good",
            twice("Basic eDp5", &bearer(&one)),
        ),
        (
            "two headers in another case",
            Request::post("/tick")
                .header("authorization", bearer(bad))
                .header("AUTHORIZATION", bearer(&one)),
        ),
        (
            "two headers, others between",
            Request::post("/tick")
                .bearer(&one)
                .header("x-a", "b")
                .header("x-c", "d")
                .bearer(bad),
        ),
        (
            "five headers",
            (0..5).fold(Request::post("/tick"), |call, _| call.bearer(&one)),
        ),
    ] {
        cases.request(name, &[400, 401], || call.clone());
    }
    for (name, value) in [
        ("comma", format!("Bearer {one},{two}")),
        ("comma and blank", format!("Bearer {one}, {two}")),
        (
            "comma, blank and scheme",
            format!("Bearer {one}, Bearer {two}"),
        ),
        ("blank", format!("Bearer {one} {two}")),
        ("blank and scheme", format!("Bearer {one} Bearer {two}")),
        ("semicolon", format!("Bearer {one};{two}")),
        ("bar", format!("Bearer {one}|{two}")),
        ("dot", format!("Bearer {one}.{two}")),
        ("glued", format!("Bearer {one}{two}")),
        ("good, then bad", format!("Bearer {one}, Bearer {bad}")),
        ("bad, then good", format!("Bearer {bad}, Bearer {one}")),
        ("Basic, then good", format!("Basic eDp5, Bearer {one}")),
        ("good, then Basic", format!("Bearer {one}, Basic eDp5")),
        ("an empty one first", format!("Bearer , Bearer {one}")),
    ] {
        let call = Request::post("/tick").header("Authorization", value);
        cases.request(format!("in one header: {name}"), &[401], || call.clone());
    }
}
