//! Fields that no object has, by the tables from which everything is checked: a path through one of them leads nowhere,
//! which may be a slip of the fingers.

use serde_json::Value;
use tortie_api::nearest;
use tortie_api::schema::{Field, Type};

use super::path::{Filter, Operand, Path, Step, one};
use super::{Part, SortKey, Template};

/// What may stand in a place.
#[derive(Clone, Debug)]
pub(crate) enum Shape {
    /// Anything, such as labels.
    Open,
    /// Something without members.
    Leaf,
    /// Entries that each have one of these forms.
    List(Vec<Shape>),
    /// These members and no others.
    Object(Vec<(&'static str, Shape)>),
}

impl Shape {
    /// An object with fields of the tables.
    pub(crate) fn of_fields(fields: &[Field]) -> Shape {
        Shape::Object(fields.iter().map(|field| (field.name, Self::of_type(&field.ty))).collect())
    }

    fn of_type(ty: &Type) -> Shape {
        match ty {
            Type::Object([]) | Type::Map(_) | Type::Any => Shape::Open,
            Type::Object(fields) => Self::of_fields(fields),
            Type::List(inner, _) | Type::Set(inner, _) | Type::Keyed(inner, _) => {
                Shape::List(vec![Self::of_type(inner)])
            }
            Type::Ruled(inner, _) => Self::of_type(inner),
            Type::Text(_) | Type::Int(..) | Type::Float | Type::Bool | Type::IntOrText => Shape::Leaf,
        }
    }
}

/// A field that no object has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unknown {
    pub(crate) name: String,
    /// The field that was probably meant.
    pub(crate) near: Option<&'static str>,
}

/// Where a path has come to: what may be there, and what is there. What is there counts where the two disagree.
#[derive(Clone)]
struct Place<'a> {
    shapes: Vec<&'a Shape>,
    values: Vec<&'a Value>,
}

impl Template {
    /// The fields of its paths that nothing of this shape has, and this value neither.
    pub(crate) fn unknown_fields(&self, shape: &Shape, value: &Value) -> Vec<Unknown> {
        let root = Place { shapes: vec![shape], values: vec![value] };
        let mut unknown = Vec::new();
        parts(&self.0, &root, &root, &mut unknown);
        unknown
    }
}

impl SortKey {
    /// As [`Template::unknown_fields`].
    pub(crate) fn unknown_fields(&self, shape: &Shape, value: &Value) -> Vec<Unknown> {
        let root = Place { shapes: vec![shape], values: vec![value] };
        let mut unknown = Vec::new();
        path(&self.0, &root, &root, &mut unknown);
        unknown
    }
}

fn parts(parts_of: &[Part], root: &Place<'_>, here: &Place<'_>, unknown: &mut Vec<Unknown>) {
    for part in parts_of {
        match part {
            Part::Text(_) => {}
            Part::Path(of) => {
                path(of, root, here, unknown);
            }
            Part::Range(over, body) => {
                let inner = path(over, root, here, unknown);
                parts(body, root, &inner, unknown);
            }
        }
    }
}

fn path<'a>(path: &Path, root: &Place<'a>, here: &Place<'a>, unknown: &mut Vec<Unknown>) -> Place<'a> {
    walk(&path.steps, root, if path.is_from_root { root } else { here }.clone(), unknown)
}

fn walk<'a>(steps: &[Step], root: &Place<'a>, mut place: Place<'a>, unknown: &mut Vec<Unknown>) -> Place<'a> {
    for step in steps {
        place = match step {
            Step::Union(paths) => {
                let ends = paths.iter().map(|path| walk(path, root, place.clone(), unknown));
                let ends: Vec<Place<'a>> = ends.collect();
                let shapes = ends.iter().flat_map(|end| end.shapes.iter().copied()).collect();
                Place { shapes, values: ends.iter().flat_map(|end| end.values.iter().copied()).collect() }
            }
            _ => next(step, root, &place, unknown),
        };
    }
    place
}

fn next<'a>(step: &Step, root: &Place<'a>, place: &Place<'a>, unknown: &mut Vec<Unknown>) -> Place<'a> {
    let values = |root: Option<&'a Value>| -> Vec<&'a Value> {
        root.into_iter().flat_map(|root| place.values.iter().flat_map(move |value| one(step, root, value))).collect()
    };
    let values = values(root.values.first().copied());
    let mut shapes = Vec::new();
    for shape in &place.shapes {
        match (step, shape) {
            (_, Shape::Open) | (Step::Below, Shape::List(_) | Shape::Object(_)) => shapes.push(&Shape::Open),
            (Step::Member(name), Shape::Object(members)) => {
                shapes.extend(members.iter().filter(|(known, _)| known == name).map(|(_, shape)| shape));
            }
            (Step::All, Shape::Object(members)) => shapes.extend(members.iter().map(|(_, shape)| shape)),
            (Step::All | Step::Entry(_) | Step::Slice { .. } | Step::Filter(_), Shape::List(entries)) => {
                shapes.extend(entries);
            }
            _ => {}
        }
    }
    match step {
        // Somebody newer than the tables may have written it.
        Step::Member(_) if shapes.is_empty() && !values.is_empty() => shapes.push(&Shape::Open),
        Step::Member(name) if shapes.is_empty() => unknown.extend(unknown_member(name, &place.shapes)),
        Step::Filter(filter) => operands(filter, root, &Place { shapes: shapes.clone(), values: Vec::new() }, unknown),
        _ => {}
    }
    Place { shapes, values }
}

