//! Models in ONNX files against what ONNX Runtime answers (`tests/golden/onnx_models/`), and files that lie.

use escala_models::Compute;
use escala_models::kernels::Isa;
use escala_models::onnx::{
    Classes, Data, Element, Elements, Error, Input, Limits, Meaning, Model, Output,
};
use serde_json::Value;
use std::sync::Arc;

#[path = "onnx_models/writer.rs"]
mod writer;

use writer::{Attribute, file, ml, node};

const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/golden/onnx_models/");

fn answers() -> Value {
    let text = std::fs::read_to_string(format!("{GOLDEN}answers.json")).expect("answers");
    serde_json::from_str(&text).expect("json")
}

fn sizes(value: &Value) -> Vec<usize> {
    serde_json::from_value(value["shape"].clone()).expect("a shape")
}

fn numbers(value: &Value) -> Vec<f32> {
    let values = value["values"].as_array().expect("values");
    let number = |value: &Value| value.as_f64().map_or(f32::NAN, |value| value as f32);
    values.iter().map(number).collect()
}

/// The texts of an input; nothing where it is one of numbers.
fn texts(value: &Value) -> Option<Vec<Arc<str>>> {
    let values = value["values"].as_array().expect("values");
    let text = |value: &Value| value.as_str().map(Arc::from);
    values.iter().map(text).collect()
}

/// Runs a model on what the case says.
fn run(model: &Model, case: &Value, compute: &Compute) -> Result<Vec<Output>, Error> {
    let inputs = case["inputs"].as_object().expect("inputs");
    let inputs: Vec<_> = inputs
        .iter()
        .map(|(name, value)| (name, sizes(value), numbers(value), texts(value)))
        .collect();
    let inputs: Vec<Input<'_>> = inputs
        .iter()
        .map(|(name, shape, numbers, texts)| Input {
            name,
            shape,
            data: match texts {
                Some(texts) => Elements::Texts(texts),
                None => Elements::Numbers(numbers),
            },
        })
        .collect();
    model.run(compute, &inputs)
}

/// Labels are the same, numbers within 1e-5: sums of some hundred products in another order.
fn check(key: &str, model: &Model, case: &Value, compute: &Compute) -> Vec<String> {
    let outputs = match run(model, case, compute) {
        Ok(outputs) => outputs,
        Err(error) => return vec![format!("{key}: {error}")],
    };
    let mut wrong = Vec::new();
    let wanted = case["outputs"].as_array().expect("outputs");
    assert_eq!(outputs.len(), wanted.len(), "{key}");
    assert!(!wanted.is_empty());
    for ((output, wanted), given) in outputs.iter().zip(wanted).zip(model.outputs()) {
        assert_eq!(output.name, wanted["name"], "{key}");
        assert_eq!(output.name, given.name, "{key}");
        assert_eq!(output.shape, sizes(wanted), "{key} {}", output.name);
        let values = wanted["values"].as_array().expect("values");
        let elements: usize = sizes(wanted).iter().product();
        assert_eq!(values.len(), elements, "{key}");
        match &output.data {
            Data::Texts(texts) => {
                let texts: Vec<&str> = texts.iter().map(AsRef::as_ref).collect();
                if texts != values.iter().collect::<Vec<_>>() {
                    wrong.push(format!("{key} {}: {texts:?}, not {values:?}", output.name));
                }
                assert_eq!(given.element, Element::Texts, "{key}");
            }
            Data::Whole(whole) => {
                let values: Vec<i64> = values.iter().map(|v| v.as_i64().expect(key)).collect();
                if *whole != values {
                    wrong.push(format!("{key} {}: {whole:?}, not {values:?}", output.name));
                }
                let declared = [Element::Whole, Element::Truth];
                assert!(declared.contains(&given.element), "{key}");
            }
            Data::Numbers(numbers_) => {
                let wanted = numbers(wanted);
                let near =
                    |(got, want): (&f32, &f32)| (got - want).abs() <= 1e-5 * want.abs().max(1.0);
                if !numbers_.iter().zip(&wanted).all(near) {
                    wrong.push(format!(
                        "{key} {}: {numbers_:?}, not {wanted:?}",
                        output.name
                    ));
                }
                assert_eq!(given.element, Element::Numbers, "{key}");
            }
        }
        if let Some(classes) = wanted["classes"].as_array() {
            let Meaning::Scores(known) = &given.meaning else {
                panic!("{key}: {:?}", given.meaning);
            };
            let classes = classes.iter().map(|class| match class {
                Value::String(name) => name.clone(),
                number => number.to_string(),
            });
            assert_eq!(known.names(), classes.collect::<Vec<_>>(), "{key}");
        }
    }
    wrong
}

