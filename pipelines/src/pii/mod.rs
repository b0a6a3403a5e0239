//! Personal data in a text: Comprehend's 36 kinds, by rules and by the names that the English model reads.
//!
//! [`detect`] runs every family of rules over a [`page::Page`], adds what [`person`] makes of the model's
//! reading, and settles overlaps: what a checksum proves goes before what a pattern matches, that before what
//! the model thinks, and among equals the longest wins. A rule is a public one, cited where it stands.
//!
//! | file | kinds |
//! | --- | --- |
//! | [`cards`] | card number, CVV, expiry, PIN |
//! | [`bank`] | IBAN, SWIFT, US routing and account numbers |
//! | [`network`] | e-mail, URL, IP and MAC addresses |
//! | [`secrets`] | user names, passwords, AWS keys |
//! | [`vehicle`] | VIN, licence plates |
//! | [`phone`] | telephone numbers |
//! | [`usa`], [`uk`], [`canada`], [`india`] | identity numbers of these countries |
//! | [`documents`] | passports, driving licences of any country |
//! | [`time`] | dates, times, ages |
//! | [`person`] | names, addresses: what the reading and these two say of them |
//! | [`letters`] | titles, greetings, closings and introductions around names |
//! | [`places`] | parts of addresses |
//! | [`spain`] | identity numbers of Spain, which Comprehend does not know: only where they are asked for |
//!
//! What is found by the shape of digits alone needs a checksum or a word beside it that says what it is
//! (`routing`, `PIN`, `passport`): a number without either is not reported. Of several words the nearest in the same
//! sentence says it, those of orders and invoices included ([`page::Page::announced`]); behind the word itself
//! ([`page::Page::led`]) a number is reported without its proof, as [`UNPROVEN`].
//!
//! Spanish texts get the rules and their Spanish words, for names and addresses, too; what only a reading tells is added
//! where the caller brings one ([`PiiInput::may_be_read`]), because the Spanish model is not on every machine.
//!
//! Rules have scores of their own ([`SURE`] and below), set by hand; [`calibration`] makes them what was right on
//! texts with known answers, which are English: what rests on the reading of a Spanish text keeps the model's score. Every search is a finite automaton's with bounded look around it, so that time grows with the length of the text
//! whatever the text is.

pub mod bank;
pub mod calibration;
pub mod canada;
pub mod cards;
pub mod checksum;
pub mod documents;
pub mod india;
pub mod letters;
pub mod network;
pub mod page;
pub mod person;
pub mod phone;
pub mod places;
pub mod redact;
pub mod secrets;
pub mod spain;
pub mod time;
pub mod uk;
pub mod usa;
pub mod vehicle;

use crate::error::Result;
use crate::offsets::{Extent, Offsets};
use crate::syntax::{LIMITS, MODEL, SharedEnglish, Syntax, SyntaxInput, analyse, names, read};
use crate::task::{Limits, LoadContext, Pipeline, Task, Unit, each, shown};
use escala_models::Compute;
use escala_models::spacy::{English, Language};
use page::Page;
use serde::{Deserialize, Serialize};
use std::ops::Range;
use std::sync::Arc;

/// Languages that texts may be in.
pub const LANGUAGES: &[&str] = &["en", "es"];

/// Those of them whose texts are read for names, places and dates.
pub const READ: &[&str] = &["en"];

/// Those of them that are searched for all names and places where a reading of the text is brought, and without one
/// for those that their shape tells.
pub const READ_IF_PRESENT: &[&str] = &["es"];

/// A checksum holds, and the shape or a word beside it says what it is.
pub const SURE: f32 = 0.99;
/// The shape is rarely anything else, or a word beside a common shape says what it is.
pub const LIKELY: f32 = 0.9;
/// The shape is common, and only weak signs say what it is.
pub const PLAUSIBLE: f32 = 0.7;
/// A word directly before says what it is, and the check digits that it should have do not hold: a slip, an example,
/// or a number of another authority.
pub const UNPROVEN: f32 = 0.6;

