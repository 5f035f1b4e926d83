//! The manifest is written atomically and in place, and never over another program's changes.

use std::fs;

use forge_remote::manifest::{ManifestError, ManifestFile};
use forge_remote_tests::stores::Folder;

const BEFORE: &str = "app:\n  id: ari:cloud:ecosystem::app/8db33809-1f32-48bb-8c52-5877dab48107\n";

#[test]
fn changes_that_an_editor_saved_are_not_overwritten() {
    let folder = Folder::default();
    let path = folder.file("manifest.yml");
    fs::write(&path, BEFORE).unwrap();
    let file = ManifestFile::read(&path).unwrap();
    let saved = format!("{BEFORE}# saved by an editor\n");
    fs::write(&path, &saved).unwrap();
    let error = file.write("app: {}\n").unwrap_err();
    assert!(matches!(error, ManifestError::Changed { .. }), "{error}");
    assert!(
        error.to_string().contains("run the command again"),
        "{error}"
    );
    assert_eq!(fs::read_to_string(&path).unwrap(), saved);

    // The same for a file that did not exist, and one that was deleted.
    let new = folder.file("new.yml");
    let file = ManifestFile::read(&new).unwrap();
    fs::write(&new, BEFORE).unwrap();
    let error = file.write("app: {}\n").unwrap_err();
    assert!(matches!(error, ManifestError::Changed { .. }), "{error}");
    assert_eq!(fs::read_to_string(&new).unwrap(), BEFORE);
    let file = ManifestFile::read(&new).unwrap();
    fs::remove_file(&new).unwrap();
    assert!(file.write("app: {}\n").is_err());
    assert!(!new.exists());

    // After another read it is written, and no temporary file remains.
    let file = ManifestFile::read(&path).unwrap();
    file.write("app: {}\n").unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "app: {}\n");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[cfg(unix)]
#[test]
fn a_new_file_is_written_at_the_end_of_a_chain_of_links() {
    use std::os::unix::fs::symlink;
    let folder = Folder::default();
    let (first, last) = (folder.file("manifest.yml"), folder.file("real.yml"));
    symlink("second.yml", &first).unwrap();
    symlink(&last, folder.file("second.yml")).unwrap();
    ManifestFile::read(&first)
        .unwrap()
        .write("app: {}\n")
        .unwrap();
    assert_eq!(fs::read_to_string(&last).unwrap(), "app: {}\n");
    assert!(fs::symlink_metadata(&first).unwrap().is_symlink());
}

#[cfg(unix)]
#[test]
fn mode_owner_and_link_are_preserved() {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, symlink};
    let folder = Folder::default();
    let path = folder.file("real.yml");
    fs::write(&path, BEFORE).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    // Only root can change the owner; otherwise the owner is the same anyway.
    let _ = chown(&path, Some(12_345), Some(54_321));
    let before = fs::metadata(&path).unwrap();
    let link = folder.file("manifest.yml");
    symlink(&path, &link).unwrap();
    let file = ManifestFile::read(&link).unwrap();
    file.write("app: {}\n").unwrap();
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    let after = fs::metadata(&path).unwrap();
    assert_eq!(after.mode(), before.mode());
    assert_eq!((after.uid(), after.gid()), (before.uid(), before.gid()));
    assert_eq!(fs::read_to_string(&path).unwrap(), "app: {}\n");
}

/// A file that is no manifest is not read without an end, and each error has its fix.
#[test]
fn a_file_that_cannot_be_read_is_an_error_with_its_fix() {
    let folder = Folder::default();
    let fix_of = |path: &std::path::Path| ManifestFile::read(path).unwrap_err().to_string();
    let path = folder.file("manifest.yml");
    fs::write(&path, b"\xff\xfe").unwrap();
    assert!(fix_of(&path).ends_with(": save it as UTF-8"));
    let largest = 16 * 1024 * 1024;
    let comment = format!("#{}", "x".repeat(largest - 1));
    fs::write(&path, &comment).unwrap();
    assert!(ManifestFile::read(&path).is_ok());
    fs::write(&path, comment + "x").unwrap();
    let too_large = "it has more than 16 MiB: name a manifest";
    assert!(fix_of(&path).ends_with(too_large));
    // The bound is inside of a character.
    fs::write(&path, format!("#x{}", "é".repeat(largest))).unwrap();
    assert!(fix_of(&path).ends_with(too_large));
    #[cfg(target_os = "linux")]
    assert!(fix_of(std::path::Path::new("/dev/zero")).ends_with(too_large));
}
