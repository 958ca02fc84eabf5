//! What became of the objects of a command (cli.md section 1.4).

use tortie_api::Kind;

use super::error::Error;
use super::resource::Resource;

/// What a command does, as its results name it.
#[derive(Clone, Copy)]
pub(super) struct Verb {
    pub(super) infinitive: &'static str,
    pub(super) past: &'static str,
}

/// What became of all objects.
pub(super) struct Results {
    /// The kind, unless there are several.
    kind: Option<Kind>,
    count: usize,
    handled: usize,
    errors: Vec<Error>,
}

impl Results {
    /// Does something to each object, whatever becomes of the others.
    pub(super) fn of(resources: &mut [Resource], mut each: impl FnMut(&mut Resource) -> Result<(), Error>) -> Results {
        let first = resources.first().map(|resource| resource.kind);
        let kind = first.filter(|kind| resources.iter().all(|resource| resource.kind == *kind));
        let errors: Vec<Error> = resources.iter_mut().filter_map(|resource| each(resource).err()).collect();
        Results { kind, count: resources.len(), handled: resources.len() - errors.len(), errors }
    }

    fn success(&self, verb: Verb) {
        let what = self.kind.map(|kind| format!("'{kind}' ")).unwrap_or_default();
        println!("Successfully {} {} {what}resource(s)", verb.past, self.handled);
    }

    fn partial(&self, verb: Verb, handled: usize) {
        let what = self.kind.map(|kind| format!("'{kind}' ")).unwrap_or_default();
        println!("Partial success: {} the first {handled} out of {} {what}resources:", verb.past, self.count);
    }

    /// Says what became of them.
    pub(super) fn report(self, verb: Verb) -> Result<(), Error> {
        let Results { kind, handled, errors, .. } = self;
        let verb_word = verb.infinitive;
        match (handled, errors.len(), kind) {
            (_, 0, _) => {
                Results { kind, handled, errors, ..self }.success(verb);
                Ok(())
            }
            (0, 1, Some(kind)) => {
                let error = Box::new(errors.into_iter().next().expect("there is one"));
                Err(Error::FailedOne { verb: verb_word, kind, error })
            }
            (0, _, Some(kind)) => Err(Error::FailedKind { verb: verb_word, kind, errors }),
            (0, _, None) => Err(Error::FailedAll { verb: verb_word, errors }),
            (_, failed, _) => {
                if handled > failed {
                    Results { kind, handled, errors: Vec::new(), ..self }.partial(verb, handled);
                }
                Err(Error::HitAll(errors))
            }
        }
    }

    /// The same in the words of a replacement: what failed counts as handled, and only the last error is told.
    pub(super) fn report_last(mut self, verb: Verb) -> Result<(), Error> {
        match self.errors.pop() {
            None => {
                self.success(verb);
                Ok(())
            }
            Some(error) => {
                self.partial(verb, self.count);
                Err(error.within(Error::Hit))
            }
        }
    }

    /// The same in the words of a deletion: each error has a line.
    pub(super) fn report_each(self, verb: Verb) -> Result<(), Error> {
        if self.handled > 0 {
            self.success(verb);
        }
        match self.errors.is_empty() {
            true => Ok(()),
            false => Err(Error::Deletions { kind: self.kind, errors: self.errors }),
        }
    }
}
