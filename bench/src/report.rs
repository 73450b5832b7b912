//! What a bench found: the table for people, the lines for the kept runs. It measures nothing.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::stats::{Series, Unit, digits, paired};

/// What is to be reached.
#[derive(Clone, Copy, Debug)]
pub enum Target {
    /// Shown for scale.
    None,
    /// Ours over theirs.
    AtMostTimes(f64),
    /// Theirs over ours.
    Faster(f64),
    /// Ours alone, in its unit.
    AtLeast(f64),
    /// Ours alone, in its unit.
    AtMost(f64),
}

/// One line of a table.
pub struct Row {
    pub ours: Series,
    pub theirs: Option<Series>,
    /// What of the series is compared: 0.5 is the median.
    pub quantile: f64,
    pub target: Target,
}

impl Row {
    pub fn against(ours: &Series, theirs: &Series, target: Target) -> Row {
        Row { ours: ours.clone(), theirs: Some(theirs.clone()), quantile: 0.5, target }
    }

    pub fn alone(ours: &Series, target: Target) -> Row {
        Row { ours: ours.clone(), theirs: None, quantile: 0.5, target }
    }

    pub fn at(self, quantile: f64) -> Row {
        Row { quantile, ..self }
    }

    fn value(&self) -> f64 {
        self.ours.quantile(self.quantile)
    }

    /// Ours over theirs.
    fn ratio(&self) -> Option<f64> {
        self.theirs.as_ref().map(|theirs| self.value() / theirs.quantile(self.quantile))
    }

    /// The ratio's tenth and ninetieth of a hundred, over the rounds. Of the median only: no round has a p99 of its own.
    fn ratio_spread(&self) -> Option<(f64, f64)> {
        let theirs = self.theirs.as_ref().filter(|_| self.quantile == 0.5)?;
        let ratios = paired(&self.ours, theirs);
        Some((ratios.quantile(0.1), ratios.quantile(0.9)))
    }

    /// What is compared with what.
    pub fn name(&self) -> String {
        self.theirs.as_ref().map_or(self.ours.name.clone(), |theirs| format!("{} against {}", self.ours.name, theirs.name))
    }

    pub fn is_reached(&self) -> Option<bool> {
        match self.target {
            Target::None => None,
            Target::AtMostTimes(limit) => self.ratio().map(|ratio| ratio <= limit),
            Target::Faster(times) => self.ratio().map(|ratio| 1.0 / ratio >= times),
            Target::AtLeast(limit) => Some(self.value() >= limit),
            Target::AtMost(limit) => Some(self.value() <= limit),
        }
    }

    fn target(&self) -> String {
        match self.target {
            Target::None => "-".to_string(),
            Target::AtMostTimes(limit) => format!("<= {limit}x"),
            Target::Faster(times) => format!(">= {times}x faster"),
            Target::AtLeast(limit) => format!(">= {}", self.ours.unit.show(limit)),
            Target::AtMost(limit) => format!("<= {}", self.ours.unit.show(limit)),
        }
    }

    /// The ratio as its target speaks of it.
    fn shown_ratio(&self) -> (String, String) {
        let show = |ratio: f64| match self.target {
            Target::Faster(_) => 1.0 / ratio,
            _ => ratio,
        };
        let ratio = self.ratio().map_or("-".to_string(), |ratio| {
            let suffix = if matches!(self.target, Target::Faster(_)) { "x faster" } else { "x" };
            digits(show(ratio)) + suffix
        });
        let spread = self.ratio_spread().map_or("-".to_string(), |(low, high)| {
            let (low, high) = (show(low), show(high));
            format!("{} - {}", digits(low.min(high)), digits(low.max(high)))
        });
        (ratio, spread)
    }

