//! Values: made by trying check characters until the public rule holds.

use super::Random;
use escala_pipelines::pii::checksum;

pub const UPPER: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";

/// A value of which `holds` is true: `make` is asked until it is.
pub fn until(
    random: &mut Random,
    make: fn(&mut Random) -> String,
    holds: fn(&str) -> bool,
) -> String {
    for _ in 0..100_000 {
        let value = make(random);
        if holds(&value) {
            return value;
        }
    }
    panic!("no value keeps to its rule");
}

/// Digits in groups of these lengths.
pub fn grouped(digits: &str, lengths: &[usize], separator: &str) -> String {
    let mut at = 0;
    let mut groups = Vec::new();
    for length in lengths {
        groups.push(&digits[at..at + length]);
        at += length;
    }
    assert_eq!(at, digits.len());
    groups.join(separator)
}

pub fn card(random: &mut Random) -> String {
    let (prefix, length) = [
        ("4", 16),
        ("51", 16),
        ("55", 16),
        ("2301", 16),
        ("37", 15),
        ("6011", 16),
        ("3530", 16),
        ("36", 14),
    ][random.below(8)];
    let body = format!("{prefix}{}", random.digits(length - 1 - prefix.len()));
    let check = |digit: &u32| checksum::luhn(&format!("{body}{digit}"));
    let digit = (0..10).find(check).expect("one digit holds");
    format!("{body}{digit}")
}

pub fn card_grouped(random: &mut Random) -> String {
    let number = card(random);
    let separator = random.pick(&[" ", "-"]);
    match number.len() {
        16 => grouped(&number, &[4, 4, 4, 4], separator),
        15 => grouped(&number, &[4, 6, 5], separator),
        _ => grouped(&number, &[4, 6, 4], separator),
    }
}

pub fn iban(random: &mut Random) -> String {
    let (country, bank, digits) = [
        ("DE", "", 18),
        ("GB", "NWBK", 14),
        ("ES", "", 20),
        ("FR", "", 23),
        ("NL", "ABNA", 10),
        ("CH", "", 17),
        ("IE", "AIBK", 14),
        ("NO", "", 11),
    ][random.below(8)];
    let body = format!("{bank}{}", random.digits(digits));
    let check = |check: &u32| checksum::iban(&format!("{country}{check:02}{body}"));
    let check = (2..=98).find(check).expect("one check holds");
    format!("{country}{check:02}{body}")
}

pub fn iban_grouped(random: &mut Random) -> String {
    let number = iban(random);
    let groups: Vec<&str> = (0..number.len())
        .step_by(4)
        .map(|at| &number[at..(at + 4).min(number.len())])
        .collect();
    groups.join(" ")
}

pub fn vin(random: &mut Random) -> String {
    let make = |random: &mut Random| {
        let letters = "ABCDEFGHJKLMNPRSTUVWXYZ0123456789";
        let head = random.pick(&["1HG", "1FT", "2T1", "3VW", "5YJ"]);
        let middle = random.of(letters, 5);
        let check = random.of("0123456789X", 1);
        format!(
            "{head}{middle}{check}{}{}",
            random.of(letters, 2),
            random.digits(6)
        )
    };
    until(random, make, checksum::vin)
}

pub fn ssn(random: &mut Random) -> String {
    let area = match random.between(1, 898) {
        666 => 667,
        area => area,
    };
    format!(
        "{area:03}-{:02}-{:04}",
        random.between(1, 99),
        random.between(1, 9999)
    )
}

pub fn itin(random: &mut Random) -> String {
    let group = [50, 58, 65, 70, 77, 88, 90, 92, 94, 99][random.below(10)];
    format!(
        "{}-{group}-{:04}",
        random.between(900, 999),
        random.between(0, 9999)
    )
}

pub fn phone(random: &mut Random) -> String {
    let area = random.pick(&["206", "415", "312", "617", "503", "720"]);
    let exchange = random.between(220, 989);
    let exchange = if exchange % 100 == 11 { 555 } else { exchange };
    let line = random.digits(4);
    match random.below(6) {
        0 => format!("({area}) {exchange}-{line}"),
        1 => format!("{area}-{exchange}-{line}"),
        2 => format!("{area}.{exchange}.{line}"),
        3 => format!("+1 {area} {exchange} {line}"),
        4 => format!("+44 20 7946 {line}"),
        _ => format!("1-{area}-{exchange}-{line}"),
    }
}

pub fn email(random: &mut Random) -> String {
    let local = random.pick(&[
        "ada.l",
        "k_moreno",
        "info+test",
        "j-b.finch",
        "x9",
        "o'hara",
        "SALES",
    ]);
    let domain = random.pick(&[
        "example.com",
        "mail.example.co.uk",
        "sub-domain.example.org",
        "example.museum",
        "EXAMPLE.NET",
    ]);
    format!("{local}@{domain}")
}

pub fn url(random: &mut Random) -> String {
    match random.below(5) {
        0 => format!("https://example.com/u/{}?ref=mail#top", random.digits(5)),
        1 => format!(
            "http://{}.example.org:8080/login",
            random.pick(&["portal", "my", "app"])
        ),
        2 => format!("www.example-{}.net", random.digits(2)),
        3 => format!("ftp://files.example.com/{}/", random.digits(3)),
        _ => format!("shop{}.example.com/account", random.digits(2)),
    }
}

