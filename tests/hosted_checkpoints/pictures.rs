//! Detectors and classifiers of images answer as in transformers.

use super::*;

#[test]
fn detectors_answer_as_transformers_does() {
    let place = tempfile::tempdir().expect("a folder");
    let server = serve(&place);
    assert_eq!(server.s3("PUT", "/models", b"").status, 200);
    let mut seen = 0;
    for name in ["rt_detr", "detr"] {
        let checkpoint = image_models::checkpoint(name);
        let detector = container(&server, name, &checkpoint.contents(), "object-detection");
        let hosted = name.replace('_', "-");
        host(&server, &hosted, &detector);
        let labels = &checkpoint.files["config.json"]["id2label"];
        for case in &checkpoint.cases {
            let image = BASE64.encode(image_models::image(&case.image));
            // What the golden file has.
            for least in [0.3, 0.5] {
                let asked = json!({"inputs": image, "parameters": {"threshold": least}});
                let answer = ask(&server, &hosted, &asked);
                let mut told = answer.as_array().expect("things").clone();
                let wanted = case.detections.iter().filter(|one| one.score > least);
                let wanted: Vec<_> = wanted.collect();
                assert_eq!(told.len(), wanted.len(), "{name}: {answer}");
                for one in wanted {
                    let label = &labels[one.label.to_string()];
                    let edges = ["xmin", "ymin", "xmax", "ymax"];
                    let same = told.iter().position(|told| {
                        // An edge that is nearly whole may be cut off to either side.
                        let close = |(name, edge): (&&str, &f32)| {
                            told["box"][*name]
                                .as_i64()
                                .is_some_and(|at| (at as f32 - edge.trunc()).abs() <= 1.0)
                        };
                        let score = told["score"].as_f64().unwrap_or_default();
                        told["label"] == *label
                            && (score - f64::from(one.score)).abs() < 5e-5
                            && edges.iter().zip(&one.edges).all(close)
                    });
                    told.remove(same.unwrap_or_else(|| panic!("{name}: no {one:?} in {told:?}")));
                    seen += 1;
                }
            }
            // An image by itself, and the least score of the pipeline.
            let path = format!("/endpoints/{hosted}/invocations");
            let bare = server.post(&path, "image/png", &image_models::image(&case.image));
            let sure = case.detections.iter().filter(|one| one.score > 0.5);
            assert_eq!(bare.json().as_array().map(Vec::len), Some(sure.count()));
        }
    }
    assert!(seen > 60, "{seen} things are too few to mean much");
    let refused = json!({"inputs": "", "parameters": {"threshold": "high"}}).to_string();
    let refused = server.post(
        "/endpoints/detr/invocations",
        "application/json",
        refused.as_bytes(),
    );
    assert_eq!(refused.status, 424, "{refused:?}");
    server.assert_sound("all of it");
}

#[test]
fn classifiers_of_images_come_from_a_bucket_or_a_hub() {
    let vit = image_models::checkpoint("vit");
    let hub = hub::Hub::empty();
    let contents = vit.contents();
    let listed: Vec<Value> = contents
        .iter()
        .map(|(name, _)| json!({"rfilename": name}))
        .collect();
    let listing = json!({"sha": "0123abcd", "siblings": listed}).to_string();
    hub.serve(
        "/api/models/org/tiny-vit/revision/main",
        listing.into_bytes(),
    );
    for (name, bytes) in &contents {
        hub.serve(
            &format!("/org/tiny-vit/resolve/0123abcd/{name}"),
            bytes.clone(),
        );
    }
    let place = tempfile::tempdir().expect("a folder");
    // Nothing is there, and the hub has nothing else.
    let folder = vit.folder();
    let named = format!("image-classes={}", folder.path().display());
    let arguments = ["--preload", "image-classes", "--model", &named];
    let setup = Setup {
        arguments: arguments.map(str::to_owned).to_vec(),
        ..Setup::default()
    };
    let within = |name: &str| place.path().join(name).display().to_string();
    let setup = setup
        .with("ESCALA_DATA_DIR", &within("data"))
        .with("ESCALA_MODELS_DIR", &within("models"))
        .with("HF_ENDPOINT", &hub.endpoint());
    let server = Server::start(&setup);
    assert_eq!(server.s3("PUT", "/models", b"").status, 200);
    host(
        &server,
        "stored",
        &container(&server, "stored", &contents, "image-classification"),
    );
    let pulled = json!({"Image": IMAGE, "Environment": {"HF_MODEL_ID": "org/tiny-vit"}});
    host(&server, "pulled", &pulled);
    // Small ones are images, too.
    let small = image::RgbImage::from_fn(9, 7, |x, y| image::Rgb([x as u8 * 20, y as u8 * 30, 99]));
    let mut png = std::io::Cursor::new(Vec::new());
    small
        .write_to(&mut png, image::ImageFormat::Png)
        .expect("a picture");
    let answer = server.post("/endpoints/stored/invocations", "image/png", png.get_ref());
    assert_eq!(answer.status, 200, "{answer:?}");
    let told = answer.json();
    let sum: f64 = told
        .as_array()
        .expect("classes")
        .iter()
        .map(|one| one["score"].as_f64().expect("a number"))
        .sum();
    assert!(sum > 0.0 && sum < 1.001, "{told}");
    let labels = &vit.files["config.json"]["id2label"];
    for case in &vit.cases {
        let image = image_models::image(&case.image);
        for name in ["stored", "pulled"] {
            let path = format!("/endpoints/{name}/invocations");
            let answer = server.post(&path, "image/jpeg", &image);
            assert_eq!(answer.status, 200, "{answer:?}");
            let told = answer.json();
            let told = told.as_array().expect("classes");
            assert_eq!(told.len(), case.shares.len().min(5));
            for (place, share) in case.shares.iter().enumerate() {
                let label = &labels[place.to_string()];
                if let Some(one) = told.iter().find(|one| one["label"] == *label) {
                    near(&one["score"], *share, &case.image);
                }
            }
        }
    }
    server.assert_sound("all of it");
}
