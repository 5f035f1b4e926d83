//! Whether a token that a page brought is this installation's: asked of Atlassian, once per token.
//!
//! OAuth headers are not signed, so a page's user can send the token of another app and of another
//! site. Where the token alone names the tenant, such a call would work on that other tenant's data.

use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use futures_util::FutureExt as _;
use serde_json::Value;

use super::api::Api;
use super::error::ClientError;
use super::graphql::GraphQlClient;
use super::path::Path;
use super::product::ProductApi;
use super::product_client::ProductClient;
use super::single_flight::{Now, Timed, hash};
use super::token_caches::{ProofKey, Verdict};
use crate::credentials::{VerifiedCall, expires_at};

/// How long a proof holds where the token's end cannot be read.
const UNKNOWN_LIFE: Duration = Duration::from_secs(3600);
/// No token lives longer.
/// Source: <https://developer.atlassian.com/platform/forge/remote/calling-product-apis/>
const LONGEST: Duration = Duration::from_secs(4 * 3600);
/// How long a refusal holds: as long as Atlassian wants between two questions.
/// Source: <https://developer.atlassian.com/platform/forge/apis-reference/installation-details-api/>
const REFUSED_LIFE: Duration = Duration::from_secs(5 * 60);
/// How many refused tokens of one user of an installation are asked about within that time:
/// Atlassian allows 50 questions a minute for all installations together.
const MAX_REFUSED: usize = 3;

const FIX_SYSTEM: &str = "Keep tokens (`App::token_store` with `App::keep_tokens_fresh`): pages' handlers \
                          then get the token that Forge itself delivered";
const FIX_USER: &str = "List a scope in which Atlassian names the token's account (`read:me`, \
                        `read:jira-user` or `read:confluence-user`), or use `ProductApi::impersonate`";

impl ProductClient {
    /// Whether the token may be used without a question.
    pub(super) fn is_proven(&self) -> bool {
        let Some(call) = &self.unproven else {
            return true;
        };
        let proofs = &self.place.atlassian.shared.proofs;
        proofs.peek(&self.question(call), self.now()) == Some(Verdict::Proven)
    }

    /// Completes once the token is proven to be this installation's.
    pub(super) async fn prove(&self) -> Result<(), ClientError> {
        let Some(call) = &self.unproven else {
            return Ok(());
        };
        if self.is_kept(call).await {
            return Ok(());
        }
        let question = self.question(call);
        let who: Option<Arc<str>> = call.claims().principal().map(Into::into);
        let shared = &self.place.atlassian.shared;
        let proofs = &shared.proofs;
        let turn;
        let mut _has_turn = None;
        if proofs.peek(&question, self.now()).is_none() {
            turn = shared
                .turns
                .of((question.installation_id.clone(), who.clone()));
            _has_turn = Some(turn.lock().await);
        }
        let now = self.now();
        if proofs.peek(&question, now).is_none() {
            let refused = proofs.count(now, |other, verdict| {
                other.installation_id == question.installation_id
                    && *verdict == Verdict::Refused(who.clone())
            });
            if refused >= MAX_REFUSED {
                let reason = "too many of this user's tokens were refused within 5 minutes";
                return Err(self.unproven(reason, None));
            }
        }
        let start = |number| {
            let asking = ask(self.asking(), call.clone(), question.clone(), who, number);
            asking.boxed().shared()
        };
        let verdict = match proofs.get(&question, now, start) {
            Ok(verdict) => Ok(verdict),
            Err(flight) => flight.await,
        };
        match verdict {
            Ok(verdict) if verdict.value == Verdict::Proven => Ok(()),
            Ok(_) if self.is_user() => {
                Err(self.unproven("Atlassian does not name the call's user for it", None))
            }
            Ok(_) => Err(self.unproven("Atlassian refuses it for this app and installation", None)),
            Err(error) => Err(self.unproven("Atlassian could not be asked", Some(error))),
        }
    }

    /// The error of a token that was not proven.
    pub(super) fn unproven(
        &self,
        reason: &'static str,
        source: Option<Arc<ClientError>>,
    ) -> ClientError {
        ClientError::UnprovenToken {
            api: self.api(),
            reason,
            fix: if self.is_user() { FIX_USER } else { FIX_SYSTEM },
            source,
        }
    }

    /// Whether it is the token that the platform itself delivered.
    async fn is_kept(&self, call: &VerifiedCall) -> bool {
        let Some(tokens) = self.place.atlassian.shared.tokens.get() else {
            return false;
        };
        if self.is_user() {
            return false;
        }
        let kept = tokens.of_platform(call.claims()).await;
        kept.is_some_and(|kept| kept.expose_secret() == self.secret())
    }

