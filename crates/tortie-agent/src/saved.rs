//! The saved state: what was in force at the last good moment, in a file of the agent's own (datastore.md section 6.3).
//!
//! The file is lines of JSON. The first names the format, its version, and length and SHA-256 of everything behind it;
//! the second is the state without its objects; after that each object has two lines: which it is, and its stored form.

mod head;

use std::borrow::Cow;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tortie_api::facts::{Link, Links};
use tortie_api::{Kind, ResourceKey};
use tortie_calc::settings::Remembered;

pub(crate) use self::head::sealed;
use self::head::{FORMAT, Head, Sum, VERSION, hex, line};
use crate::bounded::{self, BoundedError};
use crate::text::Text;

/// The name of the file in the folder of the state.
pub(crate) const FILE: &str = "state.jsonl";
/// The most bytes of a saved state. The largest store that is designed for has 40 MB (datastore.md).
const LEN_MAX: u64 = 256 << 20;

/// What an agent needs to enforce, without its store, what it enforced last.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Saved {
    /// The node it was enforced for.
    pub(crate) node: String,
    /// The identity of the store: `clusterGUID` of its ClusterInformation.
    pub(crate) cluster: Option<String>,
    /// The store's revision.
    pub(crate) revision: u64,
    /// When it was written, RFC 3339 UTC.
    pub(crate) time: String,
    /// The last valid value of each setting of the store (D-12).
    pub(crate) settings: Remembered,
    /// Where the store listens (E-467).
    pub(crate) peers: Vec<SocketAddr>,
    /// Links and addresses of the host.
    pub(crate) links: Links,
    /// The objects in force, with the last valid forms of those that are invalid or refused now, as they were stored.
    pub(crate) objects: Vec<(ResourceKey, Text)>,
}

/// Why a saved state cannot be used. None of them keeps an agent from running.
#[derive(Debug, thiserror::Error)]
pub enum SavedError {
    /// It cannot be read.
    #[error("cannot read `{}`", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: BoundedError,
    },
    /// The system refuses.
    #[error("cannot {what} `{}`", .path.display())]
    Io {
        /// What was being done.
        what: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It would not be read again.
    #[error("`{}` is not written: the state has {len} bytes, at most {len_max} are read again", .path.display())]
    TooLong {
        /// The file.
        path: PathBuf,
        /// How long it would be.
        len: usize,
        /// How long it may be.
        len_max: u64,
    },
    /// Somebody else may have written it.
    #[error("`{}` is not used: it belongs to user {owner}, or others may write it", .path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// Its owner.
        owner: u32,
    },
    /// It is something else.
    #[error("`{}` is not used: it is no saved state of an agent", .path.display())]
    NotOurs {
        /// The file.
        path: PathBuf,
    },
    /// Another version of this program wrote it.
    #[error("`{}` is not used: it has version {found}, this program reads version {VERSION}", .path.display())]
    Version {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u32,
    },
    /// It is torn, or was changed.
    #[error("`{}` is not used: it is damaged ({what})", .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
}

/// Removes the saved state in `folder`, so that nothing is restored from it; `true` when there was one.
///
/// # Errors
/// [`SavedError::Io`].
pub fn forget_state(folder: &Path) -> Result<bool, SavedError> {
    Saved::remove(folder)
}

/// Whether an agent has saved in `folder` what its store held, in whatever form.
pub fn has_saved_state(folder: &Path) -> bool {
    folder.join(FILE).exists()
}

#[derive(Serialize, Deserialize)]
struct Body {
    node: String,
    cluster: Option<String>,
    revision: u64,
    time: String,
    settings: Remembered,
    #[serde(default)]
    peers: Vec<SocketAddr>,
    links: Vec<SavedLink>,
}

#[derive(Serialize, Deserialize)]
struct SavedLink {
    index: u32,
    name: String,
    is_running: bool,
    controller: Option<u32>,
    addresses: Vec<IpAddr>,
}

#[derive(Serialize, Deserialize)]
struct SavedKey<'a> {
    kind: Cow<'a, str>,
    namespace: Option<Cow<'a, str>>,
    name: Cow<'a, str>,
}

impl Saved {
    /// Reads the state in `folder`; `None` when none was ever saved there.
    ///
    /// Its objects stay text until somebody needs what they mean: what a store holds is seldom that.
    ///
    /// # Errors
    /// [`SavedError`] when there is a file that must not be used.
    pub(crate) fn read(folder: &Path) -> Result<Option<Saved>, SavedError> {
        Self::read_up_to(folder, LEN_MAX)
    }

