//! What a run found.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::gun::{Volley, Wrong};
use crate::lane::Lane;
use crate::rig::Options;

/// Lines about single losses and leaks, at most.
const SHOWN: usize = 20;

pub(crate) struct Report {
    pub(crate) options: Options,
    pub(crate) lanes: Vec<Lane>,
    pub(crate) volley: Volley,
    /// Transactions that the kernel has taken.
    pub(crate) swaps: u32,
    pub(crate) kills: u32,
    pub(crate) took: Duration,
    /// How often what was changed.
    pub(crate) whats: BTreeMap<&'static str, u64>,
    /// What each change was.
    pub(crate) log: Vec<&'static str>,
}

impl Report {
    pub(crate) fn lost(&self) -> u64 {
        self.volley.tallies.iter().map(|tally| tally.lost).sum()
    }

    pub(crate) fn leaked(&self) -> u64 {
        self.each(false).map(|at| self.volley.tallies[at].arrived).sum()
    }

    fn each(&self, must_pass: bool) -> impl Iterator<Item = usize> {
        (0..self.lanes.len()).filter(move |at| self.lanes[*at].must_pass == must_pass)
    }

    /// Panics when the rig itself did not work: a lane that never fires proves nothing.
    pub(crate) fn check_rig(&self) {
        assert_eq!(self.volley.strange, 0, "packets came that nobody waited for");
        for at in 0..self.lanes.len() {
            let (lane, tally) = (&self.lanes[at], &self.volley.tallies[at]);
            assert!(tally.sent > 0, "{} never fired", lane.name());
            if lane.must_pass {
                assert!(tally.arrived > 0, "{}: nothing arrives", lane.name());
                assert_eq!(tally.sent, tally.arrived + tally.lost, "{}", lane.name());
            }
        }
    }

    pub(crate) fn print(&self, has_lanes: bool) {
        let sum = |must_pass: bool| -> u64 { self.each(must_pass).map(|at| self.volley.tallies[at].sent).sum() };
        let Options { seed, variant, .. } = self.options;
        let changes = self.log.len();
        let seconds = self.volley.took.as_secs_f64();
        let total = sum(true) + sum(false);
        let variant = variant.map_or("the product".to_owned(), |variant| format!("variant {variant:?}"));
        println!("{variant}, seed {seed}: {changes} changes in {:.0} s, {} swaps", self.took.as_secs_f64(), self.swaps);
        println!("{} kills of the agent", self.kills);
        println!(
            "{total} packets in {} lanes: {:.0} in a second, one every {:.1} us, each lane every {:.2} ms",
            self.lanes.len(),
            total as f64 / seconds,
            seconds * 1e6 / total as f64,
            seconds * 1e3 * self.lanes.len() as f64 / total as f64
        );
        if has_lanes {
            for (lane, tally) in self.lanes.iter().zip(&self.volley.tallies) {
                println!(
                    "  {:<40} sent {:>9} arrived {:>9} lost {}",
                    lane.name(),
                    tally.sent,
                    tally.arrived,
                    tally.lost
                );
            }
            for (what, count) in &self.whats {
                println!("  {count:>6} {what}");
            }
        }
        self.print_wrong();
        println!("of {} packets that must pass {} were lost", sum(true), self.lost());
        println!("of {} packets that must not {} leaked", sum(false), self.leaked());
    }

    /// What was lost and leaked, by lane and by kind of change, and the first ones with the change to replay.
    fn print_wrong(&self) {
        let mut kinds: BTreeMap<(String, &str), u64> = BTreeMap::new();
        for wrong in &self.volley.wrong {
            *kinds.entry((self.lanes[wrong.lane].name(), self.what(wrong))).or_default() += 1;
        }
        for ((lane, what), count) in &kinds {
            println!("  {count:>5} of {lane} after: {what}");
        }
        for wrong in self.volley.wrong.iter().take(SHOWN) {
            let lane = &self.lanes[wrong.lane];
            println!(
                "  {} packet {} of {}: seed {}, step {} ({})",
                if lane.must_pass { "lost" } else { "leaked" },
                wrong.number,
                lane.name(),
                self.options.seed,
                wrong.step,
                self.what(wrong)
            );
        }
    }

    fn what(&self, wrong: &Wrong) -> &'static str {
        let at = usize::try_from(wrong.step).expect("32 bits fit");
        at.checked_sub(1).and_then(|at| self.log.get(at)).unwrap_or(&"no change")
    }
}
