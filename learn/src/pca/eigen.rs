//! Eigenvectors of symmetric matrices: Householder's reflections to three diagonals, then QL steps with implicit shifts
//! (Golub and Van Loan, chapter 8).

use crate::kernel::dispatch;

/// Values in descending order, and the vectors of the first `wanted`, one row each. The matrix is row-major and symmetric;
/// none if the steps do not settle, as with numbers that are not finite.
pub(super) fn symmetric(
    matrix: &[f64],
    size: usize,
    wanted: usize,
) -> Option<(Vec<f64>, Vec<f64>)> {
    let mut found = None;
    decompose(matrix, size, wanted, &mut found);
    found
}

dispatch! {
    fn decompose(
        matrix: &[f64],
        size: usize,
        wanted: usize,
        found: &mut Option<(Vec<f64>, Vec<f64>)>,
    ) = decompose_body
}

#[inline(always)]
fn decompose_body<const R: usize, const FMA: bool>(
    matrix: &[f64],
    size: usize,
    wanted: usize,
    found: &mut Option<(Vec<f64>, Vec<f64>)>,
) {
    *found = eigen(matrix, size, wanted);
}

/// A sum in eight parts, which processors add at once.
#[inline(always)]
fn dot(a: &[f64], b: &[f64]) -> f64 {
    let mut sums = [0.0_f64; 8];
    let (wide_a, rest_a) = a.as_chunks::<8>();
    let (wide_b, rest_b) = b.as_chunks::<8>();
    for (a, b) in wide_a.iter().zip(wide_b) {
        for (sum, (a, b)) in sums.iter_mut().zip(a.iter().zip(b)) {
            *sum += a * b;
        }
    }
    let rest: f64 = rest_a.iter().zip(rest_b).map(|(a, b)| a * b).sum();
    sums.iter().sum::<f64>() + rest
}

