//! The handlers of [`App::keep_tokens_fresh`](crate::App::keep_tokens_fresh). They are registered by
//! hand, because a macro would add them to every app.

use forge_remote_schema::built_in;

use crate::credentials::SystemToken;
use crate::error::Result;
use crate::extract::Invocation;
use crate::kinds::{Conditions, Interval, PreUninstall, ScheduledTrigger, Trigger};
use crate::private::{
    NOTHING, Written, mount_1, mount_2, no_user_requests_none, no_user_requests_system, record,
};
use crate::registry::{Location, Registration};
use crate::token::Tokens;

const NAME: &str = "keep_tokens_fresh";

/// Returns the handlers: an hourly call, one at each installation and major upgrade, and one before
/// an uninstallation. `place` is the app's call of `keep_tokens_fresh`.
pub(super) fn registrations(place: Location) -> [Registration; 3] {
    // The app stores the token of every call that carries one, so these handlers are empty.
    let token =
        || no_user_requests_system::forge_remote_probe::<Option<SystemToken>>::forge_remote_last();
    let nothing = no_user_requests_none::forge_remote_probe::<()>::forge_remote_reply;
    let hourly = mount_1(hourly, token(), nothing);
    let installed = mount_1(installed, token(), nothing);
    let uninstalled = mount_2(
        uninstalled,
        no_user_requests_none::forge_remote_probe::<Invocation>::forge_remote_part(),
        no_user_requests_none::forge_remote_probe::<Tokens>::forge_remote_last(),
        no_user_requests_none::forge_remote_probe::<Result<()>>::forge_remote_reply,
    );
    let written = |key, docs| Written {
        docs,
        endpoint: Some(key),
        ..NOTHING
    };
    let registrations = [
        record(
            &ScheduledTrigger {
                interval: Interval::Hour,
                licensed_only: false,
            },
            NAME,
            "",
            no_user_requests_system::AUTH,
            hourly,
            written(
                built_in::TOKENS_HOURLY,
                "Delivers a new system token once an hour.",
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
            "",
            no_user_requests_system::AUTH,
            installed,
            written(
                built_in::TOKENS_LIFE,
                "Delivers the first system token of an installation.",
            ),
        ),
        record(
            &PreUninstall,
            NAME,
            "",
            no_user_requests_none::AUTH,
            uninstalled,
            written(
                built_in::TOKENS_GOODBYE,
                "Removes the system token before an uninstallation.",
            ),
        ),
    ];
    registrations.map(|registration| Registration {
        location: place,
        ..registration
    })
}

async fn hourly(_: Option<SystemToken>) {}

async fn installed(_: Option<SystemToken>) {}

async fn uninstalled(call: Invocation, tokens: Tokens) -> Result<()> {
    Ok(tokens.remove_of(call.claims()).await?)
}
