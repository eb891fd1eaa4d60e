//! The benchmark's table.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use crate::Outcome;

/// The rows that mostly write.
const WRITES: [&str; 4] = ["write floor", "create one", "restore one", "restore into"];

pub(crate) struct Table {
    znodes: usize,
    bytes: usize,
    rows: Vec<Row>,
}

struct Row {
    name: &'static str,
    /// Of each run.
    rates: Vec<f64>,
    /// In KiB, the highest of all runs.
    memory: Option<u64>,
    notes: BTreeSet<String>,
}

impl Table {
    pub(crate) fn new(znodes: usize, bytes: usize) -> Self {
        Self {
            znodes,
            bytes,
            rows: Vec::new(),
        }
    }

    fn row(&mut self, name: &'static str) -> &mut Row {
        let index = self
            .rows
            .iter()
            .position(|row| row.name == name)
            .unwrap_or_else(|| {
                self.rows.push(Row {
                    name,
                    rates: Vec::new(),
                    memory: None,
                    notes: BTreeSet::new(),
                });
                self.rows.len() - 1
            });
        &mut self.rows[index]
    }

    pub(crate) fn sample(&mut self, name: &'static str, znodes: usize, took: Duration) {
        self.row(name).rates.push(znodes as f64 / took.as_secs_f64());
    }

    pub(crate) async fn time<F: Future<Output = Outcome<()>>>(
        &mut self,
        name: &'static str,
        work: impl FnOnce() -> F,
    ) -> Outcome<()> {
        let begun = Instant::now();
        work().await?;
        self.sample(name, self.znodes, begun.elapsed());
        Ok(())
    }

    pub(crate) fn job(&mut self, name: &'static str, took: Duration, memory: Option<u64>) {
        self.sample(name, self.znodes, took);
        let row = self.row(name);
        row.memory = row.memory.max(memory);
    }

    pub(crate) fn note(&mut self, name: &'static str, note: &str) {
        self.row(name).notes.insert(note.to_owned());
    }

    pub(crate) fn print(&self) {
        let runs = self.rows.first().map_or(0, |row| row.rates.len());
        println!(
            "{} znodes of {} bytes, median of {runs} runs",
            self.znodes, self.bytes
        );
        println!(
            "{:<42}{:>10}{:>8}{:>9}{:>9}{:>9}",
            "", "znodes/s", "MB/s", "x alone", "of floor", "peak MiB"
        );
        for row in &self.rows {
            let rate = median(&row.rates);
            // What mostly reads is measured by reads, what mostly writes by writes.
            let writes = WRITES.iter().any(|name| row.name.starts_with(name));
            let (alone, floor) = if writes {
                ("restore one at a time", "write floor")
            } else {
                ("read one at a time", "read floor")
            };
            let of = |name: &str| {
                let other = self.rows.iter().find(|row| row.name.starts_with(name));
                other.map_or(f64::NAN, |row| rate / median(&row.rates))
            };
            let memory = row.memory.map_or(String::new(), |kib| (kib / 1024).to_string());
            let notes: Vec<_> = row.notes.iter().cloned().collect();
            println!(
                "{:<42}{rate:>10.0}{:>8.1}{:>9.1}{:>8.0}%{memory:>9}  {}",
                row.name,
                rate * self.bytes as f64 / 1e6,
                of(alone),
                of(floor) * 100.0,
                notes.join(", ")
            );
        }
    }
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}
