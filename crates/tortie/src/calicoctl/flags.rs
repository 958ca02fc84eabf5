//! Flags as Go's `pflag` reads them: anywhere on the line, `--name value`, `--name=value`, `-nvalue`, `-n=value`, `-abc`.

use std::collections::BTreeMap;

use super::error::Error;

/// A flag of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Flag {
    pub(super) name: &'static str,
    pub(super) letter: Option<char>,
    /// What help calls its value; none for a flag that is there or not.
    pub(super) value: Option<&'static str>,
    pub(super) help: &'static str,
}

impl Flag {
    /// As errors name it.
    fn shown(&self) -> String {
        self.letter.map(|letter| format!("-{letter}, ")).unwrap_or_default() + "--" + self.name
    }
}

/// What a command line gives.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Given {
    values: BTreeMap<&'static str, Vec<String>>,
    /// What is no flag.
    pub(super) arguments: Vec<String>,
}

impl Given {
    /// Whether a flag without a value is set.
    pub(super) fn is_set(&self, name: &str) -> bool {
        self.text(name) == Some("true")
    }

    /// The value of a flag: the last one that is given, unless it is empty.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.all(name).last().map(String::as_str).filter(|text| !text.is_empty())
    }

    /// All values of a flag.
    pub(super) fn all(&self, name: &str) -> &[String] {
        self.values.get(name).map(Vec::as_slice).unwrap_or_default()
    }
}

/// Reads a line by the flags that a command has.
pub(super) fn parse(flags: &[Flag], line: &[String]) -> Result<Given, Error> {
    let mut given = Given::default();
    let mut words = line.iter();
    while let Some(word) = words.next() {
        if word == "--" {
            given.arguments.extend(words.by_ref().cloned());
        } else if let Some(long) = word.strip_prefix("--") {
            let (name, value) = match long.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (long, None),
            };
            if name.is_empty() || name.starts_with('-') {
                return Err(Error::FlagSyntax(word.clone()));
            }
            let flag = flags.iter().find(|flag| flag.name == name);
            let flag = flag.ok_or_else(|| Error::UnknownFlag(name.to_owned()))?;
            let value = match (value, flag.value) {
                (Some(value), _) => value,
                (None, None) => "true".to_owned(),
                (None, Some(_)) => words.next().cloned().ok_or_else(|| Error::FlagArgument(name.to_owned()))?,
            };
            given.set(flag, value)?;
        } else if word.len() > 1 && word.starts_with('-') {
            given.letters(flags, &word[1..], &mut words)?;
        } else {
            given.arguments.push(word.clone());
        }
    }
    Ok(given)
}

impl Given {
    /// Flags of one letter, behind one dash.
    fn letters<'a>(
        &mut self,
        flags: &[Flag],
        word: &str,
        words: &mut impl Iterator<Item = &'a String>,
    ) -> Result<(), Error> {
        let mut rest = word.chars();
        while let Some(letter) = rest.next() {
            let unknown = || Error::UnknownShorthand { letter, word: format!("{letter}{}", rest.as_str()) };
            let flag = flags.iter().find(|flag| flag.letter == Some(letter)).ok_or_else(unknown)?;
            let behind = rest.as_str();
            match (flag.value, behind.strip_prefix('=')) {
                // Without anything behind it the sign itself is the value, or the next flag.
                (_, Some(value)) if !value.is_empty() => return self.set(flag, value.to_owned()),
                (Some(_), _) if !behind.is_empty() => return self.set(flag, behind.to_owned()),
                (Some(_), _) => {
                    let missing = || Error::ShorthandArgument { letter, word: letter.to_string() };
                    return self.set(flag, words.next().cloned().ok_or_else(missing)?);
                }
                (None, _) => self.set(flag, "true".to_owned())?,
            }
        }
        Ok(())
    }

    fn set(&mut self, flag: &Flag, value: String) -> Result<(), Error> {
        let value = match flag.value {
            Some(_) => value,
            None => match value.as_str() {
                "1" | "t" | "T" | "TRUE" | "true" | "True" => "true".to_owned(),
                "0" | "f" | "F" | "FALSE" | "false" | "False" => "false".to_owned(),
                _ => return Err(Error::NoBoolean { value, flag: flag.shown() }),
            },
        };
        self.values.entry(flag.name).or_default().push(value);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FLAGS: &[Flag] = &[
        Flag { name: "output", letter: Some('o'), value: Some("FORMAT"), help: "" },
        Flag { name: "recursive", letter: Some('R'), value: None, help: "" },
        Flag { name: "export", letter: None, value: None, help: "" },
    ];

    fn read(line: &[&str]) -> Result<Given, String> {
        let line: Vec<String> = line.iter().map(|word| (*word).to_owned()).collect();
        parse(FLAGS, &line).map_err(|error| error.to_string())
    }

    #[test]
    fn values_stand_in_every_form() {
        for line in [
            ["hep", "-o", "wide"].as_slice(),
            &["-o=wide", "hep"],
            &["-owide", "hep"],
            &["--output=wide", "hep"],
            &["hep", "--output", "wide"],
            &["-o", "yaml", "-Ro", "wide", "hep"],
        ] {
            let given = read(line).unwrap();
            assert_eq!((given.text("output"), given.arguments.as_slice()), (Some("wide"), &["hep".to_owned()][..]));
        }
        assert_eq!(read(&["-o="]).unwrap().text("output"), Some("="));
        assert_eq!(read(&["--output="]).unwrap().text("output"), None);
        assert!(
            read(&["-R"]).unwrap().is_set("recursive") && !read(&["--recursive=false"]).unwrap().is_set("recursive")
        );
        assert_eq!(read(&["-", "--", "-x"]).unwrap().arguments, ["-", "-x"]);
    }

    #[test]
    fn mistakes_have_the_words_of_pflag() {
        for (line, words) in [
            (["--bogus=1"].as_slice(), "unknown flag: --bogus"),
            (&["-xyz"], "unknown shorthand flag: 'x' in -xyz"),
            (&["-Rxy"], "unknown shorthand flag: 'x' in -xy"),
            (&["--output"], "flag needs an argument: --output"),
            (&["-Ro"], "flag needs an argument: 'o' in -o"),
            (&["--=x"], "bad flag syntax: --=x"),
            (
                &["-R=x"],
                "invalid argument \"x\" for \"-R, --recursive\" flag: strconv.ParseBool: parsing \"x\": invalid syntax",
            ),
            (
                &["--export=no"],
                "invalid argument \"no\" for \"--export\" flag: strconv.ParseBool: parsing \"no\": invalid syntax",
            ),
        ] {
            assert_eq!(read(line).unwrap_err(), words);
        }
    }
}
