//! The manifests of `packaging/kubernetes/`, in an order that `kubectl apply -f -` takes.

use tortie_api::is_label;

use super::KubernetesArgs;
use crate::datastore;
use crate::exit::{Code, Failure};

/// Namespace, accounts and rights (datastore.md section 3.6).
const RIGHTS: &str = include_str!("../../../../packaging/kubernetes/rbac.yaml");
/// The agents and the controllers.
const PROGRAMS: [&str; 2] = [
    include_str!("../../../../packaging/kubernetes/agent.yaml"),
    include_str!("../../../../packaging/kubernetes/controller.yaml"),
];
/// The namespace of those files, where it is a value.
const NAMESPACE: &str = ": tortie-system\n";
/// The image of those files.
const IMAGE: &str = "image: tortie\n";

pub(super) fn print(namespace: Option<&str>, args: &KubernetesArgs) -> Result<Code, Failure> {
    let namespace = namespace.unwrap_or("tortie-system");
    if !is_namespace(namespace) {
        return Err(Failure::new(Code::Usage, format!("`{namespace}` is no name of a namespace"))
            .with_hint("lower-case letters, digits and `-`, at most 63, no `-` at the ends"));
    }
    if !is_image(&args.image) {
        return Err(Failure::new(Code::Usage, format!("`{}` is no name of an image", args.image))
            .with_hint("write for instance `registry.example/tortie:1`"));
    }
    if !args.no_crds {
        print!("{}", datastore::definitions_as_yaml(args.group.into()));
    }
    for text in [RIGHTS].into_iter().chain(PROGRAMS) {
        // In quotes: `1` and `true` are names too.
        let text = text.replace(NAMESPACE, &format!(": \"{namespace}\"\n"));
        print!("---\n{}", text.replace(IMAGE, &format!("image: \"{}\"\n", args.image)));
    }
    Ok(Code::Success)
}

/// Whether a text can be the name of a namespace.
fn is_namespace(name: &str) -> bool {
    name.len() <= 63 && is_label(name)
}

/// Whether the characters are those of a reference to an image; which of them there is, nobody knows here.
fn is_image(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_alphanumeric())
        && name.chars().all(|character| character.is_ascii_alphanumeric() || "/._-:@".contains(character))
        && !name.ends_with(':')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn namespaces_and_images_cannot_carry_anything_else_into_the_manifests() {
        for (name, is_good) in
            [("a", true), ("tortie-2", true), ("", false), ("-a", false), ("a-", false), ("A", false), ("a: b", false)]
        {
            assert_eq!(is_namespace(name), is_good, "{name}");
        }
        assert!(is_namespace(&"a".repeat(63)) && !is_namespace(&"a".repeat(64)));
        let digest = format!("registry.example:5000/net/tortie:1.0@sha256:{}", "0".repeat(64));
        for (name, is_good) in
            [(digest.as_str(), true), ("tortie", true), ("", false), ("a b", false), ("a\nb", false), ("a:", false)]
        {
            assert_eq!(is_image(name), is_good, "{name}");
        }
    }

    #[test]
    fn every_container_has_an_image_to_be_named() {
        for text in PROGRAMS {
            assert!(text.contains(IMAGE) && text.matches(" image:").count() == text.matches(IMAGE).count());
        }
    }
}