names! {
    /// A kind of personal data, as Comprehend names them.
    PiiKind {
        /// Number of a bank account.
        BankAccountNumber = "BANK_ACCOUNT_NUMBER",
        /// Routing number of a bank.
        BankRouting = "BANK_ROUTING",
        /// Number of a credit or debit card.
        CreditDebitNumber = "CREDIT_DEBIT_NUMBER",
        /// Verification code of a card.
        CreditDebitCvv = "CREDIT_DEBIT_CVV",
        /// Expiry date of a card.
        CreditDebitExpiry = "CREDIT_DEBIT_EXPIRY",
        /// Personal identification number.
        Pin = "PIN",
        /// E-mail address.
        Email = "EMAIL",
        /// Postal address or a part of one.
        Address = "ADDRESS",
        /// Name of a person.
        Name = "NAME",
        /// Telephone number.
        Phone = "PHONE",
        /// Social Security number of the United States.
        Ssn = "SSN",
        /// Date or time.
        DateTime = "DATE_TIME",
        /// Passport number.
        PassportNumber = "PASSPORT_NUMBER",
        /// Number of a driving licence.
        DriverId = "DRIVER_ID",
        /// Web address.
        Url = "URL",
        /// Age of a person.
        Age = "AGE",
        /// User name of an account.
        Username = "USERNAME",
        /// Password.
        Password = "PASSWORD",
        /// Identifier of an AWS access key.
        AwsAccessKey = "AWS_ACCESS_KEY",
        /// Secret of an AWS access key.
        AwsSecretKey = "AWS_SECRET_KEY",
        /// IPv4 or IPv6 address.
        IpAddress = "IP_ADDRESS",
        /// Hardware address of a network card.
        MacAddress = "MAC_ADDRESS",
        /// Licence plate of a vehicle.
        LicensePlate = "LICENSE_PLATE",
        /// Vehicle identification number.
        VehicleIdentificationNumber = "VEHICLE_IDENTIFICATION_NUMBER",
        /// National Insurance number of the United Kingdom.
        UkNationalInsuranceNumber = "UK_NATIONAL_INSURANCE_NUMBER",
        /// Social Insurance number of Canada.
        CaSocialInsuranceNumber = "CA_SOCIAL_INSURANCE_NUMBER",
        /// Individual taxpayer identification number of the United States.
        UsIndividualTaxIdentificationNumber = "US_INDIVIDUAL_TAX_IDENTIFICATION_NUMBER",
        /// Unique Taxpayer Reference of the United Kingdom.
        UkUniqueTaxpayerReferenceNumber = "UK_UNIQUE_TAXPAYER_REFERENCE_NUMBER",
        /// Permanent Account Number of India.
        InPermanentAccountNumber = "IN_PERMANENT_ACCOUNT_NUMBER",
        /// Number of a job card under India's rural employment act.
        InNrega = "IN_NREGA",
        /// International bank account number.
        InternationalBankAccountNumber = "INTERNATIONAL_BANK_ACCOUNT_NUMBER",
        /// Business identifier code of a bank.
        SwiftCode = "SWIFT_CODE",
        /// National Health Service number of the United Kingdom.
        UkNationalHealthServiceNumber = "UK_NATIONAL_HEALTH_SERVICE_NUMBER",
        /// Health number of a Canadian province.
        CaHealthNumber = "CA_HEALTH_NUMBER",
        /// Aadhaar number of India.
        InAadhaar = "IN_AADHAAR",
        /// Number of a voter's card of India.
        InVoterNumber = "IN_VOTER_NUMBER",
        /// National identity number of Spain; an extension.
        EsDni = "ES_DNI",
        /// Identity number of a foreigner in Spain; an extension.
        EsNie = "ES_NIE",
        /// Fiscal number of a legal person in Spain; an extension.
        EsCif = "ES_CIF",
    }
}

impl PiiKind {
    /// Whether Comprehend does not know it: found only where extensions are asked for.
    pub fn is_extension(self) -> bool {
        matches!(self, Self::EsDni | Self::EsNie | Self::EsCif)
    }

    /// The kind with this name.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.name() == name)
    }
}

/// The country of an account's IBAN, ISO 3166-1: the first two letters of what a finding covers.
pub fn iban_country<'t>(text: &'t str, entity: &PiiEntity) -> Option<&'t str> {
    let number = entity.extent.of(text);
    match entity.kind {
        PiiKind::InternationalBankAccountNumber => number.get(..2),
        _ => None,
    }
}

names! {
    /// What a finding rests on; the weaker first.
    Evidence {
        /// The model's reading.
        Model = "model",
        /// The shape, with or without a word beside it.
        Pattern = "pattern",
        /// A checksum.
        Checksum = "checksum",
    }
}

/// A text to search.
#[derive(Clone, Debug, PartialEq)]
pub struct PiiInput {
    text: Arc<str>,
    language: Box<str>,
    extended: bool,
    reading: Option<Arc<Syntax>>,
}

