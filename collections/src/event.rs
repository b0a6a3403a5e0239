//! What can happen to a collection, as bytes in its journal.
//!
//! A payload is a kind (one byte) and its fields: numbers little-endian, ids as 16 bytes, texts and lists with their
//! length (u16 and u32) before them. New kinds may be added; a kind that is not known ends the reading with an error, so
//! that an older program never loses what a newer one wrote.

use crate::vectors::WIDTH;
use crate::{Descriptor, FaceId};
use std::collections::BTreeMap;
use uuid::Uuid;

/// A face as it was indexed.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Indexed {
    pub id: FaceId,
    /// Left, top, width and height, as shares of the image.
    pub place: [f32; 4],
    /// Percent.
    pub confidence: f32,
    pub descriptor: Descriptor,
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Event {
    /// The first of every journal.
    Created { id: String, at: u64 },
    /// Faces of one image.
    Indexed {
        image: Uuid,
        external: Option<String>,
        faces: Vec<Indexed>,
    },
    /// Faces are gone.
    Deleted { faces: Vec<FaceId> },
    /// There is a new user.
    UserCreated { user: String },
    /// A user is gone; its faces stay.
    UserDeleted { user: String },
    /// Faces are a user's.
    Associated { user: String, faces: Vec<FaceId> },
    /// They are not any more.
    Disassociated { user: String, faces: Vec<FaceId> },
    /// All tags of the collection.
    Tagged { tags: BTreeMap<String, String> },
    /// What is known of a user, who is made where there is none, and faces of one image that are its.
    Introduced {
        user: String,
        about: String,
        image: Uuid,
        faces: Vec<Indexed>,
    },
    /// A user is gone with its faces.
    Removed { user: String },
}

impl Event {
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        match self {
            Self::Created { id, at } => {
                out.push(1);
                text(&mut out, id);
                out.extend(at.to_le_bytes());
            }
            Self::Indexed {
                image,
                external,
                faces,
            } => {
                out.push(2);
                out.extend(image.as_bytes());
                out.push(u8::from(external.is_some()));
                if let Some(external) = external {
                    text(&mut out, external);
                }
                indexed(&mut out, faces);
            }
            Self::Deleted { faces } => {
                out.push(3);
                ids(&mut out, faces);
            }
            Self::UserCreated { user } => {
                out.push(4);
                text(&mut out, user);
            }
            Self::UserDeleted { user } => {
                out.push(5);
                text(&mut out, user);
            }
            Self::Associated { user, faces } => {
                out.push(6);
                text(&mut out, user);
                ids(&mut out, faces);
            }
            Self::Disassociated { user, faces } => {
                out.push(7);
                text(&mut out, user);
                ids(&mut out, faces);
            }
            Self::Tagged { tags } => {
                out.push(8);
                out.extend((tags.len() as u32).to_le_bytes());
                for (key, value) in tags {
                    text(&mut out, key);
                    text(&mut out, value);
                }
            }
            Self::Introduced {
                user,
                about,
                image,
                faces,
            } => {
                out.push(9);
                text(&mut out, user);
                text(&mut out, about);
                out.extend(image.as_bytes());
                indexed(&mut out, faces);
            }
            Self::Removed { user } => {
                out.push(10);
                text(&mut out, user);
            }
        }
        out
    }

    /// The event that a payload is, or `None`.
    pub fn of_bytes(bytes: &[u8]) -> Option<Self> {
        let mut rest = Bytes(bytes);
        let event = match rest.number::<1>()?[0] {
            1 => Self::Created {
                id: rest.text()?,
                at: u64::from_le_bytes(rest.number()?),
            },
            2 => {
                let image = rest.id()?;
                let external = match rest.number::<1>()?[0] {
                    0 => None,
                    1 => Some(rest.text()?),
                    _ => return None,
                };
                Self::Indexed {
                    image,
                    external,
                    faces: rest.list(Bytes::indexed)?,
                }
            }
            3 => Self::Deleted {
                faces: rest.list(Bytes::id)?,
            },
            4 => Self::UserCreated { user: rest.text()? },
            5 => Self::UserDeleted { user: rest.text()? },
            6 => Self::Associated {
                user: rest.text()?,
                faces: rest.list(Bytes::id)?,
            },
            7 => Self::Disassociated {
                user: rest.text()?,
                faces: rest.list(Bytes::id)?,
            },
            8 => Self::Tagged {
                tags: rest
                    .list(|rest| Some((rest.text()?, rest.text()?)))?
                    .into_iter()
                    .collect(),
            },
            9 => Self::Introduced {
                user: rest.text()?,
                about: rest.text()?,
                image: rest.id()?,
                faces: rest.list(Bytes::indexed)?,
            },
            10 => Self::Removed { user: rest.text()? },
            _ => return None,
        };
        rest.0.is_empty().then_some(event)
    }
}

