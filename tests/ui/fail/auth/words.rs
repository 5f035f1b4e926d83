use forge_remote::{endpoint, scheduled_trigger};

#[endpoint(auth = usr)]
async fn misspelled() {}

#[endpoint(auth = app)]
async fn unknown() {}

#[scheduled_trigger(interval = "hour", auth = systen)]
async fn on_a_schedule() {}

#[endpoint(auth = [user, user])]
async fn repeated() {}

#[endpoint(auth = [])]
async fn empty() {}

#[endpoint(auth = [system, none])]
async fn none_in_a_list() {}

#[endpoint(auth = "system")]
async fn string() {}

#[endpoint(auth = ["system", "user"])]
async fn strings() {}

#[endpoint(auth = (system, user))]
async fn tuple() {}

#[endpoint(auth = system | user)]
async fn or() {}

#[endpoint(auth = true)]
async fn flag() {}

#[endpoint(auth = appSystemToken)]
async fn as_in_the_manifest() {}

fn main() {
    drop((
        misspelled(),
        unknown(),
        on_a_schedule(),
        repeated(),
        empty(),
        none_in_a_list(),
    ));
    drop((
        string(),
        strings(),
        tuple(),
        or(),
        flag(),
        as_in_the_manifest(),
    ));
}
