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
    // Jobs were created after it; of the others the moment itself counts, too.
    let itself = !matches!(kind, Kind::TrainingJob | Kind::TransformJob);
    let after = time(input, "CreationTimeAfter").map(|at| at.saturating_sub(i64::from(itself)));
    let filter = Filter {
        name_contains: text(input, "NameContains").map(str::to_owned),
        created_before: time(input, "CreationTimeBefore"),
        created_after: after,
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::caller;
    use crate::{SageMaker, Settings, hosting, training};
    use escala_objects::memory::Memory;
    use serde_json::json;
    use std::sync::Arc;
    use tokio::runtime::Handle;

    /// A list, as the service model has it.
    struct List {
        operation: &'static str,
        kind: Kind,
        /// The member of the answer that has the summaries, and that of a summary that has the name.
        members: (&'static str, &'static str),
        /// Whether it is asked by states and times of changes, too.
        states: bool,
    }

    const LISTS: [List; 5] = [
        List {
            operation: "ListModels",
            kind: Kind::Model,
            members: ("Models", "ModelName"),
            states: false,
        },
        List {
            operation: "ListEndpointConfigs",
            kind: Kind::EndpointConfig,
            members: ("EndpointConfigs", "EndpointConfigName"),
            states: false,
        },
        List {
            operation: "ListEndpoints",
            kind: Kind::Endpoint,
            members: ("Endpoints", "EndpointName"),
            states: true,
        },
        List {
            operation: "ListTrainingJobs",
            kind: Kind::TrainingJob,
            members: ("TrainingJobSummaries", "TrainingJobName"),
            states: true,
        },
        List {
            operation: "ListTransformJobs",
            kind: Kind::TransformJob,
            members: ("TransformJobSummaries", "TransformJobName"),
            states: true,
        },
    ];

    impl List {
        fn is_of_jobs(&self) -> bool {
            matches!(self.kind, Kind::TrainingJob | Kind::TransformJob)
        }

        fn status(&self, ended_well: bool) -> &'static str {
            match (self.kind, ended_well) {
                (Kind::Endpoint, true) => "InService",
                (_, true) => "Completed",
                (_, false) => "Failed",
            }
        }

        fn body(&self) -> Value {
            match self.kind {
                Kind::Endpoint => json!({
                    "current": {"config": "c", "variants": [], "shadows": [], "capture": null, "asynchronous": null},
                    "deployed": null, "pending": null, "deployment": null, "failure": null,
                }),
                _ => json!({"request": {}, "transitions": [], "job": "none"}),
            }
        }
    }

    /// What there is of each kind, with the milliseconds of creation and of the last change, and whether it ended well.
    const THERE: [(&str, i64, i64, bool); 4] = [
        ("owl-1", 3_000, 4_000, true),
        ("ant-2", 1_000, 9_000, false),
        ("bee-1", 4_000, 5_000, false),
        ("bee-2", 2_000, 6_000, true),
    ];

    struct Place {
        sagemaker: SageMaker,
        _folder: tempfile::TempDir,
    }

    impl Place {
        fn new(there: &[(&str, i64, i64, bool)]) -> Self {
            let folder = tempfile::tempdir().unwrap();
            let store = Store::open(folder.path()).unwrap();
            for list in &LISTS {
                for (name, created, modified, well) in there {
                    let resource = Resource {
                        kind: list.kind,
                        name: (*name).to_owned(),
                        arn: caller().arn(list.kind, name),
                        created: *created,
                        modified: *modified,
                        status: list.status(*well).to_owned(),
                        body: list.body(),
                    };
                    store.create(&resource, &[]).unwrap();
                }
            }
            drop(store);
            let settings = Settings {
                training: training::Options {
                    most_bytes: 1,
                    threads: 1,
                },
                hosting: hosting::Options::default(),
                threads: 1,
            };
            let sagemaker = SageMaker::open(
                folder.path(),
                Arc::new(Memory::default()),
                Vec::new(),
                Vec::new(),
                Handle::current(),
                settings,
            );
            Self {
                sagemaker: sagemaker.unwrap(),
                _folder: folder,
            }
        }

        fn ask(&self, list: &List, input: Value) -> refusal::Result<Value> {
            self.sagemaker.call(&caller(), list.operation, input)
        }

        /// The names of a page, and what asks for the next one.
        fn page(&self, list: &List, input: Value) -> (Vec<String>, Option<String>) {
            let answer = self.ask(list, input).unwrap();
            let (all, name) = list.members;
            let names = answer[all].as_array().unwrap().iter();
            let names = names.map(|one| one[name].as_str().unwrap().to_owned());
            let next = answer.get("NextToken").and_then(Value::as_str);
            (names.collect(), next.map(str::to_owned))
        }

        fn names(&self, list: &List, input: Value) -> Vec<String> {
            let (names, next) = self.page(list, input);
            assert_eq!(next, None);
            names
        }
    }

    #[tokio::test]
    async fn every_list_is_sorted_as_the_service_model_says() {
        let place = Place::new(&THERE);
        let oldest = ["ant-2", "bee-2", "owl-1", "bee-1"];
        let youngest = ["bee-1", "owl-1", "bee-2", "ant-2"];
        for list in &LISTS {
            let first = match list.kind {
                Kind::TrainingJob => oldest,
                _ => youngest,
            };
            for (input, expected) in [
                (json!({}), first),
                (json!({"SortBy": "CreationTime"}), first),
                (json!({"SortOrder": "Ascending"}), oldest),
                (
                    json!({"SortBy": "CreationTime", "SortOrder": "Descending"}),
                    youngest,
                ),
                (
                    json!({"SortBy": "Name", "SortOrder": "Ascending"}),
                    ["ant-2", "bee-1", "bee-2", "owl-1"],
                ),
                (
                    json!({"SortBy": "Name", "SortOrder": "Descending"}),
                    ["owl-1", "bee-2", "bee-1", "ant-2"],
                ),
            ] {
                let names = place.names(list, input.clone());
                assert_eq!(names, expected, "{} {input}", list.operation);
            }
            if list.states {
                let up = place.names(list, json!({"SortBy": "Status", "SortOrder": "Ascending"}));
                let mut expected = match list.kind {
                    // Failed, InService; the others Completed, Failed.
                    Kind::Endpoint => ["ant-2", "bee-1", "bee-2", "owl-1"],
                    _ => ["bee-2", "owl-1", "ant-2", "bee-1"],
                };
                assert_eq!(up, expected, "{}", list.operation);
                let down =
                    place.names(list, json!({"SortBy": "Status", "SortOrder": "Descending"}));
                expected.reverse();
                assert_eq!(down, expected, "{}", list.operation);
            }
        }
    }

    #[tokio::test]
    async fn every_filter_leaves_what_it_says() {
        let place = Place::new(&THERE);
        for list in &LISTS {
            let names = |mut input: Value| {
                input["SortBy"] = "Name".into();
                input["SortOrder"] = "Ascending".into();
                place.names(list, input)
            };
            let itself = match list.is_of_jobs() {
                true => vec!["bee-1"],
                false => vec!["bee-1", "owl-1"],
            };
            for (input, expected) in [
                (json!({"NameContains": "bee"}), vec!["bee-1", "bee-2"]),
                (json!({"NameContains": "-1"}), vec!["bee-1", "owl-1"]),
                (json!({"NameContains": "BEE"}), vec![]),
                (json!({"NameContains": "%"}), vec![]),
                (json!({"CreationTimeBefore": 3}), vec!["ant-2", "bee-2"]),
                (
                    json!({"CreationTimeBefore": 3.001}),
                    vec!["ant-2", "bee-2", "owl-1"],
                ),
                (json!({"CreationTimeAfter": 3}), itself),
                (json!({"CreationTimeAfter": 2.999}), vec!["bee-1", "owl-1"]),
                (
                    json!({"CreationTimeAfter": 1.5, "CreationTimeBefore": 3.5}),
                    vec!["bee-2", "owl-1"],
                ),
                (
                    json!({"CreationTimeAfter": 1.5, "CreationTimeBefore": 3.5, "NameContains": "bee"}),
                    vec!["bee-2"],
                ),
            ] {
                assert_eq!(names(input.clone()), expected, "{} {input}", list.operation);
            }
            if !list.states {
                continue;
            }
            let (well, badly) = (list.status(true), list.status(false));
            for (input, expected) in [
                (json!({"StatusEquals": well}), vec!["bee-2", "owl-1"]),
                (json!({"StatusEquals": badly}), vec!["ant-2", "bee-1"]),
                (json!({"StatusEquals": "Deleting"}), vec![]),
                (json!({"LastModifiedTimeBefore": 5}), vec!["owl-1"]),
                (json!({"LastModifiedTimeAfter": 5}), vec!["ant-2", "bee-2"]),
                (
                    json!({"LastModifiedTimeAfter": 4, "LastModifiedTimeBefore": 9, "StatusEquals": badly}),
                    vec!["bee-1"],
                ),
            ] {
                assert_eq!(names(input.clone()), expected, "{} {input}", list.operation);
            }
        }
    }

    #[tokio::test]
    async fn pages_have_all_of_a_list_once() {
        let many: Vec<String> = (0..23).map(|at| format!("n{at:02}")).collect();
        // Three at a time were created in the same moment.
        let there: Vec<_> = (0_i64..)
            .zip(&many)
            .map(|(at, name)| (name.as_str(), at / 3, 7, at % 2 == 0))
            .collect();
        let place = Place::new(&there);
        for list in &LISTS {
            let orders: &[&str] = match list.states {
                true => &["Name", "CreationTime", "Status"],
                false => &["Name", "CreationTime"],
            };
            for order in orders {
                for (way, most, pages) in [("Ascending", None, 3), ("Descending", Some(4), 6)] {
                    let mut input = json!({"SortBy": order, "SortOrder": way, "NameContains": "n"});
                    if let Some(most) = most {
                        input["MaxResults"] = json!(most);
                    }
                    let mut seen = Vec::new();
                    let mut count = 0;
                    loop {
                        let (names, next) = place.page(list, input.clone());
                        count += 1;
                        seen.push(names);
                        let Some(next) = next else {
                            break;
                        };
                        assert_eq!(seen[count - 1].len(), most.unwrap_or(PAGE));
                        input["NextToken"] = next.into();
                    }
                    assert_eq!(count, pages, "{} {order} {way}", list.operation);
                    let whole = json!({"SortBy": order, "SortOrder": way, "MaxResults": 100});
                    let seen = seen.concat();
                    assert_eq!(seen, place.names(list, whole));
                    let mut sorted = seen;
                    sorted.sort();
                    assert_eq!(sorted, many);
                }
            }
            let (_, next) = place.page(list, json!({"SortBy": "Name", "MaxResults": 1}));
            for wrong in [
                json!({"SortBy": "CreationTime", "NextToken": next}),
                json!({"SortBy": "Name", "NextToken": "no token"}),
            ] {
                let refused = place.ask(list, wrong).unwrap_err();
                assert_eq!(refused.message, "Invalid NextToken.", "{}", list.operation);
            }
        }
    }

    /// A time that was told is the same time when it is asked by.
    #[tokio::test]
    async fn a_time_that_was_told_divides_a_list_there() {
        let there: Vec<(String, i64)> = (0..100)
            .map(|at| (format!("n{at:02}"), 1_764_514_089_000 + at * 7 + 1))
            .collect();
        let all: Vec<_> = there
            .iter()
            .map(|(name, at)| (name.as_str(), *at, *at, true))
            .collect();
        let place = Place::new(&all);
        for list in &LISTS {
            let answer = place.ask(list, json!({"MaxResults": 100})).unwrap();
            for one in answer[list.members.0].as_array().unwrap() {
                let name = one[list.members.1].as_str().unwrap();
                let at: usize = name[1..].parse().unwrap();
                let before = json!({"CreationTimeBefore": one["CreationTime"], "MaxResults": 100});
                assert_eq!(place.names(list, before).len(), at, "{name}");
                let after = json!({"CreationTimeAfter": one["CreationTime"], "MaxResults": 100});
                let itself = usize::from(!list.is_of_jobs());
                assert_eq!(place.names(list, after).len(), 99 - at + itself, "{name}");
            }
        }
    }
}
