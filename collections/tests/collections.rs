//! Collections as their users see them: every operation, what a crash leaves, and readers beside writers.

use escala_collections::{
    Collection, Descriptor, Error, FaceFilter, FaceId, Library, Limits, NewFace, Unassociated,
    Undeleted, VERSION, WIDTH,
};
use escala_models::team::Team;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use uuid::Uuid;

/// A descriptor that is all zeros but for two numbers.
fn descriptor(x: f32, y: f32) -> Descriptor {
    let mut descriptor = [0.0; WIDTH];
    (descriptor[0], descriptor[WIDTH - 1]) = (x, y);
    descriptor
}

fn face(x: f32, y: f32) -> NewFace {
    NewFace {
        place: [0.1, 0.2, 0.3, 0.4],
        confidence: 99.5,
        descriptor: descriptor(x, y),
    }
}

fn library(folder: &Path) -> Library {
    Library::open(folder, Limits::default()).expect("opens")
}

fn collection(library: &Library, id: &str) -> Arc<Collection> {
    library.create(id, BTreeMap::new()).expect("made");
    library.get(id).expect("there")
}

fn index(collection: &Collection, faces: &[NewFace]) -> Vec<FaceId> {
    collection
        .index(Uuid::new_v4(), Some("holiday.jpg"), faces)
        .expect("indexed")
}

/// The journals below a folder.
fn journals(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("a folder");
    let paths = entries.map(|entry| entry.expect("an entry").path().join("faces.log"));
    paths.filter(|path| path.is_file()).collect()
}

/// Faces of an image that is indexed again under its name are those that are there; others of it, and those of another
/// image, are new.
#[test]
fn an_image_that_comes_again_has_the_faces_that_it_had() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (image, other) = (Uuid::new_v4(), Uuid::new_v4());
    let at = |left: f32, x: f32| NewFace {
        place: [left, 0.2, 0.3, 0.4],
        ..face(x, 0.0)
    };
    let library = library(folder.path());
    let people = collection(&library, "people");
    let once = |image, faces: &[NewFace]| {
        let indexed = people.index_once(image, Some("holiday.jpg"), faces);
        indexed.expect("indexed")
    };
    let first = once(image, &[at(0.1, 1.0), at(0.5, 2.0)]);
    assert_eq!(once(image, &[at(0.1, 1.0), at(0.5, 2.0)]), first);
    assert_eq!(people.describe().faces, 2);
    let more = once(image, &[at(0.7, 3.0), at(0.5, 2.0)]);
    assert_eq!(more[1], first[1]);
    assert!(!first.contains(&more[0]));
    let others = once(other, &[at(0.1, 1.0)]);
    assert!(!first.contains(&others[0]));
    people.delete(&first[..1]).expect("deleted");
    let again = once(image, &[at(0.1, 1.0)]);
    assert_ne!(again, first[..1], "what was deleted is new");
    assert_eq!(people.describe().faces, 4);
    drop((people, library));
    let library = crate::library(folder.path());
    let people = library.get("people").expect("there");
    let kept = people.index_once(image, Some("holiday.jpg"), &[at(0.1, 1.0)]);
    assert_eq!(kept.expect("indexed"), again);
}

#[test]
fn collections_are_made_listed_and_deleted() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let library = library(folder.path());
    for id in ["b", "a", "c.d-e_F9", &"x".repeat(255)] {
        library.create(id, BTreeMap::new()).expect("made");
    }
    assert!(matches!(
        library.create("a", BTreeMap::new()),
        Err(Error::Exists(_))
    ));
    for id in ["", "ä", "a/b", "a b", &"x".repeat(256)] {
        let refused = library.create(id, BTreeMap::new());
        assert!(matches!(refused, Err(Error::Invalid(_))), "{id}");
    }
    let page = library.ids(None, 2);
    assert_eq!(
        (page.items, page.next.as_deref()),
        (
            vec![("a".to_owned(), VERSION), ("b".to_owned(), VERSION)],
            Some("b")
        )
    );
    let page = library.ids(Some("b"), 2);
    assert_eq!((page.items.len(), page.next), (2, None));
    library.delete("a").expect("deleted");
    assert!(matches!(library.delete("a"), Err(Error::NoCollection(_))));
    assert!(matches!(library.get("a"), Err(Error::NoCollection(_))));
    // A folder has one owner.
    assert!(Library::open(folder.path(), Limits::default()).is_err());
    drop(library);
    let library = crate::library(folder.path());
    assert_eq!(library.ids(None, 10).items.len(), 3);
    assert_eq!(
        library
            .get(&"x".repeat(255))
            .expect("there")
            .describe()
            .faces,
        0
    );
}

