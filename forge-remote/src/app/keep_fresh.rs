//! The handlers of [`App::keep_tokens_fresh`](crate::App::keep_tokens_fresh) and
//! [`App::keep_tokens_fresh_by`](crate::App::keep_tokens_fresh_by). They are registered by
//! hand, because a macro would add them to every app.

use std::sync::Arc;
use std::time::Duration;

use forge_remote_schema::{built_in, did_you_mean, kinds};

use super::builder::App;
use crate::credentials::SystemToken;
use crate::diagnostic::{Diagnostic, Rule};
use crate::error::Result;
use crate::extract::Invocation;
use crate::kinds::{Conditions, Interval, PreUninstall, ScheduledTrigger, Trigger};
use crate::private::{mount_1, mount_2, no_user_requests_none, no_user_requests_system};
use crate::registry::{Auth, ErasedHandler, Handler, Kind, Location, Registration, Requirement};
use crate::token::Tokens;

const NAME: &str = "keep_tokens_fresh";
const INSTALLED: &str = "avi:forge:installed:app";
static HOURLY: ScheduledTrigger = ScheduledTrigger::every(Interval::Hour);
/// The longest interval of calls that keep tokens fresh: a delivered token is valid for at least
/// 2 hours.
/// Source: <https://developer.atlassian.com/platform/forge/remote/calling-product-apis/>
const MAX_INTERVAL: Duration = Duration::from_secs(60 * 60);

impl App {
    /// Adds handlers that let Forge deliver a fresh system token of every installation, as Atlassian
    /// recommends: an hourly call, a call after each installation and major upgrade, and a call
    /// before an uninstallation, whose handler removes the token. The manifest gets the modules
    /// `tokens-hourly-trigger`, `tokens-life-trigger` and `tokens-goodbye-pre-uninstall`, and their endpoints. In a
    /// deployed app, new endpoints are a major version: the administrator of each site has to consent.
    ///
    /// The removal also ends the installation's [jobs](crate::jobs): waiting jobs are discarded, also the ones that a
    /// `#[pre_uninstall]` handler of the app has sent. Do such work in [`Tokens::on_removed`](crate::Tokens::on_removed).
    ///
    /// Forge allows at most five scheduled triggers per app; this is one of them.
    /// Source: <https://developer.atlassian.com/platform/forge/remote/calling-product-apis/>
    ///
    /// ```
    /// use forge_remote::prelude::*;
    /// use forge_remote::token::MemoryTokens;
    ///
    /// let app = App::new().token_store(MemoryTokens::new()).keep_tokens_fresh();
    /// # let _ = app;
    /// ```
    #[track_caller]
    pub fn keep_tokens_fresh(mut self) -> Self {
        let place = std::panic::Location::caller().into();
        self.kept_fresh.get_or_insert(place);
        self.set_token_handlers();
        self
    }

    /// Lets an existing schedule keep the system tokens fresh, instead of the hourly call of
    /// [`keep_tokens_fresh`](Self::keep_tokens_fresh). Of that method's other two handlers, the manifest gets the ones
    /// the app does not have:
    ///
    /// - `tokens-life-trigger`, unless a `#[trigger]` of the app has the event `avi:forge:installed:app` and
    ///   `auth = system`, without `filter` and `licensed_only`. Add `avi:forge:upgraded:app` to it as well: otherwise the
    ///   token with the scopes of a new major version arrives with the next hourly call;
    /// - `tokens-goodbye-pre-uninstall`, unless the app has a `#[pre_uninstall]` handler. That handler must call
    ///   [`Tokens::remove`](crate::Tokens::remove); otherwise the token stays until it expires, and the callbacks of
    ///   [`Tokens::on_removed`](crate::Tokens::on_removed) do not run. `manifest --check` and the launch warn of a handler
    ///   that does not take `Tokens`.
    ///
    /// So an app that has both keeps its manifest. In a deployed app, adding one of the two is a major version, because
    /// of its endpoint: the administrator of each site has to consent. The removal also ends the installation's waiting
    /// [jobs](crate::jobs).
    ///
    /// `key` is the key of a scheduled trigger or of its endpoint; `cron-clock` is that of the handlers with
    /// [`cron`](crate::schedules). The launch fails unless the app has a [`token_store`](Self::token_store), and the
    /// named handler requests the token (`auth = system`) and is called at least once an hour, even on sites without a
    /// licence.
    ///
    /// ```
    /// use forge_remote::prelude::*;
    /// use forge_remote::token::MemoryTokens;
    ///
    /// /// Deployed long ago: the endpoint delivers the token, and does nothing else.
    /// #[scheduled_trigger(interval = "hour", endpoint = "system-token-sync", auth = system)]
    /// async fn sync_token() {}
    ///
    /// let app = App::new().token_store(MemoryTokens::new()).keep_tokens_fresh_by("system-token-sync");
    /// # let _ = app;
    /// ```
    #[track_caller]
    pub fn keep_tokens_fresh_by(mut self, key: impl Into<String>) -> Self {
        let place = std::panic::Location::caller().into();
        self.kept_fresh_by.push((key.into(), place));
        self.set_clock();
        self.set_token_handlers();
        self
    }

