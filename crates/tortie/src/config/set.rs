//! `config set`.

use std::fs::{self, DirBuilder};
use std::io::{self, Read, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use serde_json::Value;
use tortie_agent::bounded;
use tortie_api::{nearest, with_causes};

use super::{SetArgs, edit};
use crate::args::Global;
use crate::exit::{Code, Failure};
use crate::{lint, store};

/// The largest value of standard input, in bytes: as large as a file may be.
const VALUE_LEN_MAX: u64 = store::CONFIG_FILE_LEN_MAX;
/// What a new file begins with.
const HEAD: &str = "apiVersion: projectcalico.org/v3\nkind: CalicoAPIConfig\nmetadata:\nspec:\n";

/// The fields of the file.
pub(crate) fn keys() -> impl Iterator<Item = &'static str> {
    store::fields()
}

/// The words that a field may be; none where it may be anything.
pub(crate) fn words(key: &str) -> &'static [&'static str] {
    match key {
        "datastoreType" => &["embedded", "etcdv3", "kubernetes"],
        "calicoAPIGroup" => &["projectcalico.org/v3", "crd.projectcalico.org/v1"],
        "k8sInsecureSkipTLSVerify" | "usePodCIDR" => &["true", "false"],
        _ => &[],
    }
}

pub(super) fn set(global: &Global, args: &SetArgs) -> Result<Code, Failure> {
    let key = keys().find(|key| *key == args.key).ok_or_else(|| unknown(&args.key))?;
    let text = if args.value == "-" { from_input()? } else { args.value.clone() };
    let value = (!text.is_empty()).then(|| value(key, &text)).transpose()?;
    let file = store::own_config_file(global);
    let read = store::config_file(global);
    let before = before(&file, read.as_deref())?;
    let after = edit::with(&before, key, value.as_ref())
        .map_err(|error| Failure::new(Code::Invalid, format!("cannot change `{}`: {error}", file.display())))?;
    store::check_config(&after, &file)?;
    write(&file, &after).map_err(|error| unwritten(&file, &error))?;
    println!("{key} {} in {}", if value.is_some() { "set" } else { "removed" }, file.display());
    if read.is_none() {
        warn_of_environment(global, &file);
    }
    Ok(Code::Success)
}

fn unknown(key: &str) -> Failure {
    Failure::new(Code::Usage, format!("the configuration has no field `{key}`")).with_hint(match nearest(key, keys()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("its fields are {}", keys().collect::<Vec<_>>().join(", ")),
    })
}

/// A value from standard input, without the end of its last line.
fn from_input() -> Result<String, Failure> {
    let mut text = String::new();
    let failure = |error: io::Error| Failure::new(Code::Invalid, format!("cannot read the value: {error}"));
    io::stdin().lock().take(VALUE_LEN_MAX).read_to_string(&mut text).map_err(failure)?;
    text.truncate(text.trim_end_matches(['\r', '\n']).len());
    Ok(text)
}

/// A value in the form that Calico's tools read as well.
fn value(key: &str, text: &str) -> Result<Value, Failure> {
    let words = words(key);
    if !words.is_empty() && !words.contains(&text) {
        let failure = Failure::new(Code::Usage, format!("`{text}` is no value of {key}"));
        return Err(failure.with_hint(match nearest(text, words.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("use one of {}", words.join(", ")),
        }));
    }
    match key {
        "k8sInsecureSkipTLSVerify" | "usePodCIDR" => Ok(Value::Bool(text == "true")),
        "k8sClientQPS" | "k8sClientBurst" => {
            let number = serde_json::from_str::<serde_json::Number>(text);
            let is_good = |number: &serde_json::Number| {
                if key == "k8sClientBurst" { number.is_u64() } else { number.as_f64().is_some_and(|n| n >= 0.0) }
            };
            let number = number.ok().filter(is_good);
            number.map(Value::Number).ok_or_else(|| Failure::new(Code::Usage, format!("{key} `{text}` is no number")))
        }
        _ => Ok(Value::from(text)),
    }
}

/// The text to change: the file's, or that of the file which counted until now, as a new one hides it.
fn before(file: &Path, read: Option<&Path>) -> Result<String, Failure> {
    let is_there = fs::exists(file).map_err(|error| unwritten(file, &error))?;
    let Some(source) = is_there.then_some(file).or(read.filter(|read| fs::exists(read).is_ok_and(|found| found)))
    else {
        return Ok(HEAD.to_owned());
    };
    let failure = |cause: String| Failure::new(Code::Invalid, format!("cannot read `{}`: {cause}", source.display()));
    let bytes =
        bounded::read_regular(source, store::CONFIG_FILE_LEN_MAX).map_err(|error| failure(with_causes(&error)))?;
    String::from_utf8(bytes).map_err(|_| failure("it is not UTF-8 text".to_owned()))
}

/// Replaces the file as a whole; passwords may stand in it, so only its owner reads it.
fn write(file: &Path, text: &str) -> io::Result<()> {
    // What a link points to is changed, not the link.
    let file = fs::canonicalize(file).unwrap_or_else(|_| file.to_owned());
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let mut new = tempfile::NamedTempFile::new_in(folder)?;
    new.write_all(text.as_bytes())?;
    new.as_file().sync_all()?;
    new.persist(&file)?;
    Ok(())
}

fn unwritten(file: &Path, error: &io::Error) -> Failure {
    let code = match error.kind() {
        io::ErrorKind::PermissionDenied => Code::NotAuthorised,
        _ => Code::General,
    };
    Failure::new(code, format!("cannot write `{}`: {error}", file.display()))
        .with_hint("name a file of your own with `--config FILE`")
}

/// A file that exists counts alone (datastore.md section 2.9): who had variables until now is told.
fn warn_of_environment(global: &Global, file: &Path) {
    let variables = store::variables();
    if !variables.is_empty() {
        let (variables, file) = (variables.join(", "), file.display());
        let message = format!("`{file}` counts alone from now on: {variables} of the environment no longer do");
        lint::warn(global, message, None);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use serde_json::json;

    use super::*;

    #[test]
    fn values_have_the_types_that_go_reads() {
        assert_eq!(value("k8sInsecureSkipTLSVerify", "true").unwrap(), json!(true));
        assert_eq!(value("k8sClientQPS", "2.5").unwrap(), json!(2.5));
        assert_eq!(value("etcdPassword", "0123").unwrap(), json!("0123"));
        for (key, text, hint) in [
            ("datastoreType", "etcd3", Some("did you mean `etcdv3`?")),
            ("usePodCIDR", "perhaps", Some("use one of true, false")),
            ("k8sClientBurst", "2.5", None),
            ("k8sClientQPS", "many", None),
        ] {
            let failure = value(key, text).unwrap_err();
            assert_eq!((failure.code, failure.hint.as_deref()), (Code::Usage, hint), "{key}");
        }
    }

    #[test]
    fn a_file_is_replaced_where_a_link_points() {
        let folder = tempfile::tempdir().unwrap();
        let (file, link) = (folder.path().join("a/b/real.cfg"), folder.path().join("link.cfg"));
        symlink(&file, &link).unwrap();
        write(&file, "one").unwrap();
        write(&link, "two").unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "two");
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    }
}