    fn read_up_to(folder: &Path, len_max: u64) -> Result<Option<Saved>, SavedError> {
        let path = folder.join(FILE);
        let unreadable = |source| SavedError::Unreadable { path: path.clone(), source };
        let file = match bounded::open_regular(&path) {
            Ok(file) => file,
            Err(error) if error.io_kind() == Some(io::ErrorKind::NotFound) => return Ok(None),
            Err(error) => return Err(unreadable(error)),
        };
        let metadata = file.metadata().map_err(|error| unreadable(error.into()))?;
        // Whoever can write this file decides what the host enforces at boot.
        let is_owner_trusted = [0, nix::unistd::geteuid().as_raw()].contains(&metadata.uid());
        if !is_owner_trusted || metadata.mode() & 0o022 != 0 {
            return Err(SavedError::Foreign { path, owner: metadata.uid() });
        }
        let bytes = bounded::read_opened(file, len_max).map_err(unreadable)?;
        parse(&bytes, &path).map(Some)
    }

    /// Writes the state into `folder`, whole or not at all: when this returns, it survives loss of power.
    ///
    /// # Errors
    /// [`SavedError::Io`]; what was there before is there still.
    pub(crate) fn write(&self, folder: &Path) -> Result<(), SavedError> {
        self.write_up_to(folder, LEN_MAX)
    }

    fn write_up_to(&self, folder: &Path, len_max: u64) -> Result<(), SavedError> {
        let path = folder.join(FILE);
        let io = |what: &'static str, path: &Path| {
            let path = path.to_path_buf();
            move |source| SavedError::Io { what, path, source }
        };
        let (head, len) = self.head().map_err(io("write", &path))?;
        if len as u64 > len_max {
            return Err(SavedError::TooLong { path, len, len_max });
        }
        let missing: Vec<&Path> = folder.ancestors().take_while(|folder| !folder.exists()).collect();
        DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(io("make", folder))?;
        let new = folder.join(format!("{FILE}.new"));
        // Left behind by a process that was killed, or a link laid by somebody else: never written through.
        match std::fs::remove_file(&new) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(io("remove", &new)(error)),
            _ => {}
        }
        let written = OpenOptions::new()
            .create_new(true)
            .write(true)
            .mode(0o600)
            .open(&new)
            .and_then(|file| self.write_to(&head, file)?.sync_all());
        if let Err(error) = written {
            // Half a file takes what room is left on a full disk. The error that is reported is the one that matters.
            let _ = std::fs::remove_file(&new);
            return Err(io("write", &new)(error));
        }
        std::fs::rename(&new, &path).map_err(io("replace", &path))?;
        // The rename is durable when the folder is, and a folder that was just made when the one around it is.
        let around = missing.into_iter().filter_map(Path::parent).filter(|folder| !folder.as_os_str().is_empty());
        for folder in std::iter::once(folder).chain(around) {
            File::open(folder).and_then(|folder| folder.sync_all()).map_err(io("write", folder))?;
        }
        Ok(())
    }

    /// Removes the state in `folder`; no error when there is none. `true` when there was one.
    ///
    /// # Errors
    /// [`SavedError::Io`].
    pub(crate) fn remove(folder: &Path) -> Result<bool, SavedError> {
        let mut is_found = false;
        for name in [FILE.to_owned(), format!("{FILE}.new")] {
            let path = folder.join(name);
            match std::fs::remove_file(&path) {
                Ok(()) => is_found = true,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(source) => return Err(SavedError::Io { what: "remove", path, source }),
            }
        }
        Ok(is_found)
    }

    /// The whole file, written as it comes: the objects of a large store are not to be there twice.
    fn write_to<W: Write>(&self, head: &[u8], writer: W) -> io::Result<W> {
        let mut writer = BufWriter::new(writer);
        writer.write_all(head)?;
        self.write_content(&mut writer)?;
        writer.into_inner().map_err(io::IntoInnerError::into_error)
    }

    /// The first line, and the length of the whole.
    fn head(&self) -> io::Result<(Vec<u8>, usize)> {
        let mut sum = Sum::default();
        self.write_content(&mut sum)?;
        let head = sum.head();
        let len = head.len() + sum.len;
        Ok((head, len))
    }

    /// Everything behind the first line.
    fn write_content(&self, writer: &mut impl Write) -> io::Result<()> {
        writer.write_all(&line(&self.body()))?;
        for (key, text) in &self.objects {
            writer.write_all(&line(&SavedKey {
                kind: key.kind.name().into(),
                namespace: key.namespace.as_deref().map(Cow::from),
                name: key.name.as_str().into(),
            }))?;
            writer.write_all(text.as_bytes())?;
            writer.write_all(b"\n")?;
        }
        Ok(())
    }

    fn body(&self) -> Body {
        let links = self.links.values().map(|link| SavedLink {
            index: link.index,
            name: link.name.clone(),
            is_running: link.is_running,
            controller: link.controller,
            addresses: link.addresses.iter().copied().collect(),
        });
        Body {
            node: self.node.clone(),
            cluster: self.cluster.clone(),
            revision: self.revision,
            time: self.time.clone(),
            settings: self.settings.clone(),
            peers: self.peers.clone(),
            links: links.collect(),
        }
    }

    /// The whole file.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let written = self.head().and_then(|(head, _)| self.write_to(&head, Vec::new()));
        written.expect("memory takes all of it")
    }
}

