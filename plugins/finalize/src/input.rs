//! Files that a user names on the command line. What is no regular file may never end, and neither may what is too large.

use std::{fs::File, io::Read as _, path::Path};

use upkeep::{Error, Exit, Result};

/// How many bytes are read: plans and knowledge are far smaller.
const LIMIT: u64 = 16 * 1024 * 1024;

/// The text of a file.
///
/// # Errors
/// A file that is missing, is no regular file, is larger than 16 MiB or is not UTF-8.
pub fn read(path: &Path, exit: Exit) -> Result<String> {
    let name = path.display();
    let failed = |error| Error::new(exit, format!("cannot read {name}")).caused_by(error);
    // Asked before it is opened: to open a pipe waits for its writer.
    if !std::fs::metadata(path).map_err(failed)?.is_file() {
        return Err(Error::new(exit, format!("{name} is not a regular file")).hint("save it in a file, and name that"));
    }
    let mut text = Vec::new();
    let file = File::open(path).map_err(failed)?;
    // It may grow, and files in /proc have no size.
    let read = file.take(LIMIT + 1).read_to_end(&mut text).map_err(failed)?;
    if read as u64 > LIMIT {
        let limit = LIMIT / 1024 / 1024;
        return Err(Error::new(exit, format!("{name} is larger than {limit} MiB")));
    }
    String::from_utf8(text).map_err(|error| Error::new(exit, format!("{name} is not UTF-8")).caused_by(error))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_may_never_end_is_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("plan.json");
        std::fs::write(&file, "{}").unwrap();
        assert_eq!(read(&file, Exit::Usage).unwrap(), "{}");
        let refused = |path: &Path| read(path, Exit::Usage).unwrap_err().to_string();
        assert!(refused(folder.path()).contains("is not a regular file"));
        #[cfg(unix)]
        assert!(refused(Path::new("/dev/zero")).contains("is not a regular file"));
        // A file with a hole takes no room.
        File::create(&file).unwrap().set_len(LIMIT + 1).unwrap();
        assert!(refused(&file).contains("is larger than 16 MiB"));
    }
}