/// A list goes on behind an id of any length, also where the id is gone or others came before it.
#[test]
fn tokens_of_long_ids_are_short_and_outlive_changes() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let library = library(folder.path());
    let id = |number: usize| format!("{}-{number:02}", "x".repeat(252));
    for number in 0..9 {
        library.create(&id(number), BTreeMap::new()).expect("made");
    }
    let page = |token: Option<&str>| {
        let page = library.ids(token, 2);
        assert!(page.next.as_ref().is_none_or(|next| next.len() <= 160));
        let ids: Vec<String> = page.items.into_iter().map(|(id, _)| id).collect();
        (ids, page.next)
    };
    let (mut listed, mut token) = page(None);
    while let Some(next) = token {
        let (more, following) = page(Some(&next));
        listed.extend(more);
        token = following;
    }
    assert_eq!(listed, (0..9).map(id).collect::<Vec<_>>());
    let (_, second) = page(None);
    let second = second.expect("there are more");
    library.delete(&id(0)).expect("deleted");
    library.create("a", BTreeMap::new()).expect("made");
    library
        .create(&format!("{}-02-", "x".repeat(251)), BTreeMap::new())
        .expect("made");
    assert_eq!(page(Some(&second)).0, [id(2), id(3)]);
    library.delete(&id(1)).expect("deleted");
    let (again, _) = page(Some(&second));
    assert!(again <= vec![id(2), id(3)], "none is left out: {again:?}");
    // An id that may be a token is one, and needs not be there.
    let middle = "m".repeat(160);
    library.create(&middle, BTreeMap::new()).expect("made");
    let (ids, token) = page(None);
    assert_eq!(
        (ids, token.as_ref()),
        (vec!["a".to_owned(), middle.clone()], Some(&middle))
    );
    library.delete(&middle).expect("deleted");
    assert_eq!(page(token.as_deref()), page(Some("b")));
}

#[test]
fn everything_is_there_after_opening_again() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (ids, image) = {
        let library = library(folder.path());
        let tags = BTreeMap::from([("team".to_owned(), "blue".to_owned())]);
        library.create("people", tags).expect("made");
        let people = library.get("people").expect("there");
        let image = Uuid::new_v4();
        let faces = [
            face(0.0, 0.0),
            face(1.0, 0.0),
            face(0.0, 1.0),
            face(5.0, 5.0),
        ];
        let ids = people
            .index(image, Some("holiday.jpg"), &faces)
            .expect("indexed");
        people.create_user("ann").expect("made");
        people.create_user("bob").expect("made");
        people.create_user("eve").expect("made");
        people.associate("ann", &ids[..2], 2.0).expect("associated");
        people
            .disassociate("ann", &ids[1..2])
            .expect("disassociated");
        people.delete_user("eve").expect("deleted");
        people.delete(&ids[3..]).expect("deleted");
        let set = BTreeMap::from([("room".to_owned(), "1".to_owned())]);
        people.tag(set, &["team".to_owned()]).expect("tagged");
        (ids, image)
    };
    let library = library(folder.path());
    let people = library.get("people").expect("there");
    let description = people.describe();
    assert_eq!((description.faces, description.users), (3, 2));
    assert_eq!(
        people.tags(),
        BTreeMap::from([("room".to_owned(), "1".to_owned())])
    );
    let first = people.face(ids[0]).expect("there");
    assert_eq!(first.image, image);
    assert_eq!(first.external.as_deref(), Some("holiday.jpg"));
    assert_eq!(
        (first.place, first.confidence),
        ([0.1, 0.2, 0.3, 0.4], 99.5)
    );
    assert_eq!(first.user.as_deref(), Some("ann"));
    assert_eq!(people.face(ids[1]).expect("there").user, None);
    assert_eq!(people.face(ids[3]), None);
    assert_eq!(people.user("ann").expect("there").faces, 1);
    assert_eq!(
        people.descriptor(ids[2]).expect("there"),
        descriptor(0.0, 1.0)
    );
}

