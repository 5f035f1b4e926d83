//! A simulation of several processes on one store: seeded schedules of deliveries, removals, reads,
//! crashes, partitions and clock steps, in virtual time. These properties hold for every schedule:
//!
//! - the newest token that Forge delivered is in the store and is handed out everywhere;
//! - a removed installation stays removed, in the store and in every process;
//! - an installation that Forge calls for later has its token again;
//! - a removal's callbacks run at least once, and never for an installation that was not removed;
//! - no task spins, and `flush` ends.
//!
//! `FORGE_REMOTE_SIMULATION_SEED=17 cargo test -p forge-remote simulation` runs one seed and prints
//! its schedule; `FORGE_REMOTE_SIMULATION_SEEDS` is the number of seeds (default: 1,000; CI: 10,000).

mod checks;
mod network;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};

use world::World;

const SEEDS: u64 = 1_000;
/// The number of failures after which the test ends.
const MAX_FAILURES: u64 = 8;

fn variable(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
fn the_properties_hold_for_seeded_schedules() {
    if let Some(seed) = variable("FORGE_REMOTE_SIMULATION_SEED") {
        return World::new(seed, true).run();
    }
    let seeds = variable("FORGE_REMOTE_SIMULATION_SEEDS").unwrap_or(SEEDS);
    let (next, failed) = (AtomicU64::new(0), AtomicU64::new(0));
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while failed.load(Ordering::Relaxed) < MAX_FAILURES {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds {
                        return;
                    }
                    let run = AssertUnwindSafe(|| World::new(seed, false).run());
                    if catch_unwind(run).is_err() {
                        failed.fetch_add(1, Ordering::Relaxed);
                        eprintln!(
                            "seed {seed} failed; to run it alone, with its schedule:\n  \
                             FORGE_REMOTE_SIMULATION_SEED={seed} cargo test -p forge-remote simulation"
                        );
                    }
                }
            });
        }
    });
    let failed = failed.into_inner();
    assert_eq!(failed, 0, "seeds failed; see above");
}
