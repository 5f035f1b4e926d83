//! The contents of the record.
#![allow(unreachable_pub, reason = "each visibility is tried")]

use forge_remote::prelude::*;
use forge_remote::registry::{Auth, Method, Registration, Requirement};
use forge_remote::{handler, kinds};

/// Refreshes the *index*.
///
///   Indented by two more.
#[scheduled_trigger(
    interval = "fiveMinute",
    auth = system,
    key = "refresh-trigger",
    endpoint = "refresh",
    path = "/schedules/refresh",
    remote = "backend",
    scopes = ["read:jira-work", "write:jira-work"],
    licensed_only = true,
)]
/// Below the attribute.
pub async fn refresh_index(
    _call: Invocation,
    _token: Option<SystemToken>,
    State(_text): State<String>,
) {
}

#[endpoint]
async fn bare() {}

mod inner {
    #[rustfmt::skip]
    pub(crate) mod deep {
        #[forge_remote::endpoint(method = get, auth = [user, system], key = "all")]
        #[doc = "One line."]
        #[doc(alias = "nothing")]
        #[must_use]
        pub async fn everything() -> String { String::new() }
    }
}

#[endpoint(method = "DELETE", auth = none)]
/** A block. */
async fn block() {}

/// The text of this file at the position that the record has for the function.
fn source(record: &Registration) -> &'static str {
    let line = include_str!("record.rs")
        .lines()
        .nth(record.location.line as usize - 1);
    &line.unwrap()[record.location.column as usize - 1..]
}

#[test]
fn a_record_holds_the_written_options() {
    let refresh: &Registration = &handler!(refresh_index);
    assert_eq!(refresh.function, "refresh_index");
    assert_eq!(
        refresh.docs,
        "Refreshes the *index*.\n\n  Indented by two more.\nBelow the attribute."
    );
    assert_eq!(refresh.key, Some("refresh-trigger"));
    assert_eq!(refresh.endpoint, Some("refresh"));
    assert_eq!(refresh.path, Some("/schedules/refresh"));
    assert_eq!(refresh.remote, Some("backend"));
    assert_eq!(refresh.scopes, ["read:jira-work", "write:jira-work"]);
    assert_eq!(refresh.auth, Auth::SYSTEM);
    assert_eq!(refresh.method, Method::Post);
    assert_eq!(
        format!("{:?}", refresh.kind),
        format!(
            "{:?}",
            kinds::ScheduledTrigger {
                licensed_only: true,
                ..kinds::ScheduledTrigger::every(kinds::Interval::FiveMinute)
            }
        )
    );
    let [
        Requirement::OptionalSystemToken,
        Requirement::State { id, name },
    ] = refresh.mount.needs()
    else {
        panic!("{:?}", refresh.mount.needs());
    };
    assert_eq!(id(), std::any::TypeId::of::<String>());
    assert_eq!(name(), std::any::type_name::<String>());
    assert!(
        refresh.location.file.ends_with("record.rs"),
        "{}",
        refresh.location
    );
    assert!(
        source(refresh).starts_with("refresh_index("),
        "{}",
        refresh.location
    );
    assert_eq!(
        refresh.mount.path(),
        concat!(module_path!(), "::refresh_index")
    );

    let bare = &handler!(bare);
    assert!(source(bare).starts_with("bare()"), "{}", bare.location);
    assert_eq!(
        (bare.docs, bare.auth, bare.method),
        ("", Auth::NONE, Method::Post)
    );
    assert_eq!(
        (bare.key, bare.endpoint, bare.path, bare.remote),
        (None, None, None, None)
    );
    assert!(bare.scopes.is_empty() && bare.mount.needs().is_empty());

    let everything = &handler!(inner::deep::everything);
    assert_eq!(everything.docs, "One line.");
    // Without a separate module, a handler's key is its endpoint's.
    assert_eq!((everything.key, everything.endpoint), (None, Some("all")));
    assert_eq!(
        (everything.auth, everything.method),
        (Auth::BOTH, Method::Get)
    );
    assert!(
        everything
            .mount
            .path()
            .ends_with("::inner::deep::everything")
    );
    assert!(
        source(everything).starts_with("everything()"),
        "{}",
        everything.location
    );

    let block = handler!(block);
    assert_eq!((block.docs, block.method), ("A block.", Method::Delete));
}
