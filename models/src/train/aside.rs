//! Examples that are set aside to look at, where nobody says which.

use std::collections::HashMap;
use std::hash::Hash;

/// The share that is set aside where none is said.
const SHARE: f64 = 0.1;
/// How much earlier than the class before it a class gives its first, in tenths of the examples from one that is given to the
/// next: so classes of few examples do not all keep theirs. At most eight.
const APART: usize = 7;

/// Takes a tenth of each class out, in whatever order they come; the first example of a class stays.
pub fn set_aside<T, C: Eq + Hash>(examples: &mut Vec<T>, class: impl Fn(&T) -> C) -> Vec<T> {
    set_aside_share(examples, SHARE, class)
}

/// Takes a share of each class out, from 0 to 1, in whatever order they come; the first example of a class stays.
pub fn set_aside_share<T, C: Eq + Hash>(
    examples: &mut Vec<T>,
    share: f64,
    class: impl Fn(&T) -> C,
) -> Vec<T> {
    if share <= 0.0 {
        return Vec::new();
    }
    let mut seen = HashMap::<C, (usize, usize)>::new();
    let (mut kept, mut aside) = (Vec::new(), Vec::new());
    for example in examples.drain(..) {
        let classes = seen.len();
        let (own, count) = seen.entry(class(&example)).or_insert((classes, 0));
        // Each adds its share, and is given where that makes one more.
        let earlier = (*own * APART % 9) as f64 / (10.0 * share);
        let before = *count as f64 + earlier;
        let out = *count > 0 && ((before + 1.0) * share).floor() > (before * share).floor();
        *count += 1;
        match out {
            true => aside.push(example),
            false => kept.push(example),
        }
    }
    *examples = kept;
    aside
}

#[cfg(test)]
mod tests {
    use super::{set_aside, set_aside_share};

    /// However they are sorted, each class gives its part and keeps the rest.
    #[test]
    fn each_class_gives_its_part() {
        for classes in [1, 2, 3, 5, 10, 20] {
            let in_turn: Vec<usize> = (0..classes * 30).map(|n| n % classes).collect();
            let mut sorted = in_turn.clone();
            sorted.sort_unstable();
            for mut examples in [in_turn, sorted] {
                let aside = set_aside(&mut examples, |class| *class);
                for class in 0..classes {
                    let count = |of: &[usize]| of.iter().filter(|one| **one == class).count();
                    assert_eq!(count(&aside), 3, "{classes} classes");
                    assert_eq!(count(&examples), 27, "{classes} classes");
                }
            }
        }
    }

    #[test]
    fn each_class_gives_the_share_that_is_asked_for() {
        for (share, wanted) in [
            (0.0, 0),
            (0.05, 5),
            (0.2, 20),
            (0.5, 50),
            (0.9, 90),
            (1.0, 99),
        ] {
            let mut examples: Vec<usize> = (0..300).map(|n| n % 3).collect();
            let aside = set_aside_share(&mut examples, share, |class| *class);
            for class in 0..3 {
                let given = aside.iter().filter(|one| **one == class).count();
                assert!(given.abs_diff(wanted) <= 1, "{share}: {given}");
                assert!(examples.contains(&class), "{share}");
            }
            assert_eq!(examples.len() + aside.len(), 300);
        }
    }

    #[test]
    fn few_examples_are_not_all_kept_and_no_class_is_lost() {
        let mut examples: Vec<usize> = (0..60).map(|n| n % 20).collect();
        let aside = set_aside(&mut examples, |class| *class);
        assert!((3..=9).contains(&aside.len()), "{}", aside.len());
        assert!((0..20).all(|class| examples.contains(&class)));
        assert!(set_aside(&mut vec![7], |one| *one).is_empty());
    }
}
