//! A corpus of texts with known personal data, made from a seed: numbers with valid checks in sentences people
//! write, near misses, and texts without any.
//!
//! A value is made by trying check characters until the public rule holds. Templates alternate between two halves:
//! rules and scores may be fitted on [`Half::Development`] only, and the figures that count are those of
//! [`Half::HeldOut`], whose sentences they have not seen.

use escala_pipelines::pii::checksum;
use std::ops::Range;

/// What a text is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Half {
    Development,
    HeldOut,
}

/// A text with its personal data: kinds and bytes.
#[derive(Clone, Debug)]
pub struct Sample {
    pub text: String,
    pub gold: Vec<(String, Range<usize>)>,
    pub half: Half,
    pub source: &'static str,
}

/// SplitMix64 (Steele, Lea and Flood, 2014): small, and the same everywhere.
pub struct Random(pub u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    fn pick<'a, T: ?Sized>(&mut self, of: &[&'a T]) -> &'a T {
        of[self.below(of.len())]
    }

    fn of(&mut self, alphabet: &str, count: usize) -> String {
        let bytes = alphabet.as_bytes();
        (0..count)
            .map(|_| char::from(bytes[self.below(bytes.len())]))
            .collect()
    }

    fn digits(&mut self, count: usize) -> String {
        self.of("0123456789", count)
    }

    fn between(&mut self, low: usize, high: usize) -> usize {
        low + self.below(high - low + 1)
    }
}

const UPPER: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";

/// A value of which `holds` is true: `make` is asked until it is.
fn until(random: &mut Random, make: fn(&mut Random) -> String, holds: fn(&str) -> bool) -> String {
    for _ in 0..100_000 {
        let value = make(random);
        if holds(&value) {
            return value;
        }
    }
    panic!("no value keeps to its rule");
}

/// Digits in groups of these lengths.
fn grouped(digits: &str, lengths: &[usize], separator: &str) -> String {
    let mut at = 0;
    let mut groups = Vec::new();
    for length in lengths {
        groups.push(&digits[at..at + length]);
        at += length;
    }
    assert_eq!(at, digits.len());
    groups.join(separator)
}

