//! The offsets that consumer groups have committed.

use super::codec::{Put, Take};
use super::event::{self, Event};
use super::types::Offsets;
use std::collections::BTreeMap;

/// Groups and their offsets. A group is here as long as it has any.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Groups(pub BTreeMap<String, Offsets>);

impl Groups {
    /// Lets an event have its effect; most have none here.
    pub fn apply(&mut self, event: &Event) {
        match event {
            Event::Offsets { group, offsets } if !offsets.is_empty() => {
                let kept = self.0.entry(group.clone()).or_default();
                kept.extend(offsets.iter().cloned());
            }
            Event::Forget { group, places } if places.is_empty() => {
                self.0.remove(group);
            }
            Event::Forget { group, places } => {
                if let Some(kept) = self.0.get_mut(group) {
                    for place in places {
                        kept.remove(place);
                    }
                    if kept.is_empty() {
                        self.0.remove(group);
                    }
                }
            }
            Event::Expired { group, before } => {
                if let Some(kept) = self.0.get_mut(group) {
                    kept.retain(|_, committed| committed.at >= *before);
                    if kept.is_empty() {
                        self.0.remove(group);
                    }
                }
            }
            Event::Removed { name, .. } => {
                self.0.retain(|_, kept| {
                    kept.retain(|(topic, _), _| topic != name);
                    !kept.is_empty()
                });
            }
            _ => {}
        }
    }

    pub fn encode(&self, out: &mut Vec<u8>) {
        out.u32(self.0.len() as u32);
        for (group, offsets) in &self.0 {
            out.text(group);
            event::put_offsets(out, offsets.iter());
        }
    }

    pub fn decode(take: &mut Take<'_>) -> Option<Self> {
        let groups = take.list(|take| {
            let group = take.text()?;
            let offsets: Offsets = event::take_offsets(take)?.into_iter().collect();
            Some((group, offsets))
        })?;
        Some(Self(groups.into_iter().collect()))
    }
}
