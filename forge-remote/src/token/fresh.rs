//! The handlers of [`App::keep_tokens_fresh`](crate::App::keep_tokens_fresh): records made by hand,
//! for a macro would add them to every app.

use crate::__private::{NoNeed as _, NoUserAsksNone, NoUserAsksSystem, Probe, mount_1, mount_2};
use crate::error::Result;
use crate::extract::{Invocation, SystemToken};
use crate::kinds::{Conditions, Interval, PreUninstall, ScheduledTrigger, Trigger};
use crate::registry::{Auth, Location, Method, Mount, Registration};
use crate::token::Tokens;

const HERE: Location = Location {
    file: file!(),
    line: line!(),
    column: column!(),
};

/// An hourly call, one at each installation and major upgrade, and one before an uninstallation.
pub(crate) fn registrations() -> [Registration; 3] {
    // Keeping the token is the app's own doing, with every call that brings one.
    let token = || Probe::<Option<SystemToken>>::forge_remote_last(NoUserAsksSystem);
    let nothing = Probe::<()>::forge_remote_reply;
    let hourly = mount_1(hourly, token(), nothing);
    let begins = mount_1(begins, token(), nothing);
    let removes = mount_2(
        removes,
        Probe::<Invocation>::forge_remote_part(NoUserAsksNone),
        Probe::<Tokens>::forge_remote_last(NoUserAsksNone),
        Probe::<Result<()>>::forge_remote_reply,
    );
    let record = |kind, key, docs, auth, mount: std::sync::Arc<dyn Mount>| Registration {
        docs,
        endpoint: Some(key),
        auth,
        ..Registration::__new(kind, "keep_tokens_fresh", HERE, Method::Post, auth, mount)
    };
    [
        record(
            &ScheduledTrigger {
                interval: Interval::Hour,
                licensed_only: false,
            },
            "tokens-hourly",
            "Brings a new system token once an hour.",
            Auth::SYSTEM,
            hourly,
        ),
        record(
            &Trigger {
                filtered_events: &[],
                events: &["avi:forge:installed:app", "avi:forge:upgraded:app"],
                unknown_events: &[],
                conditions: Conditions::NONE,
            },
            "tokens-life",
            "Brings the first system token of an installation.",
            Auth::SYSTEM,
            begins,
        ),
        record(
            &PreUninstall,
            "tokens-goodbye",
            "Forgets the system token of an installation that goes.",
            Auth::NONE,
            removes,
        ),
    ]
}

async fn hourly(_: Option<SystemToken>) {}

async fn begins(_: Option<SystemToken>) {}

async fn removes(call: Invocation, tokens: Tokens) -> Result<()> {
    Ok(tokens.remove(call.installation_id()).await?)
}
