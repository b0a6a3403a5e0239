//! What nouns and names are: lists of words, by hand and from WordNet.
//!
//! Comprehend publishes one line about each type; goods without a name are OTHER there (`burger`), qualities and
//! service ATTRIBUTE. A common noun gets its type from the lists below, which hold what reviews and messages mean
//! by a word, then from `data/noun_types.tsv` (WordNet; see `data/make_noun_types.py`); what neither knows is
//! OTHER. A name gets the type of its label of OntoNotes, unless the lists know it.

use super::TargetType;
use super::tree::Tree;
use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::sync::OnceLock;

/// A function that says whether a word is one of these.
macro_rules! words {
    ($(#[$about:meta])* $visible:vis fn $name:ident = $list:literal;) => {
        $(#[$about])*
        $visible fn $name(word: &str) -> bool {
            static SET: OnceLock<HashSet<&'static str>> = OnceLock::new();
            SET.get_or_init(|| $list.split_whitespace().collect())
                .contains(word)
        }
    };
}

/// Nouns by type, where WordNet's most frequent sense is not what people mean in a review, or it has none.
const NOUNS: &[(TargetType, &str)] = &[
    (
        TargetType::Person,
        "staff crew waiter waitress kid guest host guide support_team customer_support reception_staff folk guy \
         lady gentleman bloke lad mum mom dad grandma grandpa granny nan barista courier follower fan neighbour \
         neighbor colleague coworker co-worker roommate flatmate housekeeper receptionist developer dev designer \
         critic referee goalkeeper striker coach landlord landlady singer lead_singer drummer violinist guitarist \
         cast audience crowd people family couple parent husband wife partner boss manager owner seller driver \
         villager resident tenant patient passenger customer client employee worker cleaner nurse doctor dentist \
         vet police_officer cop firefighter analyst investor voter migrant refugee youngster teenager toddler baby",
    ),
    (
        TargetType::Location,
        "city town village country island beach coast lake river sea ocean mountain valley forest park neighbourhood \
         neighborhood area region state province county continent planet desert countryside waterfall trail",
    ),
    (
        TargetType::Organization,
        "company firm airline bank council committee government agency charity orchestra team club insurer insurance_company \
         supplier retailer police court parliament army university union ministry startup start-up court jury",
    ),
    (
        TargetType::Facility,
        "hotel hostel motel resort spa restaurant cafe café bar pub diner bakery shop store supermarket mall market \
         room bedroom bathroom kitchen lobby corridor hallway balcony terrace garden pool gym building tower \
         apartment flat house home cottage school college hospital clinic museum gallery theatre theater cinema \
         station airport terminal street road bridge highway motorway parking_lot car_park garage office factory \
         stadium church library zoo castle venue campsite reception toilet place",
    ),
    (
        TargetType::CommercialItem,
        "car bike bicycle motorcycle motorbike scooter truck lorry van bus coach tram train boat ship yacht ferry \
         plane aircraft helicopter taxi cab tractor caravan",
    ),
    (
        TargetType::Movie,
        "movie film show sequel prequel series sitcom documentary episode season blockbuster cartoon remake flick",
    ),
    (
        TargetType::Music,
        "song album music track single ballad remix tune playlist soundtrack symphony concerto",
    ),
    (
        TargetType::Book,
        "book novel trilogy textbook cookbook paperback hardback audiobook ebook e-book memoir biography",
    ),
    (
        TargetType::Software,
        "app application software website site program plugin browser update firmware operating_system web_site \
         portal platform chatbot webpage web_page extension",
    ),
    (
        TargetType::Game,
        "game chess poker football soccer tennis basketball baseball golf cricket rugby hockey puzzle board_game \
         video_game",
    ),
    (
        TargetType::Event,
        "concert festival wedding party conference election war meeting ceremony tournament lecture seminar workshop \
         exhibition tour trip hike holiday vacation gig premiere storm hurricane earthquake flood fire riot protest \
         strike robbery scandal interview match race sale summit reunion birthday funeral workshop launch webinar",
    ),
    (
        TargetType::Date,
        "today tomorrow yesterday tonight day night morning evening afternoon noon midnight week weekend month year \
         summer winter spring autumn decade century season_ticket",
    ),
    (
        TargetType::Quantity,
        "plenty dozen hundred thousand million billion percent percentage majority handful couple_of pair amount \
         cup litre liter kilo pound dollar euro cent minute second hour",
    ),
    (
        TargetType::Attribute,
        "service customer_service price cost value quality speed size colour color taste flavour flavor smell scent \
         texture design style look appearance performance comfort battery_life sound_quality picture_quality \
         build_quality location atmosphere ambience ambiance vibe decor décor temperature noise weather view parking \
         delivery shipping plot acting ending storyline pacing voice temperature weight height length width depth \
         fit finish durability reliability responsiveness brightness resolution contrast volume shape strength \
         weakness personality attitude courage patience kindness hospitality professionalism cleanliness safety \
         security privacy light silence nightlife selection variety choice availability experience mood humour humor \
         efficiency accuracy usability feel look-and-feel room_service check-in checkout check-out value_for_money \
         freshness presentation portion_size customer_support_quality range style",
    ),
    // WordNet's most frequent sense is something else here, and what is meant is of no type.
    (
        TargetType::Other,
        "fry chip battery screen display camera phone laptop keyboard food dish meal soup desert dessert drink coffee tea \
         steak fish chicken dog cat animal email e-mail message question answer problem issue thing way idea story \
         joke word page line part point case job work project product item order bed sofa chair table lift elevator \
         shower towel pillow mattress ticket refund fee bill cake bread bottle box parcel package suitcase bag \
         luggage sauce menu wine_list speaker headphone headset earbud server graphics photo picture video script \
         speech essay prize award gift rest one hour_hand present button key lock light_bulb network signal account \
         password feature bug crash system seat cushion dress shoe coat jacket fabric zip stylus case tablet book_case",
    ),
];

/// Well-known names by type.
const NAMES: &[(TargetType, &str)] = &[
    (
        TargetType::Brand,
        "sony bose samsung lg philips panasonic sennheiser jbl nike adidas puma reebok zara h&m uniqlo primark gucci \
         prada chanel rolex casio ikea bosch siemens_home dyson braun gillette nivea dove l'oréal maybelline lego mattel \
         nestlé nescafé coca-cola pepsi starbucks mcdonald's kfc subway burger_king heinz kellogg's toyota honda ford bmw \
         audi mercedes volkswagen vw tesla nissan hyundai kia volvo renault peugeot fiat ferrari porsche netflix disney \
         pixar hulu hbo ryanair easyjet levi's canon nikon gopro garmin fitbit logitech razer asus acer dell lenovo hp \
         xiaomi huawei oneplus motorola nokia nintendo patagonia columbia crocs",
    ),
    (
        TargetType::CommercialItem,
        "iphone ipad macbook imac kindle airpods galaxy pixel playstation ps4 ps5 xbox switch walkman echo chromebook \
         thinkpad surface corolla civic golf mustang roomba thermomix",
    ),
    (
        TargetType::Software,
        "windows linux ubuntu macos ios android excel word powerpoint outlook photoshop illustrator spotify deezer \
         instagram facebook twitter tiktok snapchat whatsapp telegram signal slack zoom skype teams chrome firefox safari \
         edge gmail google_maps youtube reddit linkedin pinterest uber airbnb duolingo netflix_app notion trello jira \
         github gitlab visual_studio xcode python java siri alexa chatgpt wikipedia paypal",
    ),
    (
        TargetType::Game,
        "minecraft fortnite tetris roblox pokémon pokemon zelda mario monopoly scrabble catan halo skyrim fifa overwatch \
         dota valorant",
    ),
    (
        TargetType::Location,
        "earth moon mars venus europe asia africa america",
    ),
    // Companies that other names' lists would make something else of.
    (
        TargetType::Organization,
        "apple microsoft google amazon ibm intel oracle lufthansa github_inc fedex ups dhl walmart costco ebay etsy best_buy \
         home_depot verizon comcast t-mobile vodafone hilton marriott hyatt wells_fargo wayfair lidl aldi tesco carrefour \
         doordash grubhub openai nvidia qualcomm spacex citibank american_express mastercard",
    ),
    (
        TargetType::Movie,
        "titanic inception avatar jaws alien gladiator casablanca star_wars the_godfather breaking_bad friends seinfeld",
    ),
];

words! {
    /// A well-known name that is also a common word or a place, in small letters.
    pub fn is_common_too = "apple amazon oracle dove puma columbia disney ford kia lg hp ups target galaxy \
    pixel switch echo surface civic golf mustang signal edge word excel outlook slack zoom teams notion uber windows java \
    python patagonia lego volvo ferrari";
}
words! {
    /// A well-known name that people have as well, in small letters.
    pub fn is_surname_too = "ford disney tesla dell honda porsche ferrari benz levi's kellogg's dyson chanel gucci prada braun \
    heinz bosch hyatt hilton philips audi mercedes lincoln carrefour";
}

words! {
    /// A title before a name, in small letters.
    pub fn is_title = "mr mr. mrs mrs. ms ms. miss dr dr. doctor professor prof prof. president senator governor mayor \
    sir dame lord lady king queen prince princess captain colonel general sergeant judge minister chancellor reverend \
    rev. father sister phd ph.d. md m.d. pope bishop rabbi imam";
}

words! {
    /// An adjective of reviews that is taken for a noun behind another one: "staff rude".
    pub fn is_adjective_too = "rude slow cold hot loud noisy dirty bland pricey cheap fresh stale friendly helpful tiny huge \
    spacious cramped comfy uncomfortable tasty delicious overpriced broken late awful amazing great good bad terrible poor \
    high low clean quiet";
}
words! {
    /// What a fan that blows is said to be.
    pub fn is_of_machines = "loud noisy quiet silent electric cooling ceiling exhaust broken built-in";
}

words! {
    /// A noun that names nothing by itself.
    pub fn is_empty_noun = "way lot bit kind sort sense fact course sake behalf regard regards instead thank thanks fault \
    clue favour favor fortune pro con kudo kudos congratulation";
}

/// Prepositions or verbs and nouns that mean something only together.
const FIXED: &[(&str, &str)] = &[
    ("on", "time"),
    ("in", "time"),
    ("at", "times"),
    ("of", "order"),
    ("in", "order"),
    ("by", "far"),
    ("in", "case"),
    ("for", "example"),
    ("for", "instance"),
    ("at", "least"),
    ("at", "all"),
    ("in", "general"),
    ("in", "particular"),
    ("on", "hand"),
    ("in", "end"),
    ("of", "time"),
    ("with", "ease"),
    ("on", "purpose"),
    ("by", "mistake"),
    ("for", "sure"),
    ("in", "detail"),
    ("on", "sale"),
    ("in", "place"),
    ("in", "touch"),
    ("at", "work"),
    ("for", "nothing"),
    ("take", "place"),
    ("take", "part"),
    ("take", "care"),
    ("take", "time"),
    ("make", "sense"),
    ("make", "sure"),
    ("pay", "attention"),
];

words! {
    /// A noun that, as a subject, is not what its predicate is: "my only complaint is the dustbin".
    pub fn only_presents = "complaint problem issue downside upside drawback thing reason highlight lowlight advantage \
    disadvantage question answer point difference favourite favorite best worst rest gripe quibble";
}
words! {
    /// A noun that, said of something, only judges it.
    pub fn only_judges = "dream nightmare joke delight joy pleasure treat treasure gem disaster mess shame pity disgrace \
    disappointment letdown rip-off ripoff scam fraud masterpiece triumph success failure flop waste bargain steal \
    blessing curse miracle wonder marvel beauty insult hero angel saint genius star legend idiot fool clown monster \
    crook thief liar jerk bully crap garbage rubbish trash junk crime scandal bore drag pain chore challenge lifesaver \
    must must-have winner loser hit miss classic embarrassment outrage tragedy farce fiasco catastrophe gimmick heaven \
    hell paradise bliss torture horror perfection revelation surprise winner must-see godsend lemon dud";
}

words! {
    /// A noun of one that means several people.
    pub fn is_collective = "staff crew team company airline bank family couple band group club government police \
    restaurant hotel shop store firm support agency council orchestra audience crowd cast school hospital management \
    reception seller support_team";
}

words! {
    fn is_female = "woman girl lady mother mum mom grandmother grandma granny sister daughter aunt niece wife \
    girlfriend waitress actress landlady queen princess hostess bride widow businesswoman housewife heroine duchess";
}
words! {
    fn is_male = "man boy guy gentleman father dad grandfather grandpa brother son uncle nephew husband boyfriend \
    landlord king prince groom widower businessman policeman fireman salesman lad bloke duke";
}
words! {
    fn is_female_name = "mary anna maria marta martha emma olivia sophia sophie julia laura sarah sara lisa linda \
    susan karen nancy betty helen sandra donna carol ruth sharon michelle emily kimberly deborah jessica elizabeth \
    barbara jennifer patricia margaret dorothy amy angela rebecca virginia kathleen pamela nadia priya carla grace chloe \
    mia isabella ava charlotte amelia ella lucy hannah alice jane kate katie claire rachel victoria diana eva nina clara \
    fatima aisha mei yuki ingrid adele beyoncé taylor grandma ada marie irene julie nicole natalie samantha zoe";
}
words! {
    fn is_male_name = "james john robert michael william david richard joseph thomas charles christopher daniel matthew \
    anthony mark donald steven paul andrew joshua kenneth kevin brian george timothy ronald edward jason jeffrey ryan \
    jacob gary nicholas eric jonathan stephen larry justin scott brandon benjamin ben samuel sam gregory alexander frank \
    patrick raymond jack dennis jerry tyler aaron jose adam nathan henry peter kyle tom tomas tim mike bob bill joe dan \
    dave steve barack abraham lincoln obama ahmed mohammed ali omar carlos luis marco hans pierre ivan oliver harry leo \
    noah liam lucas max felix oscar hugo simon martin";
}

words! {
    /// A measure of time.
    pub fn is_unit_of_time = "second minute hour day night week month year decade century";
}
words! {
    /// A verb whose `it` is the weather.
    pub fn is_weather = "rain snow hail drizzle pour thunder";
}

/// Gender that a word tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gender {
    /// Of a woman.
    Female,
    /// Of a man.
    Male,
    /// It does not tell.
    Open,
}

/// Gender that a noun of a person tells.
pub fn gender_of_noun(lemma: &str) -> Gender {
    gender(is_female(lemma), is_male(lemma))
}

/// Gender that a given name tells, in small letters.
pub fn gender_of_name(first: &str) -> Gender {
    gender(is_female_name(first), is_male_name(first))
}

fn gender(female: bool, male: bool) -> Gender {
    match (female, male) {
        (true, false) => Gender::Female,
        (false, true) => Gender::Male,
        _ => Gender::Open,
    }
}

/// A preposition or verb and a noun, in small letters, that mean something only together.
pub fn is_fixed(before: &str, noun: &str) -> bool {
    FIXED.contains(&(before, noun))
}

/// The words of a list, several joined by `_`, with their types; what stands first wins.
fn table(lists: &[(TargetType, &str)], table: &mut HashMap<String, TargetType>) {
    for (kind, words) in lists {
        for word in words.split_whitespace() {
            table.entry(word.replace('_', " ")).or_insert(*kind);
        }
    }
}

/// What a common noun names, if the lists know it; in small letters and the singular, several words with spaces.
pub fn of_noun(noun: &str) -> Option<TargetType> {
    static TABLE: OnceLock<HashMap<String, TargetType>> = OnceLock::new();
    let known = TABLE.get_or_init(|| {
        let mut known = HashMap::new();
        table(NOUNS, &mut known);
        for line in include_str!("../../data/noun_types.tsv").lines() {
            let fields = line.split_once('\t');
            let kind = |name| TargetType::ALL.iter().find(|kind| kind.name() == name);
            if let Some((word, kind)) = fields.and_then(|(word, name)| Some((word, kind(name)?))) {
                known.entry(word.to_owned()).or_insert(*kind);
            }
        }
        known
    });
    known.get(noun).copied()
}

/// What a well-known name names; in small letters.
pub fn of_known_name(name: &str) -> Option<TargetType> {
    static TABLE: OnceLock<HashMap<String, TargetType>> = OnceLock::new();
    let known = TABLE.get_or_init(|| {
        let mut known = HashMap::new();
        table(NAMES, &mut known);
        known
    });
    known.get(name).copied()
}

/// What a name names: what the lists know, else what its label says, with the nouns and verbs around it for the
/// titles of works.
pub fn of_name(tree: &Tree<'_>, label: &str, words: &Range<usize>, head: usize) -> TargetType {
    let text = tree.text_of(words).to_lowercase();
    let before = words.start.checked_sub(1);
    let owned = before.is_some_and(|before| {
        matches!(
            tree.lower(before),
            "a" | "an" | "new" | "my" | "this" | "his" | "her" | "our"
        )
    });
    match of_known_name(&text) {
        // "A Toyota" is one thing that Toyota made.
        Some(TargetType::Brand) if owned => return TargetType::CommercialItem,
        Some(TargetType::Movie) | None => {}
        Some(kind) => return kind,
    }
    let given = || gender_of_name(tree.lower(words.start)) != Gender::Open;
    match label {
        // The recogniser has not met the name.
        "GPE" | "ORG" | "" if words.len() == 1 && given() => TargetType::Person,
        "PERSON" => TargetType::Person,
        "ORG" => TargetType::Organization,
        "GPE" | "LOC" => TargetType::Location,
        "FAC" => {
            match text.ends_with("street") || text.ends_with("avenue") || text.ends_with("road") {
                true => TargetType::Location,
                false => TargetType::Facility,
            }
        }
        "NORP" => TargetType::Organization,
        "PRODUCT" => TargetType::CommercialItem,
        "EVENT" => TargetType::Event,
        "WORK_OF_ART" => work(tree, head)
            .or(of_known_name(&text))
            .unwrap_or(TargetType::Other),
        "" => of_known_name(&text)
            .or_else(|| work(tree, head))
            .unwrap_or(TargetType::Other),
        _ => of_known_name(&text).unwrap_or(TargetType::Other),
    }
}

/// What kind of work is spoken of, by the nearest word around its title that tells.
fn work(tree: &Tree<'_>, head: usize) -> Option<TargetType> {
    const REACH: usize = 12;
    let from = head.saturating_sub(REACH);
    let to = (head + REACH).min(tree.len());
    let mut near: Vec<usize> = (from..to).collect();
    near.sort_by_key(|word| word.abs_diff(head));
    near.into_iter().find_map(|word| match tree.lemma(word) {
        "watch" | "film" | "movie" | "cinema" | "actor" | "director" | "episode" | "season" => {
            Some(TargetType::Movie)
        }
        "read" | "book" | "novel" | "author" | "page" | "chapter" => Some(TargetType::Book),
        "listen" | "song" | "album" | "sing" | "band" | "track" => Some(TargetType::Music),
        "play" | "game" | "level" => Some(TargetType::Game),
        "app" | "software" | "install" => Some(TargetType::Software),
        _ => None,
    })
}