#[test]
fn models_answer_what_onnx_runtime_does() {
    let answers = answers();
    let models = answers["models"].as_object().expect("models");
    assert!(models.len() >= 90);
    let mut wrong = Vec::new();
    for (key, case) in models {
        let model = match Model::open(format!("{GOLDEN}{key}.onnx")) {
            Ok(model) => model,
            Err(error) => {
                wrong.push(format!("{key}: {error}"));
                continue;
            }
        };
        for threads in [1, 3] {
            wrong.extend(check(key, &model, case, &Compute::cpu(threads)));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn operations_answer_what_onnx_runtime_does() {
    let answers = answers();
    let operations = answers["operations"].as_array().expect("operations");
    assert!(operations.len() >= 420);
    let compute = Compute::cpu(2);
    let mut wrong = Vec::new();
    for case in operations {
        let key = case["name"].as_str().expect("a name");
        let bytes = writer::base64(case["model"].as_str().expect("a model"));
        let model = Model::read(&bytes, Limits::default());
        let model = model.unwrap_or_else(|error| panic!("{key}: {error}"));
        wrong.extend(check(key, &model, case, &compute));
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn files_say_what_they_want_and_give() {
    let open = |key: &str| Model::open(format!("{GOLDEN}{key}.onnx")).expect(key);
    let model = open("forest_names");
    assert!(model.memory() > 1000);
    let [input] = model.inputs() else {
        panic!("{:?}", model.inputs());
    };
    assert_eq!(input.element, Element::Numbers);
    assert_eq!(input.shape, Some(vec![None, Some(4)]));
    let classes = Classes::Texts(["maybe", "no", "yes"].map(Into::into).into());
    let [label, scores] = model.outputs() else {
        panic!("{:?}", model.outputs());
    };
    assert_eq!(label.meaning, Meaning::Labels(Some(classes.clone())));
    assert_eq!(scores.meaning, Meaning::Scores(classes));
    assert_eq!(scores.shape, Some(vec![None, Some(3)]));
    // Without a map of names, too; made by a network beside labels as well.
    for key in ["forest_plain", "mlp_two"] {
        let model = open(key);
        let meanings: Vec<_> = model
            .outputs()
            .iter()
            .map(|output| &output.meaning)
            .collect();
        assert!(
            matches!(meanings[..], [Meaning::Labels(Some(a)), Meaning::Scores(b)] if a == b),
            "{key}: {meanings:?}"
        );
    }
    let model = open("linear");
    assert_eq!(model.outputs()[0].meaning, Meaning::Numbers);
    let model = open("one_hot");
    assert_eq!(model.inputs()[0].element, Element::Whole);
}

#[test]
fn inputs_that_do_not_fit_are_refused() {
    let compute = Compute::cpu(1);
    let open = |key: &str| Model::open(format!("{GOLDEN}{key}.onnx")).expect(key);
    let refused = |model: &Model, name: &str, shape: &[usize], data: &[f32]| {
        let data = Elements::Numbers(data);
        let input = Input { name, shape, data };
        let error = model.run(&compute, &[input]).expect_err(name);
        assert!(matches!(error, Error::Input(_)), "{error:?}");
        error.to_string()
    };
    let model = open("forest_names");
    let name = model.inputs()[0].name.clone();
    refused(&model, "other", &[1, 4], &[0.0; 4]);
    refused(&model, &name, &[1, 3], &[0.0; 3]);
    refused(&model, &name, &[4], &[0.0; 4]);
    refused(&model, &name, &[2, 4], &[0.0; 4]);
    assert!(model.run(&compute, &[]).is_err());
    let whole = open("one_hot");
    let name = whole.inputs()[0].name.clone();
    let text = refused(&whole, &name, &[1, 4], &[0.0, 1.5, 0.0, 0.0]);
    assert!(text.contains("1.5"), "{text}");
    // A whole number divided by zero is none.
    let divide = node("", "Div", &["x", "x"], &["y"], &[]);
    let divide = Model::read(&file(&[divide], 7), Limits::default()).expect("a model");
    let error = |data: &[f32]| {
        let input = Input {
            name: "x",
            shape: &[1, 2],
            data: Elements::Numbers(data),
        };
        divide.run(&compute, &[input]).err()
    };
    assert!(error(&[3.0, -4.0]).is_none());
    assert!(matches!(error(&[3.0, 0.0]), Some(Error::NotFinite(_))));
    // A linear model has no answer to a number that is not there.
    let linear = open("linear");
    let name = linear.inputs()[0].name.clone();
    let input = Input {
        name: &name,
        shape: &[1, 4],
        data: Elements::Numbers(&[f32::NAN; 4]),
    };
    assert!(matches!(
        linear.run(&compute, &[input]),
        Err(Error::NotFinite(_))
    ));
}

#[test]
fn a_batch_is_answered_as_its_rows_alone() {
    let answers = answers();
    let compute = Compute::cpu(2);
    for key in [
        "forest_names",
        "lightgbm_three",
        "mlp_names",
        "svc",
        "xgboost_two",
        "neighbours",
    ] {
        let case = &answers["models"][key];
        let model = Model::open(format!("{GOLDEN}{key}.onnx")).expect(key);
        let (name, input) = case["inputs"]
            .as_object()
            .expect("inputs")
            .iter()
            .next()
            .expect("one");
        let (shape, data) = (sizes(input), numbers(input));
        // More rows than go through a tree or a thread at once.
        let many: Vec<f32> = data
            .iter()
            .copied()
            .cycle()
            .take(data.len() * 101)
            .collect();
        let rows = shape[0] * 101;
        let run = |shape: &[usize], data: &[f32]| {
            let data = Elements::Numbers(data);
            model
                .run(&compute, &[Input { name, shape, data }])
                .expect(key)
        };
        let together = run(&[rows, shape[1]], &many);
        for row in 0..shape[0] {
            let alone = run(&[1, shape[1]], &data[row * shape[1]..][..shape[1]]);
            for (together, alone) in together.iter().zip(&alone) {
                assert_eq!(together.shape[0], rows);
                let width: usize = alone.shape[1..].iter().product();
                for place in [row, rows - shape[0] + row] {
                    let place = place * width..(place + 1) * width;
                    match (&together.data, &alone.data) {
                        (Data::Numbers(a), Data::Numbers(b)) => {
                            let near = |(a, b): (&f32, &f32)| (a - b).abs() <= 1e-6;
                            assert!(a[place].iter().zip(b).all(near), "{key}");
                        }
                        (Data::Whole(a), Data::Whole(b)) => assert_eq!(&a[place], b, "{key}"),
                        (Data::Texts(a), Data::Texts(b)) => assert_eq!(&a[place], b, "{key}"),
                        other => panic!("{other:?}"),
                    }
                }
            }
        }
    }
}

#[test]
fn threads_share_a_model() {
    let answers = answers();
    let case = &answers["models"]["mlp_names"];
    let model = Model::open(format!("{GOLDEN}mlp_names.onnx")).expect("model");
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..3 {
                    let wrong = check("mlp_names", &model, case, &Compute::cpu(1));
                    assert!(wrong.is_empty(), "{wrong:#?}");
                }
            });
        }
    });
}

