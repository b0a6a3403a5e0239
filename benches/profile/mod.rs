//! The slowest steps of a network.

use escala_models::Compute;
use escala_models::graph::{Error, Input, Network};
use std::collections::HashMap;

/// Prints the forty slowest steps on one thread: medians of so many runs; steps of one node that are alike are one.
pub fn print_slowest(network: &Network, input: Input<'_>, runs: usize) -> Result<(), Error> {
    let compute = Compute::cpu(1);
    let mut steps: HashMap<String, Vec<u64>> = HashMap::new();
    for run in 0..runs {
        for time in network.profile(&compute, &[input])?.1 {
            let step = format!("{} ({})", time.what, time.node);
            let times = steps.entry(step).or_default();
            times.resize(run + 1, 0);
            times[run] += time.nanoseconds;
        }
    }
    let mut rows: Vec<(u64, String)> = steps
        .into_iter()
        .map(|(what, mut times)| {
            times.sort_unstable();
            (times[times.len() / 2], what)
        })
        .collect();
    rows.sort_by_key(|(time, _)| std::cmp::Reverse(*time));
    let total: u64 = rows.iter().map(|(time, _)| time).sum();
    println!("{} us in {} kinds of steps", total / 1000, rows.len());
    for (time, what) in rows.iter().take(40) {
        println!("{:8} us  {what}", time / 1000);
    }
    Ok(())
}
