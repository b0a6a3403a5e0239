//! What AWS would have billed for a job, by its list prices (`prices.json`, which says of which day each list is).
//!
//! A comparison and no bill: free tiers, discounts for more than the first tier and the prices of storage are left out. Kinds
//! whose price is not in the list have none.

use crate::job::Usage;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::sync::LazyLock;

#[derive(Deserialize)]
struct Prices {
    lists: Vec<List>,
}

/// What somebody saw on a day.
#[derive(Deserialize)]
struct List {
    seen: String,
    kinds: BTreeMap<String, f64>,
}

static PRICES: LazyLock<Prices> = LazyLock::new(|| {
    serde_json::from_str(include_str!("prices.json")).expect("the lists of prices are JSON")
});

/// What AWS would have billed.
#[derive(Clone, Debug, PartialEq)]
pub struct Bill {
    /// US dollars.
    pub dollars: f64,
    /// The day of the list, `year-month-day`.
    pub seen: &'static str,
}

/// What AWS would have billed for so much of a kind.
pub fn bill(kind: &str, usage: &Usage) -> Option<Bill> {
    let priced = |list: &'static List| Some((list, list.kinds.get(kind)?));
    let (list, price) = PRICES.lists.iter().find_map(priced)?;
    Some(Bill {
        dollars: usage.units as f64 * price,
        seen: &list.seen,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_have_the_price_of_their_kind() {
        // The example of AWS's price list: 10,000 requests of 550 characters are 6 units each, and cost 6 dollars.
        let usage = Usage {
            units: 60_000,
            ..Usage::default()
        };
        let bill = bill("comprehend.sentiment", &usage).expect("a price");
        assert!((bill.dollars - 6.0).abs() < 1e-9);
        assert_eq!(bill.seen.len(), 10);
        // A thousand images of its group 2 are a dollar.
        let images = Usage {
            units: 1000,
            ..Usage::default()
        };
        let bill = super::bill("rekognition.moderation", &images).expect("a price");
        assert!((bill.dollars - 1.0).abs() < 1e-9);
        assert_eq!(super::bill("comprehend.unheard-of", &usage), None);
    }
}
