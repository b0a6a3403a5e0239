//! How traffic goes over from what answered to what is to answer, and what turns it back.
//!
//! Alarms are CloudWatch's at AWS. Here are two kinds, by names that say what they watch: what the new models did since traffic
//! began to reach them.
//!
//! | name | fires where |
//! | --- | --- |
//! | `escala:error-rate>0.05` | more than so many of all answers were a model's refusals or failures |
//! | `escala:p99-ms>500` | one answer in a hundred took longer, in milliseconds |
//!
//! Neither fires before there were ten answers.

use crate::refusal::{Refusal, Result};
use serde_json::Value;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Answers before alarms are looked at.
const ENOUGH: u64 = 10;
/// Steps of a power of two that latencies are told apart by.
const STEPS: u32 = 8;
/// Powers of two of microseconds.
const POWERS: u32 = 36;

/// How traffic goes over.
#[derive(Clone, Debug, PartialEq)]
pub struct Shift {
    /// The share of what is new, step by step; the last is all.
    pub steps: Vec<f64>,
    /// How long each step is watched.
    pub wait: Duration,
    /// How long what was there stays after that.
    pub termination: Duration,
    /// How long all of it may take.
    pub most: Duration,
    /// What turns it back.
    pub alarms: Vec<Alarm>,
}

/// What turns a deployment back.
#[derive(Clone, Debug, PartialEq)]
pub struct Alarm {
    name: String,
    watched: Watched,
    threshold: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Watched {
    ErrorRate,
    P99,
}

impl Alarm {
    fn of(name: &str) -> Result<Self> {
        let parts = name.strip_prefix("escala:").and_then(|rest| {
            let (watched, threshold) = rest.split_once('>')?;
            let watched = match watched.trim() {
                "error-rate" => Watched::ErrorRate,
                "p99-ms" => Watched::P99,
                _ => return None,
            };
            let threshold: f64 = threshold.trim().parse().ok()?;
            (threshold.is_finite() && threshold >= 0.0).then_some((watched, threshold))
        });
        let (watched, threshold) = parts.ok_or_else(|| {
            Refusal::validation(format!(
                "There is no alarm \"{name}\". Alarms here are named by what they watch: escala:error-rate>0.05 (the share of \
                 answers that are errors) and escala:p99-ms>500 (milliseconds)."
            ))
        })?;
        Ok(Self {
            name: name.to_owned(),
            watched,
            threshold,
        })
    }

