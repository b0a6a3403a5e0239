//! Examples that are set aside to look at, where nobody says which.

use std::collections::HashMap;
use std::hash::Hash;

/// One in ten.
const PART: usize = 10;
/// How much earlier than the class before it a class gives its first: so classes of few examples do not all keep theirs.
const APART: usize = 7;

/// Takes a tenth of each class out, in whatever order they come; the first example of a class stays.
pub fn set_aside<T, C: Eq + Hash>(examples: &mut Vec<T>, class: impl Fn(&T) -> C) -> Vec<T> {
    let mut seen = HashMap::<C, (usize, usize)>::new();
    let (mut kept, mut aside) = (Vec::new(), Vec::new());
    for example in examples.drain(..) {
        let classes = seen.len();
        let (own, count) = seen.entry(class(&example)).or_insert((classes, 0));
        // At most eight, so that nobody gives the first one.
        let earlier = *own * APART % (PART - 1);
        let out = (*count + earlier) % PART == PART - 1;
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
    use super::set_aside;

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
    fn few_examples_are_not_all_kept_and_no_class_is_lost() {
        let mut examples: Vec<usize> = (0..60).map(|n| n % 20).collect();
        let aside = set_aside(&mut examples, |class| *class);
        assert!((3..=9).contains(&aside.len()), "{}", aside.len());
        assert!((0..20).all(|class| examples.contains(&class)));
        assert!(set_aside(&mut vec![7], |one| *one).is_empty());
    }
}
