//! The settings file (E-601).

use super::Local;

/// The most bytes of a settings file; whoever reads one reads no more.
pub const FILE_LEN_MAX: u64 = 1 << 20;

/// What a settings file says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FileSettings {
    /// Its settings.
    pub settings: Local,
    /// Lines that set again what a line before them set: their numbers from 1, and names. They count.
    pub repeated: Vec<(usize, String)>,
}

/// A line that is no setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: expected `name = value`")]
pub struct FileError {
    /// Its number, from 1.
    pub line: usize,
}

/// `name = value` or `name: value` lines; sections and comments do not count (E-601), the last of several values does.
///
/// As in other INI files, ` #` and ` ;` begin a comment behind a value, and quotes around a value are not part of it.
///
/// # Errors
/// [`FileError`] for the first line that is something else.
pub fn settings_of_file(text: &str) -> Result<FileSettings, FileError> {
    let mut found = FileSettings::default();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim_start_matches('\u{feff}').trim();
        if line.is_empty() || line.starts_with(['#', ';', '[']) {
            continue;
        }
        let Some((name, value)) = line.split_once(['=', ':']).filter(|(name, _)| !name.trim().is_empty()) else {
            return Err(FileError { line: number + 1 });
        };
        let (name, value) = (name.trim(), value_of_line(value.trim()));
        if found.settings.insert(name.to_lowercase(), value.to_owned()).is_some() {
            found.repeated.push((number + 1, name.to_owned()));
        }
    }
    Ok(found)
}

fn value_of_line(value: &str) -> &str {
    for quote in ['"', '\'', '`'] {
        if let Some((inside, _)) = value.strip_prefix(quote).and_then(|rest| rest.split_once(quote)) {
            return inside;
        }
    }
    if value.starts_with(['#', ';']) {
        return "";
    }
    let comment = [" #", " ;", "\t#", "\t;"].into_iter().filter_map(|mark| value.find(mark)).min();
    comment.map_or(value, |at| value[..at].trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_settings_file_has_names_values_sections_and_comments_e601() {
        let text = "\u{feff}# felix\n[global]\nLogPrefix = x # why\nFailsafeInboundHostPorts=tcp:22,udp:68\r\n\
                    ; off\nInterfacePrefix: cali\nEmpty =\nOnlyComment = # none\nHealthHost = \"a # b\"\n\
                    [other]\nlogprefix = y;z\nExclude = '/a#b/'\n";
        let found = settings_of_file(text).unwrap();
        let expected: Local = [
            ("logprefix", "y;z"),
            ("failsafeinboundhostports", "tcp:22,udp:68"),
            ("interfaceprefix", "cali"),
            ("empty", ""),
            ("onlycomment", ""),
            ("healthhost", "a # b"),
            ("exclude", "/a#b/"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
        assert_eq!((found.settings, found.repeated), (expected, vec![(11, "logprefix".to_owned())]));
        for (bad, line) in [("LogPrefix", 1), ("a = b\n= c", 2)] {
            assert_eq!(settings_of_file(bad), Err(FileError { line }), "{bad}");
        }
    }
}