    fn cells(&self) -> [String; 7] {
        let middle = |series: &Series| series.unit.show(series.quantile(self.quantile));
        let spread = |series: &Series| format!("{} - {}", digits(series.quantile(0.1)), digits(series.quantile(0.9)));
        let label = if self.quantile == 0.5 { String::new() } else { format!(", p{:.0}", self.quantile * 100.0) };
        let (ratio, ratio_spread) = self.shown_ratio();
        let reached = match self.is_reached() {
            None => "-",
            Some(true) => "yes",
            Some(false) => "NO",
        };
        let ours = match self.ours.unit {
            // A p99 lies outside that spread by its nature.
            _ if self.quantile != 0.5 => middle(&self.ours),
            Unit::PerSecond => {
                let show = |share| self.ours.unit.show(self.ours.quantile(share));
                format!("{} ({} - {})", middle(&self.ours), show(0.1), show(0.9))
            }
            _ => format!("{} ({})", middle(&self.ours), spread(&self.ours)),
        };
        let theirs = self.theirs.as_ref().map_or("-".to_string(), |theirs| format!("{}  {}", theirs.name, middle(theirs)));
        [format!("{}{label}", self.ours.name), ours, theirs, ratio, ratio_spread, self.target(), reached.to_string()]
    }

    fn json(&self, bench: &str) -> Value {
        let mut line = json!({"kind": "row", "bench": bench, "ours": self.ours.name, "unit": self.ours.unit.name(),
            "quantile": self.quantile, "ours_value": round(self.value())});
        let mut put = |name: &str, value: Value| line[name] = value;
        if let (Some(theirs), Some(ratio)) = (&self.theirs, self.ratio()) {
            put("theirs", json!(theirs.name));
            put("theirs_value", json!(round(theirs.quantile(self.quantile))));
            put("ratio", json!(round(ratio)));
        }
        if let Some((low, high)) = self.ratio_spread() {
            put("ratio_p10", json!(round(low)));
            put("ratio_p90", json!(round(high)));
        }
        if let Some(is_reached) = self.is_reached() {
            put("target", json!(self.target()));
            put("reached", json!(is_reached));
        }
        line
    }
}

/// What one bench found.
pub struct Section {
    pub name: &'static str,
    /// What was measured, in a line or two.
    pub title: String,
    pub rows: Vec<Row>,
    /// What a reader has to know beside the figures: what was left out, what was scaled.
    pub notes: Vec<String>,
}

impl Section {
    pub fn new(name: &'static str, title: impl Into<String>) -> Section {
        Section { name, title: title.into(), rows: Vec::new(), notes: Vec::new() }
    }

    /// Every series once, in the order of the rows.
    fn series(&self) -> Vec<&Series> {
        let mut all: Vec<&Series> = Vec::new();
        for series in self.rows.iter().flat_map(|row| std::iter::once(&row.ours).chain(&row.theirs)) {
            if all.iter().all(|known| known.name != series.name) {
                all.push(series);
            }
        }
        all
    }

    /// What throws doubt on a figure.
    fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        let far: Vec<String> = self.series().into_iter().filter_map(far).collect();
        if !far.is_empty() {
            warnings.push(format!("far from the rest: {}; was something else running?", far.join("; ")));
        }
        for row in &self.rows {
            let Some((low, high)) = row.ratio_spread() else { continue };
            let limit = match row.target {
                Target::AtMostTimes(limit) => limit,
                Target::Faster(times) => 1.0 / times,
                _ => continue,
            };
            if low <= limit && limit <= high {
                warnings.push(format!("{}: the target lies within the spread; measure again, or longer", row.name()));
            }
        }
        warnings
    }

    /// The table.
    pub fn table(&self) -> String {
        let mut text = format!("\n{}: {}\n", self.name, self.title);
        let head = ["ours", "median (p10 - p90)", "theirs, median", "ratio", "p10 - p90", "target", "reached"].map(String::from);
        let lines: Vec<[String; 7]> = std::iter::once(head).chain(self.rows.iter().map(Row::cells)).collect();
        let widths: [usize; 7] =
            std::array::from_fn(|column| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or_default());
        for line in &lines {
            let padded: Vec<String> = line.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}")).collect();
            let _ = writeln!(text, "  {}", padded.join("  ").trim_end());
        }
        for note in &self.notes {
            let _ = writeln!(text, "  note: {note}");
        }
        for warning in self.warnings() {
            let _ = writeln!(text, "  warning: {warning}");
        }
        text
    }

    /// The lines of the kept run: the machine, every series, every row.
    pub fn ndjson(&self, machine: &Value) -> String {
        let mut lines = vec![machine.clone()];
        for series in self.series() {
            let found = series.summary();
            lines.push(json!({"kind": "series", "bench": self.name, "name": series.name, "unit": series.unit.name(),
                "count": found.count, "median": round(found.median), "p10": round(found.p10), "p90": round(found.p90),
                "p99": round(found.p99), "min": round(found.min), "max": round(found.max), "outliers": found.outliers}));
        }
        lines.extend(self.rows.iter().map(|row| row.json(self.name)));
        lines.extend(self.notes.iter().map(|note| json!({"kind": "note", "bench": self.name, "text": note})));
        lines.extend(self.warnings().iter().map(|warning| json!({"kind": "warning", "bench": self.name, "text": warning})));
        lines.iter().fold(String::new(), |text, line| text + &line.to_string() + "\n")
    }
}

