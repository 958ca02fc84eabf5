//! The two groups in which a server may have our kinds (datastore.md section 3.1).

use serde_json::Value;
pub use tortie_api::crd::Group;

/// The group in use, and why it is that one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chosen {
    /// The group.
    pub group: Group,
    /// A sentence on why.
    pub why: String,
    /// Whether the server has neither group, so that either may be installed.
    pub is_vacant: bool,
}

impl Chosen {
    /// Which of the groups a server has, by its answer to `/apis`.
    pub(crate) fn served(groups: &Value) -> Vec<Group> {
        let is_served = |group: &Group| {
            let found = groups["groups"].as_array().into_iter().flatten().find(|found| found["name"] == group.name());
            let versions = found.and_then(|found| found["versions"].as_array()).into_iter().flatten();
            versions.into_iter().any(|version| version["version"] == group.version())
        };
        Group::ALL.into_iter().filter(is_served).collect()
    }

    /// The choice of section 3.1 among the groups that are served.
    pub(crate) fn choose(served: &[Group]) -> Chosen {
        let has = |group| served.contains(&group);
        let (group, why) = match (has(Group::Native), has(Group::Classic)) {
            (true, false) => (Group::Native, "the server has this group and not `crd.projectcalico.org/v1`"),
            (false, true) => (Group::Classic, "the server has this group and not `projectcalico.org/v3`"),
            (true, true) => (Group::Classic, "the server has both groups, and this one wins wherever it exists"),
            (false, false) => (
                Group::Native,
                "the server has neither group; this one is what `tortie datastore init --crds` installs",
            ),
        };
        Chosen { group, why: why.to_owned(), is_vacant: served.is_empty() }
    }

    /// The choice for somebody who uses a group already. One that is still served stays in use: another that appears
    /// beside it must not make all policy vanish.
    pub(crate) fn choose_again(known: Option<Group>, served: &[Group]) -> Chosen {
        let chosen = Chosen::choose(served);
        match known.filter(|known| *known != chosen.group && served.contains(known)) {
            Some(group) => {
                let why =
                    format!("it was in use when `{}` appeared beside it, which wins at the next start", chosen.group);
                Chosen { group, why, is_vacant: false }
            }
            None => chosen,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_leftover_classic_definition_wins() {
        let chosen = |names: &[&str]| {
            let groups: Vec<Value> = names
                .iter()
                .filter_map(|text| text.split_once('/'))
                .map(|(name, version)| json!({"name": name, "versions": [{"version": version}]}))
                .collect();
            Chosen::choose(&Chosen::served(&json!({"groups": groups}))).group
        };
        assert_eq!(chosen(&["apps/v1", "projectcalico.org/v3"]), Group::Native);
        assert_eq!(chosen(&["crd.projectcalico.org/v1"]), Group::Classic);
        assert_eq!(chosen(&["projectcalico.org/v3", "crd.projectcalico.org/v1"]), Group::Classic);
        assert_eq!(chosen(&["projectcalico.org/v4"]), Group::Native);
    }

    #[test]
    fn a_group_that_appears_beside_the_one_in_use_changes_nothing() {
        let both = [Group::Native, Group::Classic];
        let kept = Chosen::choose_again(Some(Group::Native), &both);
        assert!(kept.group == Group::Native && kept.why.contains("crd.projectcalico.org/v1"), "{}", kept.why);
        assert_eq!(Chosen::choose_again(None, &both).group, Group::Classic);
        // One that is gone is in use no longer, and one that was assumed is seen.
        assert_eq!(Chosen::choose_again(Some(Group::Native), &[Group::Classic]).group, Group::Classic);
        let seen = Chosen::choose_again(Some(Group::Native), &[Group::Native]);
        assert!(!seen.is_vacant && Chosen::choose(&[]).is_vacant && !seen.why.contains("neither"));
    }
}
