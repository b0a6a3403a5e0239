//! Check digits. Each function takes what it is given without separators and says whether it holds; what
//! contains other characters never does.

/// Digits of a text; `None` when it holds anything else or nothing.
fn digits(text: &str) -> Option<Vec<u32>> {
    let digits: Option<Vec<u32>> = text.chars().map(|c| c.to_digit(10)).collect();
    digits.filter(|digits| !digits.is_empty())
}

/// Luhn's formula, ISO/IEC 7812-1 annex B: cards, Canada's Social Insurance numbers.
pub fn luhn(text: &str) -> bool {
    let Some(digits) = digits(text) else {
        return false;
    };
    let value = |(place, digit): (usize, &u32)| match place % 2 {
        0 => *digit,
        _ => digit * 2 - if *digit > 4 { 9 } else { 0 },
    };
    let sum: u32 = digits.iter().rev().enumerate().map(value).sum();
    sum.is_multiple_of(10)
}

/// ISO/IEC 7064 mod 97-10 as ISO 13616 applies it to an IBAN: the first four characters go to the end,
/// letters are 10 to 35, and the number leaves 1.
pub fn iban(text: &str) -> bool {
    if text.len() < 5 || !text.is_ascii() {
        return false;
    }
    let (head, tail) = text.split_at(4);
    let mut rest = 0u32;
    for c in tail.chars().chain(head.chars()) {
        let Some(value) = c.to_digit(36) else {
            return false;
        };
        rest = (rest * if value > 9 { 100 } else { 10 } + value) % 97;
    }
    rest == 1
}

/// The weighted sum 3, 7, 1 of the American Bankers Association's nine digits.
pub fn aba(text: &str) -> bool {
    digits(text).is_some_and(|digits| {
        let sum: u32 = digits
            .iter()
            .zip([3, 7, 1].iter().cycle())
            .map(|(d, w)| d * w)
            .sum();
        digits.len() == 9 && sum > 0 && sum.is_multiple_of(10)
    })
}

/// NHS Data Dictionary, NHS NUMBER: weights 10 to 2, modulus 11; a check digit of 10 is not used.
pub fn nhs(text: &str) -> bool {
    digits(text).is_some_and(|digits| {
        if digits.len() != 10 {
            return false;
        }
        let sum: u32 = digits.iter().zip((2..=10).rev()).map(|(d, w)| d * w).sum();
        sum > 0 && (11 - sum % 11) % 11 == digits[9]
    })
}

/// HM Revenue and Customs' check of a Unique Taxpayer Reference: the weighted sum of the last nine digits,
/// modulus 11, chooses the first.
pub fn utr(text: &str) -> bool {
    const CHECK: [u32; 11] = [2, 1, 9, 8, 7, 6, 5, 4, 3, 2, 1];
    const WEIGHTS: [u32; 9] = [6, 7, 8, 9, 10, 5, 4, 3, 2];
    digits(text).is_some_and(|digits| {
        if digits.len() != 10 {
            return false;
        }
        let sum: u32 = digits[1..].iter().zip(WEIGHTS).map(|(d, w)| d * w).sum();
        CHECK[(sum % 11) as usize] == digits[0]
    })
}

/// Verhoeff's check over the dihedral group of order ten (J. Verhoeff, Error Detecting Decimal Codes, 1969):
/// Aadhaar numbers.
pub fn verhoeff(text: &str) -> bool {
    /// The permutation that each further place applies once more.
    const PERMUTE: [usize; 10] = [1, 5, 7, 6, 2, 8, 3, 0, 9, 4];
    let Some(digits) = digits(text) else {
        return false;
    };
    let mut check = 0;
    for (place, digit) in digits.iter().rev().enumerate() {
        let mut value = *digit as usize;
        for _ in 0..place % 8 {
            value = PERMUTE[value];
        }
        check = dihedral(check, value);
    }
    check == 0
}

/// The product in the dihedral group of the pentagon: 0 to 4 turn, 5 to 9 turn and flip.
fn dihedral(a: usize, b: usize) -> usize {
    match (a < 5, b < 5) {
        (true, true) => (a + b) % 5,
        (true, false) => (a + b - 5) % 5 + 5,
        (false, true) => (a - 5 + 5 - b) % 5 + 5,
        (false, false) => (a + 5 - b) % 5,
    }
}

/// 49 CFR 565.15: letters have values, places have weights, and the ninth place is the remainder by 11.
pub fn vin(text: &str) -> bool {
    const WEIGHTS: [u32; 17] = [8, 7, 6, 5, 4, 3, 2, 10, 0, 9, 8, 7, 6, 5, 4, 3, 2];
    let value = |c: char| match c {
        '0'..='9' => c.to_digit(10),
        'A'..='H' => Some(c as u32 - 'A' as u32 + 1),
        'J'..='N' => Some(c as u32 - 'J' as u32 + 1),
        'P' => Some(7),
        'R' => Some(9),
        'S'..='Z' => Some(c as u32 - 'S' as u32 + 2),
        _ => None,
    };
    let values: Option<Vec<u32>> = text.chars().map(value).collect();
    values.is_some_and(|values| {
        if values.len() != 17 {
            return false;
        }
        let sum: u32 = values.iter().zip(WEIGHTS).map(|(v, w)| v * w).sum();
        let check = match sum % 11 {
            10 => 'X',
            rest => char::from_digit(rest, 10).unwrap_or('X'),
        };
        text.chars().nth(8) == Some(check)
    })
}

