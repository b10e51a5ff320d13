//! Where the servers' programs are.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

/// The folder that `make testbed` fills, or `TESTBED_BIN`.
pub fn folder() -> PathBuf {
    match std::env::var_os("TESTBED_BIN") {
        Some(dir) => dir.into(),
        None => {
            let here = Path::new(env!("CARGO_MANIFEST_DIR"));
            here.ancestors().nth(2).unwrap_or(here).join("target/testbed/bin")
        }
    }
}

/// The path of one program of the test bed.
pub fn find(name: &str) -> Result<PathBuf> {
    let path = folder().join(name);
    match path.canonicalize() {
        // The link is kept, not its target: kubectl looks at the name it was called by.
        Ok(_) => Ok(std::path::absolute(path)?),
        Err(error) => bail!("{} is missing ({error}): run `make testbed` first", path.display()),
    }
}
