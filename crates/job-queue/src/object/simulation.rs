//! Simulated servers that share a storage: every run is a seed. What holds is asked after every step.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

mod jobs;
mod lease;

/// Numbers that follow from a seed (splitmix64).
#[derive(Debug, Clone)]
struct Seeded(u64);

impl Seeded {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    fn between(&mut self, least: u64, most: u64) -> u64 {
        least + self.below(most - least + 1)
    }

    fn percent(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

/// How many seeds are tried: `SIMULATION_SEEDS` of them, if that is set.
fn seeds(usually: u64) -> u64 {
    let set = std::env::var("SIMULATION_SEEDS").ok();
    set.map_or(usually, |set| set.parse().expect("SIMULATION_SEEDS is no number"))
}

/// How many of `seeds` end as they must not, and why the first does.
fn failing(seeds: u64, run: impl Fn(u64) -> Result<(), String>) -> (usize, Option<String>) {
    let failed = (0..seeds).filter_map(|seed| run(seed).err().map(|why| format!("seed {seed}: {why}")));
    let failed: Vec<_> = failed.collect();
    (failed.len(), failed.into_iter().next())
}
