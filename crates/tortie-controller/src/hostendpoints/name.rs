//! Names of automatic endpoints (E-803, E-807..E-809).

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};
use tortie_api::schema::Text;
use tortie_api::{Kind, check_name, check_text};

/// The longest name of an object, in bytes.
const NAME_LEN_MAX: usize = 253;
const SUFFIX: &str = "auto-hep";

/// Which names the store takes (D-2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Names {
    /// Upper case and `_` as well: the embedded store and etcd.
    Free,
    /// DNS-1123 names only.
    Kubernetes,
}

impl Names {
    /// # Errors
    /// Why the store would refuse an endpoint of this name.
    pub(super) fn check(self, name: &str) -> Result<(), String> {
        match self {
            Names::Free => check_name(Kind::HostEndpoint, name),
            Names::Kubernetes => check_text(Text::Name, name),
        }
    }
}

/// The name of an endpoint: of the default one without template, of one without pattern without interface.
///
/// A name longer than 253 bytes is replaced by one that its SHA-256 gives (E-809).
pub fn endpoint_name(node: &str, template: Option<&str>, interface: Option<&str>) -> String {
    let parts: Vec<&str> = [Some(node), template, interface, Some(SUFFIX)].into_iter().flatten().collect();
    let name = parts.join("-");
    if name.len() <= NAME_LEN_MAX {
        return name;
    }
    let mut hash = URL_SAFE_NO_PAD.encode(Sha256::digest(name.as_bytes()));
    hash.retain(|c| !matches!(c, '-' | '_' | '.'));
    format!("{hash}-{SUFFIX}").to_lowercase()
}
