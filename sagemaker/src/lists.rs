//! What all `List…` operations have in common: filters, order, pages.

use crate::names::Kind;
use crate::store::{Filter, Order, Resource, Store};
use crate::{Refusal, refusal};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

/// How many come at a time where nothing is said.
const PAGE: usize = 10;

/// Some of a list, and what asks for the rest.
pub struct Page {
    /// They.
    pub items: Vec<Resource>,
    /// `NextToken`, where there are more.
    pub next: Option<String>,
}

fn text<'a>(input: &'a Value, name: &str) -> Option<&'a str> {
    input.get(name).and_then(Value::as_str)
}

fn time(input: &Value, name: &str) -> Option<i64> {
    let seconds = input.get(name)?.as_f64()?;
    Some((seconds * 1000.0) as i64)
}

/// A page of a list, as a validated request asks for it; `status` is the request's member for the state.
///
/// # Errors
/// The token is not one that was answered for the same order; the store.
pub fn page(store: &Store, kind: Kind, input: &Value, status: &str) -> refusal::Result<Page> {
    let order = match text(input, "SortBy") {
        Some("Name") => Order::Name,
        Some("Status") => Order::Status,
        _ => Order::Created,
    };
    // The youngest come first, except of training jobs: so the service model says it of each list.
    let descending = match text(input, "SortOrder") {
        Some(way) => way == "Descending",
        None => kind != Kind::TrainingJob,
    };
    let most = input.get("MaxResults").and_then(Value::as_u64);
    let most = most.map_or(PAGE, |most| most.clamp(1, 100) as usize);
    let way = format!("{order:?}{descending}");
    let wrong = || Refusal::validation("Invalid NextToken.");
    let behind = match text(input, "NextToken") {
        None => None,
        Some(token) => {
            let bytes = URL_SAFE_NO_PAD.decode(token).map_err(|_| wrong())?;
            let said = serde_json::from_slice::<(String, String, String)>(&bytes);
            let (of, value, name) = said.map_err(|_| wrong())?;
            if of != way {
                return Err(wrong());
            }
            Some((value, name))
        }
    };
    let filter = Filter {
        name_contains: text(input, "NameContains").map(str::to_owned),
        created_before: time(input, "CreationTimeBefore"),
        created_after: time(input, "CreationTimeAfter"),
        modified_before: time(input, "LastModifiedTimeBefore"),
        modified_after: time(input, "LastModifiedTimeAfter"),
        status: text(input, status).map(str::to_owned),
        order,
        descending,
        behind,
        most: most + 1,
    };
    let mut items = store.list(kind, &filter)?;
    let next = match items.len() > most {
        false => None,
        true => {
            items.truncate(most);
            items.last().map(|last| {
                let (value, name) = last.place(order);
                URL_SAFE_NO_PAD.encode(serde_json::json!([way, value, name]).to_string())
            })
        }
    };
    Ok(Page { items, next })
}

/// The answer of a list: the summaries under their name, and the token.
pub fn answer(name: &str, page: &Page, summary: impl Fn(&Resource) -> Value) -> Value {
    let mut answer = serde_json::Map::new();
    let items = page.items.iter().map(summary).collect();
    answer.insert(name.to_owned(), Value::Array(items));
    if let Some(next) = &page.next {
        answer.insert("NextToken".to_owned(), Value::from(next.as_str()));
    }
    Value::Object(answer)
}
