//! `manifest --adopt`: the program that an existing manifest describes.

use std::path::PathBuf;

use super::output::{FAILED, OK, print, print_error};
use crate::app::App;
use crate::manifest::{Adopted, ManifestError, ManifestFile, adopt};

/// The reason why nothing is printed.
#[derive(Debug, thiserror::Error)]
enum AdoptError {
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    #[error(
        "{} does not exist: copy the app's manifest there, or name it with FORGE_REMOTE_MANIFEST",
        path.display()
    )]
    NoManifest { path: PathBuf },
    #[error(
        "{} has no endpoint of a remote, so there is nothing to adopt: annotate functions, and add their \
             endpoints with `manifest --write`",
        path.display()
    )]
    NoEndpoints { path: PathBuf },
}

/// Prints the program, and returns the exit status.
pub(super) fn run(app: &App) -> i32 {
    let path = app.settings().manifest;
    match adopted(&path) {
        Ok(Adopted { program, gaps }) => {
            print(&program);
            if gaps > 0 {
                print_error(&format!(
                    "note: {gaps} parts of {} are not in the program: its first comment lists them",
                    path.display()
                ));
            }
            OK
        }
        Err(error) => {
            print_error(&format!("error: {error}"));
            FAILED
        }
    }
}

fn adopted(path: &PathBuf) -> Result<Adopted, AdoptError> {
    let file = ManifestFile::read(path)?;
    let path = path.to_owned();
    if !file.exists() {
        return Err(AdoptError::NoManifest { path });
    }
    adopt(&file).ok_or(AdoptError::NoEndpoints { path })
}
