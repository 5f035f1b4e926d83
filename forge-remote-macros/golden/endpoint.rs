#[endpoint(method = get, path = "/notes", auth = [system, user])]
#[cfg(unix)]
async fn notes(State(notes): State<Notes>, user: Option<UserToken>) -> Json<Vec<String>> {
    Json(notes.of(user))
}
