//! Metrics that are registered as they are made.

use prometheus::core::Collector;
use prometheus::{HistogramOpts, HistogramVec, IntCounter, IntCounterVec, Opts, Registry};

/// Makes metrics, and registers them.
pub(crate) struct Maker<'a>(pub(crate) &'a Registry);

impl Maker<'_> {
    fn register<C: Collector + Clone + 'static>(&self, metric: C) -> Result<C, prometheus::Error> {
        self.0.register(Box::new(metric.clone()))?;
        Ok(metric)
    }

    pub(crate) fn counter(&self, name: &str, help: &str) -> Result<IntCounter, prometheus::Error> {
        self.register(IntCounter::new(name, help)?)
    }

    /// With a series for each of `values` from the start: the first of what it counts is an increase, too.
    pub(crate) fn counters(
        &self,
        (name, help): (&str, &str),
        label: &str,
        values: &[&str],
    ) -> Result<IntCounterVec, prometheus::Error> {
        let counters = self.register(IntCounterVec::new(Opts::new(name, help), &[label])?)?;
        for value in values {
            counters.with_label_values(&[*value]);
        }
        Ok(counters)
    }

    pub(crate) fn histograms(
        &self,
        (name, help): (&str, &str),
        labels: &[&str],
        bounds: &[f64],
    ) -> Result<HistogramVec, prometheus::Error> {
        let options = HistogramOpts::new(name, help).buckets(bounds.to_vec());
        self.register(HistogramVec::new(options, labels)?)
    }
}
