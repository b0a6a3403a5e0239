//! What rules know better than the recogniser is put in the place of what it found there.
//!
//! A rule says what becomes of an entity that its claim meets ([`Met`]). Both lists are in the order of the text, and neither overlaps itself: one walk
//! over both.

use super::EntityType;
use super::breaks::trimmed;
use std::ops::Range;

/// An entity in bytes.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Draft {
    pub bytes: Range<usize>,
    pub kind: EntityType,
    pub label: String,
    pub score: f32,
}

impl Draft {
    pub fn new(bytes: Range<usize>, kind: EntityType, label: &str, score: f32) -> Self {
        Self {
            bytes,
            kind,
            label: label.to_owned(),
            score,
        }
    }
}

/// What becomes of an entity that a claim meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Met {
    /// The claim goes on over all of it.
    Joins,
    /// What stands before the claim stays, if it is a name.
    Yields,
    /// It goes: what was read beside an address or number is seldom a name.
    Goes,
}

/// Claims in the order of the text; of those that overlap, the first and longest.
pub(super) fn in_order(mut claims: Vec<Draft>) -> Vec<Draft> {
    claims.sort_by_key(|claim| (claim.bytes.start, std::cmp::Reverse(claim.bytes.end)));
    let mut kept: Vec<Draft> = Vec::with_capacity(claims.len());
    for claim in claims {
        if kept
            .last()
            .is_none_or(|last| last.bytes.end <= claim.bytes.start)
        {
            kept.push(claim);
        }
    }
    kept
}

/// The drafts with the claims in their place.
pub(super) fn put(
    text: &str,
    drafts: Vec<Draft>,
    claims: Vec<Draft>,
    met: impl Fn(&Draft) -> Met,
) -> Vec<Draft> {
    let claims = in_order(claims);
    if claims.is_empty() {
        return drafts;
    }
    let mut done: Vec<Draft> = Vec::with_capacity(drafts.len() + claims.len());
    let mut drafts = drafts.into_iter().peekable();
    for mut claim in claims {
        let covered = claim.bytes.clone();
        while let Some(draft) = drafts.next_if(|draft| draft.bytes.start < covered.end) {
            if draft.bytes.end <= claim.bytes.start {
                done.push(draft);
                continue;
            }
            match met(&draft) {
                Met::Joins => {
                    claim.bytes = claim.bytes.start.min(draft.bytes.start)
                        ..claim.bytes.end.max(draft.bytes.end);
                    claim.score = claim.score.max(draft.score);
                }
                Met::Yields => done.extend(rest(text, draft, &claim.bytes)),
                Met::Goes => {}
            }
        }
        // A draft that was widened over may reach into the claim before.
        if let Some(last) = done.last() {
            claim.bytes.start = claim.bytes.start.max(last.bytes.end);
        }
        if !claim.bytes.is_empty() {
            done.push(claim);
        }
    }
    done.extend(drafts);
    // What a claim grew into on its right goes.
    let mut kept: Vec<Draft> = Vec::with_capacity(done.len());
    for draft in done {
        match kept.last() {
            Some(last) if draft.bytes.start < last.bytes.end => {}
            _ => kept.push(draft),
        }
    }
    kept
}

/// What is left of a name before or after a claim; amounts and dates are nothing in part.
fn rest(text: &str, draft: Draft, claim: &Range<usize>) -> Option<Draft> {
    if matches!(draft.kind, EntityType::Quantity | EntityType::Date) {
        return None;
    }
    let before = draft.bytes.start..claim.start.max(draft.bytes.start);
    // Only what stands before: what follows an address or amount rarely begins a name.
    let bytes = trimmed(text, before, |c| !c.is_alphanumeric())?;
    let named = text[bytes.clone()].contains(char::is_uppercase);
    named.then_some(Draft { bytes, ..draft })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draft(bytes: Range<usize>, kind: EntityType) -> Draft {
        Draft::new(bytes, kind, "", 0.5)
    }

    #[test]
    fn claims_widen_and_cut() {
        use EntityType::{Organization, Other, Person, Quantity};
        let text = "Bob a@b.io paid $5 to Ann 12 34";
        let drafts = vec![
            draft(0..10, Person),
            draft(17..18, Quantity),
            draft(22..28, Person),
        ];
        let claims = vec![
            draft(26..31, Other),
            draft(16..18, Quantity),
            draft(4..10, Other),
        ];
        let put = put(text, drafts, claims, |draft| match draft.kind {
            Quantity => Met::Joins,
            _ => Met::Yields,
        });
        let found: Vec<_> = put
            .iter()
            .map(|one| (&text[one.bytes.clone()], one.kind))
            .collect();
        assert_eq!(
            found,
            [
                ("Bob", Person),
                ("a@b.io", Other),
                ("$5", Quantity),
                ("Ann", Person),
                ("12 34", Other)
            ]
        );
        let wide = vec![draft(0..3, Organization), draft(4..10, Organization)];
        let whole = super::put(text, wide, vec![draft(2..5, Organization)], |_| Met::Joins);
        assert_eq!(whole.len(), 1);
        assert_eq!(whole[0].bytes, 0..10);
        let gone = super::put(
            text,
            vec![draft(0..10, Person)],
            vec![draft(4..10, Other)],
            |_| Met::Goes,
        );
        assert_eq!(gone.len(), 1);
    }
}
