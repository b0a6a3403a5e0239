//! Threads that stay, begun by whoever comes first.
//!
//! On Linux a thread has the scheduling policy of the one that began it (sched(7)), and one that went behind all others for its
//! own work (`SCHED_IDLE`) cannot give its children a better place without rights. A team or the loading of a model may be begun by
//! such a thread and is there for everybody after. So those are begun by one thread that has the place of the process.

use std::sync::OnceLock;
use std::sync::mpsc::{Sender, channel};
use std::thread::{Builder, JoinHandle};

type Begin = Box<dyn FnOnce() + Send>;

/// The thread that begins others; none where the machine had no thread for it.
fn beginner() -> Option<&'static Sender<Begin>> {
    static BEGINNER: OnceLock<Option<Sender<Begin>>> = OnceLock::new();
    let beginner = BEGINNER.get_or_init(|| {
        let (wish, wishes) = channel::<Begin>();
        let begins = move || wishes.into_iter().for_each(|begin| begin());
        let begun = Builder::new().name("beginner".to_owned()).spawn(begins);
        begun.ok().map(|_| wish)
    });
    beginner.as_ref()
}

/// Begins a thread that has the place of the thread that asked first in this process, whoever asks now.
///
/// # Errors
/// The machine gives no more threads.
pub fn spawn<T: Send + 'static>(
    name: impl Into<String>,
    work: impl FnOnce() -> T + Send + 'static,
) -> std::io::Result<JoinHandle<T>> {
    let builder = Builder::new().name(name.into());
    let Some(beginner) = beginner() else {
        return builder.spawn(work);
    };
    let (tell, told) = channel();
    let begin = move || {
        // Whoever asked waits for it.
        let _ = tell.send(builder.spawn(work));
    };
    let gone = || std::io::Error::other("the thread that begins others has ended");
    beginner.send(Box::new(begin)).map_err(|_| gone())?;
    told.recv().map_err(|_| gone())?
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_thread_has_its_name_and_its_answer() {
        let name = || std::thread::current().name().map(str::to_owned);
        let thread = super::spawn("one", name).unwrap();
        assert_eq!(thread.join().unwrap().as_deref(), Some("one"));
        // One that panics harms neither those behind it nor whoever begins them.
        let thread = super::spawn("two", || panic!("on purpose")).unwrap();
        assert!(thread.join().is_err());
        let thread = super::spawn("three", || 3).unwrap();
        assert_eq!(thread.join().unwrap(), 3);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn it_has_the_place_of_the_process_whoever_asks() {
        use thread_priority::{
            NormalThreadSchedulePolicy, ThreadPriority, ThreadSchedulePolicy,
            set_thread_priority_and_policy, thread_native_id, thread_schedule_policy,
        };
        let usual = super::spawn("usual", thread_schedule_policy).unwrap();
        let usual = usual.join().unwrap().unwrap();
        let behind = std::thread::spawn(|| {
            let idle = ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Idle);
            set_thread_priority_and_policy(thread_native_id(), ThreadPriority::Min, idle).unwrap();
            let own = std::thread::spawn(thread_schedule_policy).join().unwrap();
            let of_all = super::spawn("of all", thread_schedule_policy).unwrap();
            let of_all = of_all.join().unwrap();
            assert_eq!(own.unwrap(), idle);
            of_all.unwrap()
        });
        assert_eq!(behind.join().unwrap(), usual);
    }
}
