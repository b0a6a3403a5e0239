//! Numbers that authorities publish as examples, and their near misses.

use super::*;
use crate::offsets::Offsets;
use crate::syntax::{Entity, EntityType, PartOfSpeech, Token};
use proptest::prelude::*;
use std::time::{Duration, Instant};

/// What is found in a text without a reading of it, as kinds and parts of the text.
fn found(text: &str) -> Vec<(&'static str, &str)> {
    shown(text, None)
}

fn shown<'t>(text: &'t str, syntax: Option<&Syntax>) -> Vec<(&'static str, &'t str)> {
    let found = detect(text, syntax).expect("no rule tears a character");
    let show = |entity: &PiiEntity| (entity.kind.name(), entity.extent.of(text));
    found.iter().map(show).collect()
}

#[track_caller]
fn finds(text: &str, kind: &str, part: &str) {
    assert_eq!(found(text), [(kind, part)], "{text}");
}

#[track_caller]
fn misses(text: &str) {
    assert_eq!(found(text), [], "{text}");
}

#[test]
fn cards_with_the_test_numbers_of_the_networks() {
    for number in [
        "4111 1111 1111 1111",
        "4111-1111-1111-1111",
        "5555555555554444",
        "2223003122003222",
        "378282246310005",
        "3714 496353 98431",
        "6011111111111117",
        "3530111333300000",
        "30569309025904",
        "4222222222222",
    ] {
        finds(
            &format!("paid with {number}."),
            "CREDIT_DEBIT_NUMBER",
            number,
        );
    }
    for text in [
        "paid with 4111 1111 1111 1112",
        "order 1234567812345670",
        "number 41111111111111112222",
        "x4111111111111111",
    ] {
        misses(text);
    }
    finds("the CVV is 737", "CREDIT_DEBIT_CVV", "737");
    finds("security code: 1234", "CREDIT_DEBIT_CVV", "1234");
    finds("card expires 08/27", "CREDIT_DEBIT_EXPIRY", "08/27");
    finds("Valid thru 11/2030", "CREDIT_DEBIT_EXPIRY", "11/2030");
    finds("her PIN is 4821.", "PIN", "4821");
    for text in [
        "score 08/27",
        "I saw 737 birds",
        "pin it to 4821 walls",
        "card expires 13/27",
    ] {
        misses(text);
    }
}

#[test]
fn banks() {
    // The SWIFT registry's examples.
    for number in [
        "GB29 NWBK 6016 1331 9268 19",
        "DE89370400440532013000",
        "ES91 2100 0418 4502 0005 1332",
        "NO93 8601 1117 947",
        "FR14 2004 1010 0505 0001 3M02 606",
        "MT84MALT011000012345MTLCAST001S",
    ] {
        finds(
            &format!("send it to {number} please"),
            "INTERNATIONAL_BANK_ACCOUNT_NUMBER",
            number,
        );
    }
    finds(
        "IBAN GB29 NWBK 6016 1331 9268 19 GBP",
        "INTERNATIONAL_BANK_ACCOUNT_NUMBER",
        "GB29 NWBK 6016 1331 9268 19",
    );
    misses("send it to GB28 NWBK 6016 1331 9268 19");
    misses("send it to XX29 NWBK 6016 1331 9268 19");
    finds("SWIFT: DEUTDEFF500", "SWIFT_CODE", "DEUTDEFF500");
    finds("the BIC is NEDSZAJJ", "SWIFT_CODE", "NEDSZAJJ");
    misses("the word PASSPORT and the CREDITOR");
    misses("SWIFT: DEUTQQFF");
    finds("routing number 021000021", "BANK_ROUTING", "021000021");
    finds("routing number 021000022", "BANK_ROUTING", "021000022");
    misses("the routing of parcel 021000022");
    // Banco de España's example in the IBAN registry, without the IBAN's head.
    finds(
        "Número de cuenta: 2100 0418 45 0200051332",
        "BANK_ACCOUNT_NUMBER",
        "2100 0418 45 0200051332",
    );
    misses("ticket 021000021");
    finds(
        "account number 000123456789",
        "BANK_ACCOUNT_NUMBER",
        "000123456789",
    );
    misses("invoice number 000123456789");
}