pub fn ip(random: &mut Random) -> String {
    match random.below(4) {
        0 => format!(
            "2001:db8:{:x}::{:x}",
            random.below(65536),
            random.between(1, 65535)
        ),
        1 => format!(
            "fe80::{:x}:{:x}",
            random.between(256, 65535),
            random.between(256, 65535)
        ),
        _ => format!(
            "{}.{}.{}.{}",
            random.between(11, 223),
            random.below(256),
            random.below(256),
            random.between(1, 254)
        ),
    }
}

pub fn mac(random: &mut Random) -> String {
    let separator = random.pick(&[":", "-"]);
    let pairs: Vec<String> = (0..6)
        .map(|_| format!("{:02x}", random.below(256)))
        .collect();
    let mac = pairs.join(separator);
    if random.below(2) == 0 {
        mac.to_uppercase()
    } else {
        mac
    }
}

pub fn aws_access(random: &mut Random) -> String {
    let head = random.pick(&["AKIA", "ASIA"]);
    format!(
        "{head}{}",
        random.of("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", 16)
    )
}

pub fn aws_secret(random: &mut Random) -> String {
    let all = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789/+";
    random.of(all, 40)
}

pub fn date(random: &mut Random) -> String {
    let (year, month, day) = (
        random.between(1951, 2024),
        random.between(1, 12),
        random.between(1, 28),
    );
    let name = [
        "January",
        "February",
        "March",
        "April",
        "May",
        "June",
        "July",
        "August",
        "September",
        "October",
        "November",
        "December",
    ][month - 1];
    match random.below(6) {
        0 => format!("{year}-{month:02}-{day:02}"),
        1 => format!("{month:02}/{day:02}/{year}"),
        2 => format!("{name} {day}, {year}"),
        3 => format!("{day} {name} {year}"),
        4 => format!("{day:02}.{month:02}.{year}"),
        _ => format!("{} {day}, {year}", &name[..3]),
    }
}

pub fn nhs(random: &mut Random) -> String {
    let number = until(random, |random| random.digits(10), checksum::nhs);
    match random.below(3) {
        0 => number,
        1 => grouped(&number, &[3, 3, 4], "-"),
        _ => grouped(&number, &[3, 3, 4], " "),
    }
}

pub fn nino(random: &mut Random) -> String {
    let head = random.pick(&["AB", "CE", "JG", "LM", "PR", "SK", "WT", "YZ"]);
    let (digits, tail) = (random.digits(6), random.of("ABCD", 1));
    match random.below(2) {
        0 => format!("{head}{digits}{tail}"),
        _ => format!("{head} {} {tail}", grouped(&digits, &[2, 2, 2], " ")),
    }
}

pub fn sin(random: &mut Random) -> String {
    let make = |random: &mut Random| format!("{}{}", random.of("1234567", 1), random.digits(8));
    let number = until(random, make, checksum::luhn);
    let separator = random.pick(&[" ", "-", ""]);
    grouped(&number, &[3, 3, 3], separator)
}

pub fn aadhaar(random: &mut Random) -> String {
    let make = |random: &mut Random| format!("{}{}", random.of("23456789", 1), random.digits(11));
    let number = until(random, make, checksum::verhoeff);
    let separator = random.pick(&[" ", "-", ""]);
    grouped(&number, &[4, 4, 4], separator)
}

/// The number with its last digit changed, as a slip does; its check no longer holds.
pub fn slip(number: &str) -> String {
    let last = number.len() - 1;
    let digit = number.as_bytes()[last];
    let other = match digit {
        b'0'..=b'8' => digit + 1,
        b'9' => b'0',
        letter => letter,
    };
    format!("{}{}", &number[..last], char::from(other))
}

pub fn secret(random: &mut Random) -> String {
    let head = random.pick(&["Blue", "tiger", "S3a", "qW", "P@ss"]);
    format!("{head}{}{}x", random.of("!$%_*", 1), random.digits(4))
}

pub fn given(random: &mut Random) -> String {
    let names = [
        "Maria", "Olga", "Priya", "Ana", "Emily", "John", "Wei", "Fatima", "Lars", "Chidi",
    ];
    random.pick(&names).to_owned()
}

/// Addresses with units in front, directions, floors, and the names of states and provinces.
pub fn directed(random: &mut Random) -> String {
    let number = random.between(2, 980);
    match random.below(7) {
        0 => format!("{number} Terry Ave N, Seattle, WA 98109"),
        1 => format!("{number} Pennsylvania Avenue NW, Washington, DC 20500"),
        2 => format!("{number} Queen St W, Toronto, ON M5H 2N2"),
        3 => format!("{number} Fifth Avenue, 34th floor, New York, NY 10118"),
        4 => format!("Flat 3, {number} High Street, Bristol BS8 1TH"),
        5 => format!("Unit 5, {number} George St"),
        _ => format!("{number} Hacker Way, Menlo Park, California 94025"),
    }
}

/// Telephone numbers as they are dialled within a country.
pub fn national(random: &mut Random) -> String {
    match random.below(7) {
        0 => format!("9{} {}", random.digits(4), random.digits(5)),
        1 => format!(
            "04 {} {} {} 56",
            random.between(10, 99),
            random.between(10, 99),
            random.between(10, 99)
        ),
        2 => format!("030 {}", random.digits(8)),
        3 => format!("0171 {}", random.digits(7)),
        4 => format!("(02) 9{} {}", random.digits(3), random.digits(4)),
        5 => format!(
            "1300 {} {}",
            random.between(200, 999),
            random.between(200, 999)
        ),
        _ => format!("0044 7700 900{}", random.digits(3)),
    }
}
