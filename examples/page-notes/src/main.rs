#![doc = include_str!("../README.md")]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use forge_remote::RemoteOperation;
use forge_remote::prelude::*;
use serde::{Deserialize, Serialize};

/// A note on a page.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Note {
    author: String,
    text: String,
}

/// A page's key: the installation's id and the page's id.
type PageKey = (String, String);

/// All notes. The example keeps them in memory; a production app would use a database.
#[derive(Clone, Default)]
struct Notes(Arc<Mutex<BTreeMap<PageKey, Vec<Note>>>>);

impl Notes {
    fn of(&self, page: &PageKey) -> Vec<Note> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(page)
            .cloned()
            .unwrap_or_default()
    }

    fn add(&self, page: PageKey, note: Note) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .entry(page)
            .or_default()
            .push(note);
    }
}

/// The page that the macro is on, from the FIT's `context`.
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

/// Returns the page's key, which is taken from the verified FIT and never from the body.
fn page_key(call: &Invocation) -> Result<PageKey> {
    let context: Context = call
        .context_as()
        .and_then(Result::ok)
        .ok_or_else(|| Error::http(StatusCode::BAD_REQUEST, "call this from a macro on a page"))?;
    Ok((
        call.installation_id().to_owned(),
        context.extension.content.id,
    ))
}

/// Returns the notes of the page.
#[endpoint(method = "GET", key = "notes", path = "/notes", auth = user, scopes = ["read:confluence-user"])]
async fn list(call: Invocation, State(notes): State<Notes>) -> Result<Json<Vec<Note>>> {
    Ok(Json(notes.of(&page_key(&call)?)))
}

#[derive(Deserialize)]
struct NewNote {
    text: String,
}

/// The current user, from Confluence's API.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct User {
    display_name: String,
}

/// Adds a note of the current user.
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
    notes.add(page_key(&call)?, note.clone());
    Ok((StatusCode::CREATED, Json(note)))
}

/// The page that is exported.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Exported {
    page_id: String,
}

/// Returns the notes of a page for its export, which the macro's Forge function makes (`src/index.js`). The app's own
/// function names the page; no page of the app and no user can call this.
#[function_call(path = "/export")]
async fn export(
    call: Invocation,
    State(notes): State<Notes>,
    Json(page): Json<Exported>,
) -> Json<Vec<Note>> {
    let page = (call.installation_id().to_owned(), page.page_id);
    Json(notes.of(&page))
}

fn app() -> App {
    App::new()
        .remote(
            Remote::new("page-notes-backend")
                .base_url("https://page-notes.example.com")
                // The notes are users' data. The function's call adds `compute`.
                .operations([RemoteOperation::Storage])
                .in_scope_eud(true),
        )
        .state(Notes::default())
        .sample_body("notes", BTreeMap::from([("text", "A note from `dev`")]))
        .sample_body("export", BTreeMap::from([("pageId", "5341185")]))
}

#[tokio::main]
async fn main() -> Result<()> {
    app().run().await
}

// `cargo test` fails if manifest.yml differs from the code.
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
    async fn a_function_exports_the_notes_of_a_page() -> Result<()> {
        let harness = Harness::with_apis(app()).await?;
        let add = harness.call_method(Method::Post, "notes");
        let context = json!({ "extension": { "content": { "id": "7" } } });
        let add = add.fit(|fit| fit.set("/context", context));
        assert_eq!(
            add.json(&json!({ "text": "first" })).send().await.status(),
            201
        );

        let export = || harness.call("export").json(&json!({ "pageId": "7" }));
        let exported = export().send().await;
        assert_eq!(
            exported.json(),
            json!([{ "author": "A local user", "text": "first" }])
        );
        let by_a_page = export().fit(|fit| fit.module("xen:macro", "page-notes"));
        assert_eq!(by_a_page.send().await.status(), 401);
        Ok(())
    }

    #[tokio::test]
    async fn an_invalid_body_is_rejected_with_a_reason() -> Result<()> {
        let harness = Harness::new(app())?;
        let response = harness
            .call_method(Method::Post, "notes")
            .json(&json!({ "txt": 1 }))
            .send()
            .await;
        assert_eq!(response.status(), 422);
        assert!(
            response.text().contains("missing field `text`"),
            "{response:?}"
        );
        Ok(())
    }
}
