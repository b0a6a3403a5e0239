//! What may happen under a transactional id, event by event, as Kafka says.

use super::*;

const TIMEOUT: i64 = 1000;

fn by(id: i64, epoch: i16) -> Producer {
    Producer { id, epoch }
}

fn owner(producer: Producer, previous: Option<Producer>, ended: Option<End>) -> Event {
    let owner = Owner {
        producer,
        previous,
        timeout: TIMEOUT,
        ended,
        at: 5,
    };
    Event::Owner {
        id: "t".to_owned(),
        owner: Some(owner),
    }
}

fn joined(at: i64, partition: u32) -> Event {
    Event::Joined {
        id: "t".to_owned(),
        at,
        places: vec![(Uuid::nil(), partition)],
        groups: Vec::new(),
    }
}

fn pending(group: &str, topic: &str, offset: i64) -> Event {
    Event::Pending {
        id: "t".to_owned(),
        group: group.to_owned(),
        offsets: vec![((topic.to_owned(), 0), Committed::at(offset))],
    }
}

fn after(events: &[Event]) -> Transactions {
    let mut transactions = Transactions::default();
    for event in events {
        transactions.apply(event);
    }
    transactions
}

/// What an answer comes to, as Kafka's own table of it does.
fn outcome(ending: Result<Ending>) -> &'static str {
    match ending {
        Ok(Ending::Now) => "ends",
        Ok(Ending::Before(_)) => "ended",
        Err(Error::ProducerFenced { .. }) => "fenced",
        Err(Error::ProducerMapping { .. }) => "mapping",
        Err(Error::TransactionState(_)) => "state",
        Err(error) => panic!("{error}"),
    }
}

/// The tables that stand above `endTransaction` in Kafka's `TransactionCoordinator`: each way to end, in each state, for
/// the producer as it is (`Current`) and as it was before its last end (`Retry`).
#[test]
fn transactions_end_as_kafka_says() {
    let (retry, current) = (by(9, 3), by(9, 4));
    let none = None;
    let (commit, abort) = (Some(End::Commit), Some(End::Abort));
    // With epochs that change: abort retry, abort current, commit retry, commit current.
    for (ended, wanted) in [
        (none, ["fenced", "ends", "fenced", "state"]),
        (abort, ["ended", "ends", "state", "state"]),
        (commit, ["state", "ends", "ended", "state"]),
    ] {
        let transactions = after(&[owner(current, Some(retry), ended)]);
        let found = [
            (retry, End::Abort),
            (current, End::Abort),
            (retry, End::Commit),
            (current, End::Commit),
        ]
        .map(|(producer, end)| outcome(transactions.ending("t", producer, end, true)));
        assert_eq!(found, wanted, "{ended:?}");
    }
    // With epochs that stay: abort and commit of the producer as it is.
    for (ended, wanted) in [
        (none, ["state", "state"]),
        (abort, ["ended", "state"]),
        (commit, ["state", "ended"]),
    ] {
        let transactions = after(&[owner(current, None, ended)]);
        let found = [End::Abort, End::Commit]
            .map(|end| outcome(transactions.ending("t", current, end, false)));
        assert_eq!(found, wanted, "{ended:?}");
    }
    for bumps in [false, true] {
        let open = after(&[owner(current, Some(retry), commit), joined(7, 0)]);
        for end in [End::Abort, End::Commit] {
            assert_eq!(outcome(open.ending("t", current, end, bumps)), "ends");
            // A request of the transaction before, that arrives late.
            assert_eq!(outcome(open.ending("t", retry, end, bumps)), "fenced");
            assert_eq!(outcome(open.ending("t", by(9, 5), end, bumps)), "fenced");
            assert_eq!(outcome(open.ending("t", by(8, 4), end, bumps)), "mapping");
            assert_eq!(outcome(open.ending("u", current, end, bumps)), "mapping");
        }
    }
}

#[test]
fn a_repeated_end_is_known_when_the_producer_changed_with_it() {
    let (old, new) = (by(9, LAST_EPOCH), by(10, 0));
    let transactions = after(&[owner(new, Some(old), Some(End::Commit))]);
    let again = transactions.ending("t", old, End::Commit, true).unwrap();
    assert_eq!(again, Ending::Before(new));
    let other = transactions.ending("t", old, End::Abort, true);
    assert_eq!(outcome(other), "state");
}