#[test]
fn searches_give_the_nearest_within_reach() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let library = library(folder.path());
    let people = collection(&library, "people");
    let team = Team::new(2);
    assert!(
        people
            .search(&team, &descriptor(0.0, 0.0), 10, 10.0, None)
            .is_empty()
    );
    let faces: Vec<NewFace> = (0..3000).map(|i| face(i as f32 * 0.01, 0.0)).collect();
    let ids: Vec<FaceId> = faces
        .chunks(100)
        .flat_map(|faces| index(&people, faces))
        .collect();
    let found = people.search(&team, &descriptor(10.0, 0.0), 3, 0.5, None);
    let found: Vec<FaceId> = found.iter().map(|(face, _)| face.id).collect();
    assert_eq!(found[0], ids[1000]);
    assert_eq!(
        BTreeSet::from_iter(found),
        BTreeSet::from([ids[999], ids[1000], ids[1001]])
    );
    let around = people.search(&team, &descriptor(10.0, 0.0), 4096, 0.0501, None);
    assert_eq!(around.len(), 11);
    assert!(around.windows(2).all(|pair| pair[0].1 <= pair[1].1));
    let own = people.descriptor(ids[0]).expect("there");
    let others = people.search(&team, &own, 2, 0.5, Some(ids[0]));
    assert_eq!(others[0].0.id, ids[1]);
    people.delete(&ids[..2]).expect("deleted");
    let gone = people.descriptor(ids[0]);
    assert!(matches!(gone, Err(Error::NoFace(_))));
    let found = people.search(&team, &descriptor(0.0, 0.0), 1, 9.0, None);
    assert_eq!(found[0].0.id, ids[2]);
}

#[test]
fn faces_are_listed_in_pages() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let library = library(folder.path());
    let people = collection(&library, "people");
    let ids: Vec<FaceId> = (0..25)
        .flat_map(|i| index(&people, &[face(i as f32, 0.0)]))
        .collect();
    people.delete(&ids[3..5]).expect("deleted");
    people.create_user("ann").expect("made");
    people
        .associate("ann", &[ids[20], ids[7]], 100.0)
        .expect("associated");
    let all = |filter: &FaceFilter| {
        let (mut listed, mut token) = (Vec::new(), None);
        loop {
            let page = people.faces(filter, token.as_deref(), 4).expect("a page");
            assert!(page.items.len() <= 4);
            listed.extend(page.items.into_iter().map(|face| face.id));
            token = page.next;
            if token.is_none() {
                return listed;
            }
        }
    };
    let left: Vec<FaceId> = ids
        .iter()
        .copied()
        .filter(|id| !ids[3..5].contains(id))
        .collect();
    assert_eq!(all(&FaceFilter::default()), left);
    let of_ann = FaceFilter {
        user: Some("ann".to_owned()),
        ..FaceFilter::default()
    };
    assert_eq!(all(&of_ann), [ids[7], ids[20]]);
    let some = FaceFilter {
        ids: vec![ids[24], ids[3], ids[0], ids[0], Uuid::new_v4()],
        ..FaceFilter::default()
    };
    assert_eq!(all(&some), [ids[0], ids[24]]);
    for token in ["", "x", "0-x", "1-0", "-"] {
        let page = people.faces(&FaceFilter::default(), Some(token), 4);
        assert!(matches!(page, Err(Error::Token)), "{token}");
    }
    let nobody = FaceFilter {
        user: Some("eve".to_owned()),
        ..FaceFilter::default()
    };
    assert!(matches!(
        people.faces(&nobody, None, 4),
        Err(Error::NoUser(_))
    ));
}

#[test]
fn users_have_faces_that_look_alike() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let library = library(folder.path());
    let people = collection(&library, "people");
    let ids = index(
        &people,
        &[
            face(0.0, 0.0),
            face(0.2, 0.0),
            face(3.0, 0.0),
            face(3.2, 0.0),
        ],
    );
    people.create_user("ann").expect("made");
    people.create_user("bob").expect("made");
    assert!(matches!(
        people.create_user("ann"),
        Err(Error::UserExists(_))
    ));
    let missing = Uuid::new_v4();
    let first = people
        .associate("ann", &[ids[0], missing], 0.5)
        .expect("associated");
    assert_eq!(first.done, [ids[0]]);
    assert_eq!(first.left, [(missing, Unassociated::NotFound)]);
    let second = people
        .associate("ann", &[ids[0], ids[1], ids[2]], 0.5)
        .expect("associated");
    // What it has already is not told.
    assert_eq!(second.done, [ids[1]]);
    assert!(
        matches!(second.left[..], [(id, Unassociated::TooFar(far))] if id == ids[2] && far > 2.9)
    );
    let other = people.associate("bob", &ids, 0.5).expect("associated");
    // Compared with what bob had before, which is nothing.
    assert_eq!(other.done, [ids[2], ids[3]]);
    let ann = Unassociated::OtherUser(Some("ann".to_owned()));
    assert_eq!(other.left, [(ids[0], ann.clone()), (ids[1], ann.clone())]);
    assert_eq!(
        people.delete(&ids[..1]).expect("answered").left,
        [(ids[0], Undeleted::Associated)]
    );
    let near = people.search_users(&descriptor(0.1, 0.0), 10, 5.0, None);
    assert_eq!(
        near.iter().map(|(user, _)| &*user.id).collect::<Vec<_>>(),
        ["ann", "bob"]
    );
    assert!(
        near[0].1 < 1e-6 && (near[1].1 - 3.0).abs() < 1e-5,
        "{near:?}"
    );
    let without = people.search_users(&descriptor(0.1, 0.0), 10, 5.0, Some("ann"));
    assert_eq!(without.len(), 1);
    let taken = people
        .disassociate("bob", &[ids[0], ids[2], missing])
        .expect("answered");
    assert_eq!(taken.done, [ids[2]]);
    assert_eq!(
        taken.left,
        [(ids[0], ann), (missing, Unassociated::NotFound)]
    );
    people.delete_user("bob").expect("deleted");
    assert_eq!(people.face(ids[3]).expect("stays").user, None);
    assert!(matches!(people.delete_user("bob"), Err(Error::NoUser(_))));
    let page = people.users(None, 10);
    assert_eq!((page.items.len(), page.next), (1, None));
}

