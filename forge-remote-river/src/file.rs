//! The file of an SQLite database: how it is created, and what this process may do with it.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _};
use std::path::Path;

/// Creates a missing file, readable by its owner only.
pub(crate) fn make_private(path: &Path) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.create_new(true).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

/// Returns whether a file that this process has not opened has a write-ahead log.
/// Source: <https://sqlite.org/fileformat.html>, section 1.3.3
pub(crate) fn is_wal(path: &Path) -> io::Result<bool> {
    let mut head = Vec::new();
    File::open(path)?.take(19).read_to_end(&mut head)?;
    Ok(head.get(18) == Some(&2))
}

/// Returns the folder of a file.
pub(crate) fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    }
}

/// Returns an error if this process can't write the file. It is not opened.
pub(crate) fn check_file(path: &Path) -> io::Result<()> {
    #[cfg(unix)]
    rustix::fs::access(path, rustix::fs::Access::WRITE_OK)?;
    #[cfg(not(unix))]
    if path.metadata()?.permissions().readonly() {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    Ok(())
}

/// Returns an error if this process can't create files in the folder. It creates none.
pub(crate) fn check_folder(folder: &Path) -> io::Result<()> {
    #[cfg(unix)]
    {
        use rustix::fs::Access;

        rustix::fs::access(folder, Access::WRITE_OK | Access::EXEC_OK)?;
    }
    #[cfg(not(unix))]
    folder.metadata()?;
    Ok(())
}
