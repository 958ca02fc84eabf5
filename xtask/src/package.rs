//! `cargo xtask package`: binary, man pages, completions and both packages in `target/packages`.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::run::{capture, cargo, command, root, run};

mod trial;

/// Subcommands of cargo that make packages.
const BUILDERS: [&str; 2] = ["cargo-deb", "cargo-generate-rpm"];
/// Shells, and the file that holds the completion of each.
const COMPLETIONS: [(&str, &str); 3] = [("bash", "tortie.bash"), ("zsh", "_tortie"), ("fish", "tortie.fish")];
/// Asks for the packages to be tried out.
const TRY: &str = "--try";
/// The version to which is upgraded then: higher than any that is in the manifest.
const UPGRADED: &str = "999.0.0";

pub(crate) fn package(arguments: &[String]) -> Result<()> {
    if let Some(other) = arguments.iter().find(|argument| *argument != TRY) {
        bail!("`{other}` is unknown: `{TRY}` tries the packages on a system of their own");
    }
    let missing: Vec<&str> = BUILDERS.into_iter().filter(|program| !crate::packages::is_there(program)).collect();
    if !missing.is_empty() {
        bail!("{} is missing: `cargo install --locked {}`", missing.join(" and "), missing.join(" "));
    }
    run(&mut command(&cargo(), &["build", "--package", "tortie", "--release"]))?;
    let binary = root().join("target/release/tortie");
    let out = root().join("target/packages");
    stage(&binary, &out.join("stage"))?;
    let (deb, rpm) = (out.join("tortie.deb"), out.join("tortie.rpm"));
    build_deb(&deb, &[])?;
    run(&mut command(&cargo(), &["generate-rpm", "--package", "crates/tortie", "--output", &rpm.to_string_lossy()]))?;
    for file in [&binary, &deb, &rpm] {
        let size = fs::metadata(file).with_context(|| file.display().to_string())?.len();
        println!("{size:>10} bytes  {}", file.display());
    }
    if !arguments.is_empty() {
        let newer = out.join("newer.deb");
        build_deb(&newer, &["--deb-version", UPGRADED])?;
        trial::trial(&[&deb, &newer, &rpm])?;
    }
    Ok(())
}

/// Makes what is generated: man pages, completions, the changelog in Debian's form.
fn stage(binary: &Path, stage: &Path) -> Result<()> {
    if stage.exists() {
        fs::remove_dir_all(stage).with_context(|| stage.display().to_string())?;
    }
    let man = stage.join("man");
    fs::create_dir_all(&man).with_context(|| man.display().to_string())?;
    let tortie = binary.to_string_lossy();
    run(&mut command(&tortie, &["man", &man.to_string_lossy()]))?;
    for (shell, file) in COMPLETIONS {
        let output = command(&tortie, &["completion", shell]).output().with_context(|| tortie.clone().into_owned())?;
        if !output.status.success() {
            bail!("`tortie completion {shell}` failed: {}", String::from_utf8_lossy(&output.stderr));
        }
        fs::write(stage.join(file), output.stdout)?;
    }
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

/// The entry of this version, dated by the last commit.
fn changelog() -> Result<String> {
    let (is_good, date) = capture(&mut command("git", &["log", "-1", "--format=%aD"]))?;
    if !is_good {
        bail!("git does not know the date of the last commit");
    }
    let version = env!("CARGO_PKG_VERSION");
    Ok(format!(
        "tortie ({version}) unstable; urgency=medium\n\n  * See https://github.com/tortie/tortie/blob/main/CHANGELOG.md\n\n \
         -- The Tortie authors <packages@tortie.dev>  {date}"
    ))
}

fn build_deb(file: &Path, more: &[&str]) -> Result<()> {
    let path = file.to_string_lossy();
    // The release profile strips already.
    let mut arguments = vec!["deb", "--package", "tortie", "--no-build", "--no-strip", "--output", &path];
    arguments.extend(more);
    run(&mut command(&cargo(), &arguments))
}