#[test]
fn people_are_introduced_with_their_faces_and_go_with_them() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (ada, eve) = {
        let library = library(folder.path());
        let people = collection(&library, "people");
        let introduce = |user: &str, about: &str, faces: &[NewFace]| {
            people.introduce(user, about, Uuid::new_v4(), faces)
        };
        let ada = introduce("ada", "first", &[face(0.0, 0.0)]).expect("introduced");
        let more = introduce("ada", "Lovelace", &[face(1.0, 0.0), face(2.0, 0.0)]);
        let ada = [ada, more.expect("introduced")].concat();
        let eve = introduce("eve", "Eve", &[face(5.0, 0.0)]).expect("introduced");
        introduce("nobody", "has no face", &[]).expect("introduced");
        people.remove("nobody").expect("removed");
        people.create_user("plain").expect("made");
        assert_eq!(people.user("plain").expect("there").about, None);
        assert!(matches!(people.remove("nobody"), Err(Error::NoUser(_))));
        (ada, eve)
    };
    let library = library(folder.path());
    let people = library.get("people").expect("there");
    let user = people.user("ada").expect("there");
    assert_eq!((user.faces, user.about.as_deref()), (3, Some("Lovelace")));
    let found = people.search(&Team::new(1), &descriptor(2.1, 0.0), 1, 1.0, None);
    assert_eq!(
        (found[0].0.id, found[0].0.user.as_deref()),
        (ada[2], Some("ada"))
    );
    people.remove("ada").expect("removed");
    assert!(
        people
            .search(&Team::new(1), &descriptor(2.1, 0.0), 1, 1.0, None)
            .is_empty()
    );
    drop((people, library));
    let people = crate::library(folder.path()).get("people").expect("there");
    let ids: Vec<String> = people
        .users(None, 10)
        .items
        .into_iter()
        .map(|u| u.id)
        .collect();
    assert_eq!(
        (ids, people.describe().faces),
        (vec!["eve".to_owned(), "plain".to_owned()], 1)
    );
    assert_eq!(
        people.face(eve[0]).expect("there").user.as_deref(),
        Some("eve")
    );
}

#[test]
fn an_introduction_that_is_torn_did_not_happen() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    {
        let library = library(folder.path());
        let people = collection(&library, "people");
        let (ada, two) = (Uuid::new_v4(), [face(0.0, 0.0), face(1.0, 0.0)]);
        people
            .introduce("ada", "Ada", ada, &two)
            .expect("introduced");
    }
    let journal = journals(folder.path()).pop().expect("a journal");
    let whole = fs::read(&journal).expect("a journal");
    let last = 8 + 1 + 2 + 3 + 2 + 3 + 16 + 4 + 2 * (16 + 5 * 4 + WIDTH * 4);
    for end in [0, 8, 30, 600, last - 1] {
        fs::write(&journal, &whole[..whole.len() - last + end]).expect("torn");
        let people = library(folder.path()).get("people").expect("opens");
        let about = people.describe();
        assert_eq!((about.users, about.faces), (0, 0), "{end}");
    }
}

