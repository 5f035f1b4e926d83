//! The file of an SQLite database: how it is created, and what this process may do with it. The token store and
//! `forge-remote-river` use it. No type of `sqlx` is here: the two may have different versions of it.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

/// Creates the file with a private mode before SQLite does; its log gets the same mode. An existing
/// file is not opened: closing it would release SQLite's locks of all this process's connections to it.
/// Source: <https://sqlite.org/howtocorrupt.html>, section 2.2
pub fn make_private(path: &Path) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.create_new(true).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

/// A database's file that this process has not opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClosedFile {
    /// Whether it has a write-ahead log.
    pub is_wal: bool,
    /// Whether nobody uses it: a reader would leave an empty log.
    pub is_immutable: bool,
}

/// The error of a file that cannot be read, or cannot be created.
#[derive(Debug)]
pub struct LookError {
    /// The fix, for a missing file.
    pub advice: Option<&'static str>,
    /// The cause.
    pub source: io::Error,
}

/// Looks at a database's file without changing it, or a file next to it; `None` if it does not exist and can be
/// created.
pub fn look(path: &Path) -> Result<Option<ClosedFile>, LookError> {
    let failed = |advice, source| Err(LookError { advice, source });
    match is_wal(path) {
        Ok(is_wal) => Ok(Some(ClosedFile {
            is_wal,
            is_immutable: is_wal && !sibling(path, "-wal").exists(),
        })),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let folder = folder_of(path);
            if !folder.is_dir() {
                return failed(Some("its directory does not exist: create it"), error);
            }
            match check_folder(folder) {
                Ok(()) => Ok(None),
                Err(error) => failed(
                    Some(
                        "the file does not exist, and cannot be created: make its directory writable for the app's user",
                    ),
                    error,
                ),
            }
        }
        Err(error) => failed(None, error),
    }
}

/// Returns whether a file has a write-ahead log.
/// Source: <https://sqlite.org/fileformat.html>, section 1.3.3
fn is_wal(path: &Path) -> io::Result<bool> {
    let mut head = Vec::new();
    File::open(path)?.take(19).read_to_end(&mut head)?;
    Ok(head.get(18) == Some(&2))
}

/// Returns the path of a file next to this one: its path with a suffix.
pub fn sibling(path: &Path, suffix: &str) -> PathBuf {
    let mut path = path.as_os_str().to_owned();
    path.push(suffix);
    path.into()
}

/// Returns the directory of a file.
pub fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    }
}

/// Returns an error if this process cannot write the file. It is not opened.
pub fn check_file(path: &Path) -> io::Result<()> {
    #[cfg(unix)]
    rustix::fs::access(path, rustix::fs::Access::WRITE_OK)?;
    #[cfg(not(unix))]
    if path.metadata()?.permissions().readonly() {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    Ok(())
}

/// Returns an error if this process cannot create files in the folder. It creates none.
pub fn check_folder(folder: &Path) -> io::Result<()> {
    #[cfg(unix)]
    {
        use rustix::fs::Access;

        rustix::fs::access(folder, Access::WRITE_OK | Access::EXEC_OK)?;
    }
    #[cfg(not(unix))]
    folder.metadata()?;
    Ok(())
}
