//! The manual page of a plugin, from the same definitions as its help.

use clap_mangen::Man;
use roff::{Roff, roman};

use crate::{Error, Result};

/// In the form that `man` reads. It has no date, so that one version has one page.
///
/// # Errors
/// None that are known of: it is written to memory.
pub fn page(command: clap::Command) -> Result<String> {
    let after = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    let name = command.get_name().to_owned();
    // The short help leaves some flags out, and the page would leave out what they mean.
    let command = command.mut_args(|arg| arg.hide_short_help(false));
    // What stands behind the version is longer than the line at the foot of a page.
    let version = command.get_version().unwrap_or_default().to_owned();
    let source = format!("{name} {}", version.split(' ').next().unwrap_or_default());
    let man = Man::new(command).source(source).manual("kubectl-upkeep");
    let mut text = Vec::new();
    let write = |text: &mut Vec<u8>| {
        man.render_title(text)?;
        man.render_name_section(text)?;
        man.render_synopsis_section(text)?;
        man.render_description_section(text)?;
        man.render_options_section(text)?;
        text.extend_from_slice(sections(&after, &version).to_roff().as_bytes());
        std::io::Result::Ok(())
    };
    write(&mut text).map_err(|error| Error::failed("cannot write the manual page").caused_by(error))?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// What stands below the flags in the help, each `Heading:` with indented lines, which stay as they are; and the version.
fn sections(after: &str, version: &str) -> Roff {
    let mut roff = Roff::new();
    for block in after.split("\n\n") {
        let mut lines = block.lines();
        let heading = block.lines().next().and_then(|line| line.strip_suffix(':'));
        match heading.filter(|heading| !heading.starts_with(' ')) {
            Some(heading) => {
                lines.next();
                roff.control("SH", [heading.to_uppercase().as_str()]);
            }
            None => {
                roff.control("PP", []);
            }
        }
        roff.control("nf", []);
        for line in lines {
            roff.text([roman(line.strip_prefix("  ").unwrap_or(line))]);
        }
        roff.control("fi", []);
    }
    roff.control("SH", ["VERSION"]);
    roff.text([roman(version)]);
    roff
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn examples_keep_their_lines() {
        let command = clap::Command::new("kubectl-x")
            .bin_name("kubectl x")
            .about("Do it")
            .version("v0.1.0 (commit 0, Kubernetes)")
            .arg(
                clap::Arg::new("deep")
                    .long("deep")
                    .help("Look deeper")
                    .hide_short_help(true),
            )
            .after_help("Examples:\n  # One\n  kubectl x a\n\n  # Two\n  kubectl x b\n\nExit codes:\n  0 done");
        let text = page(command).unwrap();
        for wanted in [
            ".TH kubectl-x 1  \"kubectl-x v0.1.0\" kubectl-upkeep\n",
            "Look deeper\n",
            ".SH EXAMPLES\n.nf\n# One\nkubectl x a\n.fi\n.PP\n.nf\n# Two\nkubectl x b\n.fi\n",
            ".SH \"EXIT CODES\"\n.nf\n0 done\n.fi\n",
            "\nv0.1.0 (commit 0, Kubernetes)\n",
        ] {
            assert!(text.contains(wanted), "{wanted} is not in\n{text}");
        }
    }
}
