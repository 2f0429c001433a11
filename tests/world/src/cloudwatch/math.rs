//! Metric math, as far as alarms of this repository use it. What it does not know it refuses when the alarm is made.
//!
//! Source: <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/using-metric-math.html>.

use std::collections::BTreeMap;

use super::grammar::{Expression, Operator};

/// The values of one series, by the number of the period; nothing where one is missing.
pub(super) type Points = Vec<Option<f64>>;

/// What an expression is, or a part of one.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Computed {
    Scalar(f64),
    Series(Points),
    Array(Vec<Points>),
}

/// The series that an expression may name, by id, and what is the same for all.
pub(super) struct Given<'a> {
    pub(super) series: &'a BTreeMap<String, Points>,
    /// How many data points each has.
    pub(super) length: usize,
    /// Seconds between them.
    pub(super) period: f64,
}

/// Whether a number is true: «FALSE if the value of the condition data point is 0, and TRUE if [it] is any other value».
fn is_true(value: f64) -> bool {
    value != 0.0
}

fn number(is: bool) -> f64 {
    f64::from(u8::from(is))
}

/// One operation on two numbers; nothing where it divides by zero: «the data point is dropped».
#[expect(clippy::float_cmp, reason = "metric math compares numbers as they are")]
fn apply(operator: Operator, left: f64, right: f64) -> Option<f64> {
    Some(match operator {
        Operator::Add => left + right,
        Operator::Subtract => left - right,
        Operator::Multiply => left * right,
        Operator::Divide if right == 0.0 => return None,
        Operator::Divide => left / right,
        Operator::Power => left.powf(right),
        Operator::Equal => number(left == right),
        Operator::NotEqual => number(left != right),
        Operator::AtMost => number(left <= right),
        Operator::AtLeast => number(left >= right),
        Operator::Less => number(left < right),
        Operator::Greater => number(left > right),
        Operator::And => number(is_true(left) && is_true(right)),
        Operator::Or => number(is_true(left) || is_true(right)),
    })
}

/// Two series, or a series and a number: «Missing values in a time series are treated as 0», where the other has one.
fn combine(operator: Operator, left: Computed, right: Computed) -> Result<Computed, String> {
    let both = |left: Option<f64>, right: Option<f64>| {
        left.or(right)?;
        apply(operator, left.unwrap_or(0.0), right.unwrap_or(0.0))
    };
    Ok(match (left, right) {
        (Computed::Scalar(left), Computed::Scalar(right)) => {
            // A number has no data point to drop: what is made of this one is dropped in the end.
            Computed::Scalar(apply(operator, left, right).unwrap_or(f64::NAN))
        }
        (Computed::Series(left), Computed::Scalar(right)) => {
            Computed::Series(left.into_iter().map(|left| apply(operator, left?, right)).collect())
        }
        (Computed::Scalar(left), Computed::Series(right)) => {
            Computed::Series(right.into_iter().map(|right| apply(operator, left, right?)).collect())
        }
        (Computed::Series(left), Computed::Series(right)) => {
            Computed::Series(left.into_iter().zip(right).map(|(left, right)| both(left, right)).collect())
        }
        _ => return Err("operators on arrays are not read here".to_owned()),
    })
}

/// `MIN`, `MAX`, `SUM` and `AVG`: of one series a number, of an array a series.
fn fold(name: &str, value: Computed) -> Result<Computed, String> {
    let of = |values: &mut dyn Iterator<Item = f64>| -> Option<f64> {
        let values: Vec<f64> = values.collect();
        let sum: f64 = values.iter().sum();
        let count: f64 = values.iter().map(|_| 1.0).sum();
        match name {
            _ if values.is_empty() => None,
            "MIN" => values.into_iter().reduce(f64::min),
            "MAX" => values.into_iter().reduce(f64::max),
            "SUM" => Some(sum),
            _ => Some(sum / count),
        }
    };
    match value {
        Computed::Scalar(_) => Err(format!("{name} takes series, and was given a number")),
        // «Missing values are treated as 0» says the page of AVG: of a series with none at all there is nothing to say.
        Computed::Series(points) if name == "AVG" => {
            let all: Vec<_> = points.iter().map(|point| point.unwrap_or(0.0)).collect();
            Ok(Computed::Scalar(of(&mut all.into_iter()).unwrap_or_default()))
        }
        Computed::Series(points) => Ok(Computed::Scalar(of(&mut points.into_iter().flatten()).unwrap_or_default())),
        Computed::Array(all) => {
            let length = all.iter().map(Vec::len).max().unwrap_or_default();
            let at = |n: usize| {
                let there: Vec<_> = all.iter().map(|points| points.get(n).copied().flatten()).collect();
                there.iter().flatten().next()?;
                if name == "AVG" {
                    of(&mut there.iter().map(|point| point.unwrap_or(0.0)))
                } else {
                    of(&mut there.iter().copied().flatten())
                }
            };
            Ok(Computed::Series((0..length).map(at).collect()))
        }
    }
}

