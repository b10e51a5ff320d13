//! Files that only their owner may read, and that are on the disk when they are said to be.

use std::{
    fs::{DirBuilder, File, OpenOptions},
    io::{Result, Write},
    path::Path,
};

/// Makes the folder and those above it.
pub fn make_folder(path: &Path) -> Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    let old = path.ancestors().find(|folder| folder.is_dir());
    builder.create(path)?;
    // The name of each new folder is in the one above it, which may be one that cannot be read.
    let up_to = |folder: &&Path| old.is_some_and(|old| folder.starts_with(old));
    for above in path.ancestors().skip(1).take_while(up_to) {
        drop(sync(above));
    }
    Ok(())
}

/// Writes a file that must not be there yet, which only its owner may read. A link is not followed.
///
/// # Errors
/// The system's: `AlreadyExists` where anything has that name.
pub fn write_new(path: &Path, text: &str) -> Result<()> {
    let mut file = private().write(true).create_new(true).open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    sync_folder(path)
}

/// Adds a line to a file.
pub fn append(path: &Path, line: &str) -> Result<()> {
    let mut file = private().append(true).create(true).open(path)?;
    file.write_all(format!("{line}\n").as_bytes())?;
    file.sync_all()?;
    sync_folder(path)
}

/// Adds a line to a file, and leaves it to the system when it reaches the disk.
pub fn append_soon(path: &Path, line: &str) -> Result<()> {
    let mut file = private().append(true).create(true).open(path)?;
    file.write_all(format!("{line}\n").as_bytes())
}

#[cfg(unix)]
fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

/// Files in a user's own folders are theirs alone there.
#[cfg(not(unix))]
fn private() -> OpenOptions {
    OpenOptions::new()
}

/// The name of a new file is in its folder, which has to reach the disk as well.
fn sync_folder(path: &Path) -> Result<()> {
    path.parent().map_or(Ok(()), sync)
}

/// Puts what is in a folder on the disk.
fn sync(folder: &Path) -> Result<()> {
    match folder {
        _ if folder == Path::new("") || !cfg!(unix) => Ok(()),
        folder => File::open(folder)?.sync_all(),
    }
}
