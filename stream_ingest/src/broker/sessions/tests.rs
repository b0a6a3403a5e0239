//! Fetch sessions: what is told of partitions, to whom, and when a session goes.

use super::*;
use bytes::Bytes;

const T: &str = "t";

/// Sessions, and the time.
struct Scene {
    sessions: Arc<Sessions>,
    now: Instant,
}

fn request(id: i32, epoch: i32, partitions: &[i32], forgotten: &[i32]) -> Request {
    let wanted = |partition: &i32| FetchPartition {
        partition: *partition,
        ..FetchPartition::default()
    };
    let mut request = Request {
        session_id: id,
        session_epoch: epoch,
        ..Request::default()
    };
    if !partitions.is_empty() {
        request.topics.push(FetchTopic {
            topic: T.to_owned(),
            partitions: partitions.iter().map(wanted).collect(),
            ..FetchTopic::default()
        });
    }
    if !forgotten.is_empty() {
        let forget = crate::wire::messages::fetch::ForgottenTopic {
            topic: T.to_owned(),
            partitions: forgotten.to_vec(),
            ..Default::default()
        };
        request.forgotten_topics_data.push(forget);
    }
    request
}

fn asked(request: &Request) -> Vec<i32> {
    let topics = request.topics.iter();
    topics
        .flat_map(|topic| topic.partitions.iter().map(|one| one.partition))
        .collect()
}

impl Scene {
    fn new(sessions: usize, partitions: usize) -> Self {
        let limits = SessionLimits {
            sessions,
            partitions,
        };
        Self {
            sessions: Sessions::new(limits),
            now: Instant::now(),
        }
    }

    fn take(&self, mut request: Request) -> Result<(Option<Turn>, Vec<i32>), Code> {
        let turn = self.sessions.take(&mut request, self.now)?;
        let asked = asked(&request);
        Ok((turn, asked))
    }

    fn begin(&self, partitions: &[i32]) -> Option<i32> {
        let (turn, asked) = self.take(request(0, 0, partitions, &[])).unwrap();
        assert_eq!(asked, partitions);
        turn.map(|turn| turn.id)
    }
}

/// What a turn tells of partitions with these high watermarks; those in `records` have records.
fn told(turn: &Turn, asked: &[i32], ends: &[(i32, i64)], records: &[i32]) -> Vec<i32> {
    let data = |partition: i32| {
        let end = ends.iter().find(|(known, _)| *known == partition);
        let has = records.contains(&partition);
        PartitionData {
            partition_index: partition,
            error_code: if end.is_none() { 3 } else { 0 },
            high_watermark: end.map_or(-1, |(_, end)| *end),
            records: Some(Bytes::from_static(if has { b"records" } else { b"" })),
            ..PartitionData::default()
        }
    };
    let mut answer: Vec<_> = asked
        .iter()
        .map(|partition| (T.to_owned(), data(*partition)))
        .collect();
    turn.tell(&mut answer);
    answer
        .iter()
        .map(|(_, data)| data.partition_index)
        .collect()
}