#[test]
fn limits_hold() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let limits = Limits {
        collections: 1,
        faces: 3,
        users: 1,
        faces_of_user: 2,
        tags: 1,
    };
    let library = Library::open(folder.path(), limits).expect("opens");
    let people = collection(&library, "people");
    let is_limit = |result: Result<(), Error>| matches!(result, Err(Error::Limit { .. }));
    assert!(is_limit(library.create("more", BTreeMap::new()).map(drop)));
    let ids = index(&people, &[face(0.0, 0.0), face(0.0, 0.1), face(0.0, 0.2)]);
    assert!(is_limit(
        people
            .index(Uuid::new_v4(), None, &[face(0.0, 0.0)])
            .map(drop)
    ));
    people.create_user("ann").expect("made");
    assert!(is_limit(people.create_user("bob")));
    assert!(is_limit(people.associate("ann", &ids, 9.0).map(drop)));
    assert_eq!(people.user("ann").expect("there").faces, 0);
    let one = |user: &str, faces: &[NewFace]| {
        let done = people.introduce(user, "", Uuid::new_v4(), faces);
        is_limit(done.map(drop))
    };
    assert!(one("bob", &[]) && one("ann", &[face(0.0, 0.0)]) && !one("ann", &[]));
    let long = people.introduce("ann", &"x".repeat(65_536), Uuid::new_v4(), &[]);
    assert!(matches!(long, Err(Error::Invalid(_))));
    let tags = ["a", "b"].map(|key| (key.to_owned(), String::new()));
    assert!(is_limit(people.tag(BTreeMap::from(tags), &[])));
    let long = BTreeMap::from([("a".to_owned(), "x".repeat(65_536))]);
    assert!(matches!(
        people.tag(long.clone(), &[]),
        Err(Error::Invalid(_))
    ));
    assert!(matches!(
        library.create("long", long),
        Err(Error::Invalid(_))
    ));
    let mut broken = face(0.0, 0.0);
    broken.descriptor[5] = f32::NAN;
    people.delete(&ids).expect("deleted");
    let refused = people.introduce("ann", "", Uuid::new_v4(), std::slice::from_ref(&broken));
    assert!(matches!(refused, Err(Error::Invalid(_))));
    let three = [face(0.0, 0.0), face(0.0, 0.1), face(0.0, 0.2)];
    assert!(one("ann", &three), "more than a user may have");
    let refused = people.index(Uuid::new_v4(), None, &[broken]);
    assert!(matches!(refused, Err(Error::Invalid(_))));
    let refused = people.index(Uuid::new_v4(), Some(&"x".repeat(256)), &[face(0.0, 0.0)]);
    assert!(matches!(refused, Err(Error::Invalid(_))));
    assert_eq!(people.describe().faces, 0);
}

#[test]
fn a_torn_end_is_cut_off_and_kept_beside() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let ids = {
        let library = library(folder.path());
        let people = collection(&library, "people");
        [
            index(&people, &[face(0.0, 0.0)]),
            index(&people, &[face(1.0, 0.0), face(2.0, 0.0)]),
        ]
        .concat()
    };
    let journal = journals(folder.path()).pop().expect("a journal");
    let whole = fs::read(&journal).expect("a journal");
    let last = 8 + 1 + 16 + 1 + 2 + "holiday.jpg".len() + 4 + 2 * (16 + 5 * 4 + WIDTH * 4);
    for end in [1, 7, 8, 9, 500, last - 1] {
        fs::write(&journal, &whole[..whole.len() - last + end]).expect("torn");
        let library = library(folder.path());
        let people = library.get("people").expect("opens");
        // The second image's faces are there both or not at all.
        assert_eq!(people.describe().faces, 1, "{end}");
        assert!(people.face(ids[0]).is_some() && people.face(ids[1]).is_none());
        let again = index(&people, &[face(3.0, 0.0)]);
        drop((people, library));
        let people = crate::library(folder.path()).get("people").expect("opens");
        assert_eq!(people.describe().faces, 2);
        assert!(people.face(again[0]).is_some());
        let beside = fs::read_dir(journal.parent().expect("a folder")).expect("a folder");
        let kept = beside.map(|entry| entry.expect("an entry").path());
        let kept: Vec<PathBuf> = kept
            .filter(|path| path != &journal && !path.ends_with("id"))
            .collect();
        assert_eq!(kept.len(), 1);
        assert_eq!(fs::read(&kept[0]).expect("kept").len(), end);
        fs::remove_file(&kept[0]).expect("removed");
    }
    // Any byte that is wrong is found.
    for at in (16..whole.len()).step_by(97) {
        let mut wrong = whole.clone();
        wrong[at] ^= 4;
        fs::write(&journal, &wrong).expect("written");
        let library = Library::open(folder.path(), Limits::default()).expect("opens");
        match library.get("people") {
            Ok(people) => assert!(people.describe().faces < 3, "{at}"),
            Err(Error::NoCollection(_) | Error::Format { .. }) => (),
            Err(other) => panic!("{at}: {other}"),
        }
    }
    for header in [
        &b"ESCFACE"[..],
        b"something else entirely",
        b"ESCFACES\x03\0\0\0\x80\0\0\0",
    ] {
        fs::write(&journal, header).expect("written");
        let library = Library::open(folder.path(), Limits::default()).expect("opens");
        let refused = library.get("people").map(drop);
        assert!(
            matches!(&refused, Err(Error::Format { path, .. }) if *path == journal),
            "{refused:?}"
        );
        drop(library);
        // Without the id that is kept beside it, nobody knows what it was.
        let (id, aside) = (journal.with_file_name("id"), folder.path().join("aside"));
        fs::rename(&id, &aside).expect("moved");
        let library = Library::open(folder.path(), Limits::default()).expect("opens");
        assert!(matches!(library.get("people"), Err(Error::NoCollection(_))));
        fs::rename(&aside, &id).expect("moved back");
    }
}