    fn question(&self, call: &VerifiedCall) -> ProofKey {
        let account = call.claims().principal().map(str::to_owned);
        ProofKey {
            installation_id: call.claims().installation_id().to_owned(),
            token: hash(self.secret()),
            account: account.filter(|_| self.is_user()),
        }
    }

    /// The same token for the question itself.
    fn asking(&self) -> Self {
        Self {
            unproven: None,
            tokens: None,
            ..self.clone()
        }
    }

    /// The same token for another API.
    fn at(&self, product: ProductApi) -> Self {
        Self {
            place: product.0,
            ..self.clone()
        }
    }

    fn now(&self) -> Now {
        Now::of(&*self.settings().clock)
    }
}

async fn ask(
    client: ProductClient,
    call: VerifiedCall,
    question: ProofKey,
    who: Option<Arc<str>>,
    number: u64,
) -> Result<Timed<Verdict>, Arc<ClientError>> {
    let asked = client.now();
    let proven = if client.is_user() {
        is_users(&client, &call).await
    } else {
        is_installations(&client, &call).await
    };
    let verdict = proven.map_err(Arc::new).map(|proven| {
        if !proven {
            return Timed::new(Verdict::Refused(who), asked, REFUSED_LIFE);
        }
        let own = expires_at(client.secret());
        let own = own.map(|ends| ends.duration_since(asked.wall).unwrap_or_default());
        let life = own.unwrap_or(UNKNOWN_LIFE).min(LONGEST);
        Timed::new(Verdict::Proven, asked, life)
    });
    let proofs = &client.place.atlassian.shared.proofs;
    proofs.finish(
        question,
        number,
        verdict.as_ref().ok().cloned(),
        client.now(),
    );
    verdict
}

/// Whether Atlassian accepts the app's token for this app, environment and installation: the API
/// answers 401 unless the token was issued for the installation in the path.
/// Source: <https://developer.atlassian.com/platform/forge/apis-reference/installation-details-api/>
async fn is_installations(
    client: &ProductClient,
    call: &VerifiedCall,
) -> Result<bool, ClientError> {
    let claims = call.claims();
    let last = |ari: &str| ari.rsplit('/').next().unwrap_or_default().to_owned();
    let app = last(claims.app_id());
    let environment = claims.environment_id().map(last).unwrap_or_default();
    let installation = last(claims.installation_id());
    if environment.is_empty() {
        return Ok(false);
    }
    let path = Path::__fill(
        "/forge/installation/v1/{}/{}/installation/{}",
        &[&app, &environment, &installation],
    );
    let forge = client.at(client.place.on_platform(Api::Platform));
    match forge.get(path).send().await {
        Ok(_) => Ok(true),
        Err(error) if is_refusal(&error) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Whether Atlassian says that a user's token is of the call's user. Who is asked depends on the
/// app's scopes, so one after the other is.
/// Sources: <https://developer.atlassian.com/cloud/jira/platform/rest/v3/api-group-myself/>,
/// <https://developer.atlassian.com/cloud/confluence/rest/v1/api-group-users/>
async fn is_users(client: &ProductClient, call: &VerifiedCall) -> Result<bool, ClientError> {
    let claims = call.claims();
    let Some(principal) = claims.principal() else {
        return Ok(false);
    };
    let atlassian = &client.place.atlassian;
    for (api, path) in [
        (Api::Jira, "/rest/api/3/myself"),
        (Api::Confluence, "/wiki/rest/api/user/current"),
    ] {
        let product = client.at(ProductApi::new(atlassian, api, claims));
        if product.place.base.is_err() {
            continue;
        }
        match account(product.get(path).fetch::<Value>().await, "/accountId")? {
            Some(account) => return Ok(account == principal),
            None => continue,
        }
    }
    let graphql = GraphQlClient(client.at(client.place.on_platform(Api::GraphQl)));
    let asked = graphql.operation("query { me { user { accountId } } }");
    let account = account(asked.fetch::<Value>().await, "/me/user/accountId")?;
    Ok(account.is_some_and(|account| account == principal))
}

/// The account that an answer names; `None` where there is no answer for this token.
fn account(
    answer: Result<Value, ClientError>,
    pointer: &str,
) -> Result<Option<String>, ClientError> {
    match answer {
        Ok(answer) => Ok(answer
            .pointer(pointer)
            .and_then(Value::as_str)
            .map(str::to_owned)),
        Err(error) if is_refusal(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether Atlassian has answered that the token does not do, rather than not at all.
fn is_refusal(error: &ClientError) -> bool {
    matches!(
        error,
        ClientError::GraphQl { .. } | ClientError::Unreadable { .. }
    ) || matches!(
        error.status(),
        Some(StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::NOT_FOUND)
    )
}
