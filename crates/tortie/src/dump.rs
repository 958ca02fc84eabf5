//! `dump`: what the kernel holds, and the proof that it does what policy says.

mod text;

use std::os::unix::net::UnixStream;
use std::time::Duration;

use tortie_agent::{Boot, InForce, InForceError, in_force};
use tortie_api::with_causes;
use tortie_nftables::{Kernel, OpenError};
use tortie_proof::{Budget, Disagreement, How, Proof, prove};
use tortie_rules::Ruleset;

use crate::agent::local_settings;
use crate::args::{DumpArgs, Global};
use crate::client;
use crate::exit::{Code, Failure};

/// How long a running agent may take to save what is in force.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often kernel and saved state are read again when an agent changed either meanwhile.
const TRIES: usize = 20;

pub(crate) fn dump(global: &Global, args: &DumpArgs) -> Result<Code, Failure> {
    let mut kernel = Kernel::open().map_err(|error| match error {
        OpenError::NotPermitted => {
            Failure::new(Code::NotAuthorised, error.to_string()).with_hint("run `tortie dump` as root")
        }
        other => Failure::new(Code::General, with_causes(&other)),
    })?;
    if args.verify {
        return verify(global, args, &mut kernel);
    }
    print!("{}", text::render(&read(&mut kernel)?.1));
    Ok(Code::Success)
}

/// Our table, and the generation at which it was read.
fn read(kernel: &mut Kernel) -> Result<(u32, Ruleset), Failure> {
    let actual = kernel.read().map_err(|error| Failure::new(Code::General, with_causes(&error)))?;
    match actual.ruleset {
        Some(ruleset) => Ok((actual.generation, ruleset)),
        None => Err(Failure::new(Code::NotFound, "there is no table inet tortie in this network namespace")
            .with_hint("`tortie agent` makes it")),
    }
}

fn verify(global: &Global, args: &DumpArgs, kernel: &mut Kernel) -> Result<Code, Failure> {
    let budget = Budget { nodes: args.nodes, ..Budget::default() };
    let mut is_settled = false;
    for _ in 0..TRIES {
        let wanted = intended(global, args)?;
        let (generation, ruleset) = read(kernel)?;
        let difference = match prove(&wanted.policy, &ruleset, budget) {
            Ok(proof) => {
                print!("{}", proved(&proof, &wanted, global.quiet));
                return Ok(Code::Success);
            }
            Err(difference) => difference,
        };
        // An agent that was at work meanwhile, or is still to learn of a link, is no difference.
        if is_moved(global, args, kernel, &wanted, generation)? {
            continue;
        }
        if !is_settled && has_agent(global) {
            is_settled = true;
            // Where it cannot say so, for want of its store, what is in force counts all the same.
            let _ = client::status(&global.socket, Some(PATIENCE), PATIENCE);
            continue;
        }
        print!("{}", differs(&difference, &wanted));
        return Ok(Code::Differs);
    }
    let message = format!("policy or kernel changed {TRIES} times while they were compared");
    Err(Failure::new(Code::General, message).with_hint("try again when the host is quieter"))
}

fn is_moved(
    global: &Global,
    args: &DumpArgs,
    kernel: &mut Kernel,
    wanted: &InForce,
    generation: u32,
) -> Result<bool, Failure> {
    let now = kernel.generation().map_err(|error| Failure::new(Code::General, with_causes(&error)))?;
    Ok(now != generation || intended(global, args)? != *wanted)
}

/// What the saved state says of this host as it is now.
fn intended(global: &Global, args: &DumpArgs) -> Result<InForce, Failure> {
    // An agent that runs saves now and then only; one that is gone has done so at its end.
    if has_agent(global) {
        client::saved(&global.socket, global.timeout.unwrap_or(PATIENCE))?;
    }
    let (environment, file) = local_settings()?;
    let state_dir = args.state.folder(&global.socket);
    let links = tortie_netmon::list_now()
        .map_err(|error| Failure::new(Code::General, format!("cannot list links: {error}")))?;
    let boot = Boot { node: None, environment: &environment, file: &file, state_dir: &state_dir, fault: None };
    in_force(&boot, &links).map_err(|error| match &error {
        InForceError::None { .. } => Failure::new(Code::NotFound, error.to_string())
            .with_hint("an agent writes it; `--state-dir` or the agent's `--socket` says where"),
        InForceError::Saved(_) => Failure::new(Code::General, with_causes(&error)),
    })
}

fn has_agent(global: &Global) -> bool {
    UnixStream::connect(&global.socket).is_ok()
}

fn proved(proof: &Proof, wanted: &InForce, is_quiet: bool) -> String {
    let mut text = String::new();
    if !is_quiet {
        for chain in &proof.chains {
            let how = match &chain.how {
                How::Complete => "equal for every packet".to_owned(),
                How::Reached => "equal for every packet that can come to it".to_owned(),
                How::Sampled { why, packets, seed } => format!("{packets} packets agree (seed {seed}): {why}"),
            };
            text.push_str(&format!("{:<7} {:<18} {:>9} nodes  {how}\n", chain.stages, chain.chain, chain.nodes));
        }
    }
    let verdict = match proof.is_complete() {
        true => "the kernel does what policy says, for every packet",
        false => "no difference was found; not every packet was looked at",
    };
    text.push_str(&format!("{verdict} ({})\n", wanted.what));
    text
}

fn differs(difference: &Disagreement, wanted: &InForce) -> String {
    format!("the kernel does not do what policy says ({})\n{difference}\n", wanted.what)
}