/// A collection whose journal is damaged is refused with the file and the place, and nothing of it is touched; the others
/// go on.
#[test]
fn a_damaged_collection_is_refused_and_the_others_go_on() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    {
        let library = library(folder.path());
        let people = collection(&library, "people");
        for number in 0..20 {
            index(&people, &[face(number as f32, 0.0)]);
        }
    }
    let journal = journals(folder.path()).pop().expect("a journal");
    let mut damaged = fs::read(&journal).expect("a journal");
    let middle = damaged.len() / 2;
    damaged[middle] ^= 1;
    fs::write(&journal, &damaged).expect("written");
    let place = {
        let library = library(folder.path());
        let refused = library.get("people").map(drop).expect_err("refused");
        let Error::Format { path, why } = &refused else {
            panic!("{refused}");
        };
        assert_eq!(path, &journal);
        let place = why.split(' ').find_map(|word| word.strip_suffix(':'));
        let place: usize = place.and_then(|at| at.parse().ok()).expect("a place");
        assert!((middle - 700..=middle).contains(&place), "{refused}");
        let others = collection(&library, "others");
        assert_eq!(index(&others, &[face(0.0, 0.0)]).len(), 1);
        place
    };
    assert_eq!(fs::read(&journal).expect("a journal"), damaged);
    let beside = fs::read_dir(journal.parent().expect("a folder")).expect("a folder");
    assert_eq!(beside.count(), 2, "the journal and the id");
    // Who cuts the file off at that place goes on with what came before.
    fs::write(&journal, &damaged[..place]).expect("written");
    let people = library(folder.path()).get("people").expect("opens");
    assert!((5..15).contains(&people.describe().faces));
}

/// Damage at a journal's beginning hides no collection: its id is known, and whoever asks is told the file and what is wrong.
#[test]
fn a_collection_whose_beginning_is_damaged_is_not_missing() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    index(
        &collection(&library(folder.path()), "people"),
        &[face(0.0, 0.0)],
    );
    let journal = journals(folder.path()).remove(0);
    let written = fs::read(&journal).expect("bytes");
    // The magic, the first record's length, its sum, and its payload.
    for at in [2, 16, 20, 30] {
        let mut damaged = written.clone();
        damaged[at] ^= 0x40;
        fs::write(&journal, &damaged).expect("written");
        let library = crate::library(folder.path());
        let refused = library.get("people").map(drop);
        assert!(
            matches!(&refused, Err(Error::Format { path, .. }) if *path == journal),
            "{at}: {refused:?}"
        );
        assert_eq!(library.ids(None, 9).items.len(), 1);
        let again = library.create("people", BTreeMap::new());
        assert!(matches!(again, Err(Error::Exists(_))));
        assert_eq!(fs::read(&journal).expect("bytes"), damaged);
    }
    // A collection that was made before ids were kept beside it has one there when it was opened once.
    fs::write(&journal, &written).expect("written");
    let id = journal.with_file_name("id");
    fs::remove_file(&id).expect("removed");
    assert_eq!(
        crate::library(folder.path())
            .get("people")
            .expect("there")
            .describe()
            .faces,
        1
    );
    assert_eq!(fs::read_to_string(&id).expect("kept"), "people");
}

/// What an earlier version wrote is kept, listed and deleted, but compared with nothing.
#[test]
fn faces_of_an_earlier_version_are_not_compared() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let library = crate::library(folder.path());
    library.create("people", BTreeMap::new()).expect("made");
    let faces: Vec<NewFace> = (0..3).map(|i| face(i as f32, 0.0)).collect();
    let ids = index(&library.get("people").expect("there"), &faces);
    drop(library);
    let journal = journals(folder.path()).remove(0);
    let mut bytes = fs::read(&journal).expect("bytes");
    bytes[8] = 1;
    fs::write(&journal, &bytes).expect("written");
    let library = crate::library(folder.path());
    assert_eq!(library.ids(None, 9).items, [("people".to_owned(), 1)]);
    let people = library.get("people").expect("there");
    let about = people.describe();
    assert_eq!((about.version, about.faces), (1, 3));
    people.create_user("ann").expect("made");
    let earlier =
        |result: Result<(), Error>| matches!(result, Err(Error::Earlier(id)) if id == "people");
    assert!(earlier(people.comparable()));
    assert!(earlier(
        people.index(Uuid::new_v4(), None, &faces).map(drop)
    ));
    assert!(earlier(
        people
            .introduce("bob", "", Uuid::new_v4(), &faces)
            .map(drop)
    ));
    assert!(earlier(people.associate("ann", &ids, 9.0).map(drop)));
    assert_eq!(people.delete(&ids[..1]).expect("deleted").done, ids[..1]);
    library.create("new", BTreeMap::new()).expect("made");
    assert_eq!(
        library.get("new").expect("there").describe().version,
        VERSION
    );
}

