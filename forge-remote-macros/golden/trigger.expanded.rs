pub async fn follow(retry: Retry, Event(issue): Event<IssueEvent>) -> Result<()> {
    let _ = (retry, issue);
    Ok(())
}
::forge_remote::__private::handler! {
    [#[doc(hidden)] pub] __forge_remote_annotated_free_function_follow "follow" ""
    no_user_requests_none Trigger { events : & ["avi:jira:created:issue",
    "avi:jira:deleted:issue"], conditions : ::forge_remote::__private::kinds::Conditions
    { filter :
    ::forge_remote::__private::option::Option::Some("event.issue.fields.project.key == 'DEV'"),
    on_error : ::forge_remote::__private::option::Option::Some("RECEIVE_AND_LOG"),
    ignore_self : true, .. ::forge_remote::__private::kinds::Conditions::NONE }, } [NONE]
    mount_2(follow, < forge_remote_probe < Retry >>::forge_remote_part(), <
    forge_remote_probe < Event < IssueEvent > >>::forge_remote_last(), <
    forge_remote_probe < Result < () > >>::forge_remote_reply) [] also_at : & ["/old"],
    also_key : & ["old", "older"],
}
