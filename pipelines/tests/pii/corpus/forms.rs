//! Forms of programs, letters and talk, and what looks like them and is none.

use super::values::*;
use super::{Make, Row};
use escala_pipelines::pii::checksum;

/// Forms of programs, letters and talk, with values as they are written there.
pub const FORMS: &[Row] = &[
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
pub const NEAR_FORMS: &[(Make, &[&str])] = &[
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
