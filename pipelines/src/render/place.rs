//! Where captions go: beside what they name, where they hide least.

use super::paint::Rect;

/// How bad it is to hide all of a caption with another, beside hiding as much of something marked.
const ON_CAPTION: f32 = 4.0;
/// How bad it is to lie on the thing that the caption names.
const ON_OWN: f32 = 0.3;
/// How much worse each place of the list is than the one before it.
const LATER: f32 = 0.02;

/// A picture with what is on it already.
pub struct Places {
    whole: Rect,
    marked: Vec<Rect>,
    taken: Vec<Rect>,
    hidden: f32,
}

impl Places {
    /// For a picture in which these are marked.
    pub fn new(whole: Rect, marked: Vec<Rect>) -> Self {
        Self {
            whole,
            marked,
            taken: Vec::new(),
            hidden: 0.0,
        }
    }

    /// The best place for a caption of a size, from now on taken: beside `around`. `named`, one of what is marked, it may
    /// lie on where it must. It lies inside the picture unless it is larger than that.
    pub fn beside(&mut self, named: Option<&Rect>, around: &Rect, width: i32, height: i32) -> Rect {
        let Rect {
            left,
            top,
            right,
            bottom,
        } = *around;
        let corners = [
            (left, top - height),
            (left, bottom),
            (left, top),
            (right - width, top - height),
            (right - width, bottom),
            (left, bottom - height),
            (right, top),
            (left - width, top),
        ];
        self.best(&corners, width, height, named)
    }

    /// How much the captions so far hide of other captions and of what they do not name, in captions.
    pub fn hidden(&self) -> f32 {
        self.hidden
    }

    /// The best corner of the picture, `margin` away from its edges.
    pub fn corner(&mut self, width: i32, height: i32, margin: i32) -> Rect {
        let inner = self.whole.grown(-margin);
        let (right, bottom) = (inner.right - width, inner.bottom - height);
        let corners = [
            (inner.left, bottom),
            (inner.left, inner.top),
            (right, bottom),
            (right, inner.top),
        ];
        self.best(&corners, width, height, None)
    }

    fn best(
        &mut self,
        corners: &[(i32, i32)],
        width: i32,
        height: i32,
        own: Option<&Rect>,
    ) -> Rect {
        let Rect { right, bottom, .. } = self.whole;
        let inside = |&(left, top): &(i32, i32)| {
            let (most_left, most_top) = ((right - width).max(0), (bottom - height).max(0));
            Rect::at(
                left.clamp(0, most_left),
                top.clamp(0, most_top),
                width,
                height,
            )
        };
        let rated = corners.iter().map(inside).enumerate().map(|(index, rect)| {
            let others = self.others(&rect, own);
            let of_own = own.map_or(0.0, |own| part(&rect, own));
            let cost = others + ON_OWN * of_own + LATER * index as f32;
            (cost, others, rect)
        });
        let best = rated.min_by(|a, b| a.0.total_cmp(&b.0));
        let (_, others, rect) = best.unwrap_or((0.0, 0.0, Rect::at(0, 0, width, height)));
        self.hidden += others;
        self.taken.push(rect);
        rect
    }

    /// What a caption hides of other things than its own.
    fn others(&self, rect: &Rect, own: Option<&Rect>) -> f32 {
        let taken: f32 = self.taken.iter().map(|other| part(rect, other)).sum();
        let others = self.marked.iter().filter(|marked| Some(*marked) != own);
        let marked: f32 = others.map(|other| part(rect, other)).sum();
        ON_CAPTION * taken + marked
    }
}

/// The part of a rectangle that lies on another.
fn part(rect: &Rect, other: &Rect) -> f32 {
    rect.common(other).size() as f32 / rect.size().max(1) as f32
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const WHOLE: Rect = Rect {
        left: 0,
        top: 0,
        right: 200,
        bottom: 100,
    };

    #[test]
    fn captions_stand_above_where_there_is_room() {
        let named = Rect::at(50, 40, 60, 30);
        let mut places = Places::new(WHOLE, vec![named]);
        assert_eq!(
            places.beside(Some(&named), &named, 40, 10),
            Rect::at(50, 30, 40, 10)
        );
        // The next goes below.
        assert_eq!(
            places.beside(Some(&named), &named, 40, 10),
            Rect::at(50, 70, 40, 10)
        );
        assert_eq!(places.hidden(), 0.0);
        // At the upper edge there is none above.
        let high = Rect::at(50, 3, 60, 30);
        let mut places = Places::new(WHOLE, vec![high]);
        assert_eq!(
            places.beside(Some(&high), &high, 40, 10),
            Rect::at(50, 33, 40, 10)
        );
        // What fills the picture has its caption inside.
        let mut places = Places::new(WHOLE, vec![WHOLE]);
        assert_eq!(
            places.beside(Some(&WHOLE), &WHOLE, 40, 10),
            Rect::at(0, 0, 40, 10)
        );
    }

    #[test]
    fn captions_keep_off_what_else_is_marked() {
        let named = Rect::at(50, 40, 60, 30);
        let above = Rect::at(50, 10, 60, 30);
        let mut places = Places::new(WHOLE, vec![above, named]);
        assert_eq!(
            places.beside(Some(&named), &named, 40, 10),
            Rect::at(50, 70, 40, 10)
        );
    }

    #[test]
    fn what_captions_hide_is_counted() {
        let named = Rect::at(50, 40, 60, 30);
        let mut places = Places::new(WHOLE, vec![WHOLE, named]);
        places.beside(Some(&named), &named, 40, 10);
        assert_eq!(places.hidden(), 1.0);
        // What a caption names counts too where it must be read.
        let mut places = Places::new(WHOLE, vec![WHOLE]);
        places.beside(None, &WHOLE, 40, 10);
        assert_eq!(places.hidden(), 1.0);
    }

    #[test]
    fn notes_take_the_emptiest_corner() {
        let mut places = Places::new(WHOLE, vec![]);
        assert_eq!(places.corner(30, 20, 5), Rect::at(5, 75, 30, 20));
        let mut places = Places::new(WHOLE, vec![Rect::at(0, 50, 60, 50)]);
        assert_eq!(places.corner(30, 20, 5), Rect::at(5, 5, 30, 20));
    }

    proptest! {
        #[test]
        fn captions_that_fit_are_inside(
            things in prop::collection::vec((-500..500, -500..500, 1..400, 1..400), 1..20),
            width in 1..200, height in 1..100,
        ) {
            let marked: Vec<Rect> = things.into_iter().map(|(x, y, w, h)| Rect::at(x, y, w, h)).collect();
            let mut places = Places::new(WHOLE, marked.clone());
            for rect in &marked {
                let place = places.beside(Some(rect), rect, width, height);
                prop_assert_eq!(place.common(&WHOLE), place);
                prop_assert_eq!((place.width(), place.height()), (width, height));
            }
        }
    }
}
