//! Work that nobody waits for goes behind work that somebody waits for.

use std::sync::atomic::{AtomicBool, Ordering};

/// Whether threads go behind others.
static ALLOWED: AtomicBool = AtomicBool::new(true);

/// Says whether threads of this process that want to go behind others do; those that went before stay there.
pub fn allow(behind: bool) {
    ALLOWED.store(behind, Ordering::Relaxed);
}

/// From now on this thread, and those that it begins, run when nobody else wants the processor.
///
/// On Linux that is `SCHED_IDLE` (sched(7)): whoever answers a request takes the processor from such a thread at once, where
/// one that is only nice keeps it for a slice. On a machine that others keep busy it still gets a little. It cannot be taken
/// back without rights, and threads that this one begins have it, too (no flag of Linux's prevents that): so it is for threads that
/// do nothing else, and begin none that others use. What is for everybody and may be begun by such a thread (a team, the loading
/// of a model) is begun through `escala_models::threads`; the runner's threads have a runtime of their own. Other systems are left
/// as they are.
pub fn behind() {
    #[cfg(target_os = "linux")]
    if ALLOWED.load(Ordering::Relaxed) {
        use thread_priority::{
            NormalThreadSchedulePolicy, ThreadPriority, ThreadSchedulePolicy,
            set_thread_priority_and_policy, thread_native_id,
        };
        let idle = ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Idle);
        if let Err(error) =
            set_thread_priority_and_policy(thread_native_id(), ThreadPriority::Min, idle)
        {
            tracing::debug!(?error, "a thread keeps its place among others");
        }
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {

    /// The policy of the calling thread, as the kernel tells it (proc(5), `/proc/…/stat`, field 41).
    fn policy() -> u32 {
        let told = std::fs::read_to_string("/proc/thread-self/stat").expect("told");
        // The name may have spaces; it ends with the last parenthesis, and field 3 is behind it.
        let (_, rest) = told.rsplit_once(')').expect("a name");
        let field = rest.split_whitespace().nth(41 - 3).expect("a policy");
        field.parse().expect("a number")
    }

    #[test]
    fn a_thread_and_its_own_go_behind_others() {
        const IDLE: u32 = 5;
        let other = policy();
        assert_ne!(other, IDLE);
        let (own, child) = std::thread::spawn(|| {
            super::behind();
            (policy(), std::thread::spawn(policy).join())
        })
        .join()
        .expect("ended");
        assert_eq!((own, child.expect("ended")), (IDLE, IDLE));
        assert_eq!(policy(), other);
    }
}
