//! Sentences that people write: the first corpus, and what looks like it and is none.

use super::values::*;
use super::{Make, Row};
use escala_pipelines::pii::checksum;

pub const ROWS: &[Row] = &[
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
pub const NEAR_MISSES: &[(Make, &[&str])] = &[
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