/// A tree of one branch, of which one list is another.
fn tree(changed: &str, list: &[i64]) -> Vec<u8> {
    tree_of(changed, list, &["BRANCH_LEQ", "LEAF", "LEAF"])
}

fn tree_of(changed: &str, list: &[i64], modes: &[&str]) -> Vec<u8> {
    let lists: [(&str, &[i64]); 8] = [
        ("nodes_treeids", &[0, 0, 0]),
        ("nodes_nodeids", &[0, 1, 2]),
        ("nodes_featureids", &[0, 0, 0]),
        ("nodes_truenodeids", &[1, 0, 0]),
        ("nodes_falsenodeids", &[2, 0, 0]),
        ("target_ids", &[0, 0]),
        ("target_treeids", &[0, 0]),
        ("target_nodeids", &[1, 2]),
    ];
    let mut attributes: Vec<(&str, Attribute<'_>)> = lists
        .into_iter()
        .map(|(name, usual)| {
            (
                name,
                Attribute::Integers(if name == changed { list } else { usual }),
            )
        })
        .collect();
    attributes.push(("nodes_modes", Attribute::Texts(modes)));
    attributes.push(("nodes_values", Attribute::Floats(&[0.5, 0.0, 0.0])));
    attributes.push(("target_weights", Attribute::Floats(&[1.0, 2.0])));
    if changed == "n_targets" {
        attributes.push(("n_targets", Attribute::Integer(list[0])));
    }
    file(
        &[ml("TreeEnsembleRegressor", &["x"], &["y"], &attributes)],
        1,
    )
}

#[test]
fn trees_that_lie_are_refused() {
    let read = |bytes: &[u8]| Model::read(bytes, Limits::default());
    let compute = Compute::cpu(1);
    let whole = read(&tree("", &[])).expect("the tree itself");
    let input = Input {
        name: "x",
        shape: &[2, 1],
        data: Elements::Numbers(&[0.0, 1.0]),
    };
    let output = whole.run(&compute, &[input]).expect("an answer").remove(0);
    assert_eq!(output.data, Data::Numbers(vec![1.0, 2.0]));
    for (name, list) in [
        ("nodes_truenodeids", &[7, 0, 0][..]),
        ("nodes_truenodeids", &[-1, 0, 0]),
        ("nodes_falsenodeids", &[i64::MAX, 0, 0]),
        // To itself.
        ("nodes_truenodeids", &[0, 0, 0]),
        ("nodes_nodeids", &[0, 1, 1]),
        ("nodes_nodeids", &[0, 1]),
        ("nodes_treeids", &[0, 1, 2]),
        ("nodes_treeids", &[]),
        ("nodes_featureids", &[-1, 0, 0]),
        ("nodes_featureids", &[1 << 31, 0, 0]),
        ("nodes_featureids", &[i64::MAX, 0, 0]),
        ("target_ids", &[0, 1]),
        ("target_ids", &[0, -1]),
        ("target_ids", &[0]),
        ("target_nodeids", &[1, 9]),
        ("target_treeids", &[0, 9]),
        ("n_targets", &[0]),
        ("n_targets", &[-4]),
        ("n_targets", &[i64::MAX]),
    ] {
        let error = read(&tree(name, list)).err();
        let error = error.unwrap_or_else(|| panic!("{name} {list:?} was read"));
        assert!(
            matches!(error, Error::Unsupported { .. }),
            "{name} {list:?}: {error:?}"
        );
    }
    for modes in [
        &["LEAF", "BRANCH_LEQ", "LEAF"][..],
        &["BRANCH_LEQ", "BRANCH_LEQ", "LEAF"],
        &["OTHER", "LEAF", "LEAF"],
    ] {
        // The second leads back to the root.
        let read = read(&tree_of("", &[], modes));
        if modes[0] == "LEAF" {
            assert!(read.is_ok());
        } else {
            assert!(read.is_err(), "{modes:?}");
        }
    }
    // A column that the table does not have is found when it is known how many there are.
    let wide = read(&tree("nodes_featureids", &[5, 0, 0])).expect("a tree");
    let input = Input {
        name: "x",
        shape: &[2, 1],
        data: Elements::Numbers(&[0.0, 1.0]),
    };
    assert!(matches!(
        wide.run(&compute, &[input]),
        Err(Error::Invalid { .. })
    ));
}

#[test]
fn other_operations_that_lie_are_refused() {
    let read = |nodes: &[Vec<u8>]| Model::read(&file(nodes, 1), Limits::default());
    let many = vec![0.5f32; 6];
    let floats = Attribute::Floats(&many);
    let lies: Vec<(&str, Vec<(&str, Attribute<'_>)>)> = vec![
        (
            "LinearRegressor",
            vec![("coefficients", Attribute::Floats(&[]))],
        ),
        (
            "LinearRegressor",
            vec![("coefficients", floats), ("targets", Attribute::Integer(4))],
        ),
        (
            "LinearRegressor",
            vec![
                ("coefficients", floats),
                ("targets", Attribute::Integer(i64::MAX)),
            ],
        ),
        ("LinearClassifier", vec![("coefficients", floats)]),
        (
            "LinearClassifier",
            vec![
                ("coefficients", floats),
                ("classlabels_ints", Attribute::Integers(&[1, 2, 3, 4])),
            ],
        ),
        (
            "SVMRegressor",
            vec![
                ("coefficients", floats),
                ("n_supports", Attribute::Integer(1 << 40)),
                ("rho", floats),
            ],
        ),
        ("SVMRegressor", vec![("coefficients", floats)]),
        (
            "SVMClassifier",
            vec![
                ("coefficients", floats),
                ("support_vectors", floats),
                ("rho", floats),
                ("classlabels_ints", Attribute::Integers(&[1, 2])),
                (
                    "vectors_per_class",
                    Attribute::Integers(&[i64::MAX, i64::MAX]),
                ),
            ],
        ),
        ("Scaler", vec![("offset", floats)]),
        ("Imputer", vec![]),
        ("OneHotEncoder", vec![]),
        (
            "LabelEncoder",
            vec![
                ("keys_int64s", Attribute::Integers(&[1, 2])),
                ("values_int64s", Attribute::Integers(&[1])),
            ],
        ),
        (
            "FeatureVectorizer",
            vec![("inputdimensions", Attribute::Integers(&[-1]))],
        ),
        ("ZipMap", vec![]),
        ("Unheard", vec![]),
    ];
    for (op, attributes) in lies {
        let error = read(&[ml(op, &["x"], &["y"], &attributes)]).err();
        let error = error.unwrap_or_else(|| panic!("{op} was read"));
        assert!(
            matches!(error, Error::Unsupported { .. }),
            "{op}: {error:?}"
        );
        assert!(error.to_string().contains(op), "{error}");
    }
    // What one node cannot know: a value that nothing makes, or that two make.
    let binary = |input: &str, output: &str| ml("Binarizer", &[input], &[output], &[]);
    assert!(matches!(
        read(&[binary("z", "y")]),
        Err(Error::Malformed { .. })
    ));
    assert!(matches!(
        read(&[binary("x", "y"), binary("x", "y")]),
        Err(Error::Malformed { .. })
    ));
    assert!(matches!(
        read(&[binary("x", "x")]),
        Err(Error::Malformed { .. })
    ));
    // Columns that are not there are found in the run.
    let model = read(&[
        ml("Binarizer", &["x"], &["i"], &[]),
        ml("ArrayFeatureExtractor", &["x", "i"], &["y"], &[]),
    ])
    .expect("a model");
    let run = |data: &[f32]| {
        let shape = &[1, data.len()];
        model.run(
            &Compute::cpu(1),
            &[Input {
                name: "x",
                shape,
                data: Elements::Numbers(data),
            }],
        )
    };
    assert!(matches!(run(&[1.0]), Err(Error::Invalid { .. })));
    assert!(run(&[1.0, -1.0]).is_ok());
}

#[test]
fn texts_and_numbers_are_told_apart() {
    let zip = [("classlabels_int64s", Attribute::Integers(&[1]))];
    let error = Model::read(
        &file(&[ml("ZipMap", &["x"], &["y"], &zip)], 8),
        Limits::default(),
    );
    let error = error.err().expect("texts");
    let text = error.to_string();
    assert!(matches!(error, Error::Unsupported { .. }), "{text}");
    assert!(text.contains("ZipMap") && text.contains("texts"), "{text}");

    let compute = Compute::cpu(1);
    let model = Model::open(format!("{GOLDEN}texts_one_hot.onnx")).expect("a model");
    let elements: Vec<_> = model.inputs().iter().map(|input| input.element).collect();
    assert_eq!(elements[..2], [Element::Texts; 2]);
    assert_eq!(elements[2..], [Element::Numbers; 2]);
    let text = [Arc::from("Rome")];
    let run = |city: Elements<'_>, age: Elements<'_>| {
        let text = Elements::Texts(&text);
        let number = Elements::Numbers(&[0.5]);
        let all = [
            ("city", city),
            ("kind", text),
            ("age", age),
            ("income", number),
        ];
        let all = all.map(|(name, data)| Input {
            name,
            shape: &[1, 1],
            data,
        });
        model.run(&compute, &all)
    };
    let (texts, numbers) = (Elements::Texts(&text), Elements::Numbers(&[0.5]));
    assert!(run(texts, numbers).is_ok());
    for (city, age, name) in [(numbers, numbers, "`city`"), (texts, texts, "`age`")] {
        let error = run(city, age).expect_err("of another type");
        let text = error.to_string();
        assert!(matches!(error, Error::Input(_)), "{text}");
        assert!(text.contains(name), "{text}");
    }
    // Categories that a strict encoder does not know.
    let strict = Model::open(format!("{GOLDEN}texts_one_hot_strict.onnx")).expect("a model");
    let unknown = [Arc::from("Bergen")];
    let names = ["city", "kind", "age", "income"];
    let inputs = names.map(|name| Input {
        name,
        shape: &[1, 1],
        data: match name {
            "city" | "kind" => Elements::Texts(&unknown),
            _ => Elements::Numbers(&[0.5]),
        },
    });
    let error = strict.run(&compute, &inputs).expect_err("unknown");
    assert!(matches!(error, Error::Invalid { .. }), "{error}");
    assert!(error.to_string().contains("not known"), "{error}");
}

#[test]
fn texts_are_bounded_by_their_bytes() {
    let characters = [("separators", Attribute::Texts(&[""]))];
    let cut = node("com.microsoft", "Tokenizer", &["x"], &["y"], &characters);
    let limits = Limits {
        elements: 1000,
        ..Limits::default()
    };
    let model = Model::read(&file(&[cut], 8), limits).expect("a model");
    let run = |texts: &[Arc<str>]| {
        let input = Input {
            name: "x",
            shape: &[1, texts.len()],
            data: Elements::Texts(texts),
        };
        model.run(&Compute::cpu(1), &[input])
    };
    let outputs = run(&["ab".into(), "ç".into()]).expect("words");
    assert_eq!(outputs[0].shape, [1, 2, 2]);
    let words = ["a", "b", "ç", ""].map(Arc::from);
    assert_eq!(outputs[0].data, Data::Texts(words.to_vec()));
    // The input itself, and rows that are filled up to one that is long.
    for large in [
        vec!["x".repeat(5000).into()],
        vec!["x".repeat(200).into(), "".into(), "".into()],
    ] {
        assert!(matches!(run(&large), Err(Error::TooLarge { .. })));
    }
}

#[test]
fn operations_on_texts_that_lie_are_refused() {
    let (text, texts) = (Attribute::Text, Attribute::Texts);
    let (whole, list) = (Attribute::Integer, Attribute::Integers);
    let grams = |name: &'static str, lie: Attribute<'static>| {
        let usual = [
            ("mode", text("TF")),
            ("min_gram_length", whole(1)),
            ("max_gram_length", whole(2)),
            ("max_skip_count", whole(0)),
            ("ngram_counts", list(&[0, 2])),
            ("ngram_indexes", list(&[0, 1, 2])),
            ("pool_strings", texts(&["a", "b", "a", "b"])),
        ];
        let mut all: Vec<_> = usual.into_iter().filter(|(own, _)| *own != name).collect();
        all.push((name, lie));
        ("", "TfIdfVectorizer", all)
    };
    let words =
        |all: &[(&'static str, Attribute<'static>)]| ("com.microsoft", "Tokenizer", all.to_vec());
    let read = |domain: &str, op: &str, all: &[(&str, Attribute<'_>)], element| {
        let node = node(domain, op, &["x"], &["y"], all);
        Model::read(&file(&[node], element), Limits::default())
    };
    let (domain, op, usual) = grams("mode", text("IDF"));
    assert!(read(domain, op, &usual, 8).is_ok());
    let lies = [
        grams("mode", text("OTHER")),
        grams("min_gram_length", whole(0)),
        grams("min_gram_length", whole(3)),
        grams("max_gram_length", whole(3)),
        grams("max_gram_length", whole(i64::MAX)),
        grams("max_skip_count", whole(-1)),
        grams("max_skip_count", whole(i64::MAX)),
        grams("ngram_counts", list(&[])),
        grams("ngram_counts", list(&[0, 5])),
        grams("ngram_counts", list(&[2, 0])),
        grams("ngram_counts", list(&[0, -1])),
        grams("ngram_counts", list(&[0, 1])),
        grams("ngram_indexes", list(&[])),
        grams("ngram_indexes", list(&[0, 1, -1])),
        grams("ngram_indexes", list(&[0, 1])),
        grams("weights", Attribute::Floats(&[1.0])),
        grams("pool_strings", texts(&["a", "a", "a", "b"])),
        grams("pool_strings", texts(&[])),
        words(&[]),
        words(&[("separators", texts(&["", "a"]))]),
        words(&[("separators", texts(&[" "])), ("tokenexp", text("a"))]),
        words(&[("separators", texts(&[""])), ("mincharnum", whole(2))]),
        words(&[("tokenexp", text("a")), ("mincharnum", whole(0))]),
        words(&[("tokenexp", text("a")), ("mincharnum", whole(i64::MIN))]),
        words(&[("tokenexp", text("("))]),
        words(&[("tokenexp", text("(?=a)"))]),
        words(&[("tokenexp", text("((a{1000}){1000}){1000}"))]),
        (
            "",
            "StringNormalizer",
            vec![("case_change_action", text("OTHER"))],
        ),
        (
            "",
            "StringNormalizer",
            vec![("locale", text("tr_TR.UTF-8"))],
        ),
        ("", "Shape", vec![]),
        (
            "ai.onnx.ml",
            "OneHotEncoder",
            vec![("cats_int64s", list(&[1]))],
        ),
        (
            "ai.onnx.ml",
            "LabelEncoder",
            vec![("keys_int64s", list(&[1])), ("values_int64s", list(&[1]))],
        ),
    ];
    for (domain, op, all) in lies {
        let error = read(domain, op, &all, 8).err();
        let error = error.unwrap_or_else(|| panic!("{op} was read"));
        let text = error.to_string();
        assert!(matches!(error, Error::Unsupported { .. }), "{text}");
        assert!(text.contains(op), "{text}");
    }
    // Numbers where texts are wanted.
    let (domain, op, usual) = grams("mode", text("TF"));
    assert!(read(domain, op, &usual, 1).is_err());
    assert!(read("com.microsoft", "Tokenizer", &[("tokenexp", text("a"))], 1).is_err());
    assert!(read("", "StringNormalizer", &[], 1).is_err());
    // More columns than there is room for.
    let (domain, op, wide) = grams("ngram_indexes", list(&[0, 1, i64::MAX]));
    let wide = read(domain, op, &wide, 8).expect("a model");
    let input = Input {
        name: "x",
        shape: &[1, 1],
        data: Elements::Texts(&["a".into()]),
    };
    let error = wide.run(&Compute::cpu(1), &[input]).expect_err("too wide");
    assert!(matches!(error, Error::TooLarge { .. }), "{error}");
}

#[test]
fn damaged_files_are_errors_or_run() {
    let compute = Compute::cpu(1);
    let mut dice = 1u64;
    let mut next = |below: usize| {
        // A linear congruence: the same files every time.
        dice = dice
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (dice >> 33) as usize % below
    };
    let limits = Limits {
        nodes: 200,
        elements: 1 << 18,
        workspace: 1 << 20,
    };
    let (mut read, mut ran) = (0, 0);
    for key in [
        "lightgbm_two",
        "forest_names",
        "svc_probability",
        "columns",
        "neighbours",
        "mlp_names",
        "ordinal",
        "texts_filled",
        "texts_newer",
        "words_pairs",
        "words_separated",
    ] {
        let whole = std::fs::read(format!("{GOLDEN}{key}.onnx")).expect(key);
        for _ in 0..400 {
            let mut bytes = whole.clone();
            for _ in 0..1 + next(4) {
                let at = next(bytes.len());
                bytes[at] = next(256) as u8;
            }
            let Ok(model) = Model::read(&bytes, limits) else {
                continue;
            };
            read += 1;
            let inputs: Vec<(String, Vec<usize>, bool)> = model
                .inputs()
                .iter()
                .map(|input| {
                    let shape = input.shape.clone().unwrap_or_default();
                    (
                        input.name.clone(),
                        shape.iter().map(|size| size.unwrap_or(3).min(8)).collect(),
                        input.element == Element::Texts,
                    )
                })
                .collect();
            let data = [1.0f32; 4096];
            let texts = vec![Arc::<str>::from("a third one, Rome"); 4096];
            let inputs: Vec<Input<'_>> = inputs
                .iter()
                .filter(|(_, shape, _)| shape.len() <= 4)
                .map(|(name, shape, is_text)| Input {
                    name,
                    shape,
                    data: match is_text {
                        true => Elements::Texts(&texts[..shape.iter().product()]),
                        false => Elements::Numbers(&data[..shape.iter().product()]),
                    },
                })
                .collect();
            ran += usize::from(model.run(&compute, &inputs).is_ok());
        }
    }
    assert!(read > 100 && ran > 100, "{read} {ran}");
    assert!(Isa::available().contains(&Isa::best()));
}