/// What a later version wrote is in nobody's way and is not taken for missing; nor is anything of it changed.
#[test]
fn a_collection_of_a_later_version_is_there_and_says_why_it_cannot_be_read() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let library = crate::library(folder.path());
    index(&collection(&library, "people"), &[face(0.0, 0.0)]);
    drop(library);
    let journal = journals(folder.path()).remove(0);
    let written = fs::read(&journal).expect("bytes");
    let refused = |library: &Library, says: &str| {
        let refused = library.get("people").map(drop);
        assert!(
            matches!(&refused, Err(Error::Format { why, .. }) if why.contains(says)),
            "{refused:?}"
        );
        let again = library.create("people", BTreeMap::new());
        assert!(matches!(again, Err(Error::Exists(id)) if id == "people"));
    };
    // Of the version, and of the descriptors' width.
    for (at, says) in [
        (8, "it has version 9, this program reads 1 to 2"),
        (12, "have 9 numbers"),
    ] {
        let mut bytes = written.clone();
        bytes[at] = 9;
        fs::write(&journal, &bytes).expect("written");
        let library = crate::library(folder.path());
        let version = if at == 8 { 9 } else { VERSION };
        assert_eq!(library.ids(None, 9).items, [("people".to_owned(), version)]);
        refused(&library, says);
        assert_eq!(fs::read(&journal).expect("bytes"), bytes);
    }
    // Who does not want it any more deletes it.
    let library = crate::library(folder.path());
    library.delete("people").expect("deleted");
    collection(&library, "people");
}

/// Two folders of one id: one of them is in use, the same each time, and the other stays.
#[test]
fn a_copy_beside_a_collection_does_not_take_its_place() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let library = crate::library(folder.path());
    index(&collection(&library, "people"), &[face(0.0, 0.0)]);
    drop(library);
    let journal = journals(folder.path()).remove(0);
    let copy = folder.path().join("zz-copy");
    fs::create_dir(&copy).expect("a folder");
    fs::copy(&journal, copy.join("faces.log")).expect("copied");
    let library = crate::library(folder.path());
    index(
        &library.get("people").expect("there"),
        &[face(1.0, 0.0), face(2.0, 0.0)],
    );
    drop(library);
    let library = crate::library(folder.path());
    assert_eq!(library.ids(None, 9).items.len(), 1);
    assert_eq!(library.get("people").expect("there").describe().faces, 3);
    assert!(copy.join("faces.log").is_file());
}

#[test]
fn deleted_faces_do_not_stay_on_the_disk_for_ever() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let library = library(folder.path());
    let people = collection(&library, "people");
    people.create_user("ann").expect("made");
    let kept = index(&people, &[face(0.0, 0.0), face(1.0, 0.0)]);
    people
        .associate("ann", &kept[1..], 1.0)
        .expect("associated");
    people
        .introduce("ada", "Ada", Uuid::new_v4(), &[face(0.0, 9.0)])
        .expect("introduced");
    let token = people
        .faces(&FaceFilter::default(), None, 1)
        .expect("a page")
        .next;
    // What a crash may have left of an earlier try is in nobody's way.
    let journal = journals(folder.path()).pop().expect("a journal");
    fs::write(journal.with_file_name("faces.new"), b"half").expect("written");
    let many: Vec<NewFace> = (0..4096).map(|i| face(i as f32, 1.0)).collect();
    let ids = index(&people, &many);
    let before = people.bytes();
    people.delete(&ids).expect("deleted");
    assert!(
        people.bytes() < before / 100,
        "{} of {before} bytes",
        people.bytes()
    );
    let stale = |people: &Collection| {
        let page = people.faces(&FaceFilter::default(), token.as_deref(), 1);
        assert!(matches!(page, Err(Error::Token)));
    };
    stale(&people);
    let again = index(&people, &[face(2.0, 0.0)]);
    let check = |people: &Collection| {
        assert_eq!(people.describe().faces, 4);
        let ada = people.user("ada").expect("there");
        assert_eq!((ada.faces, ada.about.as_deref()), (1, Some("Ada")));
        assert_eq!(
            people.face(kept[1]).expect("there").user.as_deref(),
            Some("ann")
        );
        assert_eq!(
            people.face(kept[0]).expect("there").external.as_deref(),
            Some("holiday.jpg")
        );
        let found = people.search(&Team::new(1), &descriptor(2.0, 0.0), 1, 0.1, None);
        assert_eq!(found[0].0.id, again[0]);
    };
    check(&people);
    drop((people, library));
    let people = crate::library(folder.path()).get("people").expect("opens");
    check(&people);
    // Its place may be another face's by then.
    stale(&people);
}

