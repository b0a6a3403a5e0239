//! The state of the process, under the names that Prometheus clients use, read from `/proc`.
//!
//! On systems without `/proc` these lines are absent.

use std::fmt::Write;

/// Clock ticks a second in `/proc/self/stat`; Linux fixes this at 100 for programs on every architecture.
const TICKS: f64 = 100.0;

/// Appends what can be read.
pub(super) fn write(out: &mut String) {
    let Some(state) = read() else { return };
    let lines = [
        (
            "process_resident_memory_bytes",
            "gauge",
            "Resident memory.",
            state.resident as f64,
        ),
        (
            "process_cpu_seconds_total",
            "counter",
            "User and system CPU time.",
            state.cpu,
        ),
        (
            "process_start_time_seconds",
            "gauge",
            "Start time since the epoch.",
            state.start,
        ),
        ("process_threads", "gauge", "Threads.", state.threads),
        (
            "process_virtual_memory_bytes",
            "gauge",
            "Virtual memory, weights that are mapped included.",
            state.mapped,
        ),
        (
            "process_open_fds",
            "gauge",
            "Open files and connections.",
            state.open,
        ),
        (
            "process_max_fds",
            "gauge",
            "Most open files and connections.",
            state.most_open,
        ),
    ];
    for (name, kind, help, value) in lines {
        // Writing to a string cannot fail.
        let _ = writeln!(
            out,
            "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}"
        );
    }
}

struct State {
    resident: u64,
    cpu: f64,
    start: f64,
    threads: f64,
    mapped: f64,
    open: f64,
    /// Infinite where nothing bounds it.
    most_open: f64,
}

/// Bytes of resident memory of this process, where `/proc` tells.
pub fn resident() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().trim_end_matches("kB").trim().parse().ok()?;
    Some(kib << 10)
}

fn read() -> Option<State> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The second field is the program's name in parentheses and may hold anything; count from behind it.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let field = |number: usize| fields.get(number - 3)?.parse::<f64>().ok();
    let boot = std::fs::read_to_string("/proc/stat").ok()?;
    let boot: f64 = boot
        .lines()
        .find_map(|line| line.strip_prefix("btime "))?
        .trim()
        .parse()
        .ok()?;
    Some(State {
        resident: resident()?,
        cpu: (field(14)? + field(15)?) / TICKS,
        start: boot + field(22)? / TICKS,
        threads: field(20)?,
        mapped: field(23)?,
        // But for the one that counts them.
        open: std::fs::read_dir("/proc/self/fd")
            .ok()?
            .count()
            .saturating_sub(1) as f64,
        most_open: rustix::process::getrlimit(rustix::process::Resource::Nofile)
            .current
            .map_or(f64::INFINITY, |most| most as f64),
    })
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    #[test]
    fn this_process_is_seen() {
        let state = super::read().expect("/proc is there");
        assert!(state.resident > 100 << 10 && state.threads >= 1.0);
        assert!(state.mapped >= state.resident as f64);
        assert!(state.open >= 3.0 && state.open <= state.most_open);
        let now = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .expect("after 1970")
            .as_secs_f64();
        assert!(
            state.start <= now + 2.0 && state.start > now - 86_400.0 * 7.0,
            "{} of {now}",
            state.start
        );
    }
}