impl PiiInput {
    /// A text in one of the [`LANGUAGES`]; the model reads those in one of [`READ`].
    pub fn new(text: Arc<str>, language: &str) -> Self {
        Self {
            text,
            language: language.into(),
            extended: false,
            reading: None,
        }
    }

    /// With the kinds that Comprehend does not know ([`PiiKind::is_extension`]), or without.
    pub fn extended(self, extended: bool) -> Self {
        Self { extended, ..self }
    }

    /// Whether the kinds that Comprehend does not know are asked for.
    pub fn is_extended(&self) -> bool {
        self.extended
    }

    /// With a reading of the text that was made already, so that the model need not read it again.
    pub fn read(self, reading: Arc<Syntax>) -> Self {
        Self {
            reading: Some(reading),
            ..self
        }
    }

    /// Whether the model has to read the text: a language that it reads, and no reading yet.
    pub fn needs_reading(&self) -> bool {
        READ.contains(&&*self.language) && self.reading.is_none()
    }

    /// Whether a reading would add names and places: a language whose model may be absent, and no reading yet.
    pub fn may_be_read(&self) -> bool {
        READ_IF_PRESENT.contains(&&*self.language) && self.reading.is_none()
    }

    /// What a reading of the text is asked with.
    pub fn to_read(&self) -> SyntaxInput {
        SyntaxInput::new(self.text.clone(), &self.language)
    }

    /// The text.
    pub fn text(&self) -> &str {
        &self.text
    }
}

/// A piece of personal data.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct PiiEntity {
    /// Where it stands.
    pub extent: Extent,
    /// What it is.
    pub kind: PiiKind,
    /// How likely it is right, 0 to 1.
    pub score: f32,
    /// What it rests on.
    pub evidence: Evidence,
}

/// The personal data in a text, in its order; no two overlap.
pub type Pii = Vec<PiiEntity>;

/// The kinds found, each with its best score, the best first.
pub fn labels(found: &[PiiEntity]) -> Vec<(PiiKind, f32)> {
    let mut labels: Vec<(PiiKind, f32)> = Vec::new();
    for entity in found {
        match labels.iter_mut().find(|(kind, _)| *kind == entity.kind) {
            Some((_, best)) => *best = best.max(entity.score),
            None => labels.push((entity.kind, entity.score)),
        }
    }
    labels.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    labels
}

/// Something that a rule found.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// What it is.
    pub kind: PiiKind,
    /// The bytes it covers.
    pub bytes: Range<usize>,
    /// How sure the rule is, 0 to 1.
    pub score: f32,
    /// What it rests on.
    pub evidence: Evidence,
}

/// Finds the personal data in a text, with the model's reading of it where there is one.
///
/// # Errors
/// `Internal` when a rule speaks of half a character.
pub fn detect(text: &str, syntax: Option<&Syntax>) -> Result<Pii> {
    search(text, syntax, false)
}

/// [`detect`], and the kinds that Comprehend does not know.
///
/// # Errors
/// As [`detect`].
pub fn detect_extended(text: &str, syntax: Option<&Syntax>) -> Result<Pii> {
    search(text, syntax, true)
}

fn search(text: &str, syntax: Option<&Syntax>, extended: bool) -> Result<Pii> {
    found_in(text, &person::ENGLISH, syntax, extended, calibration::score)
}

/// [`search`] in a Spanish text. The model's scores of names are not those that were calibrated.
fn search_spanish(text: &str, syntax: Option<&Syntax>, extended: bool) -> Result<Pii> {
    found_in(
        text,
        &person::SPANISH,
        syntax,
        extended,
        |found| match found.evidence {
            Evidence::Model => found.score,
            Evidence::Pattern | Evidence::Checksum => calibration::score(found),
        },
    )
}

fn found_in(
    text: &str,
    tongue: &person::Tongue,
    syntax: Option<&Syntax>,
    extended: bool,
    score: fn(&Found) -> f32,
) -> Result<Pii> {
    let offsets = Offsets::new(text);
    let entity = |found: Found| {
        Ok(PiiEntity {
            score: score(&found),
            extent: offsets.extent(found.bytes)?,
            kind: found.kind,
            evidence: found.evidence,
        })
    };
    all(text, tongue, syntax, extended)
        .into_iter()
        .map(entity)
        .collect()
}

/// What the rules find in an English text, overlaps settled, with the rules' own scores.
pub fn findings(text: &str, syntax: Option<&Syntax>, extended: bool) -> Vec<Found> {
    all(text, &person::ENGLISH, syntax, extended)
}

