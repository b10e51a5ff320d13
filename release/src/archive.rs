//! Archives that are the same bytes for the same content: sorted, with one time, one owner and fixed modes.

use std::{fs::File, path::Path};

use anyhow::{Context as _, Result, ensure};
use flate2::{Compression, GzBuilder};

/// A regular file in an archive. Krew refuses all that is neither that nor a folder.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Below the root of the archive, with `/`.
    pub name: String,
    /// What is in it.
    pub content: Vec<u8>,
    /// To be run.
    pub is_program: bool,
}

/// Writes a `.tar.gz`. `time` is in seconds since 1970.
///
/// # Errors
/// A file cannot be written; a name leads out of the archive.
pub fn write(path: &Path, mut entries: Vec<Entry>, time: u64) -> Result<()> {
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    for entry in &entries {
        let is_plain = !entry.name.starts_with('/') && !entry.name.contains("..") && !entry.name.is_empty();
        ensure!(is_plain, "{:?} is no name for a file in an archive", entry.name);
    }
    let written = || -> Result<()> {
        // No name and no time in the header of gzip.
        let file = GzBuilder::new().write(File::create(path)?, Compression::best());
        let mut builder = tar::Builder::new(file);
        for entry in &entries {
            let mut header = tar::Header::new_ustar();
            header.set_size(entry.content.len().try_into()?);
            header.set_mode(if entry.is_program { 0o755 } else { 0o644 });
            header.set_mtime(time);
            header.set_uid(0);
            header.set_gid(0);
            header.set_entry_type(tar::EntryType::Regular);
            builder.append_data(&mut header, &entry.name, entry.content.as_slice())?;
        }
        builder.into_inner()?.finish()?;
        Ok(())
    };
    written().with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::io::Read;

    use super::*;

    fn entries() -> Vec<Entry> {
        let entry = |name: &str, is_program| Entry {
            name: name.to_owned(),
            content: name.repeat(100).into_bytes(),
            is_program,
        };
        vec![
            entry("kubectl-x", true),
            entry("LICENSE", false),
            entry("completions/x", false),
        ]
    }

    #[test]
    fn the_same_content_is_the_same_bytes_in_any_order() {
        let folder = tempfile::tempdir().unwrap();
        let bytes = |name: &str, entries: Vec<Entry>| {
            let path = folder.path().join(name);
            write(&path, entries, 1_700_000_000).unwrap();
            std::fs::read(path).unwrap()
        };
        let turned = entries().into_iter().rev().collect();
        assert_eq!(bytes("a.tar.gz", entries()), bytes("b.tar.gz", turned));
    }

    #[test]
    fn modes_owners_and_times_are_fixed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.tar.gz");
        write(&path, entries(), 1_700_000_000).unwrap();
        let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(File::open(&path).unwrap()));
        let mut seen = Vec::new();
        for entry in archive.entries().unwrap() {
            let mut entry = entry.unwrap();
            let mut content = String::new();
            entry.read_to_string(&mut content).unwrap();
            let header = entry.header();
            assert!(header.entry_type().is_file());
            assert_eq!((header.uid().unwrap(), header.gid().unwrap()), (0, 0));
            assert_eq!(header.mtime().unwrap(), 1_700_000_000);
            seen.push((
                entry.path().unwrap().display().to_string(),
                header.mode().unwrap(),
                content.len(),
            ));
        }
        let expected = [
            ("LICENSE", 0o644, 700),
            ("completions/x", 0o644, 1300),
            ("kubectl-x", 0o755, 900),
        ];
        assert_eq!(
            seen,
            expected.map(|(name, mode, length)| (name.to_owned(), mode, length))
        );
    }

    #[test]
    fn a_name_that_leads_out_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["../x", "/x", "", "a/../../x"] {
            let entry = Entry {
                name: name.to_owned(),
                content: Vec::new(),
                is_program: false,
            };
            let written = write(&folder.path().join("a.tar.gz"), vec![entry], 0);
            assert!(
                written.is_err_and(|e| e.to_string().contains("no name for a file")),
                "{name}"
            );
        }
    }
}
