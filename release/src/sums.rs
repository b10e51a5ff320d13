//! `SHA256SUMS`, as `sha256sum --check` reads it.

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::{Context as _, Result};
use sha2::{Digest as _, Sha256};

/// File names and their sums: 64 lower-case digits, as Krew wants them.
pub type Sums = BTreeMap<String, String>;

/// The name of the file.
pub const FILE: &str = "SHA256SUMS";

/// The sum of a file.
///
/// # Errors
/// It cannot be read.
pub fn of_file(path: &Path) -> Result<String> {
    let content = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(Sha256::digest(content)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect())
}

/// Writes the sums of all other files in the folder.
///
/// # Errors
/// A file cannot be read or written.
pub fn write(folder: &Path) -> Result<Sums> {
    let mut sums = Sums::new();
    for entry in fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name != FILE && entry.file_type()?.is_file() {
            sums.insert(name, of_file(&entry.path())?);
        }
    }
    let lines: String = sums.iter().map(|(name, sum)| format!("{sum}  {name}\n")).collect();
    fs::write(folder.join(FILE), lines).with_context(|| format!("cannot write {FILE}"))?;
    Ok(sums)
}

/// Reads them back.
///
/// # Errors
/// There is no such file, or something else is in it.
pub fn read(folder: &Path) -> Result<Sums> {
    let path = folder.join(FILE);
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}; run make dist", path.display()))?;
    let mut sums = Sums::new();
    for line in text.lines() {
        let is_sum = |sum: &str| sum.len() == 64 && sum.chars().all(|c| matches!(c, '0'..='9' | 'a'..='f'));
        let (sum, name) = line
            .split_once("  ")
            .filter(|(sum, _)| is_sum(sum))
            .with_context(|| format!("{}: {line:?} is no SHA-256 and name", path.display()))?;
        sums.insert(name.to_owned(), sum.to_owned());
    }
    Ok(sums)
}
