#[cfg(unix)]
async fn notes(
    State(notes): State<Notes>,
    user: Option<UserToken>,
) -> Json<Vec<String>> {
    Json(notes.of(user))
}
::forge_remote::__private::handler! {
    [#[cfg(unix)]] __forge_remote_annotated_free_function_notes "notes" "" requests_both
    Endpoint {} [NONE] mount_2(notes, < forge_remote_probe < State < Notes >
    >>::forge_remote_part(), < forge_remote_probe < Option < UserToken >
    >>::forge_remote_last(), < forge_remote_probe < Json < Vec < String > >
    >>::forge_remote_reply) [path : "/notes",] method :
    ::forge_remote::__private::Method::Get,
}
