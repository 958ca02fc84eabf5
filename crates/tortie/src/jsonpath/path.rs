//! Paths and what they find.

use std::cmp::Ordering;

use serde_json::Value;

/// A path from the root, or from where a `range` is.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Path {
    pub(super) is_from_root: bool,
    pub(super) steps: Vec<Step>,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Step {
    Member(String),
    /// All members, or all entries.
    All,
    /// `..`: the value itself and everything below it.
    Below,
    /// An entry; below 0 from the end.
    Entry(i64),
    Slice {
        from: Option<i64>,
        to: Option<i64>,
        step: usize,
    },
    /// What each of several paths finds.
    Union(Vec<Vec<Step>>),
    Filter(Filter),
}

/// `[?(left op right)]`
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Filter {
    pub(super) left: Operand,
    /// Without one, `left` has to be there.
    pub(super) compared: Option<(Operator, Operand)>,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Operand {
    Literal(Value),
    Path(Path),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operator {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Path {
    /// All values that it leads to.
    pub(super) fn find<'a>(&self, root: &'a Value, here: &'a Value) -> Vec<&'a Value> {
        walk(&self.steps, root, vec![if self.is_from_root { root } else { here }])
    }
}

fn walk<'a>(steps: &[Step], root: &'a Value, mut values: Vec<&'a Value>) -> Vec<&'a Value> {
    for step in steps {
        values = match step {
            // Path by path, as kubectl does.
            Step::Union(paths) => paths.iter().flat_map(|path| walk(path, root, values.clone())).collect(),
            _ => values.into_iter().flat_map(|value| one(step, root, value)).collect(),
        };
    }
    values
}

pub(super) fn one<'a>(step: &Step, root: &'a Value, value: &'a Value) -> Vec<&'a Value> {
    let entries = || value.as_array().map(Vec::as_slice).unwrap_or_default();
    match step {
        Step::Member(name) => value.get(name.as_str()).into_iter().collect(),
        Step::All => children(value),
        Step::Below => {
            let mut found = vec![value];
            found.extend(children(value).into_iter().flat_map(|child| one(&Step::Below, root, child)));
            found
        }
        Step::Entry(number) => {
            let at = place(*number, entries().len());
            usize::try_from(at).ok().and_then(|at| entries().get(at)).into_iter().collect()
        }
        Step::Slice { from, to, step } => {
            let len = entries().len();
            let bound = |number: i64| usize::try_from(place(number, len)).unwrap_or(0).min(len);
            let (from, to) = (from.map_or(0, bound), to.map_or(len, bound));
            entries()[from..to.max(from)].iter().step_by(*step).collect()
        }
        Step::Filter(filter) => children(value).into_iter().filter(|child| filter.takes(root, child)).collect(),
        Step::Union(_) => walk(std::slice::from_ref(step), root, vec![value]),
    }
}

/// From the end, where it is below 0.
fn place(number: i64, len: usize) -> i64 {
    if number < 0 { number.saturating_add(i64::try_from(len).unwrap_or(i64::MAX)) } else { number }
}

fn children(value: &Value) -> Vec<&Value> {
    match value {
        Value::Array(entries) => entries.iter().collect(),
        Value::Object(members) => members.values().collect(),
        _ => Vec::new(),
    }
}

impl Filter {
    fn takes(&self, root: &Value, value: &Value) -> bool {
        let found = |operand: &Operand| match operand {
            Operand::Literal(literal) => Some(literal.clone()),
            Operand::Path(path) => path.find(root, value).into_iter().next().cloned(),
        };
        let left = found(&self.left);
        let Some((operator, right)) = &self.compared else { return left.is_some() };
        let (Some(left), Some(right)) = (left, found(right)) else { return false };
        operator.holds(&left, &right)
    }
}

impl Operator {
    /// Whether it holds. Values of different types are not equal, and have no order.
    fn holds(self, left: &Value, right: &Value) -> bool {
        let order = match (left, right) {
            (Value::String(left), Value::String(right)) => Some(left.cmp(right)),
            (Value::Bool(left), Value::Bool(right)) => Some(left.cmp(right)),
            _ => left.as_f64().zip(right.as_f64()).and_then(|(left, right)| left.partial_cmp(&right)),
        };
        match self {
            Operator::Equal => order == Some(Ordering::Equal),
            Operator::NotEqual => order != Some(Ordering::Equal),
            Operator::Less => order == Some(Ordering::Less),
            Operator::LessOrEqual => order.is_some_and(Ordering::is_le),
            Operator::Greater => order == Some(Ordering::Greater),
            Operator::GreaterOrEqual => order.is_some_and(Ordering::is_ge),
        }
    }
}
