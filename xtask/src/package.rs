//! `cargo xtask package`: packages, the static binary and the container image, in `target/packages`.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::run::{cargo, command, root, run};

mod image;
mod stage;
mod trial;

/// Subcommands of cargo that make packages.
const BUILDERS: [&str; 2] = ["cargo-deb", "cargo-generate-rpm"];
/// Asks for the static binary and the image in place of the packages.
const STATIC: &str = "--static";
/// Asks for what was made to be tried out; names of systems may follow.
const TRY: &str = "--try";
/// The version to which is upgraded then: higher than any that is in the manifest.
const UPGRADED: &str = "999.0.0";

pub(crate) fn package(arguments: &[String]) -> Result<()> {
    let (flags, systems): (Vec<_>, Vec<_>) =
        arguments.iter().map(String::as_str).partition(|word| word.starts_with('-'));
    if let Some(other) = flags.iter().find(|flag| ![STATIC, TRY].contains(flag)) {
        bail!("`{other}` is unknown: `{STATIC}` makes a static binary and an image, `{TRY}` tries out what was made");
    }
    let is_tried = flags.contains(&TRY);
    if !is_tried && !systems.is_empty() {
        bail!("`{}`: only `{TRY}` takes names of systems", systems[0]);
    }
    let out = root().join("target/packages");
    if flags.contains(&STATIC) {
        if !systems.is_empty() {
            bail!("`{STATIC} {TRY}` has no systems: the image is tried on this one");
        }
        return make_static(&out, is_tried);
    }
    let systems = trial::chosen(&systems)?;
    let packages = make_packages(&out)?;
    if is_tried { trial::trial(&packages.with_newer(&out)?, &systems) } else { Ok(()) }
}

/// The packages of this version.
struct Packages {
    deb: PathBuf,
    rpm: PathBuf,
}

impl Packages {
    /// Makes the same of a higher version, for the upgrade.
    fn with_newer(self, out: &Path) -> Result<trial::Tried> {
        let newer = Self { deb: out.join("newer.deb"), rpm: out.join("newer.rpm") };
        build_deb(&newer.deb, &["--deb-version", UPGRADED])?;
        build_rpm(&newer.rpm, &["--set-metadata", &format!("version = \"{UPGRADED}\"")])?;
        Ok(trial::Tried { deb: self.deb, newer_deb: newer.deb, rpm: self.rpm, newer_rpm: newer.rpm })
    }
}

fn make_packages(out: &Path) -> Result<Packages> {
    let missing: Vec<&str> = BUILDERS.into_iter().filter(|program| !crate::packages::is_there(program)).collect();
    if !missing.is_empty() {
        bail!("{} is missing: `cargo install --locked {}`", missing.join(" and "), missing.join(" "));
    }
    run(&mut command(&cargo(), &["build", "--package", "tortie", "--release"]))?;
    let binary = root().join("target/release/tortie");
    stage::stage(&binary, &out.join("stage"))?;
    let packages = Packages { deb: out.join("tortie.deb"), rpm: out.join("tortie.rpm") };
    build_deb(&packages.deb, &[])?;
    build_rpm(&packages.rpm, &[])?;
    show_sizes(&[&binary, &packages.deb, &packages.rpm])?;
    Ok(packages)
}

/// Needs nothing of the system that it runs on: for containers, and for distributions that no package is for.
fn make_static(out: &Path, is_tried: bool) -> Result<()> {
    crate::packages::ensure_static()?;
    let target = format!("{}-unknown-linux-musl", std::env::consts::ARCH);
    let built = root().join("target").join(&target).join("release/tortie");
    run(&mut command(&cargo(), &["build", "--package", "tortie", "--release", "--target", &target]))
        .with_context(|| format!("where the target is missing: `rustup target add {target}`"))?;
    fs::create_dir_all(out)?;
    let (binary, archive) = (out.join("tortie"), out.join("tortie-image.tar"));
    fs::copy(&built, &binary).with_context(|| built.display().to_string())?;
    image::build(&binary, &out.join("image"), &archive)?;
    show_sizes(&[&binary, &archive])?;
    println!("the image is {}", image::NAME);
    if is_tried { trial::image(&archive, image::NAME) } else { Ok(()) }
}

fn show_sizes(files: &[&Path]) -> Result<()> {
    for file in files {
        let size = fs::metadata(file).with_context(|| file.display().to_string())?.len();
        println!("{size:>10} bytes  {}", file.display());
    }
    Ok(())
}

fn build_deb(file: &Path, more: &[&str]) -> Result<()> {
    let path = file.to_string_lossy();
    // The release profile strips already.
    let mut arguments = vec!["deb", "--package", "tortie", "--no-build", "--no-strip", "--output", &path];
    arguments.extend(more);
    run(&mut command(&cargo(), &arguments))
}

fn build_rpm(file: &Path, more: &[&str]) -> Result<()> {
    let path = file.to_string_lossy();
    let mut arguments = vec!["generate-rpm", "--package", "crates/tortie", "--output", &path];
    arguments.extend(more);
    run(&mut command(&cargo(), &arguments))
}
