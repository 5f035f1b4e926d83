/// Refreshes the index.
async fn refresh_index(call: Invocation, token: SystemToken) -> Result<()> {
    let _ = (call, token);
    Ok(())
}
::forge_remote::__private::handler! {
    [] __forge_remote_annotated_free_function_refresh_index "refresh_index" ""
    no_user_requests_system ScheduledTrigger { interval :
    ::forge_remote::__private::option::Option::Some(::forge_remote::__private::kinds::Interval::Hour),
    } [NONE] mount_2(refresh_index, < forge_remote_probe < Invocation
    >>::forge_remote_part(), < forge_remote_probe < SystemToken >>::forge_remote_last(),
    < forge_remote_probe < Result < () > >>::forge_remote_reply) [] docs :
    "Refreshes the index.", scopes : & ["read:jira-work"],
}