pub(crate) fn parse(bytes: &[u8], path: &Path) -> Result<Saved, SavedError> {
    let path = || path.to_path_buf();
    let damaged = |what: String| SavedError::Damaged { path: path(), what };
    let end = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len());
    let head: Head = serde_json::from_slice(&bytes[..end]).map_err(|_| SavedError::NotOurs { path: path() })?;
    if head.format != FORMAT {
        return Err(SavedError::NotOurs { path: path() });
    }
    if head.version != VERSION {
        return Err(SavedError::Version { path: path(), found: head.version });
    }
    let rest = bytes.get(end + 1..).unwrap_or_default();
    if rest.len() != head.len {
        return Err(damaged(format!("{} bytes instead of {}", rest.len(), head.len)));
    }
    if hex(&Sha256::digest(rest)) != head.sha256 {
        return Err(damaged("its checksum is another one".to_owned()));
    }
    let rest: Arc<str> = std::str::from_utf8(rest).map_err(|error| damaged(error.to_string()))?.into();
    let mut end = 0;
    let mut lines = rest.split_terminator('\n').map(|line| {
        let start = end;
        end += line.len() + 1;
        (line, start)
    });
    let json = |error: serde_json::Error| damaged(error.to_string());
    let body: Body = serde_json::from_str(lines.next().unwrap_or_default().0).map_err(json)?;
    let mut objects = Vec::new();
    while let (Some((key, _)), Some((object, start))) = (lines.next(), lines.next()) {
        let key: SavedKey<'_> = serde_json::from_str(key).map_err(json)?;
        let Ok(kind) = key.kind.parse::<Kind>() else { continue };
        let key = ResourceKey { kind, namespace: key.namespace.map(Cow::into_owned), name: key.name.into_owned() };
        objects.extend(Text::part(&rest, start..start + object.len()).map(|text| (key, text)));
    }
    let links = body.links.into_iter().map(|link| {
        let SavedLink { index, name, is_running, controller, addresses } = link;
        (name.clone(), Link { index, name, is_running, controller, addresses: addresses.into_iter().collect() })
    });
    Ok(Saved {
        node: body.node,
        cluster: body.cluster,
        revision: body.revision,
        time: body.time,
        settings: body.settings,
        peers: body.peers,
        links: links.collect(),
        objects,
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use serde_json::json;

    use super::*;
    use crate::hold::Form;

    fn a_state() -> Saved {
        let key = ResourceKey::global(Kind::HostEndpoint, "h");
        let object = json!({"metadata": {"name": "h"}, "spec": {"node": "n", "interfaceName": "eth0"}});
        let form = Form::read(&key, object).unwrap().0;
        let link = Link {
            index: 2,
            name: "eth0".to_owned(),
            is_running: true,
            controller: None,
            addresses: ["192.0.2.1".parse().unwrap(), "fe80::1".parse().unwrap()].into(),
        };
        Saved {
            node: "n".to_owned(),
            cluster: Some("c".to_owned()),
            revision: 7,
            time: "2026-01-02T03:04:05Z".to_owned(),
            peers: vec!["192.0.2.1:2379".parse().unwrap()],
            settings: [("logPrefix".to_owned(), "x".to_owned())].into(),
            links: [(link.name.clone(), link)].into(),
            objects: vec![(key, Text::from(form.text))],
        }
    }

    #[test]
    fn what_is_written_is_read_back_and_only_its_owner_may_e708() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("a/b");
        assert!(Saved::read(&folder).unwrap().is_none());
        a_state().write(&folder).unwrap();
        assert_eq!(Saved::read(&folder).unwrap(), Some(a_state()));
        let mode = |path: &Path| std::fs::metadata(path).unwrap().mode() & 0o777;
        assert_eq!((mode(&folder), mode(&folder.join(FILE))), (0o700, 0o600));
        // Somebody's link in the way of the next writing.
        let victim = folder.join("victim");
        std::fs::write(&victim, "precious").unwrap();
        std::os::unix::fs::symlink(&victim, folder.join(format!("{FILE}.new"))).unwrap();
        a_state().write(&folder).unwrap();
        assert_eq!(std::fs::read(&victim).unwrap(), b"precious");
        std::fs::remove_file(&victim).unwrap();
        let names: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, [FILE], "nothing else is left");
        assert!(Saved::remove(&folder).unwrap());
        assert!(!Saved::remove(&folder).unwrap());
        assert!(Saved::read(&folder).unwrap().is_none());
    }

    #[test]
    fn a_state_is_written_and_read_up_to_its_limit() {
        let folder = tempfile::tempdir().unwrap();
        let len = a_state().to_bytes().len() as u64;
        a_state().write_up_to(folder.path(), len).unwrap();
        assert_eq!(Saved::read_up_to(folder.path(), len).unwrap(), Some(a_state()));
        let text = tortie_api::with_causes(&Saved::read_up_to(folder.path(), len - 1).unwrap_err());
        assert!(text.contains(FILE) && text.contains(&format!("it is longer than {} bytes", len - 1)), "{text}");
        let text = a_state().write_up_to(folder.path(), len - 1).unwrap_err().to_string();
        assert!(text.contains(&format!("has {len} bytes, at most {} are read again", len - 1)), "{text}");
        assert_eq!(Saved::read(folder.path()).unwrap(), Some(a_state()), "the one before is there still");
    }

    #[test]
    fn what_is_no_file_is_not_read_and_keeps_nobody_waiting() {
        let folder = tempfile::tempdir().unwrap();
        nix::unistd::mkfifo(&folder.path().join(FILE), nix::sys::stat::Mode::S_IRWXU).unwrap();
        let text = tortie_api::with_causes(&Saved::read(folder.path()).unwrap_err());
        assert!(text.contains("it is not a regular file"), "{text}");
    }

    #[test]
    fn a_torn_file_is_refused_wherever_it_was_cut_and_whatever_was_changed() {
        let bytes = a_state().to_bytes();
        let path = Path::new("state");
        assert!(parse(&bytes, path).is_ok());
        for len in 0..bytes.len() {
            assert!(parse(&bytes[..len], path).is_err(), "cut after {len} bytes");
            let mut changed = bytes.clone();
            changed[len] ^= 0x10;
            assert!(parse(&changed, path).is_err(), "byte {len} changed");
        }
        assert!(parse(&[bytes.clone(), b"x".to_vec()].concat(), path).is_err());
    }

    #[test]
    fn a_file_that_must_not_be_used_says_why() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE);
        let check = |content: &str, words: &str| {
            std::fs::write(&path, content).unwrap();
            std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
            let text = Saved::read(folder.path()).unwrap_err().to_string();
            assert!(text.contains(words), "{content}: {text}");
        };
        check("", "no saved state of an agent");
        check("#!/bin/sh\n", "no saved state of an agent");
        check("{\"format\":\"other\",\"version\":1}\n", "no saved state of an agent");
        check("{\"format\":\"tortie-agent-state\",\"version\":2}\n", "it has version 2, this program reads version 1");
        check("{\"format\":\"tortie-agent-state\",\"version\":1,\"len\":9}\nshort", "damaged (5 bytes instead of 9)");
        a_state().write(folder.path()).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o622)).unwrap();
        let text = Saved::read(folder.path()).unwrap_err().to_string();
        assert!(text.contains("others may write it"), "{text}");
    }
}
