//! The backend of a Confluence macro: it keeps notes for each page of each installation. The page
//! calls it with `invokeRemote`, and acts as the user who is looking at it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use forge_remote::prelude::*;
use serde::{Deserialize, Serialize};

/// A note on a page.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Note {
    author: String,
    text: String,
}

/// Where a note belongs: the installation and the page.
type Place = (String, String);

/// Every note, in memory: a real app puts its database here.
#[derive(Clone, Default)]
struct Notes(Arc<Mutex<BTreeMap<Place, Vec<Note>>>>);

impl Notes {
    fn of(&self, place: &Place) -> Vec<Note> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(place)
            .cloned()
            .unwrap_or_default()
    }

    fn add(&self, place: Place, note: Note) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .entry(place)
            .or_default()
            .push(note);
    }
}

/// What the macro's page tells about itself, in the token's `context`.
#[derive(Deserialize)]
struct Context {
    extension: Extension,
}

#[derive(Deserialize)]
struct Extension {
    content: Content,
}

#[derive(Deserialize)]
struct Content {
    id: String,
}

/// The tenant and the page come from the verified token, never from the body.
fn place(call: &Invocation) -> Result<Place> {
    let context: Context = call
        .context_as()
        .and_then(Result::ok)
        .ok_or_else(|| Error::http(StatusCode::BAD_REQUEST, "call this from a macro on a page"))?;
    Ok((
        call.installation_id().to_owned(),
        context.extension.content.id,
    ))
}

/// The notes of the page.
#[endpoint(method = "GET", key = "notes", path = "/notes", auth = user, scopes = ["read:confluence-user"])]
async fn list(call: Invocation, State(notes): State<Notes>) -> Result<Json<Vec<Note>>> {
    Ok(Json(notes.of(&place(&call)?)))
}

#[derive(Deserialize)]
struct NewNote {
    text: String,
}

/// Whoever a user token is for, as Confluence says it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct User {
    display_name: String,
}

/// Adds a note as the user who is looking at the page.
#[endpoint(key = "notes", path = "/notes", auth = user, scopes = ["read:confluence-user"])]
async fn add(
    call: Invocation,
    user: UserToken,
    State(notes): State<Notes>,
    Json(new): Json<NewNote>,
) -> Result<(StatusCode, Json<Note>)> {
    let confluence = call.confluence().as_user(&user);
    let me: User = confluence
        .get("/wiki/rest/api/user/current")
        .fetch()
        .await?;
    let note = Note {
        author: me.display_name,
        text: new.text,
    };
    notes.add(place(&call)?, note.clone());
    Ok((StatusCode::CREATED, Json(note)))
}

fn app() -> App {
    App::new()
        .remote(Remote::new("page-notes-backend").base_url("https://page-notes.example.com"))
        .state(Notes::default())
        .sample_body("notes", BTreeMap::from([("text", "A note from `dev`")]))
}

#[tokio::main]
async fn main() -> Result<()> {
    app().run().await
}

// `cargo test` fails when manifest.yml and the code disagree.
#[cfg(test)]
forge_remote::test_manifest!(app());

#[cfg(test)]
mod tests {
    use forge_remote::registry::Method;
    use forge_remote::testing::Harness;
    use serde_json::json;

    use super::*;

    #[tokio::test]
    async fn notes_are_kept_by_page_and_installation() -> Result<()> {
        let harness = Harness::with_apis(app()).await?;
        let call = |method| harness.call_method(method, "notes");

        let added = call(Method::Post)
            .json(&json!({ "text": "first" }))
            .send()
            .await;
        assert_eq!(added.status(), 201, "{added:?}");
        let listed = call(Method::Get).send().await;
        assert_eq!(
            listed.json(),
            json!([{ "author": "A local user", "text": "first" }])
        );

        let elsewhere = "0a3a7799-53ae-4a5b-9e7e-03338980abb5";
        let listed = call(Method::Get)
            .fit(|fit| fit.installation(elsewhere))
            .send()
            .await;
        assert_eq!(listed.json(), json!([]));
        Ok(())
    }

    #[tokio::test]
    async fn what_is_wrong_with_a_body_is_said() -> Result<()> {
        let harness = Harness::new(app())?;
        let answer = harness
            .call_method(Method::Post, "notes")
            .json(&json!({ "txt": 1 }))
            .send()
            .await;
        assert_eq!(answer.status(), 422);
        assert!(answer.text().contains("missing field `text`"), "{answer:?}");
        Ok(())
    }
}
