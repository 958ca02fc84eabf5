//! Reads the objects of a command: those of its files, or those that it names.

use std::io::ErrorKind;
use std::path::Path;

use tortie_agent::bounded::BoundedError;
use tortie_api::Entry;

use super::error::Error;
use super::flags::Given;
use super::resource::Resource;
use crate::input::{bytes_of, files};

/// Refuses a line that names nothing.
pub(super) fn require(given: &Given, command: &'static str) -> Result<(), Error> {
    match given.arguments.is_empty() && given.text("filename").is_none() {
        true => Err(Error::NothingNamed(command)),
        false => Ok(()),
    }
}

/// Refuses names that are empty, which come after all else that can be wrong with a line.
pub(super) fn require_names(given: &Given) -> Result<(), Error> {
    match given.arguments.iter().skip(1).any(String::is_empty) {
        true => Err(Error::EmptyName),
        false => Ok(()),
    }
}

/// The objects, or none when `--skip-empty` allows that.
pub(super) fn read(given: &Given) -> Result<Option<Vec<Resource>>, Error> {
    if given.text("filename").is_none() {
        return Resource::of_words(&given.arguments).map(Some);
    }
    let mut resources = Vec::new();
    for name in given.all("filename") {
        let found = read_name(name, given).map_err(|error| match error {
            // Nothing stands in front of these.
            empty @ (Error::EmptyFile(_) | Error::EmptyFolder(_)) => empty,
            other => other.within(Error::Execute),
        })?;
        resources.extend(found);
    }
    Ok(Some(resources).filter(|resources| !resources.is_empty()))
}

fn read_name(name: &str, given: &Given) -> Result<Vec<Resource>, Error> {
    let skips_empty = given.is_set("skip-empty");
    let is_folder = name != "-" && Path::new(name).is_dir();
    let files = files(name, given.is_set("recursive")).map_err(|(folder, error)| open(&folder, &error))?;
    if files.is_empty() && !skips_empty {
        return Err(Error::EmptyFolder(name.to_owned()));
    }
    let mut resources = Vec::new();
    for file in files {
        let text = text_of(&file, is_folder)?;
        let entries = entries(&text)?;
        if entries.is_empty() && !skips_empty {
            return Err(Error::EmptyFile(file.display().to_string()));
        }
        for entry in entries {
            resources.push(Resource::of_entry(entry)?);
        }
    }
    Ok(resources)
}

fn text_of(file: &Path, is_in_folder: bool) -> Result<String, Error> {
    String::from_utf8(bytes(file, is_in_folder)?)
        .map_err(|_| Error::Yaml("control characters are not allowed: this is no UTF-8 text".to_owned()))
}

/// The bytes of a file, or of standard input.
pub(super) fn bytes(file: &Path, is_in_folder: bool) -> Result<Vec<u8>, Error> {
    bytes_of(file, is_in_folder).map_err(|error| match error {
        BoundedError::Io(cause) => open(file, &cause),
        other => Error::Open { path: file.display().to_string(), cause: other.to_string() },
    })
}

/// The objects of a text, one by one.
pub(super) fn entries(text: &str) -> Result<Vec<Entry>, Error> {
    tortie_api::entries(text)
        .map_err(|problems| Error::Yaml(problems.first().map(ToString::to_string).unwrap_or_default()))
}

/// What Go says of a file that cannot be opened.
pub(super) fn open(path: &Path, error: &std::io::Error) -> Error {
    let cause = match error.kind() {
        ErrorKind::NotFound => "no such file or directory".to_owned(),
        ErrorKind::PermissionDenied => "permission denied".to_owned(),
        ErrorKind::NotADirectory => "not a directory".to_owned(),
        _ => error.to_string(),
    };
    Error::Open { path: path.display().to_string(), cause }
}