#[test]
fn networks() {
    finds(
        "write to ada.lovelace+x@mail.example.co.uk.",
        "EMAIL",
        "ada.lovelace+x@mail.example.co.uk",
    );
    misses("ada..x@example.com is no address");
    finds(
        "see https://example.com/a?b=c#d).",
        "URL",
        "https://example.com/a?b=c#d",
    );
    finds("see www.example.org, please", "URL", "www.example.org");
    finds("see example.com/path for more", "URL", "example.com/path");
    finds("from 192.0.2.44 today", "IP_ADDRESS", "192.0.2.44");
    finds(
        "from 2001:db8::8a2e:370:7334.",
        "IP_ADDRESS",
        "2001:db8::8a2e:370:7334",
    );
    finds("at fe80::1 and", "IP_ADDRESS", "fe80::1");
    finds("on ::1 only", "IP_ADDRESS", "::1");
    finds("mac 00:00:5E:00:53:AF", "MAC_ADDRESS", "00:00:5E:00:53:AF");
    finds("mac 00-00-5e-00-53-af", "MAC_ADDRESS", "00-00-5e-00-53-af");
    for text in [
        "version 1.2.3.4",
        "v1.2.3.4",
        "1.2.3.4.5",
        "256.1.1.1",
        "std::vec a::b dead::beef?",
        "ratio 1:2:3",
        "00:00:5E:00:53",
        "https:// and www.",
    ] {
        let kinds: Vec<_> = found(text)
            .into_iter()
            .filter(|(_, part)| *part != "dead::beef")
            .collect();
        assert_eq!(kinds, [], "{text}");
    }
}