    /// Sets the handlers of both methods, instead of earlier ones. Runs after each change of the app's handlers, which
    /// may replace some of them.
    pub(super) fn set_token_handlers(&mut self) {
        let first = self.kept_fresh_by.first().map(|(_, place)| *place);
        let Some(place) = self.kept_fresh.or(first) else {
            return;
        };
        let all = registrations(place);
        for one in &all {
            self.registry.remove(one);
        }
        let adds_all = self.kept_fresh.is_some();
        let own = self.registry.handlers();
        let adds_life = adds_all || !own.iter().any(delivers_first_token);
        let adds_goodbye = adds_all || !own.iter().any(announces_uninstallation);
        for (one, is_added) in all.into_iter().zip([adds_all, adds_life, adds_goodbye]) {
            if is_added {
                self.registry.add(one.into());
            }
        }
    }

    /// Returns a problem for each handler of [`keep_tokens_fresh_by`](Self::keep_tokens_fresh_by) that
    /// does not keep tokens fresh.
    pub(super) fn fresh_token_problems(&self) -> Vec<Diagnostic> {
        let problems = self.kept_fresh_by.iter().filter_map(|(key, place)| {
            let (message, help) = self.why_not_fresh(key)?;
            let message = format!("`App::keep_tokens_fresh_by(\"{key}\")`: {message}");
            Some(Diagnostic::error(&NO_TOKEN_SOURCE, message, help).at([*place]))
        });
        problems.collect()
    }

    /// Returns the requirements of the calls of `keep_tokens_fresh_by`, with their places.
    pub(super) fn fresh_token_needs(&self) -> impl Iterator<Item = (Requirement, Location)> {
        let places = self.kept_fresh_by.iter();
        places.map(|(_, place)| (Requirement::Tokens, *place))
    }

    /// Returns why no handler with this key keeps tokens fresh, and the fix.
    fn why_not_fresh(&self, key: &str) -> Option<(String, String)> {
        let found: Vec<&Handler> = self.registry.find(key).collect();
        let Some(first) = found.first() else {
            let keys = self.registry.handlers().iter();
            let mut keys: Vec<&str> = keys.flat_map(|one| [one.endpoint(), one.key()]).collect();
            keys.sort_unstable();
            keys.dedup();
            let help = did_you_mean(key, keys.iter().copied());
            let help = help.unwrap_or_else(|| format!("the keys are: {}", keys.join(", ")));
            return Some(("no handler has this key".to_owned(), help));
        };
        let interval = |one: &Handler| one.registration().kind.interval();
        let often: Vec<&Handler> = found
            .iter()
            .copied()
            .filter(|one| interval(one).is_some_and(|every| every <= MAX_INTERVAL))
            .collect();
        let tokens: Vec<&Handler> = often
            .iter()
            .copied()
            .filter(|one| one.registration().auth.system)
            .collect();
        match (often.first(), tokens.first()) {
            (_, Some(_))
                if tokens
                    .iter()
                    .any(|one| one.registration().kind.calls_every_site()) =>
            {
                None
            }
            (_, Some(one)) => Some((
                format!(
                    "`{}` is not called on sites without a licence, whose tokens would expire",
                    one.registration().function
                ),
                "remove `licensed_only` from its attribute, or use `App::keep_tokens_fresh`"
                    .to_owned(),
            )),
            (Some(one), None) => Some((
                format!(
                    "`{}` does not request the system token",
                    one.registration().function
                ),
                "write `auth = system` in its attribute".to_owned(),
            )),
            (None, _) if found.iter().any(|one| interval(one).is_some()) => Some((
                "its interval is longer than an hour, and a token is valid for 2 hours only"
                    .to_owned(),
                "write `interval = \"hour\"`, or use `App::keep_tokens_fresh`".to_owned(),
            )),
            (None, _) => Some((
                format!(
                    "`{}` is not a scheduled trigger",
                    first.registration().function
                ),
                "name a scheduled trigger, or use `App::keep_tokens_fresh`".to_owned(),
            )),
        }
    }
}

