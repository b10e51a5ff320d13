//! Whether only the user can have written what lies in a folder. Who can write to a folder above decides what is in it.
//!
//! A folder or file must belong to the user or to root, and nobody else may write to it. In a folder with the sticky bit (`/tmp`)
//! others cannot replace what is not theirs. A group that has the number of the user is theirs alone, and group 0 is root's.

use std::path::Path;

/// What is wrong with the folder or with one above it: `/srv/x belongs to uid 1001`.
///
/// A folder that does not exist yet is judged by those that do.
pub(super) fn distrust(folder: &Path) -> Option<String> {
    unix::distrust(folder)
}

/// What is wrong with an open file.
pub(super) fn distrust_file(path: &Path, file: &std::fs::File) -> Option<String> {
    unix::distrust_file(path, file)
}

#[cfg(unix)]
mod unix {
    use std::fs::{File, Metadata};
    use std::os::unix::fs::MetadataExt as _;
    use std::path::Path;

    const STICKY: u32 = 0o1000;

    pub(super) fn distrust(folder: &Path) -> Option<String> {
        // A link is in one folder and leads to another; both ways count.
        let real = folder.ancestors().find_map(|above| above.canonicalize().ok());
        let both = folder.ancestors().chain(real.iter().flat_map(|real| real.ancestors()));
        both.filter(|above| !above.as_os_str().is_empty())
            .find_map(|above| of(above, &std::fs::metadata(above).ok()?))
    }

    pub(super) fn distrust_file(path: &Path, file: &File) -> Option<String> {
        match file.metadata() {
            Ok(metadata) => of(path, &metadata),
            Err(error) => Some(format!("{}: {error}", path.display())),
        }
    }

    fn of(path: &Path, metadata: &Metadata) -> Option<String> {
        let (owner, group, mode) = (metadata.uid(), metadata.gid(), metadata.mode());
        let sticky = metadata.is_dir() && mode & STICKY != 0;
        let why = judge(owner, group, mode, sticky, rustix::process::geteuid().as_raw())?;
        Some(format!("{} {why}", path.display()))
    }

    fn judge(owner: u32, group: u32, mode: u32, sticky: bool, me: u32) -> Option<String> {
        if owner != me && owner != 0 {
            return Some(format!("belongs to uid {owner}"));
        }
        let private = group == 0 || group == owner;
        match mode & 0o7777 {
            _ if sticky => None,
            mode if mode & 0o002 != 0 => Some(format!("can be written to by everybody (mode {mode:04o})")),
            mode if mode & 0o020 != 0 && !private => {
                Some(format!("can be written to by gid {group} (mode {mode:04o})"))
            }
            _ => None,
        }
    }

    #[cfg(test)]
    mod tests {
        use super::judge;

        #[test]
        fn only_the_user_and_root_may_have_written() {
            let me = 1000;
            for (owner, group, mode, sticky) in [
                (me, 50, 0o40755, false),
                (0, 0, 0o40755, false),
                // Private groups, as with a umask of 002.
                (me, me, 0o40775, false),
                (0, 0, 0o40775, false),
                (0, 0, 0o41777, true),
                (me, 50, 0o100600, false),
            ] {
                assert_eq!(judge(owner, group, mode, sticky, me), None, "{owner} {group} {mode:o}");
            }
            for (owner, group, mode, sticky, why) in [
                (1001, 50, 0o40755, false, "belongs to uid 1001"),
                (1001, 50, 0o41777, true, "belongs to uid 1001"),
                (me, 50, 0o40775, false, "can be written to by gid 50 (mode 0775)"),
                (me, me, 0o40777, false, "can be written to by everybody (mode 0777)"),
                (0, 0, 0o40757, false, "can be written to by everybody (mode 0757)"),
                (me, 50, 0o100620, false, "can be written to by gid 50 (mode 0620)"),
            ] {
                assert_eq!(judge(owner, group, mode, sticky, me).as_deref(), Some(why));
            }
            // Root does not believe users either.
            assert!(judge(me, me, 0o40755, false, 0).is_some());
        }
    }
}

/// Elsewhere the folders of a user are theirs alone by other means.
#[cfg(not(unix))]
mod unix {
    use std::fs::File;
    use std::path::Path;

    pub(super) fn distrust(_: &Path) -> Option<String> {
        None
    }

    pub(super) fn distrust_file(_: &Path, _: &File) -> Option<String> {
        None
    }
}

#[cfg(all(test, unix))]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    #[test]
    fn a_folder_is_judged_with_all_above_it_and_by_both_ways_of_a_link() {
        let dir = tempfile::tempdir().unwrap();
        let (own, open) = (dir.path().join("own"), dir.path().join("open"));
        std::fs::create_dir_all(own.join("state")).unwrap();
        std::fs::create_dir_all(open.join("state")).unwrap();
        assert_eq!(distrust(&own.join("state/not/there/yet")), None);
        let mode = |path: &Path, mode| std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
        mode(&open, 0o777);
        let why = format!("{} can be written to by everybody (mode 0777)", open.display());
        assert_eq!(distrust(&open.join("state")), Some(why.clone()));
        symlink(open.join("state"), own.join("link")).unwrap();
        assert_eq!(distrust(&own.join("link/run")), Some(why.clone()));
        symlink(own.join("state"), open.join("link")).unwrap();
        assert_eq!(distrust(&open.join("link")), Some(why));
        mode(&open, 0o1777);
        assert_eq!(distrust(&open.join("state")), None);
    }
}
