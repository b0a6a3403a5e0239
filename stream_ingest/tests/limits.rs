//! What one client may take of a broker: the length of its frames, time, memory, connections; and what the others have of it
//! then.

mod common;

use common::wire::{Batch, Client, LONG, append, fetch, join, produce, read};
use common::{Broker, options, wait_for};
use escala_stream_ingest::wire::messages::{
    fetch as fetching, join_group, metadata, produce as producing,
};
use proptest::prelude::*;
use std::io::Write;
use std::time::{Duration, Instant};

/// All of them are served at the same time, and one more is told nothing and closed.
#[test]
#[cfg(unix)]
fn a_thousand_connections_are_served() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    const MOST: usize = 1000;
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).expect("more files");
    // Both ends are in this process.
    if limit
        .maximum
        .is_some_and(|most| most < 2 * MOST as u64 + 500)
    {
        eprintln!("warning: too few files may be open here to try a thousand connections");
        return;
    }
    let broker = Broker::start(options());
    broker.topic("t", &[]);
    let mut clients: Vec<Client> = (0..MOST).map(|_| Client::connect(broker.address)).collect();
    // All are served: each has had an answer.
    for client in &mut clients {
        let _: metadata::Response = client.ask(1, &metadata::Request::default());
    }
    let batch = Batch::default().of(&[b"x"]);
    for client in &mut clients {
        client.send(9, &produce("t", -1, batch.clone()));
    }
    let mut offsets: Vec<i64> = clients
        .iter_mut()
        .map(|client| {
            let (_, answer) = client.receive::<producing::Response>(9);
            let one = &answer.responses[0].partition_responses[0];
            assert_eq!(one.error_code, 0);
            one.base_offset
        })
        .collect();
    offsets.sort_unstable();
    assert_eq!(offsets, (0..MOST as i64).collect::<Vec<_>>());
    Client::connect(broker.address).closed();
    // All wait for the next record, and have it.
    for client in &mut clients {
        client.send(12, &fetch("t", MOST as i64, LONG));
    }
    let leaving = clients.pop().expect("a client");
    leaving
        .stream
        .shutdown(std::net::Shutdown::Both)
        .expect("it is closed");
    let mut writer = None;
    wait_for("there is a place", || {
        let mut client = Client::connect(broker.address);
        let open = client.is_silent(Duration::from_millis(100));
        writer = open.then_some(client);
        open
    });
    let mut writer = writer.expect("a client");
    assert_eq!(
        append(&mut writer, "t", Batch::default().of(&[b"y"])).error_code,
        0
    );
    for client in &mut clients {
        let (_, answer) = client.receive::<fetching::Response>(12);
        let records = answer.responses[0].partitions[0].records.clone();
        assert!(records.is_some_and(|records| records.ends_with(b"y\0")));
    }
}

#[test]
fn frames_have_limits() {
    let mut options = options();
    options.limits.request_bytes = 1000;
    options.limits.produce_bytes = 10_000;
    let broker = Broker::start(options);
    broker.topic("t", &[]);
    // What only announces much is cut off at once.
    for (announced, key) in [(1001, 3), (i32::MAX, 3), (-1, 3), (7, 3), (10_001, 0)] {
        let mut client = Client::connect(broker.address);
        let mut head = i32::to_be_bytes(announced).to_vec();
        head.extend([0, key, 0, 9, 0, 0, 0, 1]);
        client.stream.write_all(&head).expect("the broker reads");
        client.closed();
    }
    let mut client = Client::connect(broker.address);
    let batch = Batch::default().of(&[&[b'x'; 5000]]);
    assert_eq!(append(&mut client, "t", batch).error_code, 0);
}

#[test]
fn whoever_is_idle_or_slow_is_cut_off() {
    let mut options = options();
    options.limits.idle = Duration::from_millis(200);
    options.limits.request_time = Duration::from_millis(200);
    let broker = Broker::start(options);
    broker.topic("t", &[]);
    Client::connect(broker.address).closed();
    let mut slow = Client::connect(broker.address);
    slow.stream
        .write_all(&[0, 0, 0, 50, 0, 3])
        .expect("the broker reads");
    slow.closed();
    // Whoever waits for an answer is not idle.
    let mut waiting = Client::connect(broker.address);
    let nothing = read(&mut waiting, &fetch("t", 0, 700));
    assert_eq!(nothing.error_code, 0);
}

/// A client that takes nothing is cut off, and what it did not take is free for others.
#[test]
fn answers_that_nobody_takes_are_given_up() {
    let mut options = options();
    options.limits.answer_time = Duration::from_millis(300);
    options.limits.answers_bytes = 3 << 20;
    let broker = Broker::start(options);
    broker.topic("t", &[]);
    let mut client = Client::connect(broker.address);
    for _ in 0..20 {
        append(&mut client, "t", Batch::default().of(&[&[b'x'; 1_000_000]]));
    }
    let mut request = fetch("t", 0, LONG);
    request.topics[0].partitions[0].partition_max_bytes = 50 << 20;
    let mut greedy: Vec<Client> = (0..8).map(|_| Client::connect(broker.address)).collect();
    for client in &mut greedy {
        for _ in 0..10 {
            client.send(12, &request);
        }
    }
    // It gets its answer when they are cut off.
    let answered = read(&mut client, &request).records.expect("records").len();
    assert!((1_000_000..=3 << 20).contains(&answered), "{answered}");
}

