//! The platforms that there are archives for.

use std::{fmt, str::FromStr};

use anyhow::{Error, Result, bail};

/// One of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Platform {
    /// As Go and Krew call it.
    pub os: &'static str,
    /// As Go and Krew call it.
    pub arch: &'static str,
    /// As Rust calls both.
    pub triple: &'static str,
    /// The C compiler, and the package of Debian that has it. ring has parts in C. Nothing where it comes with the system.
    pub compiler: Option<(&'static str, &'static str)>,
    /// What links, where it is not that compiler: it would mix its own start-up code with that which Rust brings along for musl. A
    /// path is that of a script of this repository.
    pub linker: Option<&'static str>,
}

/// All of them. Linux: static, with musl, so that the age of a machine's glibc does not matter.
pub const PLATFORMS: [Platform; 5] = [
    Platform {
        os: "linux",
        arch: "amd64",
        triple: "x86_64-unknown-linux-musl",
        compiler: Some(("musl-gcc", "musl-tools")),
        linker: Some("rust-lld"),
    },
    Platform {
        os: "linux",
        arch: "arm64",
        triple: "aarch64-unknown-linux-musl",
        compiler: Some(("aarch64-linux-gnu-gcc", "gcc-aarch64-linux-gnu")),
        linker: Some("rust-lld"),
    },
    Platform {
        os: "windows",
        arch: "amd64",
        triple: "x86_64-pc-windows-gnu",
        compiler: Some(("x86_64-w64-mingw32-gcc", "gcc-mingw-w64-x86-64")),
        linker: Some("release/link-windows.sh"),
    },
    Platform {
        os: "darwin",
        arch: "amd64",
        triple: "x86_64-apple-darwin",
        compiler: None,
        linker: None,
    },
    Platform {
        os: "darwin",
        arch: "arm64",
        triple: "aarch64-apple-darwin",
        compiler: None,
        linker: None,
    },
];

impl Platform {
    /// Why it cannot be built on this machine; nothing where it can.
    pub fn missing(&self) -> Option<String> {
        if self.os == "darwin" && !cfg!(target_os = "macos") {
            return Some("it is built on macOS only".to_owned());
        }
        let (compiler, package) = self.compiler?;
        let there = which::which(compiler).is_ok();
        (!there).then(|| format!("{compiler} was not found (Debian: apt-get install {package})"))
    }

    /// What runs its programs on this machine: nothing but themselves (`""`), or an emulator.
    pub fn runner(&self) -> Option<&'static str> {
        let is_here = |os, arch| std::env::consts::OS == os && std::env::consts::ARCH == arch;
        match (self.os, self.arch) {
            ("linux", "amd64") if is_here("linux", "x86_64") => Some(""),
            ("linux", "arm64") if is_here("linux", "aarch64") => Some(""),
            ("darwin", "amd64") if is_here("macos", "x86_64") => Some(""),
            ("darwin", "arm64") if is_here("macos", "aarch64") => Some(""),
            // From qemu-user of Debian.
            ("linux", "amd64") if cfg!(target_os = "linux") => Some("qemu-x86_64"),
            ("linux", "arm64") if cfg!(target_os = "linux") => Some("qemu-aarch64"),
            ("windows", "amd64") if cfg!(target_os = "linux") => Some("wine"),
            _ => None,
        }
    }

    /// The name of a program there.
    pub fn executable(&self, program: &str) -> String {
        if self.os == "windows" {
            format!("{program}.exe")
        } else {
            program.to_owned()
        }
    }

    /// `kubectl-evacuate_v0.1.0_linux_amd64.tar.gz`. Windows has a `tar` for it since 2018.
    pub fn archive(&self, package: &str, version: &str) -> String {
        format!("{}.tar.gz", self.stem(package, version))
    }

    /// The same without its ending.
    pub fn stem(&self, package: &str, version: &str) -> String {
        format!("{package}_v{version}_{}_{}", self.os, self.arch)
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.arch)
    }
}

impl FromStr for Platform {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let found = PLATFORMS.into_iter().find(|platform| platform.to_string() == text);
        let Some(platform) = found else {
            let all = PLATFORMS.map(|platform| platform.to_string()).join(", ");
            bail!("there is no platform {text:?}; there are: {all}");
        };
        Ok(platform)
    }
}