#[test]
fn whoever_begins_gets_the_next_epoch() {
    let unknown = Transactions::default();
    for expected in [None, Some(by(9, 3))] {
        let begin = unknown.begin("t", expected).unwrap();
        assert_eq!(begin, Begin::Fresh { previous: None });
    }
    let known = after(&[owner(by(9, 3), Some(by(9, 2)), None)]);
    let next = |previous| Begin::Next {
        producer: by(9, 4),
        previous,
    };
    assert_eq!(known.begin("t", None).unwrap(), next(None));
    let current = Some(by(9, 3));
    assert_eq!(known.begin("t", current).unwrap(), next(current));
    // The request before, again: nothing changes.
    let again = known.begin("t", Some(by(9, 2))).unwrap();
    assert_eq!(again, Begin::Again(by(9, 3)));
    for other in [by(9, 1), by(9, 4), by(8, 3)] {
        let refused = known.begin("t", Some(other));
        assert!(
            matches!(refused, Err(Error::ProducerFenced { current: 3, .. })),
            "{other:?}"
        );
    }
    // Nobody who was fenced by a new instance, which knows no producer, can repeat anything.
    let taken_over = after(&[owner(by(9, 4), None, None)]);
    assert!(taken_over.begin("t", current).is_err());
}

#[test]
fn an_epoch_is_left_to_fence_with() {
    for (epoch, fresh) in [
        (LAST_EPOCH - 1, false),
        (LAST_EPOCH, true),
        (i16::MAX, true),
    ] {
        let known = after(&[owner(by(9, epoch), None, None)]);
        let begin = known.begin("t", None).unwrap();
        assert_eq!(begin == Begin::Fresh { previous: None }, fresh, "{epoch}");
    }
}

#[test]
fn a_transaction_begins_with_what_joins_first_and_has_a_deadline() {
    let mut transactions = after(&[owner(by(9, 0), None, None)]);
    assert_eq!(transactions.idlest(), Some("t"));
    assert_eq!(transactions.idle_before(5), [""; 0]);
    assert_eq!(transactions.idle_before(6), ["t"]);
    transactions.apply(&joined(50, 0));
    transactions.apply(&joined(900, 1));
    assert_eq!(transactions.get("t").unwrap().stage(), Stage::Ongoing);
    assert!(transactions.is_open(9, (Uuid::nil(), 1)));
    assert!(!transactions.is_open(9, (Uuid::nil(), 2)));
    assert!(!transactions.is_open(8, (Uuid::nil(), 1)));
    // Nothing that is open counts as idle.
    assert_eq!(
        (transactions.idlest(), transactions.overdue(1049)),
        (None, vec![])
    );
    assert_eq!(transactions.overdue(1050), ["t"]);
    transactions.apply(&owner(by(9, 0), None, Some(End::Commit)));
    assert_eq!(transactions.get("t").unwrap().stage(), Stage::Committed);
    assert!(transactions.overdue(i64::MAX).is_empty());
    let forget = Event::Owner {
        id: "t".to_owned(),
        owner: None,
    };
    transactions.apply(&forget);
    assert_eq!(transactions, Transactions::default());
}

#[test]
fn offsets_are_unstable_as_long_as_their_transaction_is_open() {
    let mut transactions = after(&[owner(by(9, 0), None, None), joined(50, 0)]);
    transactions.apply(&pending("g", "a", 7));
    transactions.apply(&pending("g", "b", 8));
    transactions.apply(&pending("g", "a", 9));
    let place = |topic: &str| (topic.to_owned(), 0);
    assert_eq!(transactions.unstable("g"), [place("a"), place("b")].into());
    assert_eq!(transactions.unstable("h"), BTreeSet::new());
    let named = transactions.get("t").unwrap();
    let offsets = &named.open.as_ref().unwrap().offsets["g"];
    assert_eq!(offsets[&place("a")].offset, 9);
    let removed = Event::Removed {
        id: Uuid::nil(),
        name: "a".to_owned(),
    };
    transactions.apply(&removed);
    assert_eq!(transactions.unstable("g"), [place("b")].into());
    transactions.apply(&owner(by(9, 0), None, Some(End::Abort)));
    assert_eq!(transactions.unstable("g"), BTreeSet::new());
}

#[test]
fn it_is_kept_as_bytes() {
    let mut transactions = after(&[
        owner(by(9, 0), Some(by(8, 7)), None),
        joined(50, 3),
        pending("g", "a", 7),
    ]);
    let other = Event::Owner {
        id: "u".to_owned(),
        owner: transactions.get("t").map(|named| Owner {
            producer: by(10, 1),
            previous: None,
            ended: Some(End::Abort),
            ..named.owner
        }),
    };
    transactions.apply(&other);
    let mut bytes = Vec::new();
    transactions.encode(&mut bytes);
    let read = Transactions::decode(&mut Take(&bytes));
    assert_eq!(read.as_ref(), Some(&transactions));
    for end in 0..bytes.len() {
        assert_eq!(Transactions::decode(&mut Take(&bytes[..end])), None);
    }
}
