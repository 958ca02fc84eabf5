//! `datastore`, `lock` and `unlock`: care for a store, and moving what it holds (cli.md section 2.3).

mod crds;
mod parcel;
mod transfer;

use std::path::Path;

use tortie_datastore::kv::Revision;
use tortie_datastore::{Access, Kv, Resources, Store};

use crate::args::{BackupArgs, CopyArgs, ExportArgs, Global, ImportArgs, InitArgs};
use crate::exit::{Code, Failure};
use crate::lint;
use crate::store::{self, kv_failure, resource_failure};
use transfer::{Ready, Wanted};

pub(crate) use crds::{crds, definitions_as_yaml};

pub(crate) fn init(global: &Global, args: &InitArgs) -> Result<Code, Failure> {
    if args.crds {
        crds::install(global, args.group)?;
    }
    let store = store::open(global, Access::Write)?;
    Resources::new(&*store).ensure_initialised().map_err(|error| resource_failure(&error))?;
    println!("store `{}` is initialised", store.place());
    lint::warn_of_store(global, &*store);
    Ok(Code::Success)
}

pub(crate) fn check(global: &Global) -> Result<Code, Failure> {
    let embedded = store::embedded(global, Access::Read)?;
    let report = embedded.check().map_err(|error| kv_failure(&error))?;
    println!("revision {}, {} keys, history after revision {}", report.revision, report.keys, report.trimmed);
    if report.problems.is_empty() {
        println!("the store is sound");
        return Ok(Code::Success);
    }
    let failure = Failure { code: Code::General, messages: report.problems, hint: None };
    Err(failure.with_hint("stop what uses the store, and restore a backup"))
}

pub(crate) fn backup(global: &Global, args: &BackupArgs) -> Result<Code, Failure> {
    let embedded = store::embedded(global, Access::Read)?;
    embedded.backup(&args.file).map_err(|error| kv_failure(&error))?;
    println!("store `{}` is copied to `{}`", embedded.describe(), args.file.display());
    Ok(Code::Success)
}

pub(crate) fn compact(global: &Global) -> Result<Code, Failure> {
    let embedded = store::embedded(global, Access::Write)?;
    let size = |file: &Path| std::fs::metadata(file).map_or(0, |metadata| metadata.len());
    let before = size(embedded.file());
    embedded.compact(Revision(u64::MAX)).map_err(|error| kv_failure(&error))?;
    println!("history is forgotten: {} bytes, {before} before", size(embedded.file()));
    Ok(Code::Success)
}

pub(crate) fn export(global: &Global, args: &ExportArgs) -> Result<Code, Failure> {
    let store = store::open(global, Access::Read)?;
    let parcels = transfer::take_out(&*store)?;
    match &args.output {
        Some(file) => {
            parcel::write_file(file, &parcels, &global.progress("exported", parcels.len()))?;
            println!("{} objects are exported to `{}`", parcels.len(), file.display());
        }
        None => parcels.iter().for_each(|parcel| print!("{}", parcel.document())),
    }
    Ok(Code::Success)
}

pub(crate) fn import(global: &Global, args: &ImportArgs) -> Result<Code, Failure> {
    let parcels = parcel::read_files(&args.filename)?;
    let store = store::open(global, Access::Write)?;
    let wanted = Wanted { skips_existing: args.skip_exists, is_dry_run: args.dry_run, ready: Ready::AsBefore };
    let done = transfer::bring_in(global, &*store, parcels, &wanted)?;
    done.print("imported");
    Ok(Code::Success)
}

pub(crate) fn copy(global: &Global, args: &CopyArgs) -> Result<Code, Failure> {
    let from = store::open_url(global, &args.from, Access::Write)?;
    let to = store::open_url(global, &args.to, Access::Write)?;
    if from.place() == to.place() {
        return Err(Failure::new(Code::Usage, format!("`{}` is both ends of the copy", from.place())));
    }
    let was_ready = transfer::is_ready(&*from)?;
    if !args.no_lock && was_ready {
        set_ready(&*from, false)?;
        eprintln!("`{}` is locked: agents keep what they enforce", from.place());
    }
    let ready = if was_ready { Ready::Yes } else { Ready::No };
    let wanted = Wanted { skips_existing: args.skip_exists, is_dry_run: false, ready };
    let done = transfer::take_out(&*from).and_then(|parcels| transfer::bring_in(global, &*to, parcels, &wanted));
    let done = match done {
        Ok(done) => done,
        Err(failure) => {
            if !args.no_lock && was_ready {
                set_ready(&*from, true)?;
                eprintln!("`{}` is unlocked again", from.place());
            }
            return Err(failure);
        }
    };
    done.print("copied");
    if !args.no_lock && was_ready {
        let place = from.place();
        eprintln!("`{place}` stays locked: let agents use `{}`, or unlock it again with `tortie unlock`", to.place());
    }
    Ok(Code::Success)
}

pub(crate) fn lock(global: &Global) -> Result<Code, Failure> {
    let store = store::open(global, Access::Write)?;
    set_ready(&*store, false)?;
    println!("store `{}` is locked: agents keep what they enforce until it is unlocked", store.place());
    Ok(Code::Success)
}

pub(crate) fn unlock(global: &Global) -> Result<Code, Failure> {
    let store = store::open(global, Access::Write)?;
    set_ready(&*store, true)?;
    println!("store `{}` is unlocked", store.place());
    Ok(Code::Success)
}

fn set_ready(store: &dyn Store, is_ready: bool) -> Result<(), Failure> {
    Resources::new(store).set_ready(is_ready).map_err(|error| resource_failure(&error))
}