/// Returns whether Forge calls a handler with the first system token of an installation.
fn delivers_first_token(handler: &Handler) -> bool {
    let record = handler.registration();
    let kind = record.kind;
    record.auth.system && kind.events().contains(&INSTALLED) && kind.calls_every_site()
}

/// Returns whether Forge calls a handler before an uninstallation.
fn announces_uninstallation(handler: &Handler) -> bool {
    let spec = handler.registration().kind.spec();
    spec.module_type == kinds::PRE_UNINSTALL.module_type
}

impl App {
    /// Returns the places of the handlers that Forge calls before an uninstallation, if none of them takes `Tokens`: they
    /// cannot remove the installation's token.
    pub(super) fn uninstallations_without_tokens(&self) -> Vec<(&'static str, Location)> {
        let handlers = self.registry.handlers().iter();
        let called = handlers.filter(|one| announces_uninstallation(one));
        let called: Vec<_> = called.map(Handler::registration).collect();
        let takes_tokens = called.iter().any(|one| {
            let needs = one.mount.needs().iter();
            needs
                .copied()
                .any(|need| matches!(need, Requirement::Tokens))
        });
        match takes_tokens {
            true => Vec::new(),
            false => called
                .iter()
                .map(|one| (one.function, one.location))
                .collect(),
        }
    }
}

/// The rules of this file.
#[cfg(feature = "cli")]
pub(crate) const RULES: &[&Rule] = &[&NO_TOKEN_SOURCE];

const NO_TOKEN_SOURCE: Rule = Rule::launch(
    "no-token-source",
    "`App::keep_tokens_fresh_by` names a handler that does not keep the system tokens fresh. It must be a scheduled trigger \
    that is called once an hour or more often on every site, with `auth = system`: Forge delivers a token that is valid for at least 2 hours.",
);

/// Returns the handlers: an hourly call, one at each installation and major upgrade, and one before
/// an uninstallation. `place` is the app's call of the method that adds them.
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
    let handler = |kind: &'static dyn Kind, key, docs, auth, mount: Arc<dyn ErasedHandler>| {
        let new = Registration::new(kind, NAME, place, auth, mount);
        Registration {
            docs,
            endpoint: Some(key),
            ..new
        }
    };
    [
        handler(
            &HOURLY,
            built_in::TOKENS_HOURLY,
            "Delivers a new system token once an hour.",
            Auth::SYSTEM,
            hourly,
        ),
        handler(
            &Trigger {
                filtered_events: &[],
                events: &[INSTALLED, "avi:forge:upgraded:app"],
                unknown_events: &[],
                conditions: Conditions::NONE,
            },
            built_in::TOKENS_LIFE,
            "Delivers the first system token of an installation.",
            Auth::SYSTEM,
            installed,
        ),
        handler(
            &PreUninstall,
            built_in::TOKENS_GOODBYE,
            "Removes the system token before an uninstallation.",
            Auth::NONE,
            uninstalled,
        ),
    ]
}

async fn hourly(_: Option<SystemToken>) {}

async fn installed(_: Option<SystemToken>) {}

async fn uninstalled(call: Invocation, tokens: Tokens) -> Result<()> {
    Ok(tokens.remove(call.installation_id()).await?)
}
