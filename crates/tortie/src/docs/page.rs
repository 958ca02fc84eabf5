//! From what a user asks for to a kind or a field.

use tortie_api::schema::{self, Field, Text, Type};
use tortie_api::{Kind, nearest};
use tortie_calc::settings::{Origin, SETTINGS};

use crate::exit::{Code, Failure};
use crate::get::parse_kind;

/// What is asked for.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) kind: Kind,
    /// The path of the field, or of the fields that are shown of a kind: `spec`.
    pub(super) path: String,
    /// The field; none for the kind itself.
    pub(super) field: Option<Field>,
    /// The members that are shown.
    pub(super) fields: Vec<Field>,
}

impl Page {
    /// Finds `hep`, `hep.ports`, `hep.spec.ports.name`, `gnp.metadata.labels`; an index as in `ingress[0]` changes nothing.
    ///
    /// # Errors
    /// A usage error that says which kind or field was probably meant.
    pub(super) fn find(what: &str) -> Result<Page, Failure> {
        let mut words = what.split('.');
        let kind = parse_kind(words.next().unwrap_or_default())?;
        let root = document(kind);
        let spec = root.iter().find(|field| field.name == "spec").copied();
        let mut page = Page {
            kind,
            path: "spec".to_owned(),
            field: None,
            fields: spec.map(|spec| members(&spec.ty).to_vec()).unwrap_or_default(),
        };
        let mut words = words.map(|word| word.split('[').next().unwrap_or(word)).peekable();
        if words.peek().is_some_and(|word| root.iter().any(|field| field.name == *word)) {
            page.path.clear();
            page.fields = root;
        }
        for word in words {
            page.descend(word)?;
        }
        Ok(page)
    }

    fn descend(&mut self, name: &str) -> Result<(), Failure> {
        let Some(field) = self.fields.iter().find(|field| field.name == name).copied() else {
            return Err(self.unknown(name));
        };
        self.path = join(&self.path, name);
        self.fields = members(&field.ty).to_vec();
        self.field = Some(field);
        Ok(())
    }

    fn unknown(&self, name: &str) -> Failure {
        if self.fields.is_empty() {
            return Failure::new(Code::Usage, format!("`{}` of {} has no fields", self.path, self.kind));
        }
        let message = format!("{} has no field `{}`", self.kind, join(&self.path, name));
        let names = || self.fields.iter().map(|field| field.name);
        // What is a field of the document was tried first.
        let near = nearest(name, names().chain(["metadata", "spec"].into_iter().filter(|_| self.field.is_none())));
        Failure::new(Code::Usage, message).with_hint(match near {
            Some(near) => format!("did you mean `{near}`?"),
            None if self.field.is_none() => format!("`tortie docs {}` tells its fields", self.kind.plural()),
            None => format!("its fields are {}", names().collect::<Vec<_>>().join(", ")),
        })
    }
}

/// The fields of documents below a path; none where it leads nowhere, or to something without fields.
pub(crate) fn below(kind: Kind, path: &str) -> Vec<Field> {
    let words = path.split('.').filter(|word| !word.is_empty());
    words.fold(document(kind), |fields, word| {
        let name = word.split('[').next().unwrap_or(word);
        fields.iter().find(|field| field.name == name).map(|field| members(&field.ty).to_vec()).unwrap_or_default()
    })
}

/// The same for paths that may leave `spec` out.
pub(crate) fn shortened(kind: Kind, path: &str) -> Vec<Field> {
    let in_spec = below(kind, &join("spec", path));
    if path.is_empty() {
        document(kind).into_iter().chain(in_spec).collect()
    } else {
        let fields = below(kind, path);
        if fields.is_empty() { in_spec } else { fields }
    }
}

/// The members of a whole document, with their types.
pub(crate) fn document(kind: Kind) -> Vec<Field> {
    let typed = |field: Field| match field.name {
        "apiVersion" | "kind" => Field { ty: Type::Text(Text::Any(usize::MAX)), ..field },
        "status" => Field { ty: schema::status(kind).map_or(field.ty, Type::Object), ..field },
        _ => field,
    };
    schema::document(kind).into_iter().map(typed).collect()
}

pub(super) fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

/// The members of an object, or of those in a list.
pub(super) fn members(ty: &Type) -> &'static [Field] {
    match ty {
        Type::Object(fields) => fields,
        Type::List(inner, _) | Type::Set(inner, _) | Type::Keyed(inner, _) | Type::Ruled(inner, _) => members(inner),
        _ => &[],
    }
}

/// What holds when a field is absent: what is filled in, or what agents take. `path` is that of the field.
pub(super) fn default(kind: Kind, path: &str, field: &Field) -> Option<&'static str> {
    let setting = || {
        let name = path.strip_prefix("spec.").filter(|_| kind == Kind::FelixConfiguration)?;
        let setting = SETTINGS.iter().find(|setting| setting.origin == Origin::Felix && setting.name == name)?;
        Some(setting.default).filter(|default| !default.is_empty())
    };
    field.default.or_else(setting)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn walk(kind: Kind, path: &str, fields: &[Field]) -> usize {
        let mut count = 0;
        for field in fields {
            let path = join(path, field.name);
            let found = Page::find(&format!("{}.{path}", kind.plural())).unwrap();
            assert_eq!((&found.path, found.field.map(|field| field.name)), (&path, Some(field.name)));
            count += 1 + walk(kind, &path, members(&field.ty));
        }
        count
    }

    #[test]
    fn every_field_of_every_kind_is_found_by_its_path() {
        for kind in Kind::all() {
            let found = Page::find(kind.name()).unwrap();
            assert_eq!((found.path.as_str(), found.field.is_none()), ("spec", true));
            assert!(walk(kind, "", &document(kind)) > found.fields.len(), "{kind}");
        }
    }

    #[test]
    fn absent_settings_show_what_the_agent_takes() {
        let of = |what: &str| {
            let page = Page::find(what).unwrap();
            default(page.kind, &page.path, &page.field.unwrap())
        };
        assert_eq!(of("felixconfig.nftablesRefreshInterval"), Some("3m"));
        assert_eq!(of("felixconfig.logFilePath"), None);
        assert_eq!(of("felixconfig.vxlanEnabled"), None);
        assert_eq!(of("gnp.tier"), Some("default"));
    }
}
