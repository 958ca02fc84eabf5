//! Writes the saved state on a thread of its own, so that the loop waits for the disk only where it must.

use std::path::PathBuf;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use tortie_api::with_causes;

use crate::saved::Saved;

/// The thread that writes; dropping this ends it, after what it was given is written.
pub(crate) struct Saver {
    jobs: Option<Sender<Job>>,
    thread: Option<JoinHandle<()>>,
}

struct Job {
    saved: Saved,
    /// Whoever waits for it.
    done: Option<Sender<()>>,
}

impl Saver {
    /// `tell` hears how each writing went: `None` is well.
    ///
    /// # Errors
    /// When no thread can be made.
    pub(crate) fn start(folder: PathBuf, tell: impl Fn(Option<String>) + Send + 'static) -> std::io::Result<Saver> {
        let (jobs, receiver) = channel();
        let thread =
            std::thread::Builder::new().name("saver".to_owned()).spawn(move || run(&receiver, &folder, tell))?;
        Ok(Saver { jobs: Some(jobs), thread: Some(thread) })
    }

    /// Hands a state over to be written; only the newest one that waits is.
    pub(crate) fn save(&self, saved: Saved) {
        self.send(Job { saved, done: None });
    }

    /// Writes a state before it returns, well or not.
    pub(crate) fn save_now(&self, saved: Saved) {
        let (done, waiting) = channel();
        self.send(Job { saved, done: Some(done) });
        // Ends in either case: a thread that died drops its end.
        let _ = waiting.recv();
    }

    fn send(&self, job: Job) {
        if let Some(jobs) = &self.jobs {
            // The thread ends with this sender only.
            let _ = jobs.send(job);
        }
    }
}

impl Drop for Saver {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            // Had it panicked, its thread has said so.
            let _ = thread.join();
        }
    }
}

fn run(receiver: &Receiver<Job>, folder: &std::path::Path, tell: impl Fn(Option<String>)) {
    while let Ok(first) = receiver.recv() {
        let mut waiting: Vec<Sender<()>> = first.done.into_iter().collect();
        let mut newest = first.saved;
        for job in receiver.try_iter() {
            waiting.extend(job.done);
            newest = job.saved;
        }
        tell(newest.write(folder).err().map(|error| with_causes(&error)));
        for done in waiting {
            // It may not wait any more.
            let _ = done.send(());
        }
    }
}
