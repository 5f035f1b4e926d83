#[trigger(
    events = ["avi:jira:created:issue", "avi:jira:deleted:issue"],
    filter = "event.issue.fields.project.key == 'DEV'",
    on_error = "RECEIVE_AND_LOG",
    ignore_self,
    also_at = "/old",
    also_key = ["old", "older"],
)]
pub async fn follow(retry: Retry, Event(issue): Event<IssueEvent>) -> Result<()> {
    let _ = (retry, issue);
    Ok(())
}