/// `DIFF`, and `RATE`: «the difference between the latest data point value and the previous data point value, divided by the time
/// difference in seconds between the two values».
fn difference(points: &Points, period: Option<f64>) -> Points {
    let mut last: Option<(usize, f64)> = None;
    let mut all = Vec::new();
    for (n, point) in points.iter().enumerate() {
        let change = point.and_then(|value| {
            let (before, known) = last?;
            let periods: f64 = (before..n).map(|_| 1.0).sum();
            Some((value - known) / period.map_or(1.0, |period| period * periods))
        });
        all.push(change);
        last = point.map(|value| (n, value)).or(last);
    }
    all
}

/// `FILL` with a number, or with the value before (`REPEAT`).
fn fill(points: Points, filler: Option<f64>) -> Points {
    let mut last = None;
    let each = points.into_iter().map(|point| {
        last = point.or(last);
        point.or(filler).or(if filler.is_none() { last } else { None })
    });
    each.collect()
}

/// `IF(condition, trueValue, falseValue)`: where the condition has no data point there is none. A series that has none where the
/// condition is true counts as 0; where it is false, the data point is dropped.
fn choose(condition: Computed, then: &Computed, otherwise: Option<&Computed>) -> Result<Computed, String> {
    let at = |value: &Computed, n: usize| match value {
        Computed::Scalar(value) => Ok(Some(*value)),
        Computed::Series(points) => Ok(points.get(n).copied().flatten()),
        Computed::Array(_) => Err("IF takes no array".to_owned()),
    };
    match condition {
        Computed::Scalar(value) if is_true(value) => Ok(then.clone()),
        Computed::Scalar(_) => otherwise.cloned().ok_or_else(|| "IF has no value for false".to_owned()),
        Computed::Series(points) => {
            let one = |(n, point): (usize, Option<f64>)| match point {
                None => Ok(None),
                Some(value) if is_true(value) => Ok(Some(at(then, n)?.unwrap_or(0.0))),
                Some(_) => otherwise.map_or(Ok(None), |otherwise| at(otherwise, n)),
            };
            Ok(Computed::Series(points.into_iter().enumerate().map(one).collect::<Result<_, String>>()?))
        }
        Computed::Array(_) => Err("IF takes no array".to_owned()),
    }
}

/// Calls a function on each series of a value.
fn each(value: Computed, of: impl Fn(Points) -> Points) -> Result<Computed, String> {
    match value {
        Computed::Series(points) => Ok(Computed::Series(of(points))),
        Computed::Array(all) => Ok(Computed::Array(all.into_iter().map(of).collect())),
        Computed::Scalar(_) => Err("a number is no series".to_owned()),
    }
}

impl Given<'_> {
    /// The value of an expression.
    pub(super) fn value(&self, expression: &Expression) -> Result<Computed, String> {
        match expression {
            Expression::Number(value) => Ok(Computed::Scalar(*value)),
            Expression::Name(id) => {
                let points = self.series.get(id).ok_or_else(|| format!("no metric or expression has the id {id}"))?;
                Ok(Computed::Series(points.clone()))
            }
            Expression::Array(all) => {
                let series = all.iter().map(|one| match self.value(one)? {
                    Computed::Series(points) => Ok(points),
                    _ => Err("an array holds series".to_owned()),
                });
                Ok(Computed::Array(series.collect::<Result<_, String>>()?))
            }
            Expression::Negative(inner) => combine(Operator::Subtract, Computed::Scalar(0.0), self.value(inner)?),
            Expression::Binary(operator, left, right) => combine(*operator, self.value(left)?, self.value(right)?),
            Expression::Call(name, arguments) => self.call(name, arguments),
        }
    }

    fn call(&self, name: &str, arguments: &[Expression]) -> Result<Computed, String> {
        let argument = |n: usize| {
            let given = arguments.get(n).ok_or_else(|| format!("{name} lacks its argument {}", n + 1))?;
            self.value(given)
        };
        match name {
            "MIN" | "MAX" | "SUM" | "AVG" => fold(name, argument(0)?),
            "RATE" => each(argument(0)?, |points| difference(&points, Some(self.period))),
            "DIFF" => each(argument(0)?, |points| difference(&points, None)),
            "ABS" | "CEIL" | "FLOOR" => {
                let one = |value: f64| match name {
                    "ABS" => value.abs(),
                    "CEIL" => value.ceil(),
                    _ => value.floor(),
                };
                each(argument(0)?, |points| points.into_iter().map(|point| point.map(one)).collect())
            }
            "FILL" if arguments.get(1) == Some(&Expression::Name("REPEAT".to_owned())) => {
                each(argument(0)?, |points| fill(points, None))
            }
            "FILL" => match argument(1)? {
                Computed::Scalar(filler) => each(argument(0)?, |points| fill(points, Some(filler))),
                _ => Err("FILL fills with a number or REPEAT here".to_owned()),
            },
            "IF" => {
                let otherwise = (arguments.len() > 2).then(|| argument(2)).transpose()?;
                choose(argument(0)?, &argument(1)?, otherwise.as_ref())
            }
            "TIME_SERIES" => match argument(0)? {
                Computed::Scalar(value) => Ok(Computed::Series(vec![Some(value); self.length])),
                _ => Err("TIME_SERIES takes a number".to_owned()),
            },
            "PERIOD" => Ok(Computed::Scalar(self.period)),
            _ => Err(format!("the world knows no function {name} of metric math: add it to cloudwatch/math.rs")),
        }
    }
}
