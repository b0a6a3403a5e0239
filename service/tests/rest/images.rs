//! Images, and the pictures of what was found in them.

use super::*;

/// A chair in the middle of any image.
fn objects(_: ObjectsInput) -> Result<Objects> {
    Ok(Objects {
        width: 200,
        height: 160,
        objects: vec![Object {
            class: 56,
            name: "Chair".into(),
            confidence: 80.0,
            area: Area::new(50.0, 60.0, 150.0, 400.0),
            parents: vec![],
            categories: vec!["Furniture and Furnishings".into()],
            aliases: vec![],
        }],
        known: ["Chair".to_owned()].into(),
    })
}

/// A router whose labels are joined with [`objects`].
fn router_with_objects(
    draw: impl Fn(RenderInput) -> Result<Bytes> + Send + Sync + 'static,
) -> Router {
    let mut app = Arc::into_inner(app(Config::default())).expect("nobody else has it");
    app.images.objects = Some(Arc::new(By(objects)));
    app.images.render = Arc::new(By(draw));
    doors::router(Arc::new(app))
}

fn png(width: u32, height: u32) -> Vec<u8> {
    let mut file = std::io::Cursor::new(Vec::new());
    let image = image::RgbImage::from_pixel(width, height, image::Rgb([90, 90, 90]));
    let written = image.write_to(&mut file, image::ImageFormat::Png);
    written.expect("written to memory");
    file.into_inner()
}

#[tokio::test]
async fn labels_have_their_places_in_words_and_in_pictures() {
    let router = router_with_objects(|input| render(&input, &ImageLimits::default()));
    let path = "/v1/images/labels";
    let file = png(200, 160);
    let answer = send(&router, "POST", path, "image/png", file.clone())
        .await
        .json();
    assert_eq!(
        (&answer["width"], &answer["height"]),
        (&json!(200), &json!(160))
    );
    let chair = &answer["labels"][0];
    // The box ends where the image does.
    let place = json!({ "left": 50.0, "top": 60.0, "width": 100.0, "height": 100.0 });
    assert_eq!(chair["name"], "Chair");
    assert_eq!(
        chair["instances"],
        json!([{ "box": place, "confidence": 80.0 }])
    );

    let drawn = format!("{path}?render=png&include_labels=Chair");
    let answer = send(&router, "POST", &drawn, "image/png", file).await;
    assert_eq!(
        (answer.status, answer.header("content-type")),
        (StatusCode::OK, "image/png")
    );
    let picture = image::load_from_memory(&answer.body)
        .expect("a picture")
        .into_rgb8();
    assert_eq!(picture.dimensions(), (200, 160));
    let painted = |x: u32, y: u32| picture.get_pixel(x, y).0 != [90; 3];
    // Along the left edge and not beside it, up to the last row.
    for y in 62..158 {
        assert!(painted(50, y) && !painted(47, y) && !painted(53, y), "{y}");
    }
    assert!(painted(100, 159) && !painted(100, 110) && !painted(10, 10));
}

#[tokio::test]
async fn a_picture_that_cannot_be_drawn_is_an_error_in_json() {
    let router = router_with_objects(|_| Err(fail("!overloaded").expect("an error")));
    let path = "/v1/images/labels?render=png";
    let answer = send(&router, "POST", path, "image/png", png(100, 100)).await;
    assert_eq!(answer.status, 429);
    assert_eq!(answer.json()["error"]["code"], "overloaded");
    assert_eq!(answer.header("retry-after"), "3");
}

#[tokio::test]
async fn images_come_in_json_or_as_they_are() {
    let router = router();
    let path = "/v1/images/labels";
    let body = json!({
        "image": "aGVsbG8=", "max_labels": 5, "min_confidence": 10, "properties": true, "include_categories": ["Animals"]
    });
    let from_json = post(&router, path, body).await;
    assert_eq!(
        from_json.json(),
        json!({
            "labels": [
                { "name": "5 bytes", "confidence": 10.0, "instances": [], "parents": ["Parent"], "categories": ["Animals"], "aliases": [] },
                { "name": "max 5", "confidence": 10.0, "instances": [], "parents": ["Parent"], "categories": ["Animals"], "aliases": [] },
            ],
            "properties": {
                "brightness": 1.0, "sharpness": 2.0, "contrast": 3.0,
                "dominant_colors": [{
                    "rgb": [255, 0, 16], "hex": "#ff0010", "css_color": "red", "simplified_color": "red", "pixel_percent": 100.0
                }],
            },
            "model_version": "1.0",
        })
    );
    let query = "?max_labels=5&min_confidence=10&properties=true&include_categories=Animals";
    for media in ["image/jpeg", "application/octet-stream"] {
        let raw = send(&router, "POST", &format!("{path}{query}"), media, "hello").await;
        assert_eq!(raw.json(), from_json.json(), "{media}");
    }
    // The defaults are Rekognition's.
    let answer = send(&router, "POST", path, "image/png", "hello")
        .await
        .json();
    assert_eq!(answer["labels"][0]["confidence"], json!(55.0));
    assert_eq!(answer["labels"][1]["name"], json!("max 1000"));
    assert!(answer.get("properties").is_none());

    for (path, media, body, code) in [
        (path.to_owned(), "image/png", "junk", "invalid_image"),
        (path.to_owned(), "image/png", "", "invalid_image"),
        (
            path.to_owned(),
            "application/json",
            r#"{"image":"%%%"}"#,
            "invalid_input",
        ),
        (
            path.to_owned(),
            "application/json",
            r#"{"image":"anVuaw=="}"#,
            "invalid_image",
        ),
        (path.to_owned(), "application/json", "{}", "invalid_input"),
        (
            format!("{path}?max_labels=2"),
            "application/json",
            r#"{"image":"aGk="}"#,
            "invalid_input",
        ),
        (
            format!("{path}?max_labels=0"),
            "image/png",
            "hello",
            "invalid_input",
        ),
        (
            format!("{path}?max_labels=x"),
            "image/png",
            "hello",
            "invalid_input",
        ),
        (
            format!("{path}?min_confidence=101"),
            "image/png",
            "hello",
            "invalid_input",
        ),
        (
            format!("{path}?min_confidence=NaN"),
            "image/png",
            "hello",
            "invalid_input",
        ),
        (
            format!("{path}?colour=red"),
            "image/png",
            "hello",
            "invalid_input",
        ),
    ] {
        let answer = send(&router, "POST", &path, media, body).await;
        assert_eq!(
            (
                answer.status.as_u16(),
                answer.json()["error"]["code"].as_str()
            ),
            (400, Some(code)),
            "{path} {body}"
        );
    }
}
