//! A shell at a terminal of its own, to which somebody types.

use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use nix::poll::{PollFd, PollFlags, poll};

use crate::completion::User;

/// How long a shell may take, in milliseconds: for ever as people measure, even on a busy machine.
const PATIENCE: u16 = 60_000;
/// What completes the line.
const TAB: &str = "\t";
/// What makes the shell print the line as `<…>`: its file of commands binds a key to that.
const SHOW: &str = "\x14";
/// What empties the line.
const CLEAR: &str = "\x15";

pub(crate) struct Terminal {
    child: Child,
    keys: ChildStdin,
    screen: ChildStdout,
    /// What was read and not looked at.
    text: String,
}

impl Terminal {
    /// Starts a shell that prints `ready> ` when it reads its line.
    pub(crate) fn start(user: &User, shell: &[&str]) -> Self {
        // It gives the shell a terminal, and is essential on Debian (bsdutils).
        let mut command = Command::new("script");
        user.of_user(&mut command).args([
            "--quiet",
            "--return",
            "--echo",
            "never",
            "--command",
            &shell.join(" "),
            "/dev/null",
        ]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (keys, screen) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let mut terminal = Self { child, keys, screen, text: String::new() };
        terminal.until("ready> ", &shell.join(" "));
        terminal
    }

    /// The line after a tab.
    pub(crate) fn completed(&mut self, typed: &str) -> String {
        write!(self.keys, "{CLEAR}{typed}{TAB}{SHOW}").unwrap();
        self.keys.flush().unwrap();
        self.until("<", typed);
        self.until(">", typed)
    }

    /// What is on the screen before `mark`, which is taken away with it.
    fn until(&mut self, mark: &str, what: &str) -> String {
        let mut bytes = [0; 4096];
        loop {
            if let Some((before, behind)) = self.text.split_once(mark) {
                let (before, behind) = (before.to_owned(), behind.to_owned());
                self.text = behind;
                return before;
            }
            let mut screen = [PollFd::new(self.screen.as_fd(), PollFlags::POLLIN)];
            let is_alive = poll(&mut screen, PATIENCE).unwrap() > 0;
            let len = if is_alive { self.screen.read(&mut bytes).unwrap() } else { 0 };
            assert!(
                len > 0,
                "{what}: no `{mark}`; is the shell installed (Debian packages bash and zsh)?\n{}",
                self.text
            );
            self.text += &String::from_utf8_lossy(&bytes[..len]);
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // It ends by itself when nobody types any more; a test that fails may leave it half-way.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