/// The runs of a series that were disturbed, if they are so many that it matters: one in a hundred is what any machine
/// does, and of three runs none can be said to be the odd one.
fn far(series: &Series) -> Option<String> {
    let found = series.summary();
    let is_worth_saying = found.count >= 5 && found.outliers * 100 > found.count;
    is_worth_saying.then(|| format!("{} {} of {} (up to {})", series.name, found.outliers, found.count, series.unit.show(found.max)))
}

/// Four digits that count: no clock here is better.
fn round(value: f64) -> f64 {
    if value == 0.0 || !value.is_finite() {
        return value;
    }
    let places = 3 - value.abs().log10().floor() as i32;
    let scale = 10f64.powi(places.max(0));
    (value * scale).round() / scale
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(name: &str, values: &[f64]) -> Series {
        Series { samples: values.to_vec(), ..Series::new(name, Unit::Millis) }
    }

    #[test]
    fn a_target_is_judged_by_the_ratio_of_the_medians() {
        let (ours, theirs) = (series("a", &[1.0, 1.0, 9.0]), series("b", &[2.0, 2.0, 2.0]));
        assert_eq!(Row::against(&ours, &theirs, Target::AtMostTimes(0.5)).is_reached(), Some(true));
        assert_eq!(Row::against(&ours, &theirs, Target::AtMostTimes(0.49)).is_reached(), Some(false));
        assert_eq!(Row::against(&ours, &theirs, Target::Faster(2.0)).is_reached(), Some(true));
        assert_eq!(Row::against(&ours, &theirs, Target::Faster(2.1)).is_reached(), Some(false));
        assert_eq!(Row::alone(&ours, Target::AtMost(4.0)).is_reached(), Some(true));
        assert_eq!(Row::alone(&ours, Target::AtLeast(4.0)).is_reached(), Some(false));
        assert_eq!(Row::against(&ours, &theirs, Target::None).is_reached(), None);
    }

    #[test]
    fn a_target_within_the_spread_is_warned_of() {
        let (ours, theirs) = (series("a", &[0.9, 1.0, 1.1]), series("b", &[1.0, 1.0, 1.0]));
        let mut section = Section::new("x", "y");
        section.rows.push(Row::against(&ours, &theirs, Target::AtMostTimes(1.0)));
        assert!(section.table().contains("within the spread"), "{}", section.table());
    }

    #[test]
    fn disturbed_runs_are_warned_of_in_one_line() {
        let calm: Vec<f64> = (0..20).map(|i| 1.0 + f64::from(i % 5) / 100.0).collect();
        let mut disturbed = calm.clone();
        disturbed[3] = 7.0;
        let mut section = Section::new("x", "y");
        section.rows.push(Row::alone(&series("calm", &calm), Target::None));
        assert!(section.warnings().is_empty(), "{:?}", section.warnings());
        section.rows.push(Row::alone(&series("a", &disturbed), Target::None));
        section.rows.push(Row::alone(&series("b", &disturbed), Target::None));
        assert_eq!(
            section.warnings(),
            ["far from the rest: a 1 of 20 (up to 7.00 ms); b 1 of 20 (up to 7.00 ms); was something else running?"]
        );
    }

    #[test]
    fn a_kept_run_is_one_object_a_line() {
        let mut section = Section::new("x", "y");
        section.rows.push(Row::against(&series("a", &[1.0]), &series("b", &[3.0]), Target::AtMostTimes(1.0)));
        let text = section.ndjson(&json!({"kind": "machine"}));
        let kinds: Vec<String> = text
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).map(|value| value["kind"].to_string()).unwrap_or_default())
            .collect();
        assert_eq!(kinds, ["\"machine\"", "\"series\"", "\"series\"", "\"row\""]);
        assert!(text.contains("\"ratio\":0.3333"), "{text}");
    }
}
