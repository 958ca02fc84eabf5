use super::error::Error;
use serde_json::Value;
use tortie_api::{Kind, Problem};
pub(super) fn unreadable(_kind: Kind, _raw: &Value, problems: &[Problem]) -> Option<Error> {
    let _ = problems;
    None
}
pub(super) fn of(_kind: Kind, _raw: &Value, problems: &[Problem]) -> Error {
    Error::Invalid(problems.first().map(ToString::to_string).unwrap_or_default())
}
