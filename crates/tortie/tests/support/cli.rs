//! The real binary on a store of its own, without an agent.
#![allow(dead_code, reason = "each test program uses its part")]

use std::io::Write;
use std::process::{Command, Stdio};

use tempfile::TempDir;

pub(crate) struct Run {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

pub(crate) struct Cli {
    pub(crate) folder: TempDir,
}

impl Cli {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn store(&self) -> String {
        format!("embedded:{}", self.folder.path().join("store.db").display())
    }

    pub(crate) fn run_with(&self, arguments: &[&str], input: &str) -> Run {
        self.started(arguments, &[], input)
    }

    /// With variables of its own.
    pub(crate) fn run_in(&self, arguments: &[&str], variables: &[(&str, &str)]) -> Run {
        self.started(arguments, variables, "")
    }

    fn started(&self, arguments: &[&str], variables: &[(&str, &str)], input: &str) -> Run {
        let mut child = Command::new(env!("CARGO_BIN_EXE_tortie"))
            .args(arguments)
            .envs(variables.iter().copied())
            .current_dir(self.folder.path())
            .env("TORTIE_STORE", self.store())
            .env_remove("NO_COLOR")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // A command that refuses its arguments does not read its input.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        let output = child.wait_with_output().unwrap();
        Run {
            code: output.status.code().expect("it ends by itself"),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Run {
        self.run_with(arguments, "")
    }

    /// A run that must succeed.
    pub(crate) fn ok(&self, arguments: &[&str], input: &str) -> Run {
        let run = self.run_with(arguments, input);
        assert_eq!(run.code, 0, "{arguments:?}: {}", run.err);
        run
    }

    /// The exit code, and a part of what is said on standard error.
    pub(crate) fn fails(&self, arguments: &[&str], input: &str, code: i32, part: &str) {
        let run = self.run_with(arguments, input);
        assert_eq!(run.code, code, "{arguments:?}: {}{}", run.out, run.err);
        assert!(run.err.contains(part), "{arguments:?}: `{part}` is missing in:\n{}", run.err);
        assert!(!run.err.contains("panicked"), "{}", run.err);
    }

    pub(crate) fn count(&self, kind: &str) -> usize {
        let run = self.run(&["get", kind, "-o", "name"]);
        assert_eq!(run.code, 0, "{}", run.err);
        run.out.lines().count()
    }

    pub(crate) fn file(&self, name: &str, text: &str) -> String {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        name.to_owned()
    }
}
