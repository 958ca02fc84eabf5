//! `controller`: reads its settings, and runs until a signal.

use tortie_api::with_causes;
use tortie_calc::settings::Local;
use tortie_controller::hostendpoints::Environment;
use tortie_controller::{Config, Controller, ControllerError, Timing, holder};

use crate::agent::{host_name, texts};
use crate::args::{ControllerArgs, Global};
use crate::exit::{Code, Failure};
use crate::signals::Signals;
use crate::store;

pub(crate) fn controller(global: &Global, args: &ControllerArgs) -> Result<Code, Failure> {
    let signals = Signals::block()?;
    let environment = Environment::read(texts(std::env::vars_os()))
        .map_err(|error| Failure::new(Code::Invalid, error.to_string()).with_hint("correct it, or take it out"))?;
    // A store that is missing is not made anew: agents would take the empty one for theirs, and open their hosts (D-13).
    let is_known = true;
    let open = if args.once { store::open_once } else { store::open_for_agent };
    let store = open(global, [&Local::new(), &Local::new()], is_known)?;
    let cluster = args.kubernetes_nodes.then(|| store::open_cluster(global)).transpose()?;
    let controller = Controller::new(Config {
        store,
        environment,
        is_standalone: args.standalone,
        cluster,
        is_once: args.once,
        holder: holder(&host_name()?),
        timing: Timing::default(),
    });
    signals.then(controller.stopper())?;
    controller.run().map_err(failure)?;
    Ok(Code::Success)
}

fn failure(error: ControllerError) -> Failure {
    match error {
        ControllerError::Incomplete(messages) => Failure { code: Code::Partial, messages, hint: None },
        ControllerError::NoNodes { .. } => Failure::new(Code::Usage, error.to_string())
            .with_hint("leave `--standalone` and `--kubernetes-nodes` out, or name another store with `--store`"),
        ControllerError::Start(_) => Failure::new(Code::General, with_causes(&error)),
    }
}
