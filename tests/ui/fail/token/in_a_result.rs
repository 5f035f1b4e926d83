//! A token that may be rejected is a requirement too.

use forge_remote::prelude::*;
use forge_remote::rejection::OauthTokenRejection;

#[endpoint]
async fn not_requested(token: Result<SystemToken, OauthTokenRejection>) {
    let _ = token;
}

#[scheduled_trigger(interval = "hour", auth = system)]
async fn no_user(token: Result<UserToken, OauthTokenRejection>) {
    let _ = token;
}

fn main() {}
