"""fastText's own predictor as a contender for language detection, on the same lid.176 file."""

import importlib.metadata
import json

import fasttext

import contender
import weights


def main() -> None:
    model = fasttext.load_model(str(weights.path("lid176")))
    first = lambda text: model.predict(text, k=1)[0][0].removeprefix("__label__")
    for item in json.loads((contender.GOLDEN / "lid176.json").read_text())["items"]:
        code, _ = item["top3"][0]
        assert first(item["text"]) == code, f"{item['text']} is {first(item['text'])}, expected {code}"

    def language(request: dict) -> dict:
        texts = request["texts"]

        def run() -> None:
            for text in texts:
                model.predict(text, k=1)

        return {"ms": contender.timed(run, request["repeats"]), "output": [first(text) for text in texts]}

    version = importlib.metadata.version("fasttext-predict")
    contender.serve(f"fasttext-predict {version}", {"language": language})


if __name__ == "__main__":
    main()