    /// Whether it fires; a sentence then.
    pub fn fires(&self, measure: &Measure) -> Option<String> {
        if measure.count() < ENOUGH {
            return None;
        }
        let found = match self.watched {
            Watched::ErrorRate => measure.error_rate(),
            Watched::P99 => measure.p99().as_secs_f64() * 1000.0,
        };
        (found > self.threshold)
            .then(|| format!("the alarm {} fired: it measured {found:.4}", self.name))
    }
}

impl Shift {
    /// What a `DeploymentConfig` says for a fleet of so many instances.
    ///
    /// # Errors
    /// It contradicts itself, or has alarms that there are not.
    pub fn of(deployment: Option<&Value>, instances: u64) -> Result<Self> {
        let mut shift = Self {
            steps: vec![1.0],
            wait: Duration::ZERO,
            termination: Duration::ZERO,
            most: Duration::from_secs(28_800),
            alarms: Vec::new(),
        };
        let Some(deployment) = deployment else {
            return Ok(shift);
        };
        let seconds = |of: &Value, name: &str| {
            let said = of.get(name).and_then(Value::as_u64);
            said.map(Duration::from_secs)
        };
        let share = |of: &Value, name: &str, least: f64| -> Result<f64> {
            let size = of.get(name).ok_or_else(|| {
                Refusal::validation(format!("{name} is needed for this way of routing traffic."))
            })?;
            let value = size.get("Value").and_then(Value::as_u64).unwrap_or(0) as f64;
            let whole = match size.get("Type").and_then(Value::as_str) {
                Some("INSTANCE_COUNT") => instances.max(1) as f64,
                _ => 100.0,
            };
            let share = value / whole;
            match share > 0.0 && share >= least && share <= 0.5 {
                true => Ok(share),
                false => {
                    let least = match least {
                        0.0 => "more than nothing".to_owned(),
                        least => format!("at least {least:.2}"),
                    };
                    Err(Refusal::validation(format!(
                        "{name} is {share:.2} of the fleet; it must be {least} and at most half."
                    )))
                }
            }
        };
        let linear = |share: f64| -> Vec<f64> {
            let count = (1.0 / share).ceil() as usize;
            let steps = (1..=count).map(|step| (step as f64 * share).min(1.0));
            steps.collect()
        };
        let blue = deployment.get("BlueGreenUpdatePolicy");
        let rolling = deployment.get("RollingUpdatePolicy");
        match (blue, rolling) {
            (Some(_), Some(_)) => {
                return Err(Refusal::validation(
                    "Only one of BlueGreenUpdatePolicy and RollingUpdatePolicy can be given.",
                ));
            }
            (Some(policy), None) => {
                let routing = &policy["TrafficRoutingConfiguration"];
                shift.wait = seconds(routing, "WaitIntervalInSeconds").unwrap_or_default();
                shift.termination = seconds(policy, "TerminationWaitInSeconds").unwrap_or_default();
                shift.steps = match routing.get("Type").and_then(Value::as_str) {
                    Some("CANARY") => vec![share(routing, "CanarySize", 0.0)?, 1.0],
                    Some("LINEAR") => linear(share(routing, "LinearStepSize", 0.1)?),
                    _ => vec![1.0],
                };
            }
            (None, Some(policy)) => {
                shift.wait = seconds(policy, "WaitIntervalInSeconds").unwrap_or_default();
                shift.steps = linear(share(policy, "MaximumBatchSize", 0.05)?);
            }
            (None, None) => {}
        }
        if let Some(most) = blue
            .or(rolling)
            .and_then(|policy| seconds(policy, "MaximumExecutionTimeoutInSeconds"))
        {
            shift.most = most;
        }
        let alarms = deployment.pointer("/AutoRollbackConfiguration/Alarms");
        let alarms = alarms.and_then(Value::as_array).into_iter().flatten();
        shift.alarms = alarms
            .filter_map(|alarm| alarm.get("AlarmName")?.as_str())
            .map(Alarm::of)
            .collect::<Result<_>>()?;
        Ok(shift)
    }
}

/// What models did: answers, errors, and how long they took, to about a tenth. Counting waits for nobody.
#[derive(Debug)]
pub struct Measure {
    errors: AtomicU64,
    buckets: Vec<AtomicU64>,
}

impl Default for Measure {
    fn default() -> Self {
        let buckets = (0..STEPS * POWERS).map(|_| AtomicU64::new(0));
        Self {
            errors: AtomicU64::new(0),
            buckets: buckets.collect(),
        }
    }
}

impl Measure {
    /// Counts an answer.
    pub fn count_one(&self, took: Duration, error: bool) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX).max(1);
        let place = (micros as f64).log2() * f64::from(STEPS);
        let place = (place as usize).min(self.buckets.len() - 1);
        self.buckets[place].fetch_add(1, Ordering::Relaxed);
        if error {
            self.errors.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// All answers.
    pub fn count(&self) -> u64 {
        let counts = self.buckets.iter();
        counts.map(|bucket| bucket.load(Ordering::Relaxed)).sum()
    }

    /// Those that were errors.
    pub fn errors(&self) -> u64 {
        self.errors.load(Ordering::Relaxed)
    }

    fn error_rate(&self) -> f64 {
        self.errors() as f64 / self.count().max(1) as f64
    }

    /// What one answer in a hundred took longer than; the upper end of a step.
    pub fn p99(&self) -> Duration {
        let rest = self.count() / 100;
        let mut above = 0;
        for (place, bucket) in self.buckets.iter().enumerate().rev() {
            above += bucket.load(Ordering::Relaxed);
            if above > rest {
                let micros = 2_f64.powf((place + 1) as f64 / f64::from(STEPS));
                return Duration::from_secs_f64(micros / 1e6);
            }
        }
        Duration::ZERO
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn deployments_are_steps() {
        let routing = |routing: Value| json!({"BlueGreenUpdatePolicy": {"TrafficRoutingConfiguration": routing, "TerminationWaitInSeconds": 7}});
        let canary = routing(
            json!({"Type": "CANARY", "WaitIntervalInSeconds": 5, "CanarySize": {"Type": "CAPACITY_PERCENT", "Value": 10}}),
        );
        let shift = Shift::of(Some(&canary), 1).unwrap();
        assert_eq!(shift.steps, [0.1, 1.0]);
        assert_eq!(
            (shift.wait, shift.termination),
            (Duration::from_secs(5), Duration::from_secs(7))
        );
        let linear = routing(
            json!({"Type": "LINEAR", "WaitIntervalInSeconds": 0, "LinearStepSize": {"Type": "INSTANCE_COUNT", "Value": 1}}),
        );
        let steps = Shift::of(Some(&linear), 3).unwrap().steps;
        assert_eq!(steps.len(), 3);
        assert!(
            (steps[0] - 1.0 / 3.0).abs() < 1e-9 && (steps[2] - 1.0).abs() < 1e-9,
            "{steps:?}"
        );
        let rolling = json!({"RollingUpdatePolicy": {"WaitIntervalInSeconds": 1, "MaximumBatchSize": {"Type": "CAPACITY_PERCENT", "Value": 50}}});
        assert_eq!(Shift::of(Some(&rolling), 1).unwrap().steps, [0.5, 1.0]);
        assert_eq!(Shift::of(None, 1).unwrap().steps, [1.0]);
        let alarm =
            |name: &str| json!({"AutoRollbackConfiguration": {"Alarms": [{"AlarmName": name}]}});
        for (wrong, why) in [
            (routing(json!({"Type": "CANARY"})), "CanarySize is needed"),
            (
                routing(
                    json!({"Type": "CANARY", "CanarySize": {"Type": "CAPACITY_PERCENT", "Value": 51}}),
                ),
                "at most half",
            ),
            (
                routing(
                    json!({"Type": "LINEAR", "LinearStepSize": {"Type": "CAPACITY_PERCENT", "Value": 9}}),
                ),
                "at least 0.10",
            ),
            (alarm("HighLatency"), "There is no alarm \"HighLatency\""),
            (alarm("escala:error-rate>x"), "escala:error-rate>0.05"),
        ] {
            let refused = Shift::of(Some(&wrong), 1).unwrap_err();
            assert!(refused.message.contains(why), "{}", refused.message);
        }
    }

    #[test]
    fn alarms_fire_where_enough_was_measured() {
        let errors = Alarm::of("escala:error-rate>0.05").unwrap();
        let slow = Alarm::of("escala:p99-ms>500").unwrap();
        let measure = Measure::default();
        for _ in 0..9 {
            measure.count_one(Duration::from_secs(2), true);
        }
        assert_eq!(errors.fires(&measure), None);
        measure.count_one(Duration::from_secs(2), true);
        assert!(errors.fires(&measure).is_some() && slow.fires(&measure).is_some());
        let measure = Measure::default();
        for at in 0..1000 {
            measure.count_one(Duration::from_millis(1 + at % 100), at < 50);
        }
        assert_eq!(errors.fires(&measure), None);
        assert_eq!(slow.fires(&measure), None);
        let p99 = measure.p99().as_secs_f64();
        assert!((0.099..0.112).contains(&p99), "{p99}");
        measure.count_one(Duration::ZERO, true);
        assert!(errors.fires(&measure).is_some());
    }
}