/// `text` has at most 64 KB: what comes from outside is checked before.
fn text(out: &mut Vec<u8>, text: &str) {
    out.extend((text.len() as u16).to_le_bytes());
    out.extend(text.as_bytes());
}

fn ids(out: &mut Vec<u8>, ids: &[FaceId]) {
    out.extend((ids.len() as u32).to_le_bytes());
    ids.iter().for_each(|id| out.extend(id.as_bytes()));
}

fn indexed(out: &mut Vec<u8>, faces: &[Indexed]) {
    out.extend((faces.len() as u32).to_le_bytes());
    for face in faces {
        out.extend(face.id.as_bytes());
        let numbers = face.place.iter().chain([&face.confidence]);
        for number in numbers.chain(&face.descriptor) {
            out.extend(number.to_le_bytes());
        }
    }
}

/// Bytes that are still to be read.
struct Bytes<'a>(&'a [u8]);

impl Bytes<'_> {
    fn number<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (number, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*number)
    }

    fn float(&mut self) -> Option<f32> {
        self.number().map(f32::from_le_bytes)
    }

    fn id(&mut self) -> Option<Uuid> {
        self.number().map(Uuid::from_bytes)
    }

    fn text(&mut self) -> Option<String> {
        let length = usize::from(u16::from_le_bytes(self.number()?));
        let (text, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        String::from_utf8(text.to_vec()).ok()
    }

    fn indexed(&mut self) -> Option<Indexed> {
        let id = self.id()?;
        let mut place = [0.0; 4];
        for number in &mut place {
            *number = self.float()?;
        }
        let confidence = self.float()?;
        let mut descriptor = [0.0; WIDTH];
        for number in &mut descriptor {
            *number = self.float()?;
        }
        Some(Indexed {
            id,
            place,
            confidence,
            descriptor,
        })
    }

    fn list<T>(&mut self, mut one: impl FnMut(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        let count = u32::from_le_bytes(self.number()?) as usize;
        // A count that is not true must not take memory: every item has a byte at least.
        let mut list = Vec::with_capacity(count.min(self.0.len() / 16));
        for _ in 0..count {
            list.push(one(self)?);
        }
        Some(list)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn event() -> impl Strategy<Value = Event> {
        let id = any::<u128>().prop_map(Uuid::from_u128);
        let ids = prop::collection::vec(id.clone(), 0..5);
        let name = "[a-zé🙂 ]{0,12}";
        let face = (
            id.clone(),
            prop::array::uniform4(0f32..1.0),
            0f32..100.0,
            -1f32..1.0,
        );
        let face = face.prop_map(|(id, place, confidence, number)| Indexed {
            id,
            place,
            confidence,
            descriptor: std::array::from_fn(|i| number * i as f32),
        });
        let faces = prop::collection::vec(face, 0..3);
        prop_oneof![
            (name, any::<u64>()).prop_map(|(id, at)| Event::Created { id, at }),
            (name, name, id.clone(), faces.clone()).prop_map(|(user, about, image, faces)| {
                Event::Introduced {
                    user,
                    about,
                    image,
                    faces,
                }
            }),
            name.prop_map(|user| Event::Removed { user }),
            (id, prop::option::of(name), faces).prop_map(|(image, external, faces)| {
                Event::Indexed {
                    image,
                    external,
                    faces,
                }
            }),
            ids.clone().prop_map(|faces| Event::Deleted { faces }),
            name.prop_map(|user| Event::UserCreated { user }),
            name.prop_map(|user| Event::UserDeleted { user }),
            (name, ids.clone()).prop_map(|(user, faces)| Event::Associated { user, faces }),
            (name, ids).prop_map(|(user, faces)| Event::Disassociated { user, faces }),
            prop::collection::btree_map(name, name, 0..4).prop_map(|tags| Event::Tagged { tags }),
        ]
    }

    proptest! {
        #[test]
        fn events_are_read_as_they_were_written(event in event()) {
            let bytes = event.to_bytes();
            prop_assert_eq!(Event::of_bytes(&bytes), Some(event));
            for end in 0..bytes.len().min(80) {
                prop_assert_eq!(Event::of_bytes(&bytes[..end]), None);
            }
        }

        #[test]
        fn any_bytes_are_an_event_or_none(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Some(event) = Event::of_bytes(&bytes) {
                let written = event.to_bytes();
                let again = Event::of_bytes(&written).map(|event| event.to_bytes());
                prop_assert_eq!(again, Some(written));
            }
        }
    }
}