#[test]
fn searches_and_changes_go_on_beside_each_other() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let library = library(folder.path());
    let people = collection(&library, "people");
    let stays = index(&people, &[face(100.0, 0.0)])[0];
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let searches = scope.spawn(|| {
            let team = Team::new(1);
            let mut count = 0;
            while !done.load(Ordering::SeqCst) || count == 0 {
                let found = people.search(&team, &descriptor(100.0, 0.0), 5, 1.0, None);
                // Never lost, and nothing that is deleted is there without its record.
                assert_eq!(found.len(), 1);
                assert_eq!(found[0].0.id, stays);
                count += 1;
            }
        });
        let writers: Vec<_> = (0..2)
            .map(|writer| {
                let people = &people;
                scope.spawn(move || {
                    for round in 0..60 {
                        let faces: Vec<NewFace> = (0..20)
                            .map(|i| face(i as f32, (writer * 100 + round) as f32))
                            .collect();
                        let ids = index(people, &faces);
                        people.delete(&ids[5..]).expect("deleted");
                    }
                })
            })
            .collect();
        writers
            .into_iter()
            .for_each(|writer| writer.join().expect("a writer"));
        done.store(true, Ordering::SeqCst);
        searches.join().expect("searches");
    });
    assert_eq!(people.describe().faces, 1 + 2 * 60 * 5);
}

/// What the process that is killed does: indexes faces and says each one that was acknowledged.
#[test]
#[ignore = "the other half of the test below"]
fn child_that_is_killed() {
    let Some(folder) = std::env::var_os("ESCALA_TEST_COLLECTIONS") else {
        return;
    };
    let library = library(Path::new(&folder));
    let people = collection(&library, "people");
    let mut out = std::io::stdout().lock();
    for number in 0.. {
        for id in index(
            &people,
            &[face(number as f32, 0.0), face(number as f32, 1.0)],
        ) {
            writeln!(out, "acknowledged {id}").expect("the parent listens");
        }
        out.flush().expect("the parent listens");
    }
}

#[test]
fn what_was_acknowledged_survives_a_killed_process() {
    for wanted in [1, 40, 133] {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut child = Command::new(std::env::current_exe().expect("this test"))
            .args([
                "--exact",
                "child_that_is_killed",
                "--ignored",
                "--nocapture",
            ])
            .env("ESCALA_TEST_COLLECTIONS", folder.path())
            .stdout(Stdio::piped())
            .spawn()
            .expect("starts");
        let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let lines = lines.map(|line| line.expect("text"));
        let ids = lines
            .filter_map(|line| Some(line.split_once("acknowledged ")?.1.parse().expect("an id")));
        let mut ids = ids.fuse();
        let mut acknowledged: Vec<FaceId> = ids.by_ref().take(wanted).collect();
        child.kill().expect("killed");
        child.wait().expect("gone");
        acknowledged.extend(ids);
        let library = library(folder.path());
        let people = library.get("people").expect("opens");
        assert!(acknowledged.len() >= wanted);
        for id in &acknowledged {
            assert!(
                people.face(*id).is_some(),
                "{id} was acknowledged and is lost"
            );
        }
        assert_eq!(
            people.describe().faces % 2,
            0,
            "an image's faces are there together"
        );
    }
}

#[test]
fn a_journal_that_cannot_be_written_is_not_answered_as_if_it_could() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let library = library(folder.path());
    library.create("people", BTreeMap::new()).expect("made");
    // A folder in the journal's place cannot be opened for writing.
    let journal = journals(folder.path()).pop().expect("a journal");
    fs::remove_file(&journal).expect("removed");
    fs::create_dir(&journal).expect("made");
    assert!(matches!(library.get("people"), Err(Error::Io { .. })));
    fs::remove_dir(&journal).expect("removed");
    OpenOptions::new()
        .create(true)
        .write(true)
        .truncate(true)
        .open(&journal)
        .expect("made");
    assert!(matches!(library.get("people"), Err(Error::Format { .. })));
}
