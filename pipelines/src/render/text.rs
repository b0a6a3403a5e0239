//! Writing into pictures with the font that is part of the binary.
//!
//! Latin, Greek and Cyrillic. A character that the font lacks is the font's own box for that, so that a reader sees that
//! there is one. Letters stand one after the other from the left; nothing is shaped.

use super::paint::{Canvas, Colour, Rect};
use ab_glyph::{Font, FontRef, GlyphId, PxScale, ScaleFont, point};
use std::borrow::Cow;
use std::sync::LazyLock;

/// `data/make_font.py` says where it comes from.
static FONT: LazyLock<FontRef<'static>> = LazyLock::new(|| {
    let bytes = include_bytes!("../../data/font.ttf");
    FontRef::try_from_slice(bytes).expect("the font is part of the binary and a test reads it")
});

/// A line of text in one size.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Size(
    /// Pixels from the deepest descender to the highest ascender.
    pub f32,
);

impl Size {
    fn font(self) -> ab_glyph::PxScaleFont<&'static FontRef<'static>> {
        FONT.as_scaled(PxScale::from(self.0))
    }

    /// Rows of a line.
    pub fn height(self) -> i32 {
        self.0.ceil() as i32
    }

    /// Columns that a text needs.
    pub fn width(self, text: &str) -> f32 {
        let font = self.font();
        let mut before = None;
        let mut width = 0.0;
        for glyph in glyphs(text) {
            width += before.map_or(0.0, |before| font.kern(before, glyph));
            width += font.h_advance(glyph);
            before = Some(glyph);
        }
        width
    }

    /// The text, or as much of its beginning as fits into `most` columns with an ellipsis after it. Nothing when not even
    /// that has room.
    pub fn cut(self, text: &str, most: f32) -> Cow<'_, str> {
        let font = self.font();
        let ellipsis = self.width("…");
        let mut before = None;
        let mut width = 0.0;
        // Where the text ends that leaves room for the ellipsis.
        let mut end = None;
        for (index, character) in text.char_indices() {
            let glyph = glyph(character);
            if width + ellipsis <= most {
                end = Some(index);
            }
            width += before.map_or(0.0, |before| font.kern(before, glyph));
            width += font.h_advance(glyph);
            before = Some(glyph);
            if width > most {
                return match end {
                    Some(end) => Cow::Owned(format!("{}…", text[..end].trim_end())),
                    None => Cow::Borrowed(""),
                };
            }
        }
        Cow::Borrowed(text)
    }

    /// Writes a line whose upper left corner is given. Nothing outside `within` is touched.
    pub fn write(
        self,
        canvas: &mut Canvas<'_>,
        (left, top): (i32, i32),
        text: &str,
        colour: Colour,
        within: Rect,
    ) {
        let font = self.font();
        let baseline = top as f32 + font.ascent();
        let mut before = None;
        let mut x = left as f32;
        for id in glyphs(text) {
            x += before.map_or(0.0, |before| font.kern(before, id));
            before = Some(id);
            if x > within.right as f32 {
                break;
            }
            let glyph = id.with_scale_and_position(self.0, point(x, baseline));
            x += font.h_advance(id);
            let Some(outline) = FONT.outline_glyph(glyph) else {
                continue;
            };
            let bounds = outline.px_bounds();
            let (left, top) = (bounds.min.x as i32, bounds.min.y as i32);
            outline.draw(|column, row, cover| {
                let (x, y) = (left + column as i32, top + row as i32);
                let inside = (within.left..within.right).contains(&x)
                    && (within.top..within.bottom).contains(&y);
                if inside {
                    canvas.blend(x, y, colour, cover);
                }
            });
        }
    }
}

/// White space of every kind is a space; what else steers a terminal or a printer is shown as lacking.
fn glyph(character: char) -> GlyphId {
    match character {
        _ if character.is_whitespace() => FONT.glyph_id(' '),
        _ if character.is_control() => GlyphId(0),
        _ => FONT.glyph_id(character),
    }
}

fn glyphs(text: &str) -> impl Iterator<Item = GlyphId> + '_ {
    text.chars().map(glyph)
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::RgbImage;
    use proptest::prelude::*;

    const SIZE: Size = Size(16.0);

    fn written(text: &str, at: (i32, i32), within: Rect) -> RgbImage {
        let mut image = RgbImage::new(200, 40);
        SIZE.write(&mut Canvas(&mut image), at, text, [255; 3], within);
        image
    }

    fn extent(image: &RgbImage) -> Option<(u32, u32, u32, u32)> {
        let touched = image.enumerate_pixels().filter(|(_, _, p)| p.0 != [0; 3]);
        touched.fold(None, |found, (x, y, _)| match found {
            None => Some((x, y, x, y)),
            Some((l, t, r, b)) => Some((l.min(x), t.min(y), r.max(x), b.max(y))),
        })
    }

    #[test]
    fn text_fills_the_room_it_asks_for() {
        let whole = Rect::at(0, 0, 200, 40);
        let text = "Žluťoučký kůň Ωμέγα Ёлка";
        let (left, top, right, bottom) = extent(&written(text, (10, 5), whole)).expect("ink");
        let width = SIZE.width(text);
        assert!((9..=12).contains(&left), "{left}");
        let end = 10.0 + width;
        assert!(
            (right as f32) < end + 1.0 && right as f32 > end - 4.0,
            "{right}, {end}"
        );
        assert!(
            top >= 4 && bottom as i32 <= 5 + SIZE.height(),
            "{top} to {bottom}"
        );
    }

    #[test]
    fn nothing_outside_is_touched() {
        let within = Rect::at(20, 8, 30, 9);
        let image = written("WWWWWWWWWWWW", (5, 5), within);
        let (left, top, right, bottom) = extent(&image).expect("ink");
        assert!(left >= 20 && top >= 8 && right < 50 && bottom < 17);
    }

    #[test]
    fn what_the_font_lacks_is_seen() {
        let whole = Rect::at(0, 0, 200, 40);
        let lacking = written("字", (10, 5), whole);
        assert!(extent(&lacking).is_some());
        assert_eq!(lacking, written("\u{1}", (10, 5), whole));
        assert_eq!(lacking, written("\u{10ffff}", (10, 5), whole));
        assert_ne!(lacking, written("x", (10, 5), whole));
        assert_eq!(extent(&written(" \n\t\u{a0}", (10, 5), whole)), None);
        for known in "azAZ09éßñőşΑωЖя€%…→½".chars() {
            assert_ne!(glyph(known), GlyphId(0), "{known}");
        }
    }

    proptest! {
        #[test]
        fn a_cut_text_fits(text in any::<String>(), most in 0.0_f32..300.0) {
            let cut = SIZE.cut(&text, most);
            prop_assert!(SIZE.width(&cut) <= most + 0.01);
            match &cut {
                Cow::Borrowed(same) => prop_assert!(same.is_empty() || *same == text),
                Cow::Owned(short) => {
                    prop_assert!(SIZE.width(&text) > most);
                    prop_assert!(text.starts_with(short.strip_suffix('…').unwrap()));
                }
            }
        }

        #[test]
        fn any_text_can_be_written(text in any::<String>(), x in -300..300, y in -50..50) {
            written(&text, (x, y), Rect::at(0, 0, 200, 40));
        }
    }
}
