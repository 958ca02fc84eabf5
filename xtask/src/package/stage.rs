//! What is in the packages and generated: man pages, completions, the changelog in Debian's form.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::run::{capture, command, run};

/// Shells, and the file that holds the completion of each.
const COMPLETIONS: [(&str, &str); 3] = [("bash", "tortie.bash"), ("zsh", "_tortie"), ("fish", "tortie.fish")];
/// The name that scripts of Calico's users call, and the folder of its completions, called by the shells.
const CALICOCTL: &str = "calicoctl";

/// Makes all of it by the binary itself, in a folder that is emptied first.
pub(super) fn stage(binary: &Path, stage: &Path) -> Result<()> {
    empty(stage)?;
    let man = stage.join("man");
    fs::create_dir(&man).with_context(|| man.display().to_string())?;
    run(&mut command(&binary.to_string_lossy(), &["man", &man.to_string_lossy()]))?;
    completions(binary, stage, &COMPLETIONS)?;
    // Only the name of the link counts.
    let (links, folder) = (stage.join("link"), stage.join(CALICOCTL));
    fs::create_dir(&links)?;
    fs::create_dir(&folder)?;
    symlink(binary, links.join(CALICOCTL))?;
    completions(&links.join(CALICOCTL), &folder, &COMPLETIONS.map(|(shell, _)| (shell, shell)))?;
    fs::write(stage.join("changelog"), changelog()?)?;
    // Without name and time, so that the same input gives the same package.
    let mut pages = Vec::new();
    for page in fs::read_dir(&man)? {
        pages.push(page?.path().to_string_lossy().into_owned());
    }
    let mut arguments = vec!["-9", "--no-name"];
    arguments.extend(pages.iter().map(String::as_str));
    run(&mut command("gzip", &arguments))
}

/// Makes the folder, or makes it anew.
pub(super) fn empty(folder: &Path) -> Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder).with_context(|| folder.display().to_string())?;
    }
    fs::create_dir_all(folder).with_context(|| folder.display().to_string())
}

/// When the last commit was made, in a format of git's.
pub(super) fn commit_date(format: &str) -> Result<String> {
    let (is_good, date) = capture(&mut command("git", &["log", "-1", &format!("--format={format}")]))?;
    if !is_good {
        bail!("git does not know the date of the last commit");
    }
    Ok(date.trim().to_owned())
}

/// Writes what a program prints as its completions.
fn completions(program: &Path, stage: &Path, shells: &[(&str, &str)]) -> Result<()> {
    let program = program.to_string_lossy();
    for (shell, file) in shells {
        let output =
            command(&program, &["completion", shell]).output().with_context(|| program.clone().into_owned())?;
        if !output.status.success() {
            bail!("`{program} completion {shell}` failed: {}", String::from_utf8_lossy(&output.stderr));
        }
        fs::write(stage.join(file), output.stdout)?;
    }
    Ok(())
}

/// The entry of this version, dated by the last commit.
fn changelog() -> Result<String> {
    let date = commit_date("%aD")?;
    let version = env!("CARGO_PKG_VERSION");
    Ok(format!(
        "tortie ({version}) unstable; urgency=medium\n\n  * See https://github.com/tortie/tortie/blob/main/CHANGELOG.md\n\n \
         -- The Tortie authors <packages@tortie.dev>  {date}\n"
    ))
}
