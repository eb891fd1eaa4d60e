//! Prometheus text, read and checked by the rules that `promtool check metrics` goes by.

use std::collections::{BTreeMap, BTreeSet};

/// What a server has told in Prometheus text, format 0.0.4.
#[derive(Debug, Default)]
pub struct Exposition {
    /// The type of each metric.
    pub types: BTreeMap<String, String>,
    samples: Vec<Sample>,
}

#[derive(Debug)]
struct Sample {
    name: String,
    labels: BTreeMap<String, String>,
    value: f64,
}

/// What the text breaks, one rule a line.
pub type Broken = Vec<String>;

impl Exposition {
    /// Reads a text. Metrics whose names begin with one of `old` have names that were given by others, and are not held to the rules of names.
    ///
    /// # Errors
    /// What is no such text, or breaks a rule.
    pub fn check(text: &str, old: &[&str]) -> Result<Self, Broken> {
        let (mut all, mut broken) = (Self::default(), Broken::new());
        let mut helped = BTreeSet::new();
        for line in text.lines().filter(|line| !line.is_empty()) {
            if let Some(help) = line.strip_prefix("# HELP ") {
                let (name, help) = help.split_once(' ').unwrap_or((help, ""));
                if help.is_empty() || !helped.insert(name) {
                    broken.push(format!("{name}: no help, or twice"));
                }
            } else if let Some(kind) = line.strip_prefix("# TYPE ") {
                let (name, kind) = kind.split_once(' ').unwrap_or((kind, ""));
                if all.types.insert(name.to_owned(), kind.to_owned()).is_some() {
                    broken.push(format!("{name}: a second type"));
                }
            } else if let Some(sample) = sample(line) {
                all.samples.push(sample);
            } else {
                broken.push(format!("{line:?} is no sample"));
            }
        }
        for (name, kind) in &all.types {
            if !helped.contains(&**name) {
                broken.push(format!("{name}: no help"));
            }
            if !old.iter().any(|old| name.starts_with(old)) {
                broken.extend(names_broken(name, kind));
            }
        }
        all.check_samples(&mut broken);
        all.check_histograms(&mut broken);
        if broken.is_empty() { Ok(all) } else { Err(broken) }
    }

    /// Whether there is a sample of that name, such as one of a histogram's.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.samples.iter().any(|sample| sample.name == name)
    }

    /// The labels that samples have, each with the sample's name.
    #[must_use]
    pub fn labels(&self) -> BTreeSet<(&str, &str)> {
        self.samples
            .iter()
            .flat_map(|sample| sample.labels.keys().map(|label| (&*sample.name, &**label)))
            .collect()
    }

    /// The value of the sample with these labels.
    #[must_use]
    pub fn value(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let wanted = |sample: &&Sample| {
            sample.name == name
                && sample.labels.len() == labels.len()
                && labels
                    .iter()
                    .all(|(label, value)| sample.labels.get(*label).is_some_and(|found| found == value))
        };
        self.samples.iter().find(wanted).map(|sample| sample.value)
    }

    /// The metric that a sample is of.
    fn family<'a>(&self, name: &'a str) -> Option<(&'a str, &str)> {
        let parts = ["", "_bucket", "_sum", "_count"];
        let mut families = parts.iter().filter_map(|part| name.strip_suffix(part));
        families.find_map(|family| {
            let kind = self.types.get(family)?;
            (family == name || kind == "histogram").then_some((family, &**kind))
        })
    }

    fn check_samples(&self, broken: &mut Broken) {
        let mut series = BTreeSet::new();
        for Sample { name, labels, value } in &self.samples {
            if !series.insert((name, labels)) {
                broken.push(format!("{name}{labels:?}: twice"));
            }
            match self.family(name) {
                None => broken.push(format!("{name}: no type")),
                Some((_, "counter" | "histogram")) if value.is_nan() || *value < 0.0 => {
                    broken.push(format!("{name}{labels:?}: {value} is no count"));
                }
                Some(_) => {}
            }
        }
    }

    /// Buckets never fall, the last is that of everything, and there is a sum.
    fn check_histograms(&self, broken: &mut Broken) {
        for family in self.types.iter().filter(|(_, kind)| *kind == "histogram") {
            let name = family.0;
            let mut of: BTreeMap<BTreeMap<String, String>, Vec<(f64, f64)>> = BTreeMap::new();
            let bucket = format!("{name}_bucket");
            for sample in self.samples.iter().filter(|sample| sample.name == bucket) {
                let mut labels = sample.labels.clone();
                let bound = labels.remove("le").and_then(|bound| bound.parse().ok());
                of.entry(labels)
                    .or_default()
                    .push((bound.unwrap_or(f64::NAN), sample.value));
            }
            for (labels, buckets) in of {
                let pairs: Vec<_> = labels.iter().map(|(label, value)| (&**label, &**value)).collect();
                let rises = buckets
                    .windows(2)
                    .all(|two| two[0].0 < two[1].0 && two[0].1 <= two[1].1);
                let last = buckets.last().copied().unwrap_or_default();
                let count = self.value(&format!("{name}_count"), &pairs);
                let sum = self.value(&format!("{name}_sum"), &pairs);
                if !rises || last.0 != f64::INFINITY || count != Some(last.1) || sum.is_none() {
                    broken.push(format!(
                        "{name}{labels:?}: {buckets:?}, {count:?} in all, {sum:?}"
                    ));
                }
            }
        }
    }
}