fn card(random: &mut Random) -> String {
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

fn card_grouped(random: &mut Random) -> String {
    let number = card(random);
    let separator = random.pick(&[" ", "-"]);
    match number.len() {
        16 => grouped(&number, &[4, 4, 4, 4], separator),
        15 => grouped(&number, &[4, 6, 5], separator),
        _ => grouped(&number, &[4, 6, 4], separator),
    }
}

fn iban(random: &mut Random) -> String {
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

fn iban_grouped(random: &mut Random) -> String {
    let number = iban(random);
    let groups: Vec<&str> = (0..number.len())
        .step_by(4)
        .map(|at| &number[at..(at + 4).min(number.len())])
        .collect();
    groups.join(" ")
}

fn vin(random: &mut Random) -> String {
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

fn ssn(random: &mut Random) -> String {
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

fn itin(random: &mut Random) -> String {
    let group = [50, 58, 65, 70, 77, 88, 90, 92, 94, 99][random.below(10)];
    format!(
        "{}-{group}-{:04}",
        random.between(900, 999),
        random.between(0, 9999)
    )
}

fn phone(random: &mut Random) -> String {
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

fn email(random: &mut Random) -> String {
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

fn url(random: &mut Random) -> String {
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

fn ip(random: &mut Random) -> String {
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

fn mac(random: &mut Random) -> String {
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

fn aws_access(random: &mut Random) -> String {
    let head = random.pick(&["AKIA", "ASIA"]);
    format!(
        "{head}{}",
        random.of("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", 16)
    )
}

fn aws_secret(random: &mut Random) -> String {
    let all = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789/+";
    random.of(all, 40)
}

fn date(random: &mut Random) -> String {
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

fn nhs(random: &mut Random) -> String {
    let number = until(random, |random| random.digits(10), checksum::nhs);
    match random.below(3) {
        0 => number,
        1 => grouped(&number, &[3, 3, 4], "-"),
        _ => grouped(&number, &[3, 3, 4], " "),
    }
}

fn nino(random: &mut Random) -> String {
    let head = random.pick(&["AB", "CE", "JG", "LM", "PR", "SK", "WT", "YZ"]);
    let (digits, tail) = (random.digits(6), random.of("ABCD", 1));
    match random.below(2) {
        0 => format!("{head}{digits}{tail}"),
        _ => format!("{head} {} {tail}", grouped(&digits, &[2, 2, 2], " ")),
    }
}

fn sin(random: &mut Random) -> String {
    let make = |random: &mut Random| format!("{}{}", random.of("1234567", 1), random.digits(8));
    let number = until(random, make, checksum::luhn);
    let separator = random.pick(&[" ", "-", ""]);
    grouped(&number, &[3, 3, 3], separator)
}

fn aadhaar(random: &mut Random) -> String {
    let make = |random: &mut Random| format!("{}{}", random.of("23456789", 1), random.digits(11));
    let number = until(random, make, checksum::verhoeff);
    let separator = random.pick(&[" ", "-", ""]);
    grouped(&number, &[4, 4, 4], separator)
}

/// The number with its last digit changed, as a slip does; its check no longer holds.
fn slip(number: &str) -> String {
    let last = number.len() - 1;
    let digit = number.as_bytes()[last];
    let other = match digit {
        b'0'..=b'8' => digit + 1,
        b'9' => b'0',
        letter => letter,
    };
    format!("{}{}", &number[..last], char::from(other))
}

fn secret(random: &mut Random) -> String {
    let head = random.pick(&["Blue", "tiger", "S3a", "qW", "P@ss"]);
    format!("{head}{}{}x", random.of("!$%_*", 1), random.digits(4))
}

fn given(random: &mut Random) -> String {
    let names = [
        "Maria", "Olga", "Priya", "Ana", "Emily", "John", "Wei", "Fatima", "Lars", "Chidi",
    ];
    random.pick(&names).to_owned()
}

/// Addresses with units in front, directions, floors, and the names of states and provinces.
fn directed(random: &mut Random) -> String {
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
fn national(random: &mut Random) -> String {
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

type Make = fn(&mut Random) -> String;

/// A kind, how its values are made, and sentences that hold one at `{}`.
type Row = (&'static str, &'static [Make], &'static [&'static str]);

const ROWS: &[Row] = &[
    (
        "BANK_ACCOUNT_NUMBER",
        &[|r| r.digits(10), |r| r.digits(12), |r| r.digits(8)],
        &[
            "My account number is {}.",
            "Please credit account {} with the refund.",
            "Bank account: {}",
            "The money went to the wrong checking account, {}, by mistake.",
            "Acct # {} has been closed.",
            "We could not debit your savings account {} because of insufficient funds.",
        ],
    ),
    (
        "BANK_ROUTING",
        &[|r| {
            until(
                r,
                |r| {
                    format!(
                        "{}{}",
                        r.pick(&["01", "02", "05", "11", "12", "21", "31"]),
                        r.digits(7)
                    )
                },
                checksum::aba,
            )
        }],
        &[
            "The routing number is {}.",
            "ABA routing: {}",
            "For wires use {}, the bank told me.",
            "Enter the nine digits of the routing number {} below.",
            "Our RTN is {} if you need it.",
            "{} is the routing number printed on my checks.",
        ],
    ),
    (
        "CREDIT_DEBIT_NUMBER",
        &[card, card_grouped],
        &[
            "My card number is {}.",
            "I paid with {} and never got a receipt.",
            "Card: {}",
            "Please charge {} instead of the old one.",
            "Is {} the card you have on file for me?",
            "{} was declined twice at the checkout.",
        ],
    ),
    (
        "CREDIT_DEBIT_CVV",
        &[|r| r.digits(3), |r| r.digits(4)],
        &[
            "The CVV is {}.",
            "CVC: {}",
            "security code {} on the back of the card",
            "They even asked for my CVV number, {}.",
            "cvv2={}",
            "I gave her the verification code {} from the back.",
        ],
    ),
    (
        "CREDIT_DEBIT_EXPIRY",
        &[
            |r| format!("{:02}/{}", r.between(1, 12), r.between(26, 39)),
            |r| format!("{:02}/20{}", r.between(1, 12), r.between(26, 39)),
        ],
        &[
            "The card expires {}.",
            "Exp: {}",
            "expiration date {} on the front",
            "My Visa is valid thru {} so that cannot be it.",
            "Its expiry date is {}.",
            "Valid until {}, says the card.",
        ],
    ),
    (
        "PIN",
        &[|r| r.digits(4)],
        &[
            "My PIN is {}.",
            "PIN: {}",
            "Enter the pin code {} at the gate.",
            "I changed my PIN number to {} this time.",
            "The PIN for the card was {}, believe it or not.",
            "use pin {} to unlock it",
        ],
    ),
    (
        "EMAIL",
        &[email],
        &[
            "Write to {}.",
            "E-mail: {}",
            "You can reach me at {} or by letter.",
            "From: <{}>",
            "{} bounced again.",
            "Please add {}, and remove the old one.",
        ],
    ),
    (
        "PHONE",
        &[phone],
        &[
            "Call me at {}.",
            "Phone: {}",
            "Our number has changed to {}, please update your records.",
            "You may text {} for help.",
            "{} is my direct line.",
            "Fax your forms to {} or send them by post.",
        ],
    ),
    (
        "SSN",
        &[ssn, ssn, |r| ssn(r).replace('-', " ")],
        &[
            "My SSN is {}.",
            "Social Security number: {}",
            "The applicant gave {} as a social security number.",
            "SSN {} does not match our records.",
            "Is it {}? That is the social I have here.",
            "{} is the SSN on the form.",
        ],
    ),
    (
        "PASSPORT_NUMBER",
        &[
            |r| r.digits(9),
            |r| format!("{}{}", r.of("ACKX", 1), r.digits(8)),
        ],
        &[
            "My passport number is {}.",
            "Passport: {}",
            "Travelling on passport {} issued abroad.",
            "The passport with the number {} was reported lost.",
            "Passport No. {} has expired.",
            "She showed a passport ({}) at the desk.",
        ],
    ),
    (
        "DRIVER_ID",
        &[
            |r| format!("{}{}", r.of(UPPER, 1), r.digits(7)),
            |r| {
                format!(
                    "{}{}-{}-{}",
                    r.of(UPPER, 1),
                    r.digits(3),
                    r.digits(4),
                    r.digits(4)
                )
            },
        ],
        &[
            "My driver's license number is {}.",
            "Driver license: {}",
            "He showed the driving licence {} to the officer.",
            "DL# {}",
            "Driver's License No. {} is suspended.",
            "The licence to drive, number {}, was renewed: it is my driver's license.",
        ],
    ),
    (
        "URL",
        &[url],
        &[
            "See {} for details.",
            "URL: {}",
            "Her page is at {}, if you want a look.",
            "Open {} in your browser.",
            "{} does not load for me.",
            "I found it on ({}).",
        ],
    ),
    (
        "AGE",
        &[|r| format!("{} years", r.between(3, 99))],
        &[
            "I am {} old.",
            "The patient is {} old and in good health.",
            "She turned {} old and bought a boat.",
            "At {} of age, he ran his first marathon.",
            "My neighbour, {} old, still cycles.",
            "A man who was {} old answered the door.",
        ],
    ),
    (
        "USERNAME",
        &[|r| {
            format!(
                "{}{}",
                r.pick(&["wolf_", "jdoe", "m.rossi", "dark-star"]),
                r.digits(2)
            )
        }],
        &[
            "My username is {}.",
            "Username: {}",
            "user name = {}",
            "Log in with the user ID: {} please.",
            "My screen name is {} there.",
            "login: {}",
        ],
    ),
    (
        "PASSWORD",
        &[|r| {
            format!(
                "{}{}{}",
                r.pick(&["Blue", "tiger", "S3a", "qW"]),
                r.of("!#$%&", 1),
                r.digits(4)
            )
        }],
        &[
            "My password is {}.",
            "Password: {}",
            "pwd={}",
            "The new passphrase is {} from now on.",
            "Use the password '{}' to open the archive.",
            "Her password was {} all along.",
        ],
    ),
    (
        "AWS_ACCESS_KEY",
        &[aws_access],
        &[
            "The key id is {}.",
            "aws_access_key_id = {}",
            "Somebody committed {} to the repository.",
            "AccessKeyId: {}",
            "Please revoke {} at once.",
            "export AWS_ACCESS_KEY_ID={}",
        ],
    ),
    (
        "AWS_SECRET_KEY",
        &[aws_secret],
        &[
            "The secret access key is {}.",
            "aws_secret_access_key = {}",
            "secret: {}",
            "AWS_SECRET_ACCESS_KEY={}",
            "He pasted the AWS secret {} in the chat.",
            "SecretAccessKey: {}",
        ],
    ),
    (
        "IP_ADDRESS",
        &[ip],
        &[
            "The request came from {}.",
            "IP: {}",
            "Block {} in the firewall.",
            "{} tried to log in forty times.",
            "The address of the printer is {}, I think.",
            "ping {} says it is up",
        ],
    ),
    (
        "MAC_ADDRESS",
        &[mac],
        &[
            "The MAC address is {}.",
            "MAC: {}",
            "The adapter {} is not in the list.",
            "{} asked for a lease.",
            "Allow the card with {} on the network.",
            "ether {} txqueuelen",
        ],
    ),
    (
        "LICENSE_PLATE",
        &[
            |r| format!("{}{}{}", r.digits(1), r.of(UPPER, 3), r.digits(3)),
            |r| {
                format!(
                    "{}{} {}",
                    r.of("ABCDEFGHJKLMN", 2),
                    r.digits(2),
                    r.of("ABCDEFGHJKLMN", 3)
                )
            },
        ],
        &[
            "The license plate is {}.",
            "Licence plate: {}",
            "A grey van with the number plate {} drove off.",
            "Plate {} was seen at the gate.",
            "Its licence plate reads {}.",
            "A car with plates {} blocks the exit.",
        ],
    ),
    (
        "VEHICLE_IDENTIFICATION_NUMBER",
        &[vin],
        &[
            "The VIN is {}.",
            "VIN: {}",
            "The car with the chassis number {} was recalled.",
            "{} is stamped on the frame.",
            "We insured the vehicle {} for a year.",
            "Vehicle identification number {} does not match.",
        ],
    ),
    (
        "INTERNATIONAL_BANK_ACCOUNT_NUMBER",
        &[iban, iban_grouped],
        &[
            "My IBAN is {}.",
            "IBAN: {}",
            "Transfer the deposit to {} please.",
            "{} is our account in Europe.",
            "The rent goes to {}, as always.",
            "Was it paid to {}?",
        ],
    ),
    (
        "SWIFT_CODE",
        &[|r| {
            format!(
                "{}{}{}",
                r.of(UPPER, 4),
                r.pick(&["DE", "GB", "US", "FR", "CH"]),
                r.of("23456789ABCDEFGH", 2)
            )
        }],
        &[
            "The SWIFT code is {}.",
            "BIC: {}",
            "SWIFT/BIC {}",
            "For international transfers our BIC is {}.",
            "Use the swift code {} of the bank.",
            "{} is the BIC that you need.",
        ],
    ),
    (
        "US_INDIVIDUAL_TAX_IDENTIFICATION_NUMBER",
        &[itin, itin, |r| itin(r).replace('-', "")],
        &[
            "My ITIN is {}.",
            "ITIN: {}",
            "He filed with the individual taxpayer identification number {}.",
            "The ITIN {} was issued to a non-resident.",
            "Taxpayer ID: {}",
            "{} is her ITIN.",
        ],
    ),
    (
        "UK_NATIONAL_INSURANCE_NUMBER",
        &[nino],
        &[
            "My National Insurance number is {}.",
            "NI number: {}",
            "Payroll needs your NINO, mine is {}.",
            "{} is on my payslip.",
            "The form shows {} as the number.",
            "NINO {}",
        ],
    ),
    (
        "UK_NATIONAL_HEALTH_SERVICE_NUMBER",
        &[nhs],
        &[
            "My NHS number is {}.",
            "NHS No: {}",
            "The hospital asked for the NHS number, {}.",
            "NHS {}",
            "{} is the NHS number on the letter.",
            "The patient's NHS number ({}) was missing.",
        ],
    ),
    (
        "UK_UNIQUE_TAXPAYER_REFERENCE_NUMBER",
        &[
            |r| until(r, |r| r.digits(10), checksum::utr),
            |r| grouped(&until(r, |r| r.digits(10), checksum::utr), &[5, 5], " "),
        ],
        &[
            "My UTR is {}.",
            "UTR: {}",
            "The unique taxpayer reference {} is on the return.",
            "Unique Taxpayer Reference number: {}",
            "Quote the UTR {} when you pay.",
            "{} is my tax reference.",
        ],
    ),
    (
        "CA_SOCIAL_INSURANCE_NUMBER",
        &[sin],
        &[
            "My SIN is {}.",
            "Social Insurance Number: {}",
            "Employers in Canada must ask for the SIN, mine is {}.",
            "SIN {}",
            "{} is my social insurance number.",
            "The SIN ({}) is on the T4 slip.",
        ],
    ),
    (
        "CA_HEALTH_NUMBER",
        &[
            |r| grouped(&until(r, |r| r.digits(10), checksum::luhn), &[4, 3, 3], "-"),
            |r| grouped(&until(r, |r| r.digits(10), checksum::luhn), &[4, 3, 3], " "),
        ],
        &[
            "My health card number is {}.",
            "OHIP: {}",
            "The clinic wants the personal health number {}.",
            "Health card {}",
            "PHN {}",
            "Her health number is {}.",
        ],
    ),
    (
        "IN_AADHAAR",
        &[aadhaar],
        &[
            "My Aadhaar number is {}.",
            "Aadhaar: {}",
            "Link Aadhaar {} with the account.",
            "{} is my aadhaar.",
            "UIDAI {}",
            "The Aadhaar card shows {}.",
        ],
    ),
    (
        "IN_PERMANENT_ACCOUNT_NUMBER",
        &[|r| {
            format!(
                "{}{}{}{}{}",
                r.of(UPPER, 3),
                r.of("PCHFATBLJG", 1),
                r.of(UPPER, 1),
                r.digits(4),
                r.of(UPPER, 1)
            )
        }],
        &[
            "My PAN is {}.",
            "PAN: {}",
            "The income tax form needs {}.",
            "{} is my PAN card.",
            "Permanent account number {}",
            "Quote {} on every receipt.",
        ],
    ),
    (
        "IN_VOTER_NUMBER",
        &[|r| format!("{}{}", r.of(UPPER, 3), r.digits(7))],
        &[
            "My voter ID is {}.",
            "EPIC: {}",
            "The election office registered {}.",
            "Voter card {}",
            "{} is my voter number.",
            "The electoral roll lists {}.",
        ],
    ),
    (
        "IN_NREGA",
        &[|r| {
            let letters = r.pick(&["RJ", "UP", "MH", "WB"]);
            let (a, b, c, d) = (r.digits(2), r.digits(3), r.digits(3), r.digits(3));
            format!("{letters}-{a}-{b}-{c}-{d}/{}", r.digits(3))
        }],
        &[
            "My job card is {}.",
            "NREGA: {}",
            "The job card number {} was found.",
            "{} has worked forty days.",
            "NREGA job card no. {}",
            "Payment for {} is due.",
        ],
    ),
    (
        "DATE_TIME",
        &[date],
        &[
            "The contract was signed on {}.",
            "Date: {}",
            "I was born on {}, in the rain.",
            "We open on {} at last.",
            "{} was the last day of school.",
            "Your appointment on {} is confirmed.",
        ],
    ),
    (
        "NAME",
        &[|r| {
            let first = r.pick(&[
                "Mary", "John", "Fatima", "Luis", "Ingrid", "Rajesh", "Olivia", "Samuel", "Keiko",
                "Emeka",
            ]);
            let last = r.pick(&[
                "Thompson", "Garcia", "Nakamura", "Okonkwo", "Lindgren", "Sharma", "Kowalski",
                "Haddad", "Dubois", "Whitaker",
            ]);
            format!("{first} {last}")
        }],
        &[
            "My name is {}.",
            "Please ask {} to sign the form.",
            "{} called about the heating.",
            "I spoke to {} in the shop.",
            "The manager, {}, was very kind.",
            "This letter is for {} only.",
        ],
    ),
    (
        "ADDRESS",
        &[|r| {
            let number = r.between(2, 9800);
            let street = r.pick(&[
                "Oak Street",
                "Maple Avenue",
                "Lincoln Road",
                "Hill Drive",
                "Pine Lane",
                "W 4th St",
            ]);
            let rest = r.pick(&[
                ", Denver, CO 80203",
                ", Austin, TX 78701",
                ", Apt 5C, Chicago, IL 60614",
                "",
                ", Seattle, WA 98109-1234",
            ]);
            format!("{number} {street}{rest}")
        }],
        &[
            "I live at {}.",
            "Address: {}",
            "Send the parcel to {} please.",
            "The house at {} is for sale.",
            "{} is where we grew up.",
            "Our office moved to {} recently.",
        ],
    ),
];

/// Values that look like personal data and are none, each with a sentence around it.
const NEAR_MISSES: &[(Make, &[&str])] = &[
    (
        // A card's number with a wrong check digit.
        |r| {
            let number = card(r);
            let last = number.len() - 1;
            let digit = (number.as_bytes()[last] - b'0' + 1) % 10;
            grouped(&format!("{}{digit}", &number[..last]), &[number.len()], "")
        },
        &[
            "The serial number is {}.",
            "Order {} has been shipped.",
            "Part {} fits as well.",
        ],
    ),
    (
        |r| format!("{}.{}.{}", r.below(20), r.below(30), r.below(100)),
        &[
            "We run version {} in production.",
            "Upgrade to {} first.",
            "Release {} fixes it.",
        ],
    ),
    (
        |r| {
            format!(
                "{}.{}.{}.{}",
                r.below(20),
                r.below(20),
                r.below(20),
                r.below(20)
            )
        },
        &[
            "The firmware version is {}.",
            "v{} is out.",
            "Build {} is broken.",
        ],
    ),
    (
        |r| {
            let body = format!("978{}", r.digits(9));
            let sum: u32 = body
                .chars()
                .enumerate()
                .map(|(i, c)| c.to_digit(10).expect("a digit") * if i % 2 == 0 { 1 } else { 3 })
                .sum();
            format!("{body}{}", (10 - sum % 10) % 10)
        },
        &[
            "The book has the ISBN {}.",
            "ISBN {}",
            "Look for ISBN {} at the library.",
        ],
    ),
    (
        |r| format!("17{}", r.digits(8)),
        &[
            "The epoch was {} when it crashed.",
            "{{\"ts\": {}}}",
            "created_at={} status=ok",
        ],
    ),
    (
        |r| format!("#{}", r.of("0123456789ABCDEF", 6)),
        &[
            "Paint the border in {}.",
            "color: {};",
            "The logo uses {} as its accent.",
        ],
    ),
    (
        |r| {
            let h = "0123456789abcdef";
            format!(
                "{}-{}-4{}-a{}-{}",
                r.of(h, 8),
                r.of(h, 4),
                r.of(h, 3),
                r.of(h, 3),
                r.of(h, 12)
            )
        },
        &[
            "The request id is {}.",
            "uuid={}",
            "Look up trace {} in the log.",
        ],
    ),
    (
        |r| {
            format!(
                "${},{}.{}",
                r.between(1, 999),
                r.between(100, 999),
                r.between(10, 99)
            )
        },
        &[
            "It cost {} in total.",
            "The budget is {}.",
            "They asked for {} and got half.",
        ],
    ),
    (
        |r| format!("{}-{}", r.between(3, 9), r.between(10, 30)),
        &[
            "It takes {} steps.",
            "Bake for {} minutes.",
            "Between {} people came.",
        ],
    ),
    (
        |r| format!("{}-{}-{}", r.digits(3), "00", r.digits(4)),
        &["The part number is {}.", "Item {} is sold out.", "SKU {}"],
    ),
    (
        |r| r.digits(9),
        &[
            "Ticket {} is still open.",
            "The file has {} bytes.",
            "Reference {} was not found.",
        ],
    ),
    (
        |r| r.digits(10),
        &[
            "Invoice {} is overdue.",
            "Tracking {} says it left the depot.",
            "Order number {} was split.",
        ],
    ),
    (
        |r| format!("{}{}", r.of(UPPER, 2), r.digits(6)),
        &[
            "Flight gate code {} changed.",
            "The model {} is discontinued.",
            "Coupon {} gives ten percent off.",
        ],
    ),
    (
        |r| r.of("0123456789abcdef", 40),
        &[
            "The commit {} broke the build.",
            "sha1: {}",
            "Checkout {} and try again.",
        ],
    ),
    (
        |r| r.digits(4),
        &[
            "We sold {} units.",
            "Room {} is upstairs.",
            "They pinned {} leaflets to trees.",
        ],
    ),
    (
        |r| format!("{}:{}", r.between(1, 9), r.between(1, 9)),
        &[
            "The odds are {}.",
            "Mix it at a ratio of {}.",
            "The scale is {}.",
        ],
    ),
    (
        |r| format!("{}/{}", r.between(13, 40), r.between(41, 99)),
        &[
            "She scored {} in the test.",
            "Blood pressure aside, {} is fine.",
            "Only {} pupils came.",
        ],
    ),
    (
        |r| format!("{} years", r.between(2, 40)),
        &[
            "The warranty lasts {}.",
            "It took {} to build.",
            "We waited {} for this.",
        ],
    ),
    (
        // An IBAN with wrong check digits.
        |r| {
            let number = iban(r);
            let check: u32 = number[2..4].parse().expect("digits");
            format!("{}{:02}{}", &number[..2], (check + 1) % 97, &number[4..])
        },
        &["The batch code is {}.", "Label: {}", "Scan {} at the dock."],
    ),
    (
        |r| format!("user@{}", r.pick(&["localhost", "host", "server"])),
        &[
            "Run ssh {} first.",
            "The prompt shows {}.",
            "It says {} in the banner.",
        ],
    ),
];

/// Forms of programs, letters and talk, with values as they are written there.
const FORMS: &[Row] = &[
    (
        "PASSWORD",
        &[secret],
        &[
            "{{\"id\": 7, \"password\": \"{}\"}}",
            "{{'passwd': '{}', 'port': 5432}}",
            "DB_PASSWORD={}",
            "MYSQL_ROOT_PASSWORD: {}",
            "<password>{}</password>",
            "<smtpPassword>{}</smtpPassword>",
            "'password' => \"{}\",",
            "backup --password {} --all",
            "redis://:{}@cache:6379/0",
            "mongodb+srv://:{}@cluster0/shop",
            "I changed my password to {} again.",
            "She reset the password to {} after that.",
            "The password for the router is {}.",
            "The password of my old account was {}.",
            "pw: {}",
            "pass: {}",
        ],
    ),
    (
        "USERNAME",
        &[|r| {
            format!(
                "{}{}",
                r.pick(&["kwilson_", "jdoe", "m.rossi", "lee_"]),
                r.digits(2)
            )
        }],
        &[
            "{{\"id\": 7, \"username\": \"{}\"}}",
            "{{'userName': '{}', 'port': 5432}}",
            "DB_USER={}",
            "SMTP_USERNAME: {}",
            "<username>{}</username>",
            "<login>{}</login>",
            "User: {}",
            "Username - {}",
            "my user name {} is locked",
            "the username {} does not work",
        ],
    ),
    (
        "ADDRESS",
        &[directed],
        &[
            "I live at {}.",
            "Ship it to {} please.",
            "Our office is at {} now.",
            "Address: {}",
            "{} is where we grew up.",
            "The flat at {} is for rent.",
        ],
    ),
    (
        "NAME",
        &[given],
        &[
            "Hi {},\n\nThe parcel has come.\n",
            "Hello {},\nThe parcel has come.\n",
            "Hey {}, the parcel has come.",
            "Thanks {}, that worked.",
            "It works now.\n\nKind regards,\n{}\n",
            "It works now.\n\nBest wishes,\n{}\n",
            "It works now.\nBest,\n{}\n",
            "It works now.\nThanks,\n{}\n",
            "Hi, I'm {} from accounts.",
            "This is {} speaking.",
            "Good morning {}, the parcel has come.",
            "Dear {},\nThe parcel has come.\n",
        ],
    ),
    (
        "NAME",
        &[|r| given(r).to_lowercase()],
        &[
            "my name is {} and it does not work",
            "hello, my name is {}.",
        ],
    ),
    (
        "PHONE",
        &[national],
        &[
            "my mobile: {}",
            "Tel {}",
            "Phone: {}",
            "Please ring {} for help.",
            "WhatsApp {}",
            "Please call us on {}.",
        ],
    ),
    (
        "LICENSE_PLATE",
        &[
            |r| {
                format!(
                    "{}{} {}",
                    r.of("ABCDEFGHJKLMN", 2),
                    r.digits(2),
                    r.of("ABCDEFGHJKLMN", 3)
                )
            },
            |r| format!("{}-{} {}", r.of("BMKS", 1), r.of(UPPER, 2), r.digits(4)),
            |r| {
                format!(
                    "{} {} {} {}",
                    r.pick(&["KA", "MH", "DL"]),
                    r.digits(2),
                    r.of(UPPER, 2),
                    r.digits(4)
                )
            },
        ],
        &[
            "The number plate is {}.",
            "My car reg is {} and it is blue.",
            "Number plate: {}",
            "The licence plate {} was seen there.",
        ],
    ),
    (
        "AGE",
        &[|r| format!("{}", r.between(18, 99))],
        &[
            "I'm {}.",
            "I am {} and live alone.",
            "Female, {}, with a headache.",
            "Male, {}, coughs.",
        ],
    ),
    (
        "DATE_TIME",
        &[
            |r| {
                format!(
                    "{} {} {}",
                    r.between(1, 28),
                    r.pick(&["Jan", "Mar", "Oct"]),
                    r.between(50, 99)
                )
            },
            |r| {
                format!(
                    "{}-{}-20{}",
                    r.between(1, 28),
                    r.pick(&["Jan", "Mar", "Oct"]),
                    r.between(10, 24)
                )
            },
        ],
        &[
            "d.o.b. {}",
            "Born: {}",
            "She was born on {}.",
            "His date of birth is {}.",
        ],
    ),
    (
        "CREDIT_DEBIT_NUMBER",
        &[|r| slip(&card(r)), |r| slip(&card_grouped(r))],
        &[
            "My card number is {}.",
            "Credit card number: {}",
            "card no. {}",
            "Use card {} please.",
        ],
    ),
    (
        "BANK_ROUTING",
        &[
            |r| slip(&until(r, |r| format!("02{}", r.digits(7)), checksum::aba)),
            |r| format!("XXXXX{}", r.digits(4)),
        ],
        &[
            "routing number: {}",
            "The routing number is {}.",
            "ABA routing number {}",
            "Routing no. {}",
        ],
    ),
    (
        "BANK_ACCOUNT_NUMBER",
        &[
            |r| format!("XXXXXX{}", r.digits(4)),
            |r| format!("****{}", r.digits(4)),
        ],
        &[
            "your bank account number {}",
            "It was paid from account {}.",
            "Account: {}",
            "checking account {} is overdrawn",
        ],
    ),
    (
        "IN_AADHAAR",
        &[|r| slip(&aadhaar(r))],
        &[
            "Aadhaar: {}",
            "My Aadhaar number is {}.",
            "aadhaar no. {}",
            "Aadhaar {}",
        ],
    ),
    (
        "CA_SOCIAL_INSURANCE_NUMBER",
        &[|r| slip(&sin(r))],
        &[
            "SIN: {}",
            "My SIN is {}.",
            "Social insurance number: {}",
            "SIN {}",
        ],
    ),
    (
        "UK_NATIONAL_HEALTH_SERVICE_NUMBER",
        &[|r| slip(&nhs(r))],
        &["NHS: {}", "My NHS number is {}.", "NHS no. {}", "NHS {}"],
    ),
    (
        "INTERNATIONAL_BANK_ACCOUNT_NUMBER",
        &[|r| slip(&iban_grouped(r)), |r| slip(&iban(r))],
        &["IBAN: {}", "My IBAN is {}.", "IBAN {}", "iban no. {}"],
    ),
];

/// What looks like the [`FORMS`] and is none.
const NEAR_FORMS: &[(Make, &[&str])] = &[
    (
        |r| {
            format!(
                "{} {}",
                r.pick(&["ID", "OK", "OR", "ME", "IN", "DE", "MA", "HI"]),
                r.digits(5)
            )
        },
        &[
            "Order {} has been shipped.",
            "Ticket {} is open.",
            "Product {} is sold out.",
            "My user {} has not changed.",
        ],
    ),
    (
        |r| r.digits(10),
        &[
            "Call us about invoice {}.",
            "Please call about order {} at once.",
            "My card was not charged for ticket {}.",
            "Text the driver about parcel {}.",
        ],
    ),
    (
        |r| r.digits(7),
        &[
            "My account was charged {} yen.",
            "The account has {} points.",
            "We call it {} times a day.",
            "The account grew by {} users.",
        ],
    ),
    (
        |r| r.digits(8),
        &[
            "My passport expired; my order number is {}.",
            "My passport is fine. Order {} is not.",
            "I lost my plates! Ticket {} was opened.",
            "The licence is renewed; the invoice is {}.",
        ],
    ),
    (
        |r| format!("{}/{}", r.between(1, 12), r.between(20, 31)),
        &[
            "The credit on {} was applied.",
            "The visa application dated {} is old.",
            "A debit from {} is missing.",
            "The card was lost on {} in town.",
        ],
    ),
    (
        |r| {
            r.pick(&["laptop", "building", "whisky", "car", "company"])
                .to_owned()
        },
        &[
            "It is a 3-year-old {}.",
            "We have a 10 year old {} here.",
            "They own a 30 years old {}.",
            "A 12-year-old {} is no news.",
        ],
    ),
    (
        |r| {
            r.pick(&[
                "${DB_PASSWORD}",
                "get_secret()",
                "os.environ['PW']",
                "<password>",
                "null",
            ])
            .to_owned()
        },
        &[
            "password: {}",
            "password = {}",
            "\"password\": {},",
            "db_password={}",
        ],
    ),
    (
        |r| {
            r.pick(&[
                "Customer Support Team",
                "Billing Department",
                "Hiring Manager",
                "Support",
            ])
            .to_owned()
        },
        &[
            "Dear {},\nit works.\n",
            "It works.\nRegards,\n{}\n",
            "Hello {},\nit works.\n",
            "It works.\nThanks,\n{}\n",
        ],
    ),
    (
        |r| {
            r.pick(&[
                "@media",
                "@Override",
                "@import",
                "@angular/core",
                "@dataclass",
            ])
            .to_owned()
        },
        &[
            "The line with {} fails.",
            "Why does {} not work?",
            "Remove {} from the file.",
            "{} is at the top.",
        ],
    ),
    (
        |r| {
            r.pick(&[
                "happy with it",
                "sure about that",
                "out of ideas",
                "new here",
            ])
            .to_owned()
        },
        &[
            "i am {}",
            "I'm {}.",
            "hi, i'm {} and like it",
            "I am {}, thanks.",
        ],
    ),
];

/// Texts without personal data, numbers and names of things included.
const CLEAN: &[&str] = &[
    "The harvest was late, and the barns stayed empty well into autumn.",
    "Turn the valve a quarter turn and wait for the pressure to drop.",
    "Our team shipped the feature after a long review.",
    "Please keep the receipt; refunds are not possible without it.",
    "The river rose by two metres and then fell again.",
    "Rust moves values by default, and borrows are checked at compile time.",
    "Is there a way to export the table as a spreadsheet?",
    "The orchestra tuned while the audience found its seats.",
    "I would like a window seat and a vegetarian meal.",
    "Great product, terrible packaging, will buy again.",
    "The password must be changed regularly, says the policy.",
    "A PIN protects the card, and a signature does not.",
    "Your account is in good standing; nothing is due.",
    "Routing problems delayed the parcels.",
    "The passport office is closed.",
    "Driving without a licence is a crime.",
    "The plates were cold but the soup was hot.",
    "Visa applications take weeks.",
    "To reset it, hold the button for ten seconds.",
    "f(x) = 3x^2 + 2x - 1 has two roots.",
    "The ratio of 16:9 is common for screens.",
    "Section 4.2.1 covers installation.",
    "It weighs 1.2 kg and measures 30 x 20 x 10 cm.",
    "Win rates went from 12.5% to 17.25%.",
    "for (int i = 0; i < 1000; i++) sum += a[i];",
    "See figure 12 and table 3 in the appendix.",
    "A dozen eggs, 500 g of flour and a pinch of salt.",
    "The score was 3-2 after extra time.",
    "Model T-1000 is a fictional machine.",
    "Use port 8080 unless it is taken.",
    "std::vec::Vec grows as needed; a::b::c is a path.",
    "SELECT count(*) FROM orders WHERE total > 100;",
    "The temperature was -40 degrees, in either unit.",
    "Only 1,234,567 of 10,000,000 tickets were sold.",
    "MD5 is broken: d41d8cd98f00b204e9800998ecf8427e is the sum of nothing.",
    "He said nothing. She said less.",
];

/// Texts around a sentence.
const CARRIERS: &[&str] = &[
    "{}",
    "Hello,\n\n{}\n\nThank you.",
    "{} Can you help?",
    "👋 {} 🙏🏽",
    "Note: it rained. {} That is all.",
    "\u{200f}שלום \u{200e}{}",
    "> {}\n>\n> It was not me.",
];

/// The corpus that other detectors were asked about, too.
pub fn generated() -> Vec<Sample> {
    let mut random = Random(20_261_122);
    let mut samples = filled(&mut random, ROWS, NEAR_MISSES);
    for (index, text) in CLEAN.iter().enumerate() {
        samples.push(Sample {
            text: (*text).to_owned(),
            gold: Vec::new(),
            half: half(index),
            source: "clean",
        });
    }
    samples
}

/// What programs, letters and talk write, apart from the first corpus, which stays as it was.
pub fn forms() -> Vec<Sample> {
    let mut samples = filled(&mut Random(20_261_130), FORMS, NEAR_FORMS);
    for sample in &mut samples {
        sample.source = "forms";
    }
    samples
}

/// Ten rounds of every template with a value.
fn filled(random: &mut Random, rows: &[Row], near: &[(Make, &[&str])]) -> Vec<Sample> {
    let mut samples = Vec::new();
    for (kind, makes, templates) in rows {
        for round in 0..10 {
            for (index, template) in templates.iter().enumerate() {
                let value = makes[(round + index / 2) % makes.len()](random);
                samples.push(sample(random, template, &value, Some(kind), index));
            }
        }
    }
    for (make, templates) in near {
        for _ in 0..10 {
            for (index, template) in templates.iter().enumerate() {
                let value = make(random);
                samples.push(sample(random, template, &value, None, index));
            }
        }
    }
    samples
}

/// A sentence with a value in it, in a text around both.
fn sample(
    random: &mut Random,
    sentence: &str,
    value: &str,
    kind: Option<&str>,
    index: usize,
) -> Sample {
    let carrier = random.pick(CARRIERS);
    let (before, after) = sentence.split_once("{}").expect("a place for the value");
    let (head, tail) = carrier.split_once("{}").expect("a place for the sentence");
    let (before, after) = (unbraced(before), unbraced(after));
    let start = head.len() + before.len();
    let gold = kind.map(|kind| (kind.to_owned(), start..start + value.len()));
    let source = if kind.is_some() {
        "generated"
    } else {
        "near miss"
    };
    Sample {
        text: format!("{head}{before}{value}{after}{tail}"),
        gold: gold.into_iter().collect(),
        half: half(index),
        source,
    }
}

fn unbraced(text: &str) -> String {
    text.replace("{{", "{").replace("}}", "}")
}

fn half(index: usize) -> Half {
    match index % 2 {
        0 => Half::Development,
        _ => Half::HeldOut,
    }
}

/// Texts written and marked by hand: `[KIND text]`.
pub fn prose() -> Vec<Sample> {
    marked(include_str!("../../../tests/data/pii/prose.txt"))
}

/// Texts whose findings are held exactly.
pub fn cases() -> Vec<Sample> {
    marked(include_str!("cases.txt"))
}

fn marked(file: &str) -> Vec<Sample> {
    // No kind's name, no mark.
    let mark = |text: &str| {
        let (kind, value) = text.split_once(']')?.0.split_once(' ')?;
        escala_pipelines::pii::PiiKind::of_name(kind)?;
        Some((kind.to_owned(), value.to_owned()))
    };
    let lines = file.lines().filter(|line| !line.starts_with('#'));
    lines
        .enumerate()
        .map(|(index, line)| {
            let (mut text, mut gold) = (String::new(), Vec::new());
            let line = line.replace('⏎', "\n");
            let mut rest = line.as_str();
            while let Some((before, after)) = rest.split_once('[') {
                text.push_str(before);
                rest = after;
                let Some((kind, value)) = mark(after) else {
                    text.push('[');
                    continue;
                };
                gold.push((kind.clone(), text.len()..text.len() + value.len()));
                text.push_str(&value);
                rest = &after[kind.len() + value.len() + 2..];
            }
            text.push_str(rest);
            Sample {
                text,
                gold,
                half: half(index),
                source: "prose",
            }
        })
        .collect()
}
