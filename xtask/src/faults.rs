//! `cargo xtask faults`: puts seeded faults into a copy of the tree, and sees that the search for verdicts finds each.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, anyhow, bail};

use crate::packages;
use crate::run::{cargo, root};

/// The faults, in the form that the file itself explains.
const FILE: &str = "crates/tortie-verdicts/faults.txt";

/// How each road is searched: far enough that every fault is found, and an end when it is not.
const ROADS: [(&str, &[&str]); 4] = [
    ("ruleset", &["--count", "1000000"]),
    ("kernel", &["--count", "20000", "--kernel"]),
    ("order", &["--order", "20000"]),
    ("order in kernel", &["--order", "3000", "--kernel"]),
];

#[derive(Clone, Debug, PartialEq, Eq)]
struct Fault {
    what: String,
    road: String,
    file: String,
    find: String,
    put: String,
}

pub(crate) fn faults(arguments: &[String]) -> Result<()> {
    let all = read(&fs::read_to_string(root().join(FILE))?)?;
    let chosen = match arguments {
        [] => all,
        [option, text] if option == "--only" => all.into_iter().filter(|fault| fault.what.contains(text)).collect(),
        [option, number] if option == "--from" => {
            all.into_iter().skip(number.parse::<usize>().context("--from takes a number")?.saturating_sub(1)).collect()
        }
        [option, count] if option == "--sample" => sample(all, count.parse().context("--sample takes a number")?),
        _ => bail!("cargo xtask faults [--only TEXT | --from N | --sample N]"),
    };
    run(&chosen).map(|text| println!("{text}"))
}

/// The step of CI: a few faults of every road.
pub(crate) fn step() -> Result<String> {
    let all = read(&fs::read_to_string(root().join(FILE))?)?;
    let of = |road: &str| all.iter().filter(|fault| fault.road == road).cloned().collect();
    run(&ROADS.iter().flat_map(|(road, _)| sample(of(road), 2)).collect::<Vec<_>>())
}

/// Faults evenly spread over all of them.
fn sample(all: Vec<Fault>, count: usize) -> Vec<Fault> {
    let step = all.len().div_ceil(count.max(1)).max(1);
    all.into_iter().step_by(step).collect()
}

fn run(faults: &[Fault]) -> Result<String> {
    if faults.is_empty() {
        bail!("no fault is chosen");
    }
    packages::ensure()?;
    let tree = Tree::copy()?;
    tree.build().context("the tree without a fault")?;
    let mut survived = Vec::new();
    for (number, fault) in faults.iter().enumerate() {
        let found = tree.with(fault, || tree.search(fault));
        let word = match &found {
            Ok(Found::Difference) => "found",
            Ok(Found::Crash) => "crashes",
            Ok(Found::Not) => "SURVIVES",
            Err(_) => "BROKEN",
        };
        println!("{:>3}/{}  {:<15}  {word:<8}  {}", number + 1, faults.len(), fault.road, fault.what);
        match found {
            Ok(Found::Difference | Found::Crash) => {}
            Ok(Found::Not) => survived.push(fault.what.as_str()),
            Err(error) => {
                eprintln!("error: {error:#}");
                survived.push(fault.what.as_str());
            }
        }
    }
    if !survived.is_empty() {
        bail!("{} of {} seeded faults were not found: {}", survived.len(), faults.len(), survived.join("; "));
    }
    Ok(format!("{} seeded faults, all found", faults.len()))
}

/// How a search ended.
#[derive(Clone, Copy)]
enum Found {
    /// Roads part.
    Difference,
    /// The fault stopped the program.
    Crash,
    /// Nothing.
    Not,
}

/// A copy of the repository to put faults into.
struct Tree {
    path: PathBuf,
}

