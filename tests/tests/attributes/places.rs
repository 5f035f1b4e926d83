//! Where a handler can stand, what can stand around it, and how it is named.
#![allow(unreachable_pub, reason = "each visibility is tried")]

use fr::prelude::*;
use fr::registry::Registration;
use fr::testing::Harness;
use fr::{endpoint, handler};

mod renamed {
    use fr::Invocation;

    #[fr::endpoint(crate = ::fr, key = "renamed-absolute")]
    pub(crate) async fn absolute(_: Invocation) {}

    #[fr::endpoint(crate = crate::places::renamed::again, key = "renamed-by-path")]
    pub(crate) async fn by_path(_: Invocation) {}

    pub(crate) mod again {
        pub use fr::*;
    }

    use fr as short;

    #[short::endpoint(crate = short, key = "renamed-by-word")]
    pub(crate) async fn by_word(_: Invocation) {}
}

mod one {
    #[fr::endpoint(key = "one")]
    pub(crate) async fn same() {}

    pub(crate) mod deeper {
        #[fr::endpoint(key = "one-deeper")]
        pub(in crate::places::one) async fn same() {}

        pub(crate) fn record() -> fr::registry::Registration {
            fr::handler!(super::same)
        }
    }

    pub(crate) fn deeper() -> fr::registry::Registration {
        fr::handler!(deeper::same)
    }
}

mod two {
    #[fr::endpoint(key = "two")]
    pub(crate) async fn same() {}
}

fn in_a_function() -> Registration {
    #[endpoint(key = "in-a-function")]
    async fn same() {}

    handler!(same)
}

macro_rules! handlers {
    ($($name:ident: $argument:ty => $key:literal),+) => {
        $(
            /// Made by a macro.
            #[endpoint(key = $key)]
            async fn $name(argument: $argument) -> Json<u8> {
                let _ = argument;
                Json(1)
            }
        )+
    };
}

handlers!(made: Invocation => "made", made_too: Json<u8> => "made-too");

#[cfg(any())]
#[endpoint(key = "cfg-above")]
async fn cfg_above(_: DoesNotExist) {}

#[endpoint(key = "cfg-below")]
#[cfg(any())]
async fn cfg_below(_: DoesNotExist) {}

#[cfg_attr(all(), cfg(any()))]
#[endpoint(key = "cfg-attr-above")]
async fn cfg_attr_above(_: DoesNotExist) {}

#[endpoint(key = "cfg-attr-below")]
#[cfg_attr(all(), cfg(any()))]
async fn cfg_attr_below(_: DoesNotExist) {}

#[cfg_attr(all(), endpoint(key = "by-cfg-attr"))]
async fn by_cfg_attr() {}

#[cfg_attr(any(), endpoint(key = "not-by-cfg-attr"))]
#[allow(dead_code)]
async fn not_by_cfg_attr() {}

#[cfg(test)]
#[endpoint(key = "cfg-on")]
#[cfg(not(any()))]
#[cfg_attr(all(), cfg(all()))]
async fn cfg_on(_: Invocation) {}

#[derive(serde::Deserialize)]
struct Question {
    text: String,
    #[serde(rename = "type")]
    kind: u8,
}

#[derive(Clone)]
struct Db {
    url: &'static str,
}

#[endpoint(auth = [system, user])]
async fn patterns(
    _: Invocation,
    mut _token: SystemToken,
    r#type: Option<UserToken>,
    State(Db { url }): State<Db>,
    Query(_): Query<std::collections::HashMap<String, String>>,
    Json(Question { text, kind: r#in }): Json<Question>,
) -> Json<String> {
    drop(r#type);
    Json(format!("{url} {text} {in}", in = r#in))
}

#[endpoint]
async fn r#type(r#fn: Invocation) {
    drop(r#fn);
}

#[endpoint(r#method = get, r#key = "size")]
async fn größe() {}

#[allow(clippy::too_many_arguments)]
#[endpoint]
async fn sixteen(
    _: Invocation,
    _: Invocation,
    _: Invocation,
    _: Invocation,
    _: Invocation,
    _: Invocation,
    _: Invocation,
    _: Invocation,
    _: Invocation,
    _: Invocation,
    _: Invocation,
    _: Invocation,
    _: Invocation,
    _: Invocation,
    _: Invocation,
    _: String,
) {
}

#[tokio::test]
async fn handlers_stand_anywhere() -> Result<()> {
    let file = "attributes/places.rs";
    let linked = crate::declared_in(file);
    let mut keys: Vec<&str> = linked.iter().map(|handler| handler.key()).collect();
    keys.sort_unstable();
    let expected = [
        "by-cfg-attr",
        "cfg-on",
        "in-a-function",
        "made",
        "made-too",
        "one",
        "one-deeper",
        "patterns",
        "renamed-absolute",
        "renamed-by-path",
        "renamed-by-word",
        "sixteen",
        "size",
        "two",
        "type",
    ];
    assert_eq!(keys, expected);

    // By path, from anywhere that the function can be named from.
    let key = |record: Registration| record.endpoint.unwrap_or(record.function);
    let named = [
        (handler!(one::same), "one"),
        (handler!(crate::places::one::same), "one"),
        (handler!(self::two::same), "two"),
        (one::deeper(), "one-deeper"),
        (one::deeper::record(), "one"),
        (in_a_function(), "in-a-function"),
        (handler!(r#type), "type"),
        (handler!(made_too), "made-too"),
        (handler!(renamed::by_word), "renamed-by-word"),
    ];
    for (record, expected) in named {
        assert_eq!(key(record), expected);
    }

    let app = crate::app_of(file).state(Db { url: "db" });
    let harness = Harness::new(app)?;
    assert_eq!(harness.call("made").send().await.text(), "1");
    let body = serde_json::json!({ "text": "t", "type": 7 });
    let answer = harness
        .call("patterns")
        .query("a=b")
        .json(&body)
        .send()
        .await;
    assert_eq!(
        (answer.status(), answer.text().as_str()),
        (200, r#""db t 7""#)
    );
    assert_eq!(harness.call("type").send().await.status(), 200);
    assert_eq!(
        harness.call("sixteen").body("text").send().await.status(),
        200
    );

    // A handler stays a function.
    by_cfg_attr().await;
    assert_eq!(made_too(Json(1)).await.0, 1);
    Ok(())
}