/// What promtool says of names: base units, `_total` for counters alone.
fn names_broken(name: &str, kind: &str) -> Option<String> {
    let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    let words: BTreeSet<_> = name.split('_').collect();
    let other_units = [
        "ms",
        "milliseconds",
        "minutes",
        "hours",
        "days",
        "kb",
        "mb",
        "kilobytes",
        "megabytes",
        "percent",
    ];
    let wrong = if !name.chars().all(legal) {
        "letters, digits and _ are allowed"
    } else if (kind == "counter") != name.ends_with("_total") {
        "counters, and nothing else, end with _total"
    } else if other_units.iter().any(|unit| words.contains(unit)) {
        "seconds and bytes are the units"
    } else if ["_count", "_sum", "_bucket"]
        .iter()
        .any(|end| name.ends_with(end))
    {
        "that is the name of a part of a histogram"
    } else if words.contains(kind) {
        "its type is no part of its name"
    } else if !["gauge", "counter", "histogram"].contains(&kind) {
        "it has no type"
    } else {
        return None;
    };
    Some(format!("{name}: {wrong}"))
}

/// `name{label="value",…} number`. Values of labels have no `\` here, and no `"`.
fn sample(line: &str) -> Option<Sample> {
    let (series, value) = line.rsplit_once(' ')?;
    let (name, labels) = match series.split_once('{') {
        None => (series, ""),
        Some((name, labels)) => (name, labels.strip_suffix('}')?),
    };
    let pairs = labels.split_terminator("\",").map(|pair| {
        let (label, value) = pair.split_once("=\"")?;
        Some((label.to_owned(), value.trim_end_matches('"').to_owned()))
    });
    Some(Sample {
        name: name.to_owned(),
        labels: pairs.collect::<Option<_>>()?,
        value: value.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broken(text: &str) -> String {
        Exposition::check(text, &["old_"]).unwrap_err().join("; ")
    }

    #[test]
    fn what_breaks_a_rule_is_named() {
        let of = |name: &str, kind: &str, samples: &str| {
            format!("# HELP {name} It is.\n# TYPE {name} {kind}\n{samples}")
        };
        for (text, why) in [
            (of("a_total", "gauge", "a_total 1"), "counters, and nothing else"),
            (of("a_ms", "gauge", "a_ms 1"), "seconds and bytes"),
            (of("a", "gauge", "a 1\na 2"), "twice"),
            ("a 1".to_owned(), "no type"),
            ("# TYPE a gauge\na 1".to_owned(), "no help"),
            (of("a", "gauge", "a{b=\"c\" 1"), "is no sample"),
            (
                of(
                    "h",
                    "histogram",
                    "h_bucket{le=\"1\"} 2\nh_bucket{le=\"+Inf\"} 1\nh_sum 1\nh_count 1",
                ),
                "in all",
            ),
            (
                of("h", "histogram", "h_bucket{le=\"1\"} 1\nh_sum 1\nh_count 1"),
                "in all",
            ),
        ] {
            assert!(broken(&text).contains(why), "{text}: {}", broken(&text));
        }
        let good = of("old_ms", "gauge", "old_ms{a=\"b\",c=\"d\"} 1.5")
            + "\n"
            + &of(
                "h",
                "histogram",
                "h_bucket{le=\"1\"} 1\nh_bucket{le=\"+Inf\"} 2\nh_sum 1\nh_count 2",
            );
        let good = Exposition::check(&good, &["old_"]).unwrap();
        assert_eq!(good.value("old_ms", &[("c", "d"), ("a", "b")]), Some(1.5));
        assert!(good.has("h_count") && !good.has("h"));
    }
}
