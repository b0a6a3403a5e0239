//! Anything at all: random inputs of every operation, and bytes that are none.

use super::*;

/// Numbers from a seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, most: u64) -> u64 {
        // splitmix64
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % most
    }

    /// Roughly what the shape asks for; now and then something else.
    fn value(&mut self, service: &Service, shape: ShapeId, depth: usize) -> Value {
        if self.below(12) == 0 || depth > 12 {
            return match self.below(8) {
                0 => json!(null),
                1 => json!(true),
                2 => json!(-1.5e300),
                3 => json!(u64::MAX),
                4 => json!([[], {}, null]),
                5 => json!({"": {"Text": []}, "Bytes": 1}),
                6 => json!("\u{0}é=\u{10ffff}"),
                _ => json!(""),
            };
        }
        let shape = service.shape(shape);
        match &shape.kind {
            ShapeKind::Structure(members) => {
                let mut object = serde_json::Map::new();
                for member in members {
                    if member.required || self.below(2) == 0 {
                        object.insert(
                            member.name.clone(),
                            self.value(service, member.shape, depth + 1),
                        );
                    }
                }
                Value::Object(object)
            }
            ShapeKind::List(element) => {
                let count = self.below(3);
                (0..count)
                    .map(|_| self.value(service, *element, depth + 1))
                    .collect()
            }
            ShapeKind::Map(_, element) => {
                let count = self.below(3);
                let entries =
                    (0..count).map(|i| (format!("k{i}"), self.value(service, *element, depth + 1)));
                Value::Object(entries.collect::<Vec<_>>().into_iter().collect())
            }
            ShapeKind::String(text) if !text.values.is_empty() => {
                let pick = self.below(text.values.len() as u64) as usize;
                json!(text.values[pick])
            }
            ShapeKind::String(_) => json!(
                ["es", "fail Internal", "fail TooLarge", "arn:aws:x", ""][self.below(5) as usize]
            ),
            ShapeKind::Blob => json!(["AAAA", "AA==", "", "A", "ÄÄÄÄ"][self.below(5) as usize]),
            ShapeKind::Boolean => json!(self.below(2) == 0),
            ShapeKind::Integer | ShapeKind::Long => json!(self.below(100)),
            ShapeKind::Float | ShapeKind::Double | ShapeKind::Timestamp => {
                json!(self.below(1000) as f64 / 8.0)
            }
        }
    }
}

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("runtime")
        .block_on(future)
}

proptest! {
    /// Inputs shaped like requests, with faults mixed in, never panic the checks of any operation; what
    /// they say is well-formed and bounded.
    #[test]
    fn any_operation_checks_any_input(seed in any::<u64>()) {
        let mut dice = Dice(seed);
        for service in Models::get().expect("models are well-formed").services() {
            let operations: Vec<_> = service.operations().collect();
            let operation = operations[dice.below(operations.len() as u64) as usize];
            let input = dice.value(service, operation.input, 0);
            match validate::input(service, operation.input, &input) {
                Ok(()) => {}
                Err(invalid) => {
                    let message = invalid.message();
                    prop_assert!(!message.is_empty() && message.len() < 100_000, "{}", message);
                }
            }
            // Outputs too: the checker of answers takes anything.
            let output = dice.value(service, operation.output, 0);
            let _ = validate::output(service, operation.output, &output);
        }
    }

    /// Every answer to such requests is well-formed, and an accepted one is what the model promises
    /// ([`well_formed`] checks both).
    #[test]
    fn any_request_is_answered(seed in any::<u64>()) {
        let mut dice = Dice(seed);
        let client = client();
        for (id, names) in [(Id::Comprehend, super::super::comprehend::OPERATIONS), (Id::Rekognition, super::super::rekognition::OPERATIONS)] {
            for name in names {
                let operation = service(id).operation(name).expect("known");
                let input = dice.value(service(id), operation.input, 0);
                let target = format!("{}.{name}", service(id).target_prefix);
                let answer = run(client.post(&target, input.to_string()));
                prop_assert_eq!(answer.name.operation, *name);
            }
        }
    }

    /// So is any body at all, under any target.
    #[test]
    fn any_bytes_are_answered(body in proptest::collection::vec(any::<u8>(), 0..300), target in "[ -~]{0,40}") {
        let client = client();
        let answer = run(client.post("RekognitionService.DetectLabels", body.clone()));
        prop_assert_eq!(answer.status, 400);
        let answer = run(client.post(&target, body));
        prop_assert_eq!(answer.status, 400);
    }
}