#[test]
fn only_what_is_new_is_told() {
    let scene = Scene::new(10, 100);
    let (turn, asked) = scene.take(request(0, 0, &[1, 2, 3], &[])).unwrap();
    let turn = turn.unwrap();
    let id = turn.id;
    // The first answer has everything.
    let mut ends = [(1, 5), (2, 5), (3, 5)];
    assert_eq!(told(&turn, &asked, &ends, &[]), [1, 2, 3]);
    drop(turn);
    let next = |epoch, partitions: &[i32], forgotten: &[i32]| {
        let (turn, asked) = scene
            .take(request(id, epoch, partitions, forgotten))
            .unwrap();
        (turn.unwrap(), asked)
    };
    let (turn, asked) = next(1, &[], &[]);
    assert_eq!(asked, [1, 2, 3]);
    assert_eq!(told(&turn, &asked, &ends, &[]), [0; 0]);
    drop(turn);
    // A high watermark that moved, records, an error, and that it is over.
    ends[1].1 = 6;
    let (turn, asked) = next(2, &[], &[]);
    assert_eq!(told(&turn, &asked, &ends, &[1]), [1, 2]);
    drop(turn);
    let (turn, asked) = next(3, &[], &[]);
    assert_eq!(asked, [2, 3, 1], "who had records is looked at last");
    assert_eq!(told(&turn, &asked, &ends[..2], &[]), [3]);
    drop(turn);
    let (turn, asked) = next(4, &[], &[]);
    assert_eq!(told(&turn, &asked, &ends, &[]), [3]);
    drop(turn);
    // More, and less.
    let (turn, asked) = next(5, &[4], &[2]);
    assert_eq!(asked, [3, 1, 4]);
    let ends = [(1, 5), (3, 5), (4, 0)];
    assert_eq!(told(&turn, &asked, &ends, &[]), [4]);
    drop(turn);
    // Nothing is left: there is no session any more.
    let (turn, asked) = scene.take(request(id, 6, &[], &[1, 3, 4])).unwrap();
    assert!(turn.is_none() && asked.is_empty());
    let gone = scene.take(request(id, 7, &[], &[]));
    assert_eq!(gone.err(), Some(Code::FetchSessionIdNotFound));
}

#[test]
fn whoever_lost_count_begins_anew() {
    let scene = Scene::new(10, 100);
    let id = scene.begin(&[1]).unwrap();
    for epoch in [2, 7] {
        let refused = scene.take(request(id, epoch, &[], &[]));
        assert_eq!(refused.err(), Some(Code::InvalidFetchSessionEpoch));
    }
    let (turn, _) = scene.take(request(id, 1, &[], &[])).unwrap();
    // One request at a time.
    let refused = scene.take(request(id, 2, &[], &[]));
    assert_eq!(refused.err(), Some(Code::InvalidFetchSessionEpoch));
    drop(turn);
    assert!(scene.take(request(id, 2, &[], &[])).is_ok());
    // Another session in the place of this one.
    let (turn, _) = scene.take(request(id, 0, &[1], &[])).unwrap();
    assert_ne!(turn.unwrap().id, id);
    let gone = scene.take(request(id, 3, &[], &[]));
    assert_eq!(gone.err(), Some(Code::FetchSessionIdNotFound));
}

#[test]
fn a_session_ends_when_its_client_says_so() {
    let scene = Scene::new(10, 100);
    let id = scene.begin(&[1]).unwrap();
    let (turn, asked) = scene.take(request(id, -1, &[1, 2], &[])).unwrap();
    assert!(turn.is_none());
    assert_eq!(asked, [1, 2]);
    assert!(scene.take(request(id, 1, &[], &[])).is_err());
    assert_eq!(scene.sessions.all.lock().partitions, 0);
}

#[test]
fn there_is_place_for_so_many_and_no_more() {
    let mut scene = Scene::new(2, 5);
    let first = scene.begin(&[1, 2]).unwrap();
    let second = scene.begin(&[1]).unwrap();
    assert_eq!(scene.begin(&[1]), None, "two sessions");
    scene.now += IDLE;
    assert!(scene.take(request(second, 1, &[], &[])).is_ok());
    // The first was not used for long.
    assert_eq!(scene.begin(&[1, 2, 3, 4, 5]), None, "six partitions");
    let third = scene.begin(&[1, 2]).unwrap();
    let gone = scene.take(request(first, 1, &[], &[]));
    assert_eq!(gone.err(), Some(Code::FetchSessionIdNotFound));
    // A session that would grow too much ends.
    let grown = scene.take(request(third, 1, &[3, 4, 5], &[]));
    assert_eq!(grown.err(), Some(Code::FetchSessionIdNotFound));
    assert_eq!(scene.sessions.all.lock().partitions, 1);
}
