//! The units of `packaging/`, for the place in which this program lies.

use std::io;
use std::path::Path;

use crate::exit::{Code, Failure};

/// Name and text of each unit.
const UNITS: [(&str, &str); 3] = [
    ("tortie-agent.service", include_str!("../../../../packaging/tortie-agent.service")),
    ("tortie-restore.service", include_str!("../../../../packaging/tortie-restore.service")),
    ("tortie-controller.service", include_str!("../../../../packaging/tortie-controller.service")),
];
/// Where the units of the packages start the program.
const PACKAGED: &str = "ExecStart=/usr/bin/tortie ";
/// What the units hide from the program (`ProtectHome`, `PrivateTmp`, `InaccessiblePaths`).
const HIDDEN: [&str; 5] = ["/home", "/root", "/run/user", "/tmp", "/var/tmp"];

pub(super) fn install(dir: Option<&Path>) -> Result<Code, Failure> {
    let program = std::env::current_exe()
        .map_err(|error| Failure::new(Code::General, format!("cannot find out where this program lies: {error}")))?;
    let Some(dir) = dir else {
        for (name, text) in units(&program)? {
            println!("# {name}\n{text}");
        }
        return Ok(Code::Success);
    };
    if let Some(hidden) = HIDDEN.iter().find(|hidden| program.starts_with(hidden)) {
        eprintln!("warning: the units hide {hidden} from what they start, and this program is `{}`", program.display());
        eprintln!("warning: put it into /usr/local/bin, and install from there");
    }
    std::fs::create_dir_all(dir).map_err(|error| file_failure("make the folder", dir, &error))?;
    for (name, text) in units(&program)? {
        println!("{}", write(&dir.join(name), &text)?);
    }
    println!("nothing is enabled yet: `systemctl daemon-reload`, then");
    println!("`systemctl enable tortie-restore` and `systemctl enable --now tortie-agent`");
    Ok(Code::Success)
}

/// Removes the units that this program wrote, or would write.
pub(super) fn remove(dir: &Path) -> Result<(), Failure> {
    for (name, text) in UNITS {
        let path = dir.join(name);
        match std::fs::read_to_string(&path) {
            Ok(found) if without_program(&found) == without_program(text) => {
                std::fs::remove_file(&path).map_err(|error| file_failure("remove", &path, &error))?;
                println!("removed {}", path.display());
            }
            Ok(_) => eprintln!("warning: {} is not as it was written: left alone", path.display()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(file_failure("read", &path, &error)),
        }
    }
    Ok(())
}

/// Name and text of each unit, which start this program.
fn units(program: &Path) -> Result<Vec<(&'static str, String)>, Failure> {
    let path = program.to_str().filter(|path| path.chars().all(is_plain)).ok_or_else(|| {
        let message = format!("`{}` has characters that a unit file reads as something else", program.display());
        Failure::new(Code::Usage, message).with_hint("put the program into /usr/local/bin, and install from there")
    })?;
    let started = format!("ExecStart={path} ");
    Ok(UNITS.iter().map(|(name, text)| (*name, text.replace(PACKAGED, &started))).collect())
}

/// Whether systemd takes the character as it stands.
fn is_plain(character: char) -> bool {
    character.is_ascii_alphanumeric() || "/._+-".contains(character)
}

/// The lines of a unit, whichever program it starts.
fn without_program(text: &str) -> Vec<&str> {
    let arguments = |line: &str| line.starts_with("ExecStart=").then(|| line.find(' ')).flatten();
    text.lines().map(|line| arguments(line).map_or(line, |at| &line[at..])).collect()
}

fn write(path: &Path, text: &str) -> Result<String, Failure> {
    let shown = path.display();
    let done = match std::fs::read_to_string(path) {
        Ok(found) if found == text => return Ok(format!("{shown} is as it should be")),
        Ok(_) => format!("{shown} was another one, and is replaced"),
        Err(error) if error.kind() == io::ErrorKind::NotFound => format!("wrote {shown}"),
        Err(error) => return Err(file_failure("read", path, &error)),
    };
    std::fs::write(path, text).map_err(|error| file_failure("write", path, &error))?;
    Ok(done)
}

fn file_failure(what: &str, path: &Path, error: &io::Error) -> Failure {
    let code = match error.kind() {
        io::ErrorKind::PermissionDenied => Code::NotAuthorised,
        _ => Code::General,
    };
    Failure::new(code, format!("cannot {what} `{}`: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_start_this_program_wherever_it_lies() {
        for (name, text) in units(Path::new("/opt/tortie-1.0/bin/tortie")).unwrap() {
            let starts: Vec<&str> = text.lines().filter(|line| line.starts_with("ExecStart=")).collect();
            assert_eq!(starts.len(), 1, "{name}");
            assert!(starts[0].starts_with("ExecStart=/opt/tortie-1.0/bin/tortie "), "{name}: {starts:?}");
        }
        for path in ["/opt/a b/tortie", "/opt/%n/tortie", "/opt/$x/tortie"] {
            assert!(units(Path::new(path)).is_err(), "{path}");
        }
    }

    #[test]
    fn what_was_written_is_known_again_and_what_was_changed_is_not() {
        let (_, text) = UNITS[0];
        let elsewhere = text.replace(PACKAGED, "ExecStart=/usr/local/bin/tortie ");
        assert_eq!(without_program(&elsewhere), without_program(text));
        assert_ne!(without_program(&text.replace("tortie agent", "tortie agent --once")), without_program(text));
        assert_ne!(without_program(&text.replace("WatchdogSec=90", "WatchdogSec=9")), without_program(text));
    }
}
