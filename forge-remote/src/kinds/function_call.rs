//! A call of one of the app's Forge functions.

use std::time::Duration;

use forge_remote_schema::{KindSpec, kinds};

use crate::registry::{Kind, SampleCall};

/// The options of `#[function_call]`: a path that the app's Forge functions call.
///
/// A function calls its remote with `invokeRemote` of `@forge/api`, and names the path and the method itself:
///
/// ```js
/// import { invokeRemote } from '@forge/api';
///
/// const response = await invokeRemote('backend', { path: '/api/v1/settings' });
/// ```
///
/// ```
/// use forge_remote::prelude::*;
///
/// #[function_call(method = "GET", path = "/api/v1/settings", auth = system)]
/// async fn settings(call: Invocation, token: SystemToken) -> Json<String> {
///     // The user for whom the function runs; none for a function of a schedule or an event.
///     println!("{:?}", call.principal());
///     let _ = token;
///     Json("dark".to_owned())
/// }
/// ```
///
/// Serve each path that a function calls with one such handler. The manifest has no module and no endpoint for it.
/// `manifest --write` adds `compute` to the `operations` of the remote, without which Forge rejects the calls, and
/// `auth` to its `auth`. Both are only added, so the other entries of the file stay. A second handler at the same
/// remote, with no new token and no new scope, changes nothing in the manifest. The first one, a new token or a new
/// scope can need a new major version of the app and the consent of each admin: `manifest --against` lists what does.
/// A remote without `operations` counts as one that stores end-user data, and one with only `compute` as one that does
/// not: if yours does, declare it ([`Remote::operations`](crate::Remote::operations),
/// [`Remote::in_scope_eud`](crate::Remote::in_scope_eud)).
///
/// A site that is on an older major version of the app runs that version's functions, which call the paths of that
/// version's code: keep a changed path with `also_at` ([`versions`](crate::versions#calls-of-older-major-versions)).
///
/// The default of `method` is `POST`, and `invokeRemote` without a method makes a `GET`. The path may have parameters,
/// for [`Path`](axum::extract::Path), and may end with `/`: it is not in the manifest.
///
/// `key` is the handler's name in commands, logs and metrics (default: the function's name), and not in the manifest.
///
/// # Who can call it
///
/// Only functions of the app: a page's call of the path is rejected with 401, with any user, and so is an event's FIT.
/// A path that both call needs a second path. The function decides whom it serves: it can check its user's permissions
/// before the call. Its body and its headers are what it writes into them, and it may copy them from a page:
/// [`Invocation`](crate::Invocation) has the proven parts.
///
/// Atlassian documents little of the FIT of such a call: its module type is `core:endpoint`, as for all calls that no
/// page makes; `function` is accepted too. The key of its module is not documented, so any key is accepted except
/// those of the app's handlers and, if the manifest can be read, of its endpoints and the modules that name them. In a
/// container without the manifest, list those of other services
/// ([`App::foreign_endpoints`](crate::App::foreign_endpoints), [`App::foreign_modules`](crate::App::foreign_modules)).
/// Atlassian's page says that the FIT has no context; remotes in use find the user and the site's id in it. Read both
/// as optional.
///
/// If Forge sends another module type, the call gets 401, and a line of the log names the type and the setting that
/// accepts it: [`VerificationPolicy::function_type`](crate::fit::VerificationPolicy::function_type). A page's type is
/// never accepted.
///
/// # Tokens
///
/// The call brings the tokens that `auth` requests, which are those of `remotes[].auth` in the manifest: all
/// `#[function_call]`s of a remote share them, and those of endpoints do not count. A user token comes only if the
/// function runs for a user.
///
/// The function writes the call's headers, and Forge adds no token while the installed version's remote does not
/// request one. A function that passes on the headers of a page's call would then pass on a token that the page's user
/// chose: remove `x-forge-*` from them. So a token is used like one of a page's call
/// ([`SystemToken`](crate::SystemToken)), and a [token store](crate::token) keeps it only with
/// [`Tokens::accept_from_functions`](crate::Tokens::accept_from_functions). Atlassian guarantees no minimum lifetime for
/// it, unlike the 2 hours of other calls' tokens, so a schedule should deliver one
/// ([`App::keep_tokens_fresh`](crate::App::keep_tokens_fresh)).
///
/// # The response
///
/// The function gets the response as from `fetch`: any status, headers and body.
///
/// Sources: <https://developer.atlassian.com/platform/forge/remote/calling-from-function/>,
/// <https://developer.atlassian.com/platform/forge/runtime-reference/invoke-remote-api/>
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FunctionCall;

impl Kind for FunctionCall {
    fn spec(&self) -> &'static KindSpec {
        &kinds::FUNCTION_CALL
    }

    fn sample_call(&self) -> SampleCall {
        SampleCall {
            body: None,
            timeout: Duration::from_secs(25),
            ..SampleCall::from_platform(serde_json::Value::Null)
        }
    }
}
