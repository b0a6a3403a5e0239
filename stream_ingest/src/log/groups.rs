//! What is kept of consumer groups: the offsets that they have committed, and who is in them.

use super::codec::{Put, Take};
use super::event::{self, Event};
use super::types::Offsets;
use bytes::Bytes;
use std::collections::BTreeMap;

/// Groups by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Groups {
    /// Their offsets. A group is here as long as it has any.
    pub offsets: BTreeMap<String, Offsets>,
    /// Their members, as whoever serves the group writes them. A group is here as long as it has any.
    pub members: BTreeMap<String, Bytes>,
}

impl Groups {
    /// Lets an event have its effect; most have none here.
    pub fn apply(&mut self, event: &Event) {
        match event {
            Event::Offsets { group, offsets } if !offsets.is_empty() => {
                let kept = self.offsets.entry(group.clone()).or_default();
                kept.extend(offsets.iter().cloned());
            }
            Event::Forget { group, places } if places.is_empty() => {
                self.offsets.remove(group);
                self.members.remove(group);
            }
            Event::Forget { group, places } => {
                if let Some(kept) = self.offsets.get_mut(group) {
                    for place in places {
                        kept.remove(place);
                    }
                    if kept.is_empty() {
                        self.offsets.remove(group);
                    }
                }
            }
            Event::Expired { group, before } => {
                if let Some(kept) = self.offsets.get_mut(group) {
                    kept.retain(|_, committed| committed.at >= *before);
                    if kept.is_empty() {
                        self.offsets.remove(group);
                    }
                }
            }
            Event::Members { group, members } => {
                match members {
                    Some(members) => self.members.insert(group.clone(), members.clone()),
                    None => self.members.remove(group),
                };
            }
            Event::Removed { name, .. } => {
                self.offsets.retain(|_, kept| {
                    kept.retain(|(topic, _), _| topic != name);
                    !kept.is_empty()
                });
            }
            _ => {}
        }
    }

    pub fn encode(&self, out: &mut Vec<u8>) {
        out.u32(self.offsets.len() as u32);
        for (group, offsets) in &self.offsets {
            out.text(group);
            event::put_offsets(out, offsets.iter());
        }
        out.u32(self.members.len() as u32);
        for (group, members) in &self.members {
            out.text(group);
            out.block(members);
        }
    }

    /// Reads groups; those of old have no members.
    pub fn decode(take: &mut Take<'_>, with_members: bool) -> Option<Self> {
        let offsets = take.list(|take| {
            let group = take.text()?;
            let offsets: Offsets = event::take_offsets(take)?.into_iter().collect();
            Some((group, offsets))
        })?;
        let members = match with_members {
            true => {
                take.list(|take| Some((take.text()?, Bytes::copy_from_slice(take.block()?))))?
            }
            false => Vec::new(),
        };
        Some(Self {
            offsets: offsets.into_iter().collect(),
            members: members.into_iter().collect(),
        })
    }
}