#[test]
fn accounts() {
    // The example pair of AWS's documentation.
    let text = "AKIAIOSFODNN7EXAMPLE with secret wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
    assert_eq!(
        found(text),
        [
            ("AWS_ACCESS_KEY", "AKIAIOSFODNN7EXAMPLE"),
            ("AWS_SECRET_KEY", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")
        ]
    );
    misses("aws commit da39a3ee5e6b4b0d3255bfef95601890afd80709");
    misses("hash wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY");
    finds("username: jdoe42", "USERNAME", "jdoe42");
    finds("follow @ada_l now", "USERNAME", "@ada_l");
    misses("the user name is required");
    finds("password: hunter2.", "PASSWORD", "hunter2");
    finds("my password is \"tr0ub4dor&3\"", "PASSWORD", "tr0ub4dor&3");
    finds("la contraseña es Abc.123!x", "PASSWORD", "Abc.123!x");
    misses("the password is wrong");
    misses("passwords matter");
}

#[test]
fn vehicles() {
    finds(
        "car 1M8GDM9AXKP042788 sold",
        "VEHICLE_IDENTIFICATION_NUMBER",
        "1M8GDM9AXKP042788",
    );
    finds(
        "VIN WVWZZZ1JZXW000001",
        "VEHICLE_IDENTIFICATION_NUMBER",
        "WVWZZZ1JZXW000001",
    );
    misses("car 1M8GDM9A1KP042788 sold");
    finds("licence plate AB12 CDE", "LICENSE_PLATE", "AB12 CDE");
    finds("license plate: 7ABC123", "LICENSE_PLATE", "7ABC123");
    misses("room AB12 CDE");
}

#[test]
fn telephones() {
    for number in [
        "(206) 555-0100",
        "206-555-0100",
        "206.555.0100",
        "+1 206 555 0100",
        "+44 20 7946 0958",
        "+34 612 345 678",
    ] {
        finds(&format!("It is {number}."), "PHONE", number);
    }
    finds("call 2065550100 now", "PHONE", "2065550100");
    finds("phone 020 7946 0958", "PHONE", "020 7946 0958");
    finds("teléfono 612 34 56 78", "PHONE", "612 34 56 78");
    for text in [
        "order 2065550100",
        "911-911-0100",
        "123-456-7890",
        "1206-555-01000",
    ] {
        misses(text);
    }
}

#[test]
fn identities_of_the_united_states() {
    finds("SSN 219-09-9999", "SSN", "219-09-9999");
    finds("it is 219-09-9999", "SSN", "219-09-9999");
    finds("ssn: 219099999", "SSN", "219099999");
    finds(
        "his 912-70-1234 is",
        "US_INDIVIDUAL_TAX_IDENTIFICATION_NUMBER",
        "912-70-1234",
    );
    for text in [
        "000-12-3456",
        "666-12-3456",
        "219-00-9999",
        "219-09-0000",
        "987-65-4320-1",
        "912-93-1234",
        "part 219099999",
    ] {
        misses(text);
    }
}

#[test]
fn identities_of_the_united_kingdom() {
    finds(
        "NI AB 12 34 56 C",
        "UK_NATIONAL_INSURANCE_NUMBER",
        "AB 12 34 56 C",
    );
    for text in ["QQ123456C", "BG123456C", "AB123456E", "AO123456C"] {
        misses(text);
    }
    finds(
        "NHS number 943 476 5919",
        "UK_NATIONAL_HEALTH_SERVICE_NUMBER",
        "943 476 5919",
    );
    finds(
        "NHS number 943 476 5918",
        "UK_NATIONAL_HEALTH_SERVICE_NUMBER",
        "943 476 5918",
    );
    misses("the NHS moved 943 476 5918 files");
    finds(
        "UTR 1123456789",
        "UK_UNIQUE_TAXPAYER_REFERENCE_NUMBER",
        "1123456789",
    );
    misses("reference 1123456789");
}

#[test]
fn identities_of_canada_and_india() {
    finds(
        "SIN 046 454 286",
        "CA_SOCIAL_INSURANCE_NUMBER",
        "046 454 286",
    );
    finds(
        "SIN 046 454 287",
        "CA_SOCIAL_INSURANCE_NUMBER",
        "046 454 287",
    );
    finds(
        "health card 9876 543 217",
        "CA_HEALTH_NUMBER",
        "9876 543 217",
    );
    finds("Aadhaar 9999 4105 7058", "IN_AADHAAR", "9999 4105 7058");
    finds("999971658847 is my aadhaar", "IN_AADHAAR", "999971658847");
    finds("Aadhaar 9999 4105 7059", "IN_AADHAAR", "9999 4105 7059");
    misses("Aadhaar counts 9999 4105 7059");
    finds(
        "PAN ABCPE1234F",
        "IN_PERMANENT_ACCOUNT_NUMBER",
        "ABCPE1234F",
    );
    finds(
        "PAN ABCDE1234F",
        "IN_PERMANENT_ACCOUNT_NUMBER",
        "ABCDE1234F",
    );
    misses("part ABCDE1234F");
    finds("voter id ABC1234567", "IN_VOTER_NUMBER", "ABC1234567");
    misses("part ABC1234567");
    finds(
        "job card RJ-08-006-004-001/245",
        "IN_NREGA",
        "RJ-08-006-004-001/245",
    );
}

#[test]
fn documents_of_travel_and_driving() {
    finds("passport no. C03005988", "PASSPORT_NUMBER", "C03005988");
    finds("driver's license D1234567", "DRIVER_ID", "D1234567");
    finds("it is MORGA753116SM9IJ", "DRIVER_ID", "MORGA753116SM9IJ");
    misses("part C03005988 and D1234567");
}

#[test]
fn dates_times_and_ages() {
    for text in [
        "2024-02-29",
        "02/29/2024",
        "January 19, 2020",
        "3rd of May 1999",
        "11 am",
        "14:30",
        "2024-02-29T12:00:00Z",
        "19 de enero de 2020",
    ] {
        finds(text, "DATE_TIME", text);
    }
    finds("I am 40 years old", "AGE", "40 years");
    finds("a 7-year-old dog", "AGE", "7-year");
    finds("Age: 31", "AGE", "31");
    finds("tengo 34 años", "AGE", "34 años");
    for text in [
        "2024-13-01",
        "for 40 years",
        "140 years old",
        "page 11",
        "1/2",
        "25:61",
    ] {
        misses(text);
    }
}

/// A reading with these entities, every word of them a proper noun.
fn reading(text: &str, entities: &[(&str, &str)]) -> Syntax {
    let offsets = Offsets::new(text);
    let mut syntax = Syntax::default();
    for (part, label) in entities {
        let start = text.find(part).expect("a part of the text");
        let extent = offsets.extent(start..start + part.len()).expect("fits");
        syntax.tokens.push(Token {
            extent,
            part_of_speech: PartOfSpeech::ProperNoun,
            score: 1.0,
            tag: "NNP".into(),
            lemma: (*part).into(),
            dependency: "ROOT".into(),
            head: syntax.tokens.len(),
        });
        // The last letters are a token of their own, as a possessive is.
        syntax.entities.push(Entity {
            extent,
            kind: EntityType::Other,
            label: (*label).into(),
            score: 0.875,
        });
        let word = part
            .split(' ')
            .find(|word| !word.ends_with('.'))
            .unwrap_or(part);
        let at = start + part.find(word).unwrap_or(0);
        let word = offsets.extent(at..at + word.len()).expect("fits");
        if let Some(token) = syntax.tokens.last_mut() {
            token.extent = word;
        }
    }
    syntax
}

#[test]
fn names_addresses_and_dates_of_a_reading() {
    let text = "Dr. Ada Lovelace lives in London since last spring. Email ada@example.com, card 4111111111111111.";
    let syntax = reading(
        text,
        &[
            ("Dr. Ada Lovelace", "PERSON"),
            ("London", "GPE"),
            ("last spring", "DATE"),
            ("Email", "PERSON"),
            ("4111111111111111", "DATE"),
        ],
    );
    assert_eq!(
        shown(text, Some(&syntax)),
        [
            ("NAME", "Ada Lovelace"),
            ("ADDRESS", "London"),
            ("DATE_TIME", "last spring"),
            ("EMAIL", "ada@example.com"),
            ("CREDIT_DEBIT_NUMBER", "4111111111111111"),
        ]
    );
    let text = "Ship it to 100 Main Street, Apt 4B, Anytown, WA 98121-1234 or 10 Downing Street, London SW1A 2AA. France won.";
    let syntax = reading(text, &[("London", "GPE"), ("France", "GPE")]);
    assert_eq!(
        shown(text, Some(&syntax)),
        [
            ("ADDRESS", "100 Main Street, Apt 4B, Anytown, WA 98121-1234"),
            ("ADDRESS", "10 Downing Street, London SW1A 2AA"),
        ]
    );
    let text = "👋 Write to Ada O'Neil-Byron or RT @user: today";
    let people = [
        ("👋 Write", "PERSON"),
        ("Ada O'Neil-Byron", "PERSON"),
        ("RT @user:", "PERSON"),
    ];
    let found = shown(text, Some(&reading(text, &people)));
    assert_eq!(found, [("NAME", "Ada O'Neil-Byron"), ("USERNAME", "@user")]);
    let text = "Reference 4111 1111 1111 2012, since 1999";
    let dates = [("4111 1111 1111 2012", "DATE"), ("1999", "DATE")];
    let found = shown(text, Some(&reading(text, &dates)));
    assert_eq!(found, [("DATE_TIME", "1999")]);
    let text = "Dear Team, my name is Grace Hopper. The annual cost is for three days.";
    let syntax = reading(text, &[("annual", "DATE"), ("three days", "DATE")]);
    assert_eq!(shown(text, Some(&syntax)), [("NAME", "Grace Hopper")]);
}

#[test]
fn offsets_count_characters() {
    let text = "¡Hola 👋🏽! Correo: zoë@x.com no, ada@example.com sí";
    let found = detect(text, None).expect("fits");
    let mail = found
        .iter()
        .find(|entity| entity.extent.of(text) == "ada@example.com");
    let mail = mail.expect("found");
    assert_eq!(
        mail.extent.begin,
        text.chars().count() - "ada@example.com sí".chars().count()
    );
    assert_eq!(mail.extent.end - mail.extent.begin, 15);
}

#[test]
fn better_evidence_wins_then_the_longer() {
    let all = |kind, bytes, score, evidence| Found {
        kind,
        bytes,
        score,
        evidence,
    };
    let settled = settle(vec![
        all(PiiKind::Name, 0..30, 1.0, Evidence::Model),
        all(PiiKind::Phone, 5..20, 1.0, Evidence::Pattern),
        all(PiiKind::Ssn, 18..22, 1.0, Evidence::Checksum),
        all(PiiKind::Email, 22..40, 0.5, Evidence::Pattern),
        all(PiiKind::Url, 24..40, 0.9, Evidence::Pattern),
    ]);
    let kinds: Vec<_> = settled.iter().map(|found| found.kind).collect();
    assert_eq!(kinds, [PiiKind::Ssn, PiiKind::Email]);
}

#[test]
fn labels_are_the_best_of_each_kind() {
    let text = "123 206-555-0100, call 206-555-0101, a@example.com";
    let found = detect(text, None).expect("fits");
    let labels = labels(&found);
    let best = |kind| {
        let scores = found.iter().filter(|entity| entity.kind == kind);
        (kind, scores.map(|entity| entity.score).fold(0.0, f32::max))
    };
    let mut wanted = [best(PiiKind::Email), best(PiiKind::Phone)];
    wanted.sort_by(|a, b| b.1.total_cmp(&a.1));
    assert_eq!(labels, wanted);
    assert!(found.len() > labels.len(), "two numbers, one label");
}

#[test]
fn extensions_only_where_they_are_asked_for() {
    // Examples of the Ministry of the Interior and of the Tax Agency; companies' public numbers.
    let text = "DNI 12345678Z, NIE X1234567L, CIF A58818501 y Q2826000H; dni 12.345.678-Z";
    assert_eq!(found(text), []);
    let extended = detect_extended(text, None).expect("no rule tears a character");
    let shown: Vec<_> = extended
        .iter()
        .map(|entity| (entity.kind.name(), entity.extent.of(text)))
        .collect();
    assert_eq!(
        shown,
        [
            ("ES_DNI", "12345678Z"),
            ("ES_NIE", "X1234567L"),
            ("ES_CIF", "A58818501"),
            ("ES_CIF", "Q2826000H"),
            ("ES_DNI", "12.345.678-Z"),
        ]
    );
    assert!(
        shown.len() == 5
            && PiiKind::ALL
                .iter()
                .filter(|kind| !kind.is_extension())
                .count()
                == 36
    );
    for wrong in [
        "12345678A",
        "X1234567A",
        "A58818502",
        "Q2826000A",
        "A5881850H",
    ] {
        let text = format!("es {wrong}");
        assert_eq!(
            detect_extended(&text, None).expect("searched"),
            [],
            "{wrong}"
        );
    }
    let text = "IBAN ES91 2100 0418 4502 0005 1332";
    let account = detect(text, None).expect("searched");
    assert_eq!(iban_country(text, &account[0]), Some("ES"));
}

proptest! {
    #[test]
    fn any_text_is_searched_and_nothing_overlaps(text in "(?:\\PC|[0-9@:./ -]|GB29|pin |é){0,120}") {
        let found = detect(&text, None).expect("no rule tears a character");
        for pair in found.windows(2) {
            prop_assert!(pair[0].extent.end_byte <= pair[1].extent.begin_byte);
        }
        for entity in &found {
            prop_assert!(!entity.extent.of(&text).is_empty());
            prop_assert!(entity.score > 0.0 && entity.score <= 1.0);
        }
    }
}

#[test]
fn time_grows_with_the_length_of_hostile_readings() {
    // Each word is a person or a place; each other word an address on the network or a code of the post.
    let unit = "Ada Rome 1.1.1.1 WA 98121, Oslo ";
    let text = unit.repeat(1_000_000 / unit.len());
    let offsets = Offsets::new(&text);
    let mut syntax = Syntax::default();
    for start in (0..text.len()).step_by(unit.len()) {
        for (at, word, label) in [
            (0, "Ada", "PERSON"),
            (4, "Rome", "GPE"),
            (27, "Oslo", "GPE"),
        ] {
            let extent = offsets
                .extent(start + at..start + at + word.len())
                .expect("fits");
            syntax.tokens.push(Token {
                extent,
                part_of_speech: PartOfSpeech::ProperNoun,
                score: 1.0,
                tag: "NNP".into(),
                lemma: word.into(),
                dependency: "ROOT".into(),
                head: syntax.tokens.len(),
            });
            syntax.entities.push(Entity {
                extent,
                kind: EntityType::Other,
                label: label.into(),
                score: 0.5,
            });
        }
    }
    let start = Instant::now();
    let found = detect(&text, Some(&syntax)).expect("no rule tears a character");
    let took = start.elapsed();
    assert!(found.len() > 60_000, "{}", found.len());
    assert!(took < Duration::from_secs(20), "{took:?}");
}

#[test]
fn time_grows_with_the_length_of_hostile_texts() {
    // 100 KB each; whatever is quadratic takes minutes here.
    for unit in [
        "1",
        "1 ",
        "a",
        "a@",
        "a.",
        "@a",
        "::",
        "1:",
        "AB",
        "GB29",
        "password:",
        "4111 ",
        "1.1.1.",
        "pin ",
        "https://",
        "é",
        "\u{0}",
        "x@b.co-",
        "Mr. A",
        "1 Main ",
        "a-",
        "Hi Al,\n",
        "Regards,\n",
        "I'm Al",
        "my name is a ",
        "password=\"",
        "password='",
        "password is ",
        "login: a/",
        "<password>",
        "a://b:",
        "user=a&",
        "x://a@",
        "tel 1 ",
        "0044 7 ",
        "card 4111 ",
        "XXX",
        "account 1-",
        "B-AB 1",
        "A-1-",
        "1 Al St N, ",
        "Apt 1, 1 ",
        "Boise, ID 83702 ",
        "1 year old ",
        "5 Mar 84 ",
        "no. ",
        "? ",
        "order ",
        "\n\n- Al",
        ".\n",
    ] {
        let text = unit.repeat(100_000 / unit.len());
        let start = Instant::now();
        detect(&text, None).expect("no rule tears a character");
        let took = start.elapsed();
        assert!(took < Duration::from_secs(10), "{unit:?} took {took:?}");
    }
}
