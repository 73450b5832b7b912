//! Takes turns: every case once a round, A B C A B C, so that what disturbs the machine disturbs all of them alike.

use std::time::Duration;

use crate::process::{Outcome, Run};
use crate::stats::{Series, Unit};

/// One thing to measure.
pub struct Case<'a> {
    pub series: Series,
    pub measure: Box<dyn FnMut() -> Outcome<f64> + 'a>,
}

impl<'a> Case<'a> {
    pub fn new(name: impl Into<String>, unit: Unit, measure: impl FnMut() -> Outcome<f64> + 'a) -> Case<'a> {
        Case { series: Series::new(name, unit), measure: Box::new(measure) }
    }

    /// How long this run takes, in milliseconds.
    pub fn time(name: impl Into<String>, run: Run) -> Case<'a> {
        Case::new(name, Unit::Millis, move || Ok(millis(run.timed()?)))
    }
}

/// Runs them all: once for nothing, to fill the caches, then so many rounds. The series come in the order of the cases.
pub fn interleave(rounds: usize, mut cases: Vec<Case>) -> Outcome<Vec<Series>> {
    for case in &mut cases {
        (case.measure)()?;
    }
    for _ in 0..rounds {
        for case in &mut cases {
            case.series.samples.push((case.measure)()?);
        }
    }
    Ok(cases.into_iter().map(|case| case.series).collect())
}

pub fn millis(took: Duration) -> f64 {
    took.as_secs_f64() * 1e3
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    #[test]
    fn cases_take_turns_and_the_first_time_does_not_count() -> Outcome<()> {
        let order = RefCell::new(String::new());
        let case = |name: &'static str| {
            Case::new(name, Unit::Millis, || {
                order.borrow_mut().push_str(name);
                Ok(order.borrow().len() as f64)
            })
        };
        let series = interleave(3, vec![case("a"), case("b")])?;
        assert_eq!(order.borrow().as_str(), "abababab");
        assert_eq!(series[0].samples, [3.0, 5.0, 7.0]);
        assert_eq!(series[1].samples, [4.0, 6.0, 8.0]);
        Ok(())
    }
}