impl Tree {
    fn copy() -> Result<Self> {
        let path = root().join("target/faults/tree");
        let listed = Command::new("git")
            .args(["ls-files", "--cached", "--others", "--exclude-standard", "-z"])
            .current_dir(root())
            .output()
            .context("cannot list the files of the repository")?;
        if !listed.status.success() {
            bail!("cannot list the files of the repository: {}", String::from_utf8_lossy(&listed.stderr));
        }
        let mut copies = BTreeSet::new();
        for name in listed.stdout.split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
            let name = std::str::from_utf8(name).context("a name of a file is no text")?;
            let (from, to) = (root().join(name), path.join(name));
            // A file that was removed and not yet committed is still listed.
            if from.is_file() {
                copy(&from, &to)?;
                copies.insert(to);
            }
        }
        remove_others(&path, &copies)?;
        Ok(Self { path })
    }

    fn build(&self) -> Result<()> {
        let output = Command::new(cargo())
            .args(["build", "--quiet", "--locked", "-p", "tortie-verdicts", "--profile", "faults"])
            .env("CARGO_TARGET_DIR", self.path.with_file_name("build"))
            .env("RUSTFLAGS", "--cap-lints allow")
            .current_dir(&self.path)
            .stdin(Stdio::null())
            .output()
            .context("cannot run cargo")?;
        if !output.status.success() {
            bail!("it does not compile:\n{}", String::from_utf8_lossy(&output.stderr));
        }
        Ok(())
    }

    /// Does `work` in the tree with the fault, and takes it out again.
    fn with<T>(&self, fault: &Fault, work: impl FnOnce() -> Result<T>) -> Result<T> {
        let file = self.path.join(&fault.file);
        let before = fs::read_to_string(&file).with_context(|| fault.file.clone())?;
        fs::write(&file, fault.apply(&before)?)?;
        let done = self.build().with_context(|| fault.what.clone()).and_then(|()| work());
        fs::write(&file, before)?;
        done
    }

    fn search(&self, fault: &Fault) -> Result<Found> {
        let arguments = ROADS.iter().find(|(road, _)| *road == fault.road).map(|(_, arguments)| *arguments);
        let arguments = arguments.ok_or_else(|| anyhow!("{}: there is no road `{}`", fault.what, fault.road))?;
        let output = Command::new(self.path.with_file_name("build").join("faults/tortie-verdicts"))
            .args(arguments)
            .arg("--cases")
            .arg(self.path.with_file_name("cases").join(fault.what.replace(" ", "-")))
            .current_dir(&self.path)
            .stdin(Stdio::null())
            .output()
            .context("cannot run the search")?;
        let errors = String::from_utf8_lossy(&output.stderr);
        Ok(match output.status.success() {
            true => Found::Not,
            false if errors.contains("panicked at") => Found::Crash,
            false => Found::Difference,
        })
    }
}

/// Copies a file unless it is there already, so that only what changed is built again.
fn copy(from: &Path, to: &Path) -> Result<()> {
    let content = fs::read(from).with_context(|| from.display().to_string())?;
    if fs::read(to).is_ok_and(|there| there == content) {
        return Ok(());
    }
    fs::create_dir_all(to.parent().context("a file has a folder")?)?;
    fs::write(to, content).with_context(|| to.display().to_string())
}

/// Removes the files in and under `folder` that are not in `kept`: what the repository does not have any more.
fn remove_others(folder: &Path, kept: &BTreeSet<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        if path.is_dir() {
            remove_others(&path, kept)?;
        } else if !kept.contains(&path) {
            fs::remove_file(&path).with_context(|| path.display().to_string())?;
        }
    }
    Ok(())
}

impl Fault {
    /// The text of the file with the fault in it.
    fn apply(&self, text: &str) -> Result<String> {
        let count = text.lines().filter(|line| line.trim() == self.find).count();
        if count != 1 {
            bail!("{}: the line stands {count} times in {}: {}", self.what, self.file, self.find);
        }
        let lines = text.lines().map(|line| if line.trim() == self.find { self.put.as_str() } else { line });
        Ok(lines.collect::<Vec<_>>().join("\n") + "\n")
    }
}

fn read(text: &str) -> Result<Vec<Fault>> {
    let mut faults: Vec<Fault> = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(what) = line.strip_prefix("= ") {
            let none = String::new;
            faults.push(Fault { what: what.to_owned(), road: none(), file: none(), find: none(), put: none() });
            continue;
        }
        let (name, value) = line.split_once(':').unwrap_or_default();
        let Some(fault) = faults.last_mut() else { bail!("{FILE}:{}: a line before the first fault", number + 1) };
        let place = match name {
            "road" => &mut fault.road,
            "file" => &mut fault.file,
            "find" => &mut fault.find,
            "put" => &mut fault.put,
            _ => bail!("{FILE}:{}: `{name}` is not known", number + 1),
        };
        *place = value.trim().to_owned();
    }
    Ok(faults)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_loses_what_the_tree_has_lost() {
        let folder = std::env::temp_dir().join(format!("tortie-faults-{}", std::process::id()));
        let [kept, gone] = ["a/kept", "a/b/gone"].map(|name| folder.join(name));
        for path in [&kept, &gone] {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        remove_others(&folder, &[kept.clone()].into()).unwrap();
        let is_there = [kept.is_file(), gone.exists()];
        fs::remove_dir_all(&folder).unwrap();
        assert_eq!(is_there, [true, false]);
    }

    /// A fault whose line has changed would be put nowhere.
    #[test]
    fn every_fault_has_its_line() {
        let faults = read(&fs::read_to_string(root().join(FILE)).unwrap()).unwrap();
        assert!(faults.len() >= 40, "{}", faults.len());
        let names: BTreeSet<&str> = faults.iter().map(|fault| fault.what.as_str()).collect();
        assert_eq!(names.len(), faults.len(), "two faults have one name");
        for fault in &faults {
            let text = fs::read_to_string(root().join(&fault.file)).unwrap();
            assert_ne!(fault.apply(&text).unwrap(), text, "{}", fault.what);
            assert!(ROADS.iter().any(|(road, _)| *road == fault.road), "{}: `{}`", fault.what, fault.road);
        }
    }

    #[test]
    fn a_mistake_in_the_file_has_its_place() {
        assert!(read("file: x").unwrap_err().to_string().contains("txt:1"));
        assert!(read("= a\nfiel: x").unwrap_err().to_string().contains("txt:2"));
    }
}
