//! The smallest rectangle around points, at any angle.

use super::Quad;
use crate::vision::Point;

/// The rectangle of least area around some points: one of its sides lies on a side of their convex hull. `None`
/// when there are no points.
pub fn smallest(points: &[Point]) -> Option<Quad> {
    let hull = hull(points);
    let first = *hull.first()?;
    let mut best: Option<(f32, Quad)> = None;
    for (index, &from) in hull.iter().enumerate() {
        let to = hull[(index + 1) % hull.len()];
        let length = from.distance(to);
        if length == 0.0 {
            continue;
        }
        let (x, y) = ((to.x - from.x) / length, (to.y - from.y) / length);
        let mut along = (f32::INFINITY, f32::NEG_INFINITY);
        let mut beside = along;
        for point in &hull {
            let (a, b) = (point.x * x + point.y * y, point.y * x - point.x * y);
            along = (along.0.min(a), along.1.max(a));
            beside = (beside.0.min(b), beside.1.max(b));
        }
        let area = (along.1 - along.0) * (beside.1 - beside.0);
        if best.is_none_or(|(least, _)| area < least) {
            let corner = |a: f32, b: f32| Point::new(a * x - b * y, a * y + b * x);
            let quad = [
                corner(along.0, beside.0),
                corner(along.1, beside.0),
                corner(along.1, beside.1),
                corner(along.0, beside.1),
            ];
            best = Some((area, quad));
        }
    }
    // A single point is a rectangle without sides.
    Some(ordered(best.map_or([first; 4], |(_, quad)| quad)))
}

/// Corners clockwise from the upper left: of the two that are furthest left the upper one comes first and the lower
/// one last.
pub fn ordered(mut quad: Quad) -> Quad {
    quad.sort_by(|a, b| a.x.total_cmp(&b.x));
    let [a, b, c, d] = quad;
    let upper_first = |p: Point, q: Point| if p.y <= q.y { (p, q) } else { (q, p) };
    let ((top_left, bottom_left), (top_right, bottom_right)) =
        (upper_first(a, b), upper_first(c, d));
    [top_left, top_right, bottom_right, bottom_left]
}

/// The lengths of the first side and of the second.
pub fn sides(quad: &Quad) -> (f32, f32) {
    (quad[0].distance(quad[1]), quad[1].distance(quad[2]))
}

/// Area inside a polygon, whichever way round it goes.
pub fn area(polygon: &[Point]) -> f32 {
    let pairs = polygon.iter().zip(polygon.iter().cycle().skip(1));
    let twice: f32 = pairs.map(|(a, b)| a.x * b.y - b.x * a.y).sum();
    twice.abs() / 2.0
}

/// Length around a polygon.
pub fn perimeter(polygon: &[Point]) -> f32 {
    let pairs = polygon.iter().zip(polygon.iter().cycle().skip(1));
    pairs.map(|(a, b)| a.distance(*b)).sum()
}

/// The convex hull, counter-clockwise where y points up; two points when all lie on a line.
fn hull(points: &[Point]) -> Vec<Point> {
    let mut points = points.to_vec();
    points.sort_by(|a, b| a.x.total_cmp(&b.x).then(a.y.total_cmp(&b.y)));
    points.dedup();
    if points.len() < 3 {
        return points;
    }
    let turn = |a: Point, b: Point, c: Point| (b.x - a.x) * (c.y - a.y) - (b.y - a.y) * (c.x - a.x);
    let half = |points: &mut dyn Iterator<Item = &Point>| {
        let mut chain: Vec<Point> = Vec::new();
        for &point in points {
            while let [.., a, b] = chain[..]
                && turn(a, b, point) <= 0.0
            {
                chain.pop();
            }
            chain.push(point);
        }
        chain.pop();
        chain
    };
    let mut hull = half(&mut points.iter());
    hull.extend(half(&mut points.iter().rev()));
    hull
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn points(list: &[(f32, f32)]) -> Vec<Point> {
        list.iter().map(|&(x, y)| Point::new(x, y)).collect()
    }

    #[test]
    fn rectangles_are_found_at_any_angle() {
        let upright = points(&[(0.0, 0.0), (4.0, 0.0), (4.0, 2.0), (0.0, 2.0), (1.0, 1.0)]);
        let found = smallest(&upright).unwrap();
        assert_eq!(
            found.to_vec(),
            points(&[(0.0, 0.0), (4.0, 0.0), (4.0, 2.0), (0.0, 2.0)])
        );
        // A square on its corner.
        let turned = points(&[(5.0, 0.0), (10.0, 5.0), (5.0, 10.0), (0.0, 5.0), (5.0, 5.0)]);
        let found = smallest(&turned).unwrap();
        assert!((area(&found) - 50.0).abs() < 1e-3, "{found:?}");
        assert!((perimeter(&found) - 4.0 * 50_f32.sqrt()).abs() < 1e-3);
    }

    #[test]
    fn points_on_a_line_have_a_rectangle_without_area() {
        assert!(smallest(&[]).is_none());
        let one = Point::new(3.0, 4.0);
        assert_eq!(smallest(&[one, one]), Some([one; 4]));
        let line = smallest(&points(&[(0.0, 0.0), (1.0, 1.0), (3.0, 3.0)])).unwrap();
        assert!(area(&line) < 1e-5 && (perimeter(&line) - 2.0 * 18_f32.sqrt()).abs() < 1e-4);
    }

    proptest! {
        #[test]
        fn every_point_is_inside_and_no_side_could_be_moved(
            list in prop::collection::vec((0_i32..60, 0_i32..60), 3..40),
        ) {
            let list: Vec<Point> = list.into_iter().map(|(x, y)| Point::new(x as f32, y as f32)).collect();
            let quad = smallest(&list).unwrap();
            let upright = {
                let (mut l, mut t, mut r, mut b) = (60.0_f32, 60.0_f32, 0.0_f32, 0.0_f32);
                for p in &list {
                    (l, t, r, b) = (l.min(p.x), t.min(p.y), r.max(p.x), b.max(p.y));
                }
                (r - l) * (b - t)
            };
            prop_assert!(area(&quad) <= upright + 1e-2);
            // The corners that `ordered` gives go around, so each point is on the inner side of every edge.
            if area(&quad) > 1.0 {
                let middle = Point::mean(&quad);
                for edge in 0..4 {
                    let (a, b) = (quad[edge], quad[(edge + 1) % 4]);
                    let side = |p: Point| (b.x - a.x) * (p.y - a.y) - (b.y - a.y) * (p.x - a.x);
                    let inner = side(middle).signum();
                    for &p in &list {
                        prop_assert!(side(p) * inner >= -0.01 * a.distance(b).max(1.0), "{p:?} {quad:?}");
                    }
                }
            }
        }
    }
}