fn all(text: &str, tongue: &person::Tongue, syntax: Option<&Syntax>, extended: bool) -> Vec<Found> {
    const FAMILIES: [fn(&Page<'_>, &mut Vec<Found>); 12] = [
        network::find,
        secrets::find,
        cards::find,
        bank::find,
        usa::find,
        uk::find,
        canada::find,
        india::find,
        documents::find,
        vehicle::find,
        phone::find,
        time::find,
    ];
    let page = Page::new(text);
    let mut found = Vec::new();
    for family in FAMILIES {
        family(&page, &mut found);
    }
    if extended {
        spain::find(&page, &mut found);
    }
    person::find(&page, tongue, syntax, &mut found);
    for found in &mut found {
        if HYPHENED.contains(&found.kind) {
            found.bytes = page.hyphened(found.bytes.clone());
        }
    }
    settle(found)
}

/// Numbers whose groups may stand between hyphens: what a hyphen joins to one is a part of it.
const HYPHENED: [PiiKind; 4] = [
    PiiKind::LicensePlate,
    PiiKind::DriverId,
    PiiKind::PassportNumber,
    PiiKind::BankAccountNumber,
];

/// Keeps the best of what overlaps: better evidence first, then the longest, then the highest score.
fn settle(mut found: Vec<Found>) -> Vec<Found> {
    found.sort_by(|a, b| {
        (b.evidence.cmp(&a.evidence))
            .then(b.bytes.len().cmp(&a.bytes.len()))
            .then(b.score.total_cmp(&a.score))
            .then(a.bytes.start.cmp(&b.bytes.start))
            .then(a.kind.cmp(&b.kind))
    });
    // Kept ranges by their start: a new one can only meet the one before it and the one after.
    let mut kept = std::collections::BTreeMap::<usize, Found>::new();
    for candidate in found {
        let before = kept.range(..candidate.bytes.end).next_back();
        if before.is_none_or(|(_, kept)| kept.bytes.end <= candidate.bytes.start) {
            kept.insert(candidate.bytes.start, candidate);
        }
    }
    kept.into_values().collect()
}

/// Personal data in a text.
#[derive(Clone, Default)]
pub struct PiiTask {
    english: SharedEnglish,
}

impl PiiTask {
    /// The task, on the copy of the model in this place.
    pub fn new(english: SharedEnglish) -> Self {
        Self { english }
    }
}

/// The loaded model and the rules.
pub struct PiiPipeline {
    english: Arc<English>,
}

impl Task for PiiTask {
    type Input = PiiInput;
    type Output = Pii;
    type Pipeline = PiiPipeline;

    fn name(&self) -> &'static str {
        "pii"
    }

    fn model(&self) -> &str {
        MODEL
    }

    fn unit(&self) -> Unit {
        Unit::Bytes
    }

    fn cost(&self, input: &PiiInput) -> u64 {
        // The rules alone are some twenty times faster than a reading.
        let bytes = input.text.len() as u64;
        let work = if input.needs_reading() {
            bytes
        } else {
            bytes / 16
        };
        work + 16
    }

    fn limits(&self) -> Limits {
        LIMITS
    }

    fn load(&self, context: &LoadContext<'_>) -> Result<PiiPipeline> {
        let english = self.english.load(context)?;
        Ok(PiiPipeline { english })
    }
}

impl Pipeline for PiiPipeline {
    type Input = PiiInput;
    type Output = Pii;

    fn memory(&self) -> u64 {
        self.english.memory()
    }

    fn sample(&self) -> PiiInput {
        PiiInput::new("Write to ada@example.com before noon.".into(), "en")
    }

    fn run(&self, compute: &Compute, batch: &[PiiInput]) -> Vec<Result<Pii>> {
        let answers = each(compute, batch, |input| {
            let text = &*input.text;
            if READ_IF_PRESENT.contains(&&*input.language) {
                let found = search_spanish(text, input.reading.as_deref(), input.extended)?;
                return Ok((found, 0));
            }
            let (made, tokens) = match input.needs_reading() {
                true => {
                    let document = analyse(&self.english, text);
                    let read = read(Language::English, text, &document)?;
                    (Some(read), document.tokens.len())
                }
                false => (None, 0),
            };
            let syntax = made.as_ref().or(input.reading.as_deref());
            Ok((search(text, syntax, input.extended)?, tokens))
        });
        shown(compute, answers)
    }
}

#[cfg(test)]
mod tests;
