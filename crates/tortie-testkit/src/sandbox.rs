//! A network, mount and, without root, user namespace for the present process: everything made in it vanishes with it.

use std::fs;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};

/// Folders of which the process gets an empty one of its own, in memory.
const PRIVATE: [&str; 2] = ["/tmp", "/run"];

/// Why there is no sandbox.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// Not root, and the system gives user namespaces to root only.
    #[error("not root, and unprivileged user namespaces are not allowed here ({0})")]
    NoUserNamespace(#[source] nix::Error),
    /// The kernel refuses a namespace.
    #[error("cannot make a namespace ({0})")]
    Refused(#[source] nix::Error),
    /// A file of `/proc` or a mount failed.
    #[error("cannot prepare {what}: {source}")]
    Prepare {
        /// What.
        what: String,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// Proof that the process is in namespaces of its own; links and rules may be made now.
#[derive(Debug)]
pub struct Sandbox(());

impl Sandbox {
    /// Moves the whole process into namespaces of its own, before it has started any thread.
    ///
    /// # Errors
    /// [`SandboxError`]; the process is then where it was, or in a namespace that nobody else uses.
    pub fn enter() -> Result<Sandbox, SandboxError> {
        let (uid, gid) = (nix::unistd::getuid(), nix::unistd::getgid());
        let before = namespace_id();
        if !uid.is_root() {
            unshare(CloneFlags::CLONE_NEWUSER).map_err(SandboxError::NoUserNamespace)?;
            let write = |file: &str, text: String| {
                fs::write(file, text).map_err(|source| SandboxError::Prepare { what: file.to_owned(), source })
            };
            write("/proc/self/setgroups", "deny".to_owned())?;
            write("/proc/self/uid_map", format!("0 {uid} 1"))?;
            write("/proc/self/gid_map", format!("0 {gid} 1"))?;
        }
        unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS).map_err(SandboxError::Refused)?;
        // From here on no mount is seen outside.
        let none: Option<&str> = None;
        let prepare = |what: &str, result: nix::Result<()>| {
            result.map_err(|errno| SandboxError::Prepare { what: what.to_owned(), source: errno.into() })
        };
        prepare("/", mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none))?;
        for folder in PRIVATE {
            prepare(folder, mount(Some("tmpfs"), folder, Some("tmpfs"), MsFlags::empty(), Some("mode=0755")))?;
        }
        assert_ne!(before, namespace_id(), "the kernel said that the network namespace is a new one");
        Ok(Sandbox(()))
    }
}

fn namespace_id() -> Option<std::path::PathBuf> {
    fs::read_link("/proc/self/ns/net").ok()
}

/// Makes the child die when this process does, however that happens.
pub fn die_with_parent(command: &mut Command) -> &mut Command {
    let prepare = || {
        nix::sys::prctl::set_pdeathsig(nix::sys::signal::Signal::SIGKILL)?;
        Ok(())
    };
    // SAFETY: between fork and exec the closure makes one system call, `prctl`, which allocates nothing and takes no lock.
    unsafe { command.pre_exec(prepare) }
}

/// Moves the present thread, and what it starts, into a new network namespace.
///
/// # Errors
/// When the kernel refuses.
pub fn new_network_namespace() -> io::Result<()> {
    unshare(CloneFlags::CLONE_NEWNET).map_err(io::Error::from)
}

/// Runs `work` on a thread in a network namespace of its own, which has no name and vanishes with the thread and what it
/// started.
///
/// # Panics
/// When the kernel refuses the namespace, and when `work` does.
pub fn in_network_namespace(work: impl FnOnce() + Send + 'static) {
    let thread = std::thread::spawn(move || {
        new_network_namespace().expect("kernel tests need root: they make network namespaces of their own");
        work();
    });
    if let Err(panic) = thread.join() {
        std::panic::resume_unwind(panic);
    }
}
