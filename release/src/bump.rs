//! `make bump`: a new version, where it is written down.

use std::{fs, path::Path, process::Command};

use anyhow::{Context as _, Result, bail, ensure};

use crate::{output, run, workspace::Workspace};

/// Below this heading stands what the next release brings.
const UNRELEASED: &str = "## Unreleased\n";

/// Writes the version into `Cargo.toml`, `Cargo.lock` and `CHANGELOG.md`. `date` as `2026-11-22`.
///
/// # Errors
/// It is no version, or no newer one; there is nothing new in the change log; a file cannot be written.
pub fn bump(workspace: &Workspace, version: &str, date: &str) -> Result<()> {
    let (old, new) = (parse(&workspace.version)?, parse(version)?);
    ensure!(new > old, "{version} is not newer than {}", workspace.version);
    let change_log = workspace.root.join("CHANGELOG.md");
    let cargo = workspace.root.join("Cargo.toml");
    let line = format!("[workspace.package]\nversion = \"{}\"\n", workspace.version);
    // Both are made before one is written.
    let released = released(&read(&change_log)?, version, date)?;
    let text = read(&cargo)?;
    ensure!(text.contains(&line), "there is no version below [workspace.package]");
    let text = text.replace(&line, &format!("[workspace.package]\nversion = \"{version}\"\n"));
    let before = (read(&change_log)?, read(&cargo)?);
    write(&change_log, &released)?;
    write(&cargo, &text)?;
    let args = ["update", "--quiet", "--offline", "--workspace"];
    let updated = run(Command::new("cargo").current_dir(&workspace.root).args(args));
    if updated.is_err() {
        write(&change_log, &before.0)?;
        write(&cargo, &before.1)?;
    }
    updated
}

fn parse(version: &str) -> Result<[u32; 3]> {
    // As Cargo wants it: neither `+1` nor `01`.
    let number = |part: &str| part.parse::<u32>().ok().filter(|number| number.to_string() == part);
    let numbers: Option<Vec<u32>> = version.split('.').map(number).collect();
    match numbers.as_deref() {
        Some(&[major, minor, patch]) => Ok([major, minor, patch]),
        _ => bail!("{version:?} is no version; write it as VERSION=1.2.3"),
    }
}

fn released(text: &str, version: &str, date: &str) -> Result<String> {
    let (before, after) = text
        .split_once(UNRELEASED)
        .context("CHANGELOG.md has no heading \"Unreleased\"")?;
    let new = after.lines().take_while(|line| !line.starts_with("## "));
    ensure!(
        new.into_iter()
            .any(|line| !line.trim().is_empty() && !line.starts_with('#')),
        "CHANGELOG.md has nothing new below \"Unreleased\""
    );
    Ok(format!("{before}{UNRELEASED}\n## {version} - {date}\n{after}"))
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

/// Of the day, in UTC.
///
/// # Errors
/// There is no `date`.
pub fn today() -> Result<String> {
    Ok(output(Command::new("date").args(["-u", "+%Y-%m-%d"]))?
        .trim()
        .to_owned())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_is_new_gets_a_heading() {
        let text = "# Changes\n\n## Unreleased\n\n* more\n\n## 0.1.0 - 2026-01-01\n\n* first\n";
        let expected =
            "# Changes\n\n## Unreleased\n\n## 0.2.0 - 2026-02-02\n\n* more\n\n## 0.1.0 - 2026-01-01\n\n* first\n";
        assert_eq!(released(text, "0.2.0", "2026-02-02").unwrap(), expected);
        for nothing in [
            expected,
            "## Unreleased\n## 0.1.0\n\n* first\n",
            "## Unreleased\n\n### All\n",
        ] {
            let again = released(nothing, "0.3.0", "2026-03-03");
            assert!(again.is_err_and(|e| e.to_string().contains("nothing new")), "{nothing}");
        }
    }

    #[test]
    fn versions_are_three_numbers() {
        assert!(parse("1.2.3").unwrap() < parse("1.10.0").unwrap());
        for text in ["", "1.2", "v1.2.3", "1.2.3-rc1", "1.2.3.4", "+1.2.3", "01.2.3"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