#[inline(always)]
fn eigen(matrix: &[f64], size: usize, wanted: usize) -> Option<(Vec<f64>, Vec<f64>)> {
    let mut work = matrix.to_vec();
    let mut diagonal = vec![0.0; size];
    let mut beside = vec![0.0; size];
    // Reflections are kept as rows; a row is as long as what it reflects.
    let mut reflections: Vec<(Vec<f64>, f64)> = Vec::with_capacity(size);
    for step in 0..size.saturating_sub(1) {
        let rest = size - step - 1;
        let mut vector: Vec<f64> = (0..rest)
            .map(|at| work[(step + 1 + at) * size + step])
            .collect();
        let norm = vector.iter().map(|one| one * one).sum::<f64>().sqrt();
        diagonal[step] = work[step * size + step];
        if norm == 0.0 {
            beside[step] = 0.0;
            reflections.push((vector, 0.0));
            continue;
        }
        let lead = if vector[0] > 0.0 { -norm } else { norm };
        beside[step] = lead;
        vector[0] -= lead;
        let square = vector.iter().map(|one| one * one).sum::<f64>();
        let factor = if square > 0.0 { 2.0 / square } else { 0.0 };
        // A' = A − v wᵀ − w vᵀ with w = factor (A v) − (factor² / 2) (vᵀ A v) v.
        let mut product: Vec<f64> = (0..rest)
            .map(|row| {
                let row = &work[(step + 1 + row) * size + step + 1..][..rest];
                factor * dot(row, &vector)
            })
            .collect();
        let inner = dot(&product, &vector);
        for (one, value) in product.iter_mut().zip(&vector) {
            *one -= 0.5 * factor * inner * value;
        }
        for row in 0..rest {
            let (v, w) = (vector[row], product[row]);
            let row = &mut work[(step + 1 + row) * size + step + 1..][..rest];
            for ((one, vector), product) in row.iter_mut().zip(&vector).zip(&product) {
                *one -= v * product + w * vector;
            }
        }
        reflections.push((vector, factor));
    }
    if size > 0 {
        diagonal[size - 1] = work[size * size - 1];
    }

    // Rows of `vectors` become eigenvectors: of the three diagonals first, of the matrix then.
    let mut vectors = vec![0.0; size * size];
    for at in 0..size {
        vectors[at * size + at] = 1.0;
    }
    for low in 0..size {
        for round in 0.. {
            let high = (low..size.saturating_sub(1)).find(|at| {
                let around = diagonal[*at].abs() + diagonal[at + 1].abs();
                beside[*at].abs() <= f64::EPSILON * around
            });
            let high = high.unwrap_or(size - 1);
            if high == low {
                break;
            }
            if round == 60 || !diagonal[low].is_finite() {
                return None;
            }
            let mut g = (diagonal[low + 1] - diagonal[low]) / (2.0 * beside[low]);
            let mut r = g.hypot(1.0);
            g = diagonal[high] - diagonal[low] + beside[low] / (g + if g >= 0.0 { r } else { -r });
            let (mut sine, mut cosine, mut carried) = (1.0, 1.0, 0.0);
            let mut early = false;
            for at in (low..high).rev() {
                let f = sine * beside[at];
                let b = cosine * beside[at];
                r = f.hypot(g);
                beside[at + 1] = r;
                if r == 0.0 {
                    diagonal[at + 1] -= carried;
                    beside[high] = 0.0;
                    early = true;
                    break;
                }
                sine = f / r;
                cosine = g / r;
                g = diagonal[at + 1] - carried;
                r = (diagonal[at] - g) * sine + 2.0 * cosine * b;
                carried = sine * r;
                diagonal[at + 1] = g + carried;
                g = cosine * r - b;
                let (first, second) = vectors.split_at_mut((at + 1) * size);
                let pairs = first[at * size..].iter_mut().zip(&mut second[..size]);
                for (a, b) in pairs {
                    let f = *b;
                    *b = sine * *a + cosine * f;
                    *a = cosine * *a - sine * f;
                }
            }
            if early {
                continue;
            }
            diagonal[low] -= carried;
            beside[low] = g;
            beside[high] = 0.0;
        }
    }
    if diagonal.iter().any(|one| !one.is_finite()) {
        return None;
    }
    let mut order: Vec<usize> = (0..size).collect();
    order.sort_by(|a, b| diagonal[*b].total_cmp(&diagonal[*a]));
    let values = order.iter().map(|at| diagonal[*at]).collect();
    let mut sorted = Vec::with_capacity(wanted * size);
    for at in order.into_iter().take(wanted) {
        sorted.extend_from_slice(&vectors[at * size..][..size]);
    }
    for (step, (vector, factor)) in reflections.iter().enumerate().rev() {
        for row in sorted.chunks_exact_mut(size) {
            let rest = &mut row[step + 1..];
            let product = factor * dot(rest, vector);
            for (one, value) in rest.iter_mut().zip(vector) {
                *one -= product * value;
            }
        }
    }
    Some((values, sorted))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_make_the_matrix_again() {
        for size in [1, 2, 3, 10, 47] {
            let mut matrix = vec![0.0; size * size];
            for row in 0..size {
                for column in 0..=row {
                    let value = ((row * 31 + column * 17) % 23) as f64 - 11.0;
                    matrix[row * size + column] = value;
                    matrix[column * size + row] = value;
                }
            }
            let (values, vectors) = symmetric(&matrix, size, size).unwrap();
            assert!(values.windows(2).all(|pair| pair[0] >= pair[1]));
            for row in 0..size {
                for column in 0..size {
                    let sum: f64 = (0..size)
                        .map(|at| {
                            values[at] * vectors[at * size + row] * vectors[at * size + column]
                        })
                        .sum();
                    assert!((sum - matrix[row * size + column]).abs() < 1e-9, "{size}");
                    let product: f64 = (0..size)
                        .map(|at| vectors[row * size + at] * vectors[column * size + at])
                        .sum();
                    assert!((product - f64::from(u8::from(row == column))).abs() < 1e-10);
                }
            }
        }
    }

    #[test]
    fn zeros_and_what_is_no_number_end() {
        assert_eq!(symmetric(&[0.0; 9], 3, 3).unwrap().0, [0.0; 3]);
        assert!(symmetric(&[f64::NAN; 9], 3, 3).is_none());
    }
}