/// An account in Spain (Código Cuenta Cliente): two check digits, by weights that are powers of two modulo 11, over
/// bank and branch and over the account.
pub fn ccc(text: &str) -> bool {
    const WEIGHTS: [u32; 10] = [1, 2, 4, 8, 5, 10, 9, 7, 3, 6];
    let Some(digits) = digits(text).filter(|digits| digits.len() == 20) else {
        return false;
    };
    let check = |part: &[u32]| {
        let skipped = WEIGHTS.len() - part.len();
        let weighed = WEIGHTS[skipped..].iter().zip(part);
        match 11 - weighed.map(|(weight, digit)| weight * digit).sum::<u32>() % 11 {
            11 => 0,
            10 => 1,
            digit => digit,
        }
    };
    check(&digits[..8]) == digits[8] && check(&digits[10..]) == digits[9]
}

/// Spain's Ministry of the Interior: the number modulo 23 chooses the letter of a DNI.
pub fn dni(text: &str) -> bool {
    const LETTERS: &[u8; 23] = b"TRWAGMYFPDXBNJZSQVHLCKE";
    let Some((number, letter)) = text
        .len()
        .checked_sub(1)
        .and_then(|at| text.split_at_checked(at))
    else {
        return false;
    };
    digits(number).is_some_and(|digits| {
        let rest = digits
            .iter()
            .fold(0, |rest, digit| (rest * 10 + digit) % 23);
        (7..=8).contains(&digits.len()) && letter.as_bytes() == [LETTERS[rest as usize]]
    })
}

/// The number of a foreigner in Spain: its first letter stands for 0, 1 or 2, then it is checked as a DNI.
pub fn nie(text: &str) -> bool {
    let first = match text.chars().next() {
        Some('X') => '0',
        Some('Y') => '1',
        Some('Z') => '2',
        _ => return false,
    };
    text.len() == 9 && dni(&format!("{first}{}", &text[1..]))
}

/// The fiscal number of a legal person in Spain (Orden EHA/451/2008): every other digit doubled, the sum to the
/// next ten is the check, a digit or a letter as the first letter demands.
pub fn cif(text: &str) -> bool {
    if text.len() != 9 || !text.is_ascii() {
        return false;
    }
    let (form, number, check) = (&text[..1], &text[1..8], &text[8..]);
    digits(number).is_some_and(|digits| {
        let value = |(place, digit): (usize, &u32)| match place % 2 {
            0 => digit * 2 / 10 + digit * 2 % 10,
            _ => *digit,
        };
        let sum: u32 = digits.iter().enumerate().map(value).sum();
        let control = ((10 - sum % 10) % 10) as usize;
        let letter = &"JABCDEFGHI"[control..=control];
        let digit = &"0123456789"[control..=control];
        match form {
            "A" | "B" | "E" | "H" => check == digit,
            "N" | "P" | "Q" | "R" | "S" | "W" => check == letter,
            _ => check == digit || check == letter,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every number with one digit changed, for a check that must notice all of them.
    fn changed(text: &str) -> Vec<String> {
        let mut all = Vec::new();
        for (place, c) in text.char_indices().filter(|(_, c)| c.is_ascii_digit()) {
            for other in ('0'..='9').filter(|other| *other != c) {
                let mut text = text.to_owned();
                text.replace_range(place..=place, &other.to_string());
                all.push(text);
            }
        }
        all
    }

    #[test]
    fn published_numbers_hold_and_no_slip_of_one_digit_does() {
        type Case = (fn(&str) -> bool, &'static [&'static str]);
        let cases: [Case; 5] = [
            // Test numbers of the card networks; Canada's sample Social Insurance number.
            (
                luhn,
                &[
                    "4111111111111111",
                    "378282246310005",
                    "5555555555554444",
                    "6011111111111117",
                    "046454286",
                ],
            ),
            // Examples of the SWIFT IBAN registry.
            (
                iban,
                &[
                    "GB29NWBK60161331926819",
                    "DE89370400440532013000",
                    "FR1420041010050500013M02606",
                    "NO9386011117947",
                ],
            ),
            // Federal Reserve Bank of Boston; JPMorgan Chase New York; Wells Fargo.
            (aba, &["011000015", "021000021", "121000248"]),
            // NHS Data Dictionary's example and a number of the service's test range.
            (nhs, &["9434765919", "9434765870"]),
            // Test numbers that India's identification authority publishes.
            (
                verhoeff,
                &["999941057058", "999971658847", "999933119405", "2363"],
            ),
        ];
        for (holds, numbers) in cases {
            for number in numbers {
                assert!(holds(number), "{number}");
                for wrong in changed(number) {
                    assert!(!holds(&wrong), "{wrong} beside {number}");
                }
            }
        }
    }

    #[test]
    fn verhoeff_notices_neighbours_that_change_places() {
        for number in ["999941057058", "999971658847"] {
            for place in 0..number.len() - 1 {
                let mut swapped = number.as_bytes().to_vec();
                swapped.swap(place, place + 1);
                let swapped = String::from_utf8(swapped).expect("digits");
                assert_eq!(verhoeff(&swapped), swapped == number, "{swapped}");
            }
        }
    }

    #[test]
    fn numbers_of_vehicles_and_taxpayers() {
        assert!(vin("1M8GDM9AXKP042788") && vin("11111111111111111"));
        assert!(!vin("1M8GDM9A1KP042788") && !vin("1M8GDM9AXKP04278O") && !vin("1M8"));
        assert!(utr("1123456789") && !utr("2123456789") && !utr("112345678"));
    }

    #[test]
    fn what_is_no_number_holds_nowhere() {
        for text in ["", "é", "4111 1111", "٤١١١", "ABCDEFGHI"] {
            for holds in [luhn, iban, aba, nhs, utr, verhoeff, vin] {
                assert!(!holds(text), "{text:?}");
            }
        }
        assert!(!aba("000000000") && !nhs("0000000000"));
    }
}
