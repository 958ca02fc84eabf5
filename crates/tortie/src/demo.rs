//! `demo`.
use crate::args::DemoArgs;
use crate::exit::{Code, Failure};
pub(crate) fn demo(_args: &DemoArgs) -> Result<Code, Failure> {
    Err(Failure::new(Code::General, "not yet"))
}
