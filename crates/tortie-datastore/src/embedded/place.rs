//! Where an embedded store lies: the path rule of D-13, file modes, and file systems that cannot carry it.

use std::fs;
use std::io;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::sys::statfs::statfs;
use nix::unistd::Group;

use crate::embedded::fault;
use crate::kv::{FaultKind, KvError};

/// The store of a machine on which nobody named another.
pub const DEFAULT_PATH: &str = "/var/lib/tortie/store.db";

/// The file inside of a directory that was named as the store.
const FILE_IN_DIRECTORY: &str = "store.db";

/// The group whose members may read the store at the default place.
pub(super) const GROUP: &str = "tortie";

/// Magic numbers of `statfs(2)`, from `linux/magic.h` and the file systems' own headers.
const REFUSED: &[(u32, &str)] = &[
    (0x6969, "NFS"),
    (0x517b, "SMB"),
    (0xff53_4d42, "CIFS"),
    (0xfe53_4d42, "SMB"),
    (0x0102_1997, "9p"),
    (0x6573_5546, "FUSE"),
    (0x5346_414f, "AFS"),
    (0x6b41_4653, "AFS"),
    (0x7375_7245, "Coda"),
    (0x564c, "NCP"),
    (0x00c3_6400, "Ceph"),
    (0x0bd0_0bd0, "Lustre"),
    (0x0116_1970, "GFS2"),
    (0x7461_636f, "OCFS2"),
    (0x4750_4653, "GPFS"),
    (0x786f_4256, "VirtualBox shared folders"),
    (0xbacb_acbc, "VMware shared folders"),
];

/// The name of a file system that cannot carry a store, by its `statfs(2)` type: locks and shared memory must work
/// between all processes that can reach the file (datastore.md section 7.1 rule 10).
pub fn refused_file_system(magic: u32) -> Option<&'static str> {
    REFUSED.iter().find(|(refused, _)| *refused == magic).map(|(_, name)| *name)
}

/// The database file for what the user named. Symbolic links are followed now, so that everybody rings one bell.
pub(super) fn resolve(path: &Path) -> PathBuf {
    let names_directory = path.is_dir() || path.as_os_str().as_encoded_bytes().ends_with(b"/");
    let file = if names_directory { path.join(FILE_IN_DIRECTORY) } else { path.to_owned() };
    let file = std::path::absolute(&file).unwrap_or(file);
    if let Ok(real) = fs::canonicalize(&file) {
        return real;
    }
    match (file.parent().map(fs::canonicalize), file.file_name()) {
        (Some(Ok(folder)), Some(name)) => folder.join(name),
        _ => file,
    }
}

/// The folder of a database file.
pub(super) fn folder(file: &Path) -> &Path {
    file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// A file beside the store: its name with something appended.
pub(super) fn beside(file: &Path, suffix: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// Whether this is the default place, which a group may read.
pub(super) fn is_default(file: &Path) -> bool {
    file == Path::new(DEFAULT_PATH)
}

/// Refuses a file system on which several processes cannot share the file.
pub(super) fn check_file_system(file: &Path) -> Result<(), KvError> {
    let Ok(about) = statfs(folder(file)) else { return Ok(()) };
    // The field is 32 or 64 bits wide, signed or not, by architecture; the magic numbers have 32 bits.
    let magic = (about.filesystem_type().0 as u64 & 0xffff_ffff) as u32;
    match refused_file_system(magic) {
        Some(file_system) => Err(fault::fault(file, "use it", FaultKind::NetworkFileSystem { file_system })),
        None => Ok(()),
    }
}

/// Gives a new file of the store its mode: 0640 and the group at the default place, 0600 elsewhere (rule 10).
pub(super) fn set_file_mode(path: &Path, is_default: bool) -> io::Result<()> {
    if !is_default {
        return fs::set_permissions(path, fs::Permissions::from_mode(0o600));
    }
    give_to_group(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o640))
}

/// Gives a new folder of the store its mode: 0750 and the group at the default place, 0700 elsewhere.
pub(super) fn set_folder_mode(path: &Path, is_default: bool) -> io::Result<()> {
    if !is_default {
        return fs::set_permissions(path, fs::Permissions::from_mode(0o700));
    }
    give_to_group(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o750))
}

fn give_to_group(path: &Path) -> io::Result<()> {
    match Group::from_name(GROUP) {
        Ok(Some(group)) => chown(path, None, Some(group.gid.as_raw())),
        // Without /etc/group, as in a container of nothing but this program, some C libraries say so by an error.
        Ok(None) | Err(Errno::ENOENT) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_systems_of_other_machines_are_refused_and_local_ones_are_not() {
        for (magic, name) in [(0x6969, "NFS"), (0xff53_4d42, "CIFS"), (0x0102_1997, "9p"), (0x6573_5546, "FUSE")] {
            assert_eq!(refused_file_system(magic), Some(name));
        }
        // ext4, xfs, btrfs, tmpfs, overlay, f2fs, zfs.
        for magic in [0xef53, 0x5846_5342, 0x9123_683e, 0x0102_1994, 0x794c_7630, 0xf2f5_2010, 0x2fc1_2fc1] {
            assert_eq!(refused_file_system(magic), None);
        }
    }

    #[test]
    fn a_directory_means_the_file_inside_and_links_are_followed() {
        let folder = tempfile::tempdir().unwrap();
        let real = fs::canonicalize(folder.path()).unwrap();
        assert_eq!(resolve(folder.path()), real.join("store.db"));
        assert_eq!(resolve(&folder.path().join("other")), real.join("other"));
        assert_eq!(resolve(&folder.path().join("new/")), folder.path().join("new/store.db"));
        std::os::unix::fs::symlink(&real, folder.path().join("link")).unwrap();
        assert_eq!(resolve(&folder.path().join("link")), real.join("store.db"));
        assert_eq!(resolve(&folder.path().join("link/x.db")), real.join("x.db"));
    }
}
