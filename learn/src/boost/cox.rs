//! Cox's model of hazards: `survival:cox`, whose gradients are of all rows together.
//!
//! A label is the time at which something happened, or, with a minus, up to which it had not. Rows that share a time are
//! treated as Breslow does. After XGBoost's `CoxRegression` and `EvalCox` at 3.2.0.

use super::objective::Targets;

/// Rows by their time, the earliest first; those of one time as they came.
pub fn order(labels: &[f32]) -> Vec<u32> {
    let mut order: Vec<u32> = (0..labels.len() as u32).collect();
    order.sort_by(|one, other| {
        let time = |row: &u32| labels[*row as usize].abs();
        time(one).total_cmp(&time(other))
    });
    order
}

/// Gradients and hessians of all rows by the trees' sums; `order` is [`order`] of the labels.
pub fn gradients(sums: &[f32], targets: &Targets<'_>, order: &[u32], out: &mut [[f32; 2]]) {
    // Of all to whom it had not happened before.
    let mut at_risk: f64 = order
        .iter()
        .map(|row| f64::from(sums[*row as usize].exp()))
        .sum();
    let (mut once, mut twice) = (0f64, 0f64);
    let (mut passed, mut last, mut time) = (0f64, 0f64, 0f64);
    for row in order {
        let row = *row as usize;
        let label = f64::from(targets.labels[row]);
        let hazard = f64::from(sums[row]).exp();
        // Who shares a time is at risk together.
        passed += last;
        if time < label.abs() {
            at_risk -= passed;
            passed = 0.0;
        }
        let happened = label > 0.0;
        if happened {
            once += 1.0 / at_risk;
            twice += 1.0 / (at_risk * at_risk);
        }
        let weight = f64::from(targets.weight(row));
        let gradient = hazard * once - f64::from(u8::from(happened));
        let hessian = hazard * once - hazard * hazard * twice;
        out[row] = [(gradient * weight) as f32, (hessian * weight) as f32];
        (last, time) = (hazard, label.abs());
    }
}

/// `cox-nloglik`: how unlikely it was that it happened to whom it did, of predicted hazards.
pub fn likelihood(hazards: &[f32], labels: &[f32]) -> f64 {
    let order = order(labels);
    let mut at_risk: f64 = hazards.iter().copied().map(f64::from).sum();
    let (mut sum, mut passed, mut happened) = (0f64, 0f64, 0u64);
    for (place, row) in order.iter().enumerate() {
        let (hazard, label) = (hazards[*row as usize], labels[*row as usize]);
        if label > 0.0 {
            sum -= f64::from(hazard).ln() - at_risk.ln();
            happened += 1;
        }
        passed += f64::from(hazard);
        let next = order.get(place + 1).map(|next| labels[*next as usize]);
        if next.is_none_or(|next| label.abs() < next.abs()) {
            at_risk -= passed;
            passed = 0.0;
        }
    }
    sum / happened as f64
}
