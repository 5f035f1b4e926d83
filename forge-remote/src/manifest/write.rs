//! Writing a manifest atomically, without overwriting another program's change.

use std::fs;
use std::io::{self, Write as _};
use std::mem;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use tempfile::NamedTempFile;

use super::error::ManifestError;
use super::file::ManifestFile;
use super::text::{read_all, read_bytes};

impl ManifestFile {
    /// Writes the text atomically: into a new file in the same directory, which then replaces the old one.
    ///
    /// Symbolic links and the file's mode are preserved, and its owner if the process may set it. A
    /// read-only file is not written. Because the file is a new one, hard links keep the old text, and
    /// access control lists are not copied; a program that has the old one open writes into that one.
    ///
    /// # Errors
    ///
    /// The file cannot be written, or another program has saved it since it was
    /// [read](Self::read) ([`ManifestError::Changed`], [`ManifestError::SavedTwice`], [`ManifestError::NotRestored`]).
    pub fn write(&self, text: &str) -> Result<(), ManifestError> {
        self.prepare(text)?.replace(self, Duration::ZERO)
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
    /// Replaces a manifest by this text, unless another program has saved it since it was read. What such a program saves
    /// in the time `settle` counts too: an editor may not have written its whole text yet.
    pub(crate) fn replace(
        self,
        file: &ManifestFile,
        settle: Duration,
    ) -> Result<(), ManifestError> {
        std::thread::sleep(settle);
        self.replace_with(file, || {})
    }

    /// Replaces a manifest; `interfere` runs after the comparison, and before each exchange.
    fn replace_with(
        self,
        file: &ManifestFile,
        interfere: impl FnMut(),
    ) -> Result<(), ManifestError> {
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
                if !has_text(&target, text.as_bytes()) {
                    return Err(changed());
                }
                match exchange(new, &target, text.as_bytes(), interfere).map_err(failed)? {
                    Exchanged::Replaced => {}
                    Exchanged::Changed => return Err(changed()),
                    Exchanged::Kept(kept) => {
                        let path = file.path().to_owned();
                        return Err(ManifestError::SavedTwice { path, kept });
                    }
                    Exchanged::NotRestored(kept, source) => {
                        let path = file.path().to_owned();
                        return Err(ManifestError::NotRestored { path, kept, source });
                    }
                }
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

/// Returns whether a file has a text.
fn has_text(path: &Path, text: &[u8]) -> bool {
    read_bytes(path).ok().as_deref() == Some(text)
}

/// The end of an exchange of two files.
enum Exchanged {
    Replaced,
    /// Another program has saved the file, which has its text.
    Changed,
    /// Other programs have saved the file, which has one of their texts. This file has another one.
    Kept(PathBuf),
    /// Another program has saved the file. This file has its text, which cannot be put back because of the error.
    NotRestored(PathBuf, io::Error),
}

/// A file as it was read.
struct Snapshot {
    /// While it is open, no other file has its identity.
    _file: fs::File,
    identity: Option<(u64, u64)>,
    modified: Option<SystemTime>,
    text: Vec<u8>,
}

impl Snapshot {
    fn of(path: &Path) -> io::Result<Self> {
        let file = fs::File::open(path)?;
        let metadata = file.metadata()?;
        Ok(Self {
            text: read_all(&file)?,
            identity: identity(&metadata),
            modified: metadata.modified().ok(),
            _file: file,
        })
    }

    /// Returns whether both are of one file that no program has saved in between. A save in place of the same text is
    /// noticed by the time of the file system's clock.
    fn is_same(&self, other: &Self) -> bool {
        let parts = |one: &Self| (one.identity, one.modified);
        parts(self) == parts(other) && self.text == other.text
    }
}

#[cfg(unix)]
fn identity(metadata: &fs::Metadata) -> Option<(u64, u64)> {
    use std::os::unix::fs::MetadataExt as _;
    Some((metadata.dev(), metadata.ino()))
}

/// Returns no identity: without it, files are not exchanged.
#[cfg(not(unix))]
fn identity(_: &fs::Metadata) -> Option<(u64, u64)> {
    None
}

/// Upper bound on the exchanges, each of which another program's save may precede.
const MAX_EXCHANGES: usize = 8;

/// Replaces a file that has the text `old`. If another program has saved the file since, its text is at the path again
/// afterwards: after an exchange of the two files, the displaced one shows which text was replaced.
fn exchange(
    new: NamedTempFile,
    target: &Path,
    old: &[u8],
    mut interfere: impl FnMut(),
) -> io::Result<Exchanged> {
    let ours = Snapshot::of(new.path())?;
    // From now on, no destructor removes the file, which may have the other program's text.
    let (_, path) = new.keep().map_err(|error| error.error)?;
    interfere();
    match swap(&path, target) {
        Ok(true) => {}
        Ok(false) => {
            let renamed = fs::rename(&path, target);
            if renamed.is_err() {
                let _ = fs::remove_file(&path);
            }
            return renamed.map(|()| Exchanged::Replaced);
        }
        Err(error) => {
            // The path still has our text.
            let _ = fs::remove_file(&path);
            return match error.kind() {
                io::ErrorKind::NotFound => Ok(Exchanged::Changed),
                _ => Err(error),
            };
        }
    }
    if has_text(&path, old) || has_text(&path, &ours.text) {
        let _ = fs::remove_file(&path);
        return Ok(Exchanged::Replaced);
    }
    // The file that the last exchange has put at the path, and the one before it, which the last exchange has displaced
    // if no program has saved a text since.
    let (mut placed, mut expected) = (Some(ours), None);
    for _ in 1..MAX_EXCHANGES {
        let displaced = Snapshot::of(&path).ok();
        if let (Some(displaced), Some(expected)) = (&displaced, &expected)
            && displaced.is_same(expected)
        {
            let _ = fs::remove_file(&path);
            return Ok(Exchanged::Changed);
        }
        interfere();
        match swap(&path, target) {
            Ok(true) => expected = mem::replace(&mut placed, displaced),
            Ok(false) => {
                let error = io::ErrorKind::Unsupported.into();
                return Ok(Exchanged::NotRestored(path, error));
            }
            Err(error) => return Ok(Exchanged::NotRestored(path, error)),
        }
    }
    Ok(Exchanged::Kept(path))
}

/// Exchanges two files atomically. Returns false if the file system or the system cannot.
#[cfg(any(target_os = "linux", target_os = "android", target_vendor = "apple"))]
fn swap(one: &Path, other: &Path) -> io::Result<bool> {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    use rustix::io::Errno;
    const UNSUPPORTED: [Errno; 4] = [Errno::INVAL, Errno::NOSYS, Errno::OPNOTSUPP, Errno::NOTSUP];
    match renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE) {
        Ok(()) => Ok(true),
        Err(error) if UNSUPPORTED.contains(&error) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android", target_vendor = "apple")))]
fn swap(_: &Path, _: &Path) -> io::Result<bool> {
    Ok(false)
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    const OLD: &str = "app: {}\n";
    const NEW: &str = "app: {}\nremotes: []\n";

    /// Writes the new text while another program does this at each step, and returns the result, the file's text and
    /// the texts of other files; `None` if the file system cannot exchange files.
    fn written(
        saves: impl Fn(&Path, usize),
    ) -> Option<(Result<(), ManifestError>, String, Vec<String>)> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("manifest.yml");
        let other = folder.path().join("other.yml");
        fs::write(&path, OLD).unwrap();
        fs::write(&other, OLD).unwrap();
        if !swap(&path, &other).unwrap() {
            return None;
        }
        fs::remove_file(&other).unwrap();
        let file = ManifestFile::read(&path).unwrap();
        let prepared = file.prepare(NEW).unwrap();
        let mut step = 0;
        let result = prepared.replace_with(&file, || {
            saves(&path, step);
            step += 1;
        });
        let text = fs::read_to_string(&path).unwrap_or_default();
        let others = fs::read_dir(folder.path()).unwrap();
        let others = others.map(|one| one.unwrap().path());
        let others = others.filter(|one| *one != path);
        let others = others.map(|one| fs::read_to_string(one).unwrap());
        let others = Vec::from_iter(others);
        Some((result, text, others))
    }

    /// Saves a text as an editor does: into a new file, or into the old one.
    fn save(path: &Path, text: &str, by_rename: bool) {
        let file = match by_rename {
            true => path.with_extension("editor"),
            false => path.to_owned(),
        };
        fs::write(&file, text).unwrap();
        fs::rename(&file, path).unwrap();
    }

    #[test]
    fn an_editors_last_text_is_kept() {
        let Some((result, text, others)) = written(|_, _| {}) else {
            return;
        };
        result.unwrap();
        assert_eq!((text.as_str(), others.len()), (NEW, 0));
        for by_rename in [true, false] {
            // One save, another one while it is put back, and as many as there are steps.
            for saves in 1..MAX_EXCHANGES {
                let saved = |step: usize| format!("app: {{}}\n# {step}\n");
                let last = saved(saves - 1);
                let (result, text, others) = written(|path, step| {
                    if step < saves {
                        save(path, &saved(step), by_rename);
                    }
                })
                .unwrap();
                let is_at_path = text == last;
                match result.unwrap_err() {
                    ManifestError::Changed { .. } => {
                        assert!(
                            is_at_path && others.is_empty(),
                            "{saves}: {text} {others:?}"
                        );
                    }
                    ManifestError::SavedTwice { kept, .. } => {
                        assert!(kept.file_name().is_some());
                        assert!(is_at_path || others.contains(&last), "{saves}: {others:?}");
                    }
                    error => assert_eq!(error.to_string(), ""),
                }
            }
            // The text from before.
            let (result, text, others) = written(|path, step| match step {
                0 => save(path, "app: {}\n# saved\n", by_rename),
                1 => save(path, OLD, by_rename),
                _ => {}
            })
            .unwrap();
            assert!(matches!(result, Err(ManifestError::Changed { .. })));
            assert_eq!((text.as_str(), others.len()), (OLD, 0));
        }
    }

    /// The last text is one that the program has saved before, for example because of an undo.
    #[test]
    fn a_text_that_is_saved_a_second_time_is_the_last_one() {
        for by_rename in [true, false] {
            let end = written(|path, step| {
                let Some(text) = ["a: 1\n", "a: 2\n", "a: 1\n"].get(step) else {
                    return;
                };
                save(path, text, by_rename);
                // The clock of files is too coarse for these saves.
                let saved = std::time::UNIX_EPOCH + Duration::from_secs(step as u64 + 1);
                let file = fs::OpenOptions::new().write(true).open(path).unwrap();
                file.set_modified(saved).unwrap();
            });
            let Some((result, text, others)) = end else {
                return;
            };
            assert!(matches!(result, Err(ManifestError::Changed { .. })));
            assert_eq!((text.as_str(), others.len()), ("a: 1\n", 0), "{by_rename}");
        }
    }

    /// Another program saves the text that this one writes.
    #[test]
    fn a_text_that_equals_the_new_one_is_kept() {
        let Some((result, text, others)) = written(|path, step| match step {
            0 => save(path, "a: 1\n", true),
            1 => save(path, NEW, true),
            _ => {}
        }) else {
            return;
        };
        assert!(matches!(result, Err(ManifestError::Changed { .. })));
        assert_eq!((text.as_str(), others.len()), (NEW, 0));
    }

    /// The file is deleted after it was saved, so that the saved text cannot be put back.
    #[test]
    fn a_text_that_cannot_be_put_back_is_named() {
        let Some((result, text, others)) = written(|path, step| match step {
            0 => save(path, "a: 1\n", false),
            _ => fs::remove_file(path).unwrap(),
        }) else {
            return;
        };
        let error = result.unwrap_err().to_string();
        assert!(error.contains("cannot be put back"), "{error}");
        assert!(!error.contains("has one of their texts"), "{error}");
        assert_eq!((text.as_str(), others), ("", vec!["a: 1\n".to_owned()]));
    }

    /// An editor that writes in place has written a part of its text when it is displaced.
    #[test]
    fn an_editor_completes_its_text_at_the_path() {
        use std::cell::RefCell;
        let open = RefCell::new(None);
        let write = |text: &str| {
            let mut file = open.borrow_mut();
            let file: &mut Option<fs::File> = &mut file;
            file.as_mut().unwrap().write_all(text.as_bytes()).unwrap();
        };
        let Some((result, text, others)) = written(|path, step| match step {
            0 => {
                *open.borrow_mut() = Some(fs::File::create(path).unwrap());
                write("app: ");
            }
            1 => write("{id: 1}\n"),
            _ => {}
        }) else {
            return;
        };
        assert!(matches!(result, Err(ManifestError::Changed { .. })));
        assert_eq!(text, "app: {id: 1}\n");
        assert_eq!(others.len(), 0);
    }

    #[test]
    fn a_deleted_file_stays_deleted() {
        let Some((result, text, others)) = written(|path, _| fs::remove_file(path).unwrap()) else {
            return;
        };
        assert!(matches!(result, Err(ManifestError::Changed { .. })));
        assert_eq!((text.as_str(), others.len()), ("", 0));
    }
}