/// Where others hold all that there is for answers, a fetch is answered in its time all the same, with nothing.
#[test]
fn a_fetch_waits_for_others_no_longer_than_it_may() {
    let mut options = options();
    options.limits.answers_bytes = 3 << 20;
    let broker = Broker::start(options);
    broker.topic("t", &[("retention.ms", "-1")]);
    let mut client = Client::connect(broker.address);
    for _ in 0..20 {
        append(&mut client, "t", Batch::default().of(&[&[b'x'; 1_000_000]]));
    }
    let mut request = fetch("t", 0, LONG);
    request.topics[0].partitions[0].partition_max_bytes = 50 << 20;
    let mut greedy = Client::connect(broker.address);
    for _ in 0..30 {
        greedy.send(12, &request);
    }
    wait_for("an answer is empty", || {
        let waiting = Instant::now();
        let data = read(&mut client, &fetch("t", 0, 100));
        assert_eq!((data.error_code, data.high_watermark), (0, 20));
        assert!(waiting.elapsed() < Duration::from_secs(20));
        data.records.expect("records").is_empty()
    });
}

/// Requests that are announced, and come in part or not at all, leave room for others.
#[test]
fn what_does_not_come_takes_no_room() {
    let mut options = options();
    options.limits.request_bytes = 1 << 20;
    options.limits.produce_bytes = 4 << 20;
    options.limits.requests_bytes = 4 << 20;
    let broker = Broker::start(options);
    broker.topic("t", &[]);
    let mut stalled: Vec<Client> = (0..20).map(|_| Client::connect(broker.address)).collect();
    for (at, client) in stalled.iter_mut().enumerate() {
        let (announced, key) = if at % 2 == 0 {
            (4 << 20, 0)
        } else {
            (1 << 20, 3)
        };
        let mut head = i32::to_be_bytes(announced).to_vec();
        head.extend([0, key, 0, 9, 0, 0, 0, 1]);
        client.stream.write_all(&head).expect("the broker reads");
    }
    // They are attended to before those that come later.
    let mut last = Client::connect(broker.address);
    for _ in 0..3 {
        let batch = Batch::default().of(&[&[b'x'; 1_000_000]]);
        assert_eq!(append(&mut last, "t", batch).error_code, 0);
    }
}

/// Large requests that come a piece at a time, all at once, are more than there is room for: each is taken in its turn.
#[test]
fn requests_that_have_a_part_of_the_room_do_not_wait_for_each_other() {
    const EACH: usize = 1_000_000;
    let mut options = options();
    options.limits.produce_bytes = 2 << 20;
    options.limits.requests_bytes = 2 << 20;
    let broker = Broker::start(options);
    broker.topic("t", &[]);
    let senders: Vec<_> = (0..8)
        .map(|_| {
            let mut client = Client::connect(broker.address);
            std::thread::spawn(move || {
                let batch = Batch::default().of(&[&[b'x'; EACH]]);
                (0..4).all(|_| append(&mut client, "t", batch.clone()).error_code == 0)
            })
        })
        .collect();
    assert!(
        senders
            .into_iter()
            .all(|sender| sender.join().expect("an end"))
    );
    assert_eq!(broker.end("t"), 32);
}

#[test]
fn there_is_a_limit_to_connections() {
    let mut options = options();
    options.limits.connections = 2;
    let broker = Broker::start(options);
    let mut first = Client::connect(broker.address);
    let mut second = Client::connect(broker.address);
    for client in [&mut first, &mut second] {
        let _: metadata::Response = client.ask(1, &metadata::Request::default());
    }
    Client::connect(broker.address).closed();
    drop(first);
    wait_for("a place is free", || {
        let mut client = Client::connect(broker.address);
        client.send(1, &metadata::Request::default());
        client.receive_raw().is_ok()
    });
}

#[test]
fn what_is_due_is_answered_before_the_broker_stops() {
    let mut broker = Broker::start(options());
    broker.topic("t", &[]);
    let mut waiting = Client::connect(broker.address);
    let sent = waiting.send(12, &fetch("t", 0, LONG));
    // Once this is answered, the fetch before it has been read too.
    let mut member = Client::connect(broker.address);
    let (version, request) = join(5, "");
    let _: join_group::Response = member.ask(version, &request);
    let start = Instant::now();
    broker.begin_stop();
    let (correlation, answer) = waiting.receive::<fetching::Response>(12);
    assert_eq!((correlation, answer.error_code), (sent, 0));
    broker.stopped();
    assert!(
        start.elapsed() < Duration::from_secs(5),
        "{:?}",
        start.elapsed()
    );
    waiting.closed();
}

/// Whatever comes, the broker goes on.
#[test]
fn hostile_frames_only_cost_their_connection() {
    let broker = Broker::start(options());
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(300));
    let frame = (
        proptest::sample::select((0i16..75).collect::<Vec<_>>()),
        0i16..14,
        proptest::collection::vec(any::<u8>(), 0..200),
    );
    runner
        .run(&frame, |(key, version, body)| {
            let mut client = Client::connect(broker.address);
            let mut frame = key.to_be_bytes().to_vec();
            frame.extend(version.to_be_bytes());
            frame.extend([0, 0, 0, 1, 0xff, 0xff]);
            frame.extend(body);
            client.send_raw(&frame);
            // Seven bytes of a Metadata request in version 1 once asked a codec for 154 GB.
            let mut other = Client::connect(broker.address);
            other.send_raw(&[0, 3, 0, 1, 0, 0, 0, 1, 0xff, 0xff, 0x7f, 0xff, 0xff, 0xff]);
            other.closed();
            Ok(())
        })
        .expect("no case fails");
    let mut client = Client::connect(broker.address);
    let _: metadata::Response = client.ask(1, &metadata::Request::default());
}
