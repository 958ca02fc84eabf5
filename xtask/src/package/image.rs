//! The static binary as a container image, in one archive that has both layouts: OCI's (image-spec 1.0, `index.json`), which
//! podman, skopeo and containerd read, and Docker's (`manifest.json`), which every `docker load` reads. No daemon, no registry.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::stage::{commit_date, empty};
use crate::run::{command, root, run};

/// What a registry of one's own is not asked for by accident: no registry has this name.
pub(super) const NAME: &str = concat!("localhost/tortie:", env!("CARGO_PKG_VERSION"));
/// Mount points of the manifests, so that a read-only root has them, and nothing else that is writable.
const FOLDERS: [&str; 4] = ["usr/bin", "var/lib/tortie", "run/tortie", "etc/tortie"];

/// Who there is: programs look names up, and take a system without these files for a broken one.
const NAMES: [(&str, &str); 2] = [
    ("etc/passwd", "root:x:0:0:root:/:/sbin/nologin\nnobody:x:65534:65534:nobody:/:/sbin/nologin\n"),
    ("etc/group", "root:x:0:\nnobody:x:65534:\n"),
];

/// A file below `blobs/sha256`, which is called by the hash of what it holds.
struct Blob {
    digest: String,
    size: usize,
}

impl Blob {
    fn new(layout: &Path, content: &[u8]) -> Result<Self> {
        let digest = Sha256::digest(content).iter().fold(String::new(), |mut text, byte| {
            // Writing to a text cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        });
        let path = layout.join("blobs/sha256").join(&digest);
        fs::write(&path, content).with_context(|| path.display().to_string())?;
        Ok(Self { digest, size: content.len() })
    }

    fn descriptor(&self, media: &str) -> Value {
        json!({
            "mediaType": format!("application/vnd.oci.image.{media}"),
            "digest": format!("sha256:{}", self.digest),
            "size": self.size,
        })
    }

    fn path(&self) -> String {
        format!("blobs/sha256/{}", self.digest)
    }
}

/// Writes the image that holds this binary to `archive`; `work` is a folder to work in.
pub(super) fn build(binary: &Path, work: &Path, archive: &Path) -> Result<()> {
    empty(work)?;
    let (tree, layout) = (work.join("tree"), work.join("layout"));
    plant(binary, &tree)?;
    fs::create_dir_all(layout.join("blobs/sha256"))?;
    // The same commit gives the same image.
    let seconds = commit_date("%ct")?;
    let layer = work.join("layer.tar");
    pack(&tree, &layer, &seconds)?;
    let layer = Blob::new(&layout, &fs::read(&layer)?)?;
    let config = Blob::new(&layout, &serde_json::to_vec(&config(&layer, &commit_date("%cI")?)?)?)?;
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": config.descriptor("config.v1+json"),
        "layers": [layer.descriptor("layer.v1.tar")],
    });
    let manifest = Blob::new(&layout, &serde_json::to_vec(&manifest)?)?;
    let mut entry = manifest.descriptor("manifest.v1+json");
    entry["annotations"] = json!({
        "io.containerd.image.name": NAME,
        "org.opencontainers.image.ref.name": env!("CARGO_PKG_VERSION"),
    });
    let write = |file: &str, value: &Value| fs::write(layout.join(file), value.to_string());
    write("oci-layout", &json!({"imageLayoutVersion": "1.0.0"}))?;
    write("index.json", &json!({"schemaVersion": 2, "manifests": [entry]}))?;
    write("manifest.json", &json!([{"Config": config.path(), "RepoTags": [NAME], "Layers": [layer.path()]}]))?;
    pack(&layout, archive, &seconds)
}

/// The root file system: the binary, its second name, mount points, names of users, the licence.
fn plant(binary: &Path, tree: &Path) -> Result<()> {
    for folder in FOLDERS {
        fs::create_dir_all(tree.join(folder))?;
    }
    let copy = |from: PathBuf, to: &str| fs::copy(&from, tree.join(to)).with_context(|| from.display().to_string());
    for (file, text) in NAMES {
        fs::write(tree.join(file), text)?;
    }
    copy(binary.to_owned(), "usr/bin/tortie")?;
    copy(root().join("LICENSE"), "LICENSE")?;
    symlink("tortie", tree.join("usr/bin/calicoctl"))?;
    Ok(())
}

/// Packs what is in a folder, as root's, all of one time and in one order.
fn pack(folder: &Path, archive: &Path, seconds: &str) -> Result<()> {
    let mut names: Vec<String> = Vec::new();
    for entry in fs::read_dir(folder)? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    let (folder, archive, time) = (folder.to_string_lossy(), archive.to_string_lossy(), format!("--mtime=@{seconds}"));
    let mut arguments = vec!["--create", "--file", &archive, "--directory", &folder, "--sort=name", &time];
    arguments.extend(["--owner=0", "--group=0", "--numeric-owner", "--mode=u=rwX,go=rX", "--format=gnu"]);
    arguments.extend(names.iter().map(String::as_str));
    run(&mut command("tar", &arguments))
}

/// How the image is started: as root, which the kernel wants of who programs it; a manifest says which rights remain.
fn config(layer: &Blob, created: &str) -> Result<Value> {
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => bail!("{other} is no architecture for which images are made"),
    };
    Ok(json!({
        "architecture": architecture,
        "os": "linux",
        "created": created,
        "config": {
            "Entrypoint": ["/usr/bin/tortie"],
            "Cmd": ["--help"],
            "Env": ["PATH=/usr/bin"],
            "WorkingDir": "/",
            "Labels": {
                "org.opencontainers.image.title": "tortie",
                "org.opencontainers.image.version": env!("CARGO_PKG_VERSION"),
                "org.opencontainers.image.licenses": "Apache-2.0",
                "org.opencontainers.image.source": "https://github.com/tortie/tortie",
            },
        },
        "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{}", layer.digest)]},
        "history": [{"created": created, "created_by": "cargo xtask package --static"}],
    }))
}
