//! What a list of measurements says: the middle, the spread, and which of them lie far off. Pure.

/// What is measured. Values are held in this unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    Millis,
    Micros,
    PerSecond,
    Mebibytes,
}

impl Unit {
    /// The unit's name in the kept runs.
    pub fn name(self) -> &'static str {
        match self {
            Unit::Millis => "ms",
            Unit::Micros => "us",
            Unit::PerSecond => "records/s",
            Unit::Mebibytes => "MiB",
        }
    }

    /// A value for people.
    pub fn show(self, value: f64) -> String {
        match self {
            Unit::Millis if value >= 10_000.0 => format!("{} s", digits(value / 1000.0)),
            Unit::PerSecond if value >= 1e6 => format!("{} M/s", digits(value / 1e6)),
            Unit::PerSecond => format!("{} k/s", digits(value / 1e3)),
            _ => format!("{} {}", digits(value), self.name()),
        }
    }
}

/// Three digits that count.
pub fn digits(value: f64) -> String {
    let places = if value >= 100.0 {
        0
    } else if value >= 10.0 {
        1
    } else {
        2
    };
    format!("{value:.places$}")
}

/// Ten standard deviations, where the median distance from the median is taken for 1 / 1.4826 of one.
const FAR: f64 = 14.826;

const BLOCKS: usize = 100;

/// Measurements of one thing, one a round.
#[derive(Clone, Debug)]
pub struct Series {
    pub name: String,
    pub unit: Unit,
    pub samples: Vec<f64>,
}

/// What is said of a series.
#[derive(Clone, Copy, Debug)]
pub struct Summary {
    pub count: usize,
    pub median: f64,
    pub p10: f64,
    pub p90: f64,
    pub p99: f64,
    pub min: f64,
    pub max: f64,
    /// How many lie further from the median than [`FAR`] times the median distance from it.
    pub outliers: usize,
}

impl Series {
    pub fn new(name: impl Into<String>, unit: Unit) -> Series {
        Series { name: name.into(), unit, samples: Vec::new() }
    }

    /// The value below which this share of the measurements lies.
    pub fn quantile(&self, share: f64) -> f64 {
        quantile(&self.sorted(), share)
    }

    pub fn summary(&self) -> Summary {
        let sorted = self.sorted();
        let median = quantile(&sorted, 0.5);
        let mut distances: Vec<f64> = sorted.iter().map(|value| (value - median).abs()).collect();
        distances.sort_by(f64::total_cmp);
        let usual = quantile(&distances, 0.5);
        Summary {
            count: sorted.len(),
            median,
            p10: quantile(&sorted, 0.1),
            p90: quantile(&sorted, 0.9),
            p99: quantile(&sorted, 0.99),
            min: quantile(&sorted, 0.0),
            max: quantile(&sorted, 1.0),
            outliers: distances.iter().filter(|distance| **distance > FAR * usual).count(),
        }
    }

    fn sorted(&self) -> Vec<f64> {
        let mut values: Vec<f64> = self.samples.clone();
        values.sort_by(f64::total_cmp);
        values
    }
}

/// Ours over theirs, round by round. What slows the machine for a while slows both sides of a round, so this spread is
/// narrower, and nearer the truth, than what the two series' own spreads suggest. Many rounds are taken together in at most
/// [`BLOCKS`] blocks, by their medians: whether one wake-up found its core asleep is chance, and no ratio of two of them means anything.
pub fn paired(ours: &Series, theirs: &Series) -> Series {
    let size = ours.samples.len().min(theirs.samples.len()).div_ceil(BLOCKS).max(1);
    let middle = |block: &[f64]| {
        let mut sorted = block.to_vec();
        sorted.sort_by(f64::total_cmp);
        quantile(&sorted, 0.5)
    };
    let pairs = ours.samples.chunks(size).zip(theirs.samples.chunks(size));
    Series {
        samples: pairs.map(|(ours, theirs)| middle(ours) / middle(theirs)).collect(),
        ..Series::new(format!("{} / {}", ours.name, theirs.name), ours.unit)
    }
}

/// Between the two values next to it where the share falls between them. NaN of nothing.
fn quantile(sorted: &[f64], share: f64) -> f64 {
    let Some(last) = sorted.len().checked_sub(1) else { return f64::NAN };
    let at = share * last as f64;
    let (low, high) = (sorted[at.floor() as usize], sorted[at.ceil() as usize]);
    low + (high - low) * at.fract()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(values: &[f64]) -> Series {
        Series { samples: values.to_vec(), ..Series::new("a", Unit::Millis) }
    }

    #[test]
    fn a_quantile_lies_between_its_neighbours() {
        let four = series(&[4.0, 1.0, 3.0, 2.0]);
        assert_eq!(four.quantile(0.5), 2.5);
        assert_eq!(four.quantile(0.0), 1.0);
        assert_eq!(four.quantile(1.0), 4.0);
        assert_eq!(series(&[7.0]).quantile(0.99), 7.0);
    }

    #[test]
    fn one_run_that_was_disturbed_is_an_outlier_and_leaves_the_median() {
        let calm: Vec<f64> = (0..20).map(|i| 1.0 + f64::from(i % 5) / 100.0).collect();
        assert_eq!(series(&calm).summary().outliers, 0);
        let mut disturbed = calm.clone();
        disturbed[7] = 9.0;
        assert_eq!(series(&disturbed).summary().outliers, 1);
        assert!(series(&disturbed).summary().median < 1.05);
    }

    #[test]
    fn what_slows_both_sides_of_a_round_leaves_the_ratio() {
        let (ours, theirs) = (series(&[1.0, 9.0, 1.0]), series(&[2.0, 18.0, 2.0]));
        assert_eq!(paired(&ours, &theirs).samples, [0.5, 0.5, 0.5]);
    }

    #[test]
    fn of_many_rounds_each_hundredth_part_counts_as_one() {
        let (ours, theirs): (Vec<f64>, Vec<f64>) = (0..1000).map(|i| (if i % 10 == 0 { 50.0 } else { 1.0 }, 2.0)).unzip();
        assert_eq!(paired(&series(&ours), &series(&theirs)).samples, [0.5; 100]);
    }

    #[test]
    fn numbers_are_shown_with_three_digits_and_their_unit() {
        assert_eq!(Unit::Millis.show(0.4211), "0.42 ms");
        assert_eq!(Unit::Millis.show(84_123.0), "84.1 s");
        assert_eq!(Unit::PerSecond.show(2_410_000.0), "2.41 M/s");
    }
}
