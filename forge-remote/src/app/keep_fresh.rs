//! The handlers of [`App::keep_tokens_fresh`](crate::App::keep_tokens_fresh): records made by hand,
//! for a macro would add them to every app.

use forge_remote_schema::built_in;

use crate::credentials::SystemToken;
use crate::error::Result;
use crate::extract::Invocation;
use crate::kinds::{Conditions, Interval, PreUninstall, ScheduledTrigger, Trigger};
use crate::private::{
    NOTHING, Written, mount_1, mount_2, no_user_asks_none, no_user_asks_system, record,
};
use crate::registry::Registration;
use crate::token::Tokens;

const NAME: &str = "keep_tokens_fresh";
const HERE: &str = concat!(file!(), ":", line!(), ":", column!());

/// An hourly call, one at each installation and major upgrade, and one before an uninstallation.
pub(super) fn registrations() -> [Registration; 3] {
    // Keeping the token is the app's own doing, with every call that brings one.
    let token =
        || no_user_asks_system::forge_remote_probe::<Option<SystemToken>>::forge_remote_last();
    let nothing = no_user_asks_none::forge_remote_probe::<()>::forge_remote_reply;
    let hourly = mount_1(hourly, token(), nothing);
    let begins = mount_1(begins, token(), nothing);
    let removes = mount_2(
        removes,
        no_user_asks_none::forge_remote_probe::<Invocation>::forge_remote_part(),
        no_user_asks_none::forge_remote_probe::<Tokens>::forge_remote_last(),
        no_user_asks_none::forge_remote_probe::<Result<()>>::forge_remote_reply,
    );
    let written = |key, docs| Written {
        docs,
        endpoint: Some(key),
        ..NOTHING
    };
    [
        record(
            &ScheduledTrigger {
                interval: Interval::Hour,
                licensed_only: false,
            },
            NAME,
            HERE,
            no_user_asks_system::AUTH,
            hourly,
            written(
                built_in::TOKENS_HOURLY,
                "Brings a new system token once an hour.",
            ),
        ),
        record(
            &Trigger {
                filtered_events: &[],
                events: &["avi:forge:installed:app", "avi:forge:upgraded:app"],
                unknown_events: &[],
                conditions: Conditions::NONE,
            },
            NAME,
            HERE,
            no_user_asks_system::AUTH,
            begins,
            written(
                built_in::TOKENS_LIFE,
                "Brings the first system token of an installation.",
            ),
        ),
        record(
            &PreUninstall,
            NAME,
            HERE,
            no_user_asks_none::AUTH,
            removes,
            written(
                built_in::TOKENS_GOODBYE,
                "Forgets the system token of an installation that goes.",
            ),
        ),
    ]
}

async fn hourly(_: Option<SystemToken>) {}

async fn begins(_: Option<SystemToken>) {}

async fn removes(call: Invocation, tokens: Tokens) -> Result<()> {
    Ok(tokens.remove_of(call.claims()).await?)
}
