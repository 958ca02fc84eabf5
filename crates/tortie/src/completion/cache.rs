//! Names that were read a moment ago: a shell asks for every word again (cli.md section 2.3).
//!
//! One file for each store and kind, for its owner's eyes only. Whatever cannot be read or written here is done without.

use std::fs::{self, DirBuilder};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Write;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use tortie_agent::bounded;

/// How long names are good for.
const AGE_MAX: Duration = Duration::from_secs(5);
/// The largest file that is read or written, in bytes.
const FILE_LEN_MAX: usize = 4 << 20;

/// What was asked of which store.
pub(super) struct Key {
    /// None where there is no place for files.
    file: Option<PathBuf>,
}

impl Key {
    /// `store` tells stores apart, `about` what is asked of one.
    pub(super) fn new(store: u64, about: &str) -> Self {
        Self::within(folder(), store, about)
    }

    fn within(folder: Option<PathBuf>, store: u64, about: &str) -> Self {
        let mut hasher = DefaultHasher::new();
        (store, about).hash(&mut hasher);
        Self { file: folder.map(|folder| folder.join(format!("{:016x}", hasher.finish()))) }
    }

    /// The names that were kept, if they are fresh.
    pub(super) fn known(&self) -> Option<Vec<String>> {
        let file = self.file.as_deref()?;
        if !is_fresh(file) {
            return None;
        }
        let text = String::from_utf8(bounded::read_regular(file, FILE_LEN_MAX as u64).ok()?).ok()?;
        Some(text.lines().map(str::to_owned).collect())
    }

    /// Keeps names for the next words.
    pub(super) fn keep(&self, names: &[String]) {
        let text = names.iter().map(|name| format!("{name}\n")).collect::<String>();
        if let Some(file) = self.file.as_deref()
            && text.len() <= FILE_LEN_MAX
        {
            // Without it the next word takes as long as this one.
            let _ = write(file, &text);
        }
    }
}

fn write(file: &Path, text: &str) -> std::io::Result<()> {
    let Some(folder) = file.parent() else { return Ok(()) };
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    // What is no longer fresh serves nobody.
    for entry in fs::read_dir(folder)?.filter_map(Result::ok).filter(|entry| !is_fresh(&entry.path())) {
        fs::remove_file(entry.path())?;
    }
    // For its owner only, and whole or not at all: several shells may ask at once.
    let mut new = tempfile::NamedTempFile::new_in(folder)?;
    new.write_all(text.as_bytes())?;
    new.persist(file)?;
    Ok(())
}

/// A file from the future is none.
fn is_fresh(file: &Path) -> bool {
    let changed = fs::symlink_metadata(file).and_then(|metadata| metadata.modified());
    changed.is_ok_and(|changed| SystemTime::now().duration_since(changed).is_ok_and(|age| age <= AGE_MAX))
}

fn folder() -> Option<PathBuf> {
    let named = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let cache = named("XDG_CACHE_HOME").or_else(|| Some(named("HOME")?.join(".cache")))?;
    Some(cache.join("tortie/completion"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use std::fs::File;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn names_are_kept_for_a_moment_by_store_and_kind() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("tortie/completion");
        let key = |store, about| Key::within(Some(place.clone()), store, about);
        let names = ["web1".to_owned(), "web2".to_owned()];
        assert_eq!(key(1, "hep").known(), None);
        key(1, "hep").keep(&names);
        assert_eq!(key(1, "hep").known(), Some(names.to_vec()));
        assert_eq!((key(2, "hep").known(), key(1, "gnp").known()), (None, None));
        let file = key(1, "hep").file.unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&file), mode(&place)), (0o600, 0o700));
        for (age, is_known) in [(Duration::from_secs(3), true), (Duration::from_secs(6), false)] {
            File::options().write(true).open(&file).unwrap().set_modified(SystemTime::now() - age).unwrap();
            assert_eq!(key(1, "hep").known().is_some(), is_known, "{age:?}");
        }
        key(1, "gnp").keep(&names);
        assert!(!file.exists(), "what is old is removed");
        let tomorrow = SystemTime::now() + Duration::from_secs(86400);
        let file = key(1, "gnp").file.unwrap();
        File::options().write(true).open(file).unwrap().set_modified(tomorrow).unwrap();
        assert_eq!(key(1, "gnp").known(), None);
    }

    #[test]
    fn without_a_place_nothing_is_kept_and_nothing_fails() {
        let names = ["a".to_owned()];
        Key::within(None, 1, "hep").keep(&names);
        assert_eq!(Key::within(None, 1, "hep").known(), None);
        let file = tempfile::NamedTempFile::new().unwrap();
        let key = Key::within(Some(file.path().to_owned()), 1, "hep");
        key.keep(&names);
        assert_eq!(key.known(), None);
    }
}