/// The member that none of these shapes has; none where there is no object that could have one.
fn unknown_member(name: &str, shapes: &[&Shape]) -> Option<Unknown> {
    let members = shapes.iter().filter_map(|shape| match shape {
        Shape::Object(members) => Some(members),
        _ => None,
    });
    let names: Vec<&'static str> = members.flatten().map(|(name, _)| *name).collect();
    (!names.is_empty()).then(|| Unknown { name: name.to_owned(), near: nearest(name, names) })
}

fn operands(filter: &Filter, root: &Place<'_>, entries: &Place<'_>, unknown: &mut Vec<Unknown>) {
    let compared = filter.compared.as_ref().map(|(_, operand)| operand);
    for operand in [Some(&filter.left), compared].into_iter().flatten() {
        if let Operand::Path(of) = operand {
            path(of, root, entries, unknown);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use serde_json::json;
    use tortie_api::Kind;

    use super::*;
    use crate::docs::document;

    fn hep() -> Shape {
        Shape::of_fields(&document(Kind::HostEndpoint))
    }

    fn check(template: &str, expected: &[(&str, Option<&str>)]) {
        let list = Shape::Object(vec![("kind", Shape::Leaf), ("items", Shape::List(vec![hep()]))]);
        let value = json!({"kind": "HostEndpointList", "items": [
            {"metadata": {"name": "a", "labels": {"role": "web"}, "newer": 1}, "spec": {"node": "n", "ports": [{"name": "p"}]}},
        ]});
        let found = Template::parse(template).unwrap().unknown_fields(&list, &value);
        let found: Vec<(&str, Option<&str>)> = found.iter().map(|one| (one.name.as_str(), one.near)).collect();
        assert_eq!(found, expected, "{template}");
    }

    #[test]
    fn fields_that_no_object_has_are_found() {
        check("{.itmes[*].metadata.name}", &[("itmes", Some("items"))]);
        check("{.items[*].spec.interfceName}", &[("interfceName", Some("interfaceName"))]);
        check("{.items[*].spec.frobnicate}", &[("frobnicate", None)]);
        check("{range .items[*]}{.metadta.name}{end}", &[("metadta", Some("metadata"))]);
        check("{.items[?(@.spec.nod==\"n\")].metadata.name}", &[("nod", Some("node"))]);
        check("{.items[*]['metadata.nme','kind']}", &[("nme", Some("name"))]);
        check("{.items[*].spec.ports[0].prot}", &[("prot", Some("port"))]);
    }

    #[test]
    fn nothing_is_said_of_what_may_be_there() {
        for template in [
            "{.items[*].metadata.labels.anything}",
            "{.items[*].metadata.annotations.tortie\\.dev/mode}",
            "{.items[*].metadata.newer}",
            "{.items[*].spec.expectedIPs[*]}",
            "{.items[*].spec.ports[?(@.name=='x')].port}",
            "{..nothing}",
            "{.items.metadata.name}",
            "{.kind.of}",
            "{.items[*].*.name}",
            "text {.kind}",
        ] {
            check(template, &[]);
        }
        let key = SortKey::parse(".spec.nod").unwrap();
        assert_eq!(key.unknown_fields(&hep(), &json!({})).len(), 1);
        assert!(SortKey::parse("spec.node").unwrap().unknown_fields(&hep(), &json!({})).is_empty());
    }

    #[test]
    fn every_field_of_every_kind_is_known() {
        fn all(shape: &Shape, path: &str, root: &Shape, seen: &mut usize) {
            match shape {
                Shape::Object(members) => members.iter().for_each(|(name, below)| {
                    all(below, &format!("{path}.{name}"), root, seen);
                }),
                Shape::List(entries) => entries.iter().for_each(|entry| all(entry, &format!("{path}[*]"), root, seen)),
                Shape::Open | Shape::Leaf => {
                    let template = Template::parse(&format!("{{{path}}}")).unwrap();
                    assert_eq!(template.unknown_fields(root, &json!({})), [], "{path}");
                    *seen += 1;
                }
            }
        }
        let mut seen = 0;
        for kind in Kind::all() {
            let shape = Shape::of_fields(&document(kind));
            all(&shape, "", &shape, &mut seen);
        }
        assert!(seen > 500, "{seen} paths were seen");
    }
}
