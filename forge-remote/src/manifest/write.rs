//! Writing a manifest atomically, without overwriting another program's change.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use super::error::ManifestError;
use super::file::ManifestFile;

impl ManifestFile {
    /// Writes the text atomically: into a new file in the same directory, which then replaces the old one.
    ///
    /// Symbolic links and the file's mode are preserved, and its owner if the process may set it. A
    /// read-only file is not written. Because the file is a new one, hard links keep the old text, and
    /// access control lists are not copied.
    ///
    /// # Errors
    ///
    /// The file cannot be written, or another program has saved it since it was
    /// [read](Self::read) ([`ManifestError::Changed`]).
    pub fn write(&self, text: &str) -> Result<(), ManifestError> {
        self.prepare(text)?.replace(self)
    }

    /// Writes the text into a new file in the same folder, which is removed if it does not replace the old one.
    pub(crate) fn prepare(&self, text: &str) -> Result<Prepared, ManifestError> {
        let failed = |source| ManifestError::Write {
            path: self.path().to_owned(),
            source,
        };
        let target = if self.exists() {
            fs::canonicalize(self.path()).map_err(failed)?
        } else {
            link_target(self.path())
        };
        let metadata = fs::metadata(&target).ok();
        if metadata
            .as_ref()
            .is_some_and(|metadata| metadata.permissions().readonly())
        {
            let reason = "it is marked read-only";
            return Err(failed(io::Error::new(
                io::ErrorKind::PermissionDenied,
                reason,
            )));
        }
        let mut new = tempfile::Builder::new()
            .prefix(".manifest.yml.")
            .tempfile_in(folder_of(&target))
            .map_err(failed)?;
        new.write_all(text.as_bytes()).map_err(failed)?;
        match metadata {
            Some(metadata) => {
                // The owner first: changing it may clear bits of the mode.
                keep_owner(new.as_file(), &metadata);
                new.as_file()
                    .set_permissions(metadata.permissions())
                    .map_err(failed)?;
            }
            None => readable(new.as_file()).map_err(failed)?,
        }
        new.as_file().sync_all().map_err(failed)?;
        Ok(Prepared { new, target })
    }
}

/// A manifest's new text, in a file of the same folder.
pub(crate) struct Prepared {
    new: NamedTempFile,
    target: PathBuf,
}

impl Prepared {
    /// Replaces a manifest by this text, unless another program has saved it since it was read.
    pub(crate) fn replace(self, file: &ManifestFile) -> Result<(), ManifestError> {
        let Self { new, target } = self;
        let failed = |source| ManifestError::Write {
            path: file.path().to_owned(),
            source,
        };
        let changed = || ManifestError::Changed {
            path: file.path().to_owned(),
        };
        match file.exists().then(|| file.text()) {
            Some(text) => {
                if fs::read(&target).ok().as_deref() != Some(text.as_bytes()) {
                    return Err(changed());
                }
                new.persist(&target).map_err(|error| failed(error.error))?;
            }
            None => {
                new.persist_noclobber(&target)
                    .map_err(|error| match error.error.kind() {
                        io::ErrorKind::AlreadyExists => changed(),
                        _ => failed(error.error),
                    })?;
            }
        }
        sync_folder(folder_of(&target));
        Ok(())
    }
}

fn folder_of(path: &Path) -> &Path {
    let folder = path.parent();
    let folder = folder.filter(|folder| !folder.as_os_str().is_empty());
    folder.unwrap_or(Path::new("."))
}

#[cfg(unix)]
fn keep_owner(file: &fs::File, metadata: &fs::Metadata) {
    use std::os::unix::fs::{MetadataExt as _, fchown};
    // Failure is ignored: only root may change the owner, and others only to one of their groups.
    let _ = fchown(file, Some(metadata.uid()), Some(metadata.gid()));
}

#[cfg(not(unix))]
fn keep_owner(_: &fs::File, _: &fs::Metadata) {}

/// Syncs a directory, so that a new file in it survives a power failure; not every file system can.
#[cfg(unix)]
fn sync_folder(folder: &Path) {
    let _ = fs::File::open(folder).and_then(|folder| folder.sync_all());
}

#[cfg(not(unix))]
fn sync_folder(_: &Path) {}

/// Upper bound on the links to one file: more are a circle.
const MAX_LINKS: usize = 40;

/// Returns the target of a link whose file does not exist yet.
fn link_target(path: &Path) -> PathBuf {
    let mut path = path.to_owned();
    for _ in 0..MAX_LINKS {
        let Ok(target) = fs::read_link(&path) else {
            break;
        };
        path = path
            .parent()
            .map_or_else(|| target.clone(), |folder| folder.join(&target));
    }
    path
}

/// Makes a new manifest readable for everyone, because temporary files are private.
#[cfg(unix)]
fn readable(file: &fs::File) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    file.set_permissions(fs::Permissions::from_mode(0o644))
}

#[cfg(not(unix))]
fn readable(_: &fs::File) -> io::Result<()> {
    Ok(())
}
