"""boto3's Comprehend client, as users write it, against the server."""

import json
from pathlib import Path

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from checks import URL, golden, near, raises, run

# Errors are to be seen as they are, not after three more tries.
config = Config(retries={"total_max_attempts": 1})
c = boto3.client(
    "comprehend", endpoint_url=URL, region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="x", config=config
)
ITEMS = golden("lid176.json")["items"]
# Of what rules make something else than the reference, and what they make.
MENDED = json.loads((Path(__file__).parent.parent / "data/reading/mended.json").read_text())["en"]
# fastText rounds its sums in f32; the file has five decimals.
TOLERANCE = 1e-4


def test_the_code_of_the_readme():
    answer = c.detect_dominant_language(Text="¿Dónde está la biblioteca?")
    best = answer["Languages"][0]
    assert best["LanguageCode"] == "es", answer
    assert 0.5 < best["Score"] <= 1.0, answer
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 200
    assert answer["ResponseMetadata"]["RequestId"]


def test_the_reference_answers():
    for item in ITEMS:
        code, score = item["top3"][0]
        languages = c.detect_dominant_language(Text=item["text"])["Languages"]
        assert languages[0]["LanguageCode"] == code, (item["text"], languages)
        near(languages[0]["Score"], score, TOLERANCE, item["text"])
        scores = [language["Score"] for language in languages]
        assert scores == sorted(scores, reverse=True), languages


def test_a_batch_answers_by_index_what_each_text_answers_alone():
    texts = [item["text"] for item in ITEMS]
    answer = c.batch_detect_dominant_language(TextList=texts)
    assert answer["ErrorList"] == [], answer["ErrorList"]
    assert [result["Index"] for result in answer["ResultList"]] == list(range(len(texts)))
    for text, result in zip(texts, answer["ResultList"]):
        assert result["Languages"] == c.detect_dominant_language(Text=text)["Languages"], text


def test_a_bad_document_fails_alone():
    answer = c.batch_detect_dominant_language(TextList=["Guten Tag, wie geht es Ihnen?", "x" * 5001, "Ciao, come stai?"])
    assert [result["Index"] for result in answer["ResultList"]] == [0, 2], answer
    assert [result["Languages"][0]["LanguageCode"] for result in answer["ResultList"]] == ["de", "it"], answer
    (error,) = answer["ErrorList"]
    assert error["Index"] == 1 and error["ErrorCode"] and "5001 bytes" in error["ErrorMessage"], error


def test_texts_at_and_over_the_limit():
    fits = ("Dit is een Nederlandse zin. " * 4000)[:100_000]
    assert c.detect_dominant_language(Text=fits)["Languages"][0]["LanguageCode"] == "nl"
    with raises(c.exceptions.TextSizeLimitExceededException, "TextSizeLimitExceededException", 400):
        c.detect_dominant_language(Text=fits + "x")
    # The limit counts bytes, not characters.
    with raises(c.exceptions.TextSizeLimitExceededException):
        c.detect_dominant_language(Text="é" * 50_001)


def test_batches_over_the_limit():
    with raises(c.exceptions.BatchSizeLimitExceededException, "BatchSizeLimitExceededException", 400):
        c.batch_detect_dominant_language(TextList=["Hello world"] * 26)
    assert len(c.batch_detect_dominant_language(TextList=["Hello world"] * 25)["ResultList"]) == 25


def test_what_botocore_would_not_send_is_refused_as_aws_does():
    raw = boto3.client(
        "comprehend",
        endpoint_url=URL,
        region_name="us-east-1",
        aws_access_key_id="x",
        aws_secret_access_key="x",
        config=config.merge(Config(parameter_validation=False)),
    )
    with raises(ClientError, "ValidationException", 400):
        raw.detect_dominant_language()
    with raises(ClientError, "ValidationException", 400):
        raw.detect_dominant_language(Text="")
    with raises(ClientError, "SerializationException", 400):
        raw.detect_dominant_language(Text=5)


READINGS = golden("spacy_en.json")["items"]
# The types of models.md, written down a second time on purpose.
TYPES = {
    "PERSON": "PERSON", "ORG": "ORGANIZATION", "GPE": "LOCATION", "LOC": "LOCATION", "FAC": "LOCATION",
    "DATE": "DATE", "TIME": "DATE", "EVENT": "EVENT", "PRODUCT": "COMMERCIAL_ITEM", "WORK_OF_ART": "TITLE",
    "CARDINAL": "QUANTITY", "ORDINAL": "QUANTITY", "PERCENT": "QUANTITY", "MONEY": "QUANTITY", "QUANTITY": "QUANTITY",
}


def placed(text, item):
    """The item's text stands at its offsets, which count code points as Python does."""
    assert text[item["BeginOffset"] : item["EndOffset"]] == item["Text"], item
    return item["Text"]


def probable(score):
    assert 0.0 < score <= 1.0, score


def test_entities_are_the_reference_ones():
    for item in READINGS:
        entities = c.detect_entities(Text=item["text"], LanguageCode="en")["Entities"]
        found = [
            (placed(item["text"], e), e["Type"], e["BeginOffset"]) for e in entities if e["Text"] not in MENDED["rules"]
        ]
        wanted = [
            (e["text"], TYPES.get(e["label"], "OTHER"), e["start_char"])
            for e in item["ents"]
            if e["text"] not in MENDED["reference"]
        ]
        assert found == wanted, (item["text"], found, wanted)
        for entity in entities:
            probable(entity["Score"])


def test_syntax_is_the_reference_one():
    for item in READINGS:
        tokens = c.detect_syntax(Text=item["text"], LanguageCode="en")["SyntaxTokens"]
        words = [t for t in item["tokens"] if t["text"].strip()]
        found = [(placed(item["text"], t), t["PartOfSpeech"]["Tag"]) for t in tokens]
        # Signs that the tagger takes for something else are signs.
        parts = [MENDED["signs"].get(t["text"], "O" if t["pos"] == "X" else t["pos"]) for t in words]
        wanted = [(t["text"], part) for t, part in zip(words, parts)]
        assert found == wanted, (item["text"], found, wanted)
        assert [t["TokenId"] for t in tokens] == list(range(1, len(tokens) + 1))
        for token in tokens:
            probable(token["PartOfSpeech"]["Score"])


def test_key_phrases_are_the_reference_noun_chunks():
    for item in READINGS:
        phrases = c.detect_key_phrases(Text=item["text"], LanguageCode="en")["KeyPhrases"]
        pronouns = {t["idx"]: t["text"] for t in item["tokens"] if t["pos"] == "PRON"}
        wanted = [
            (p["start_char"], p["text"].strip())
            for p in item["noun_chunks"]
            if pronouns.get(p["start_char"]) != p["text"]
        ]
        mended = MENDED["phrases"]
        found = [(p["BeginOffset"], placed(item["text"], p)) for p in phrases]
        found = [phrase for phrase in found if phrase[1] not in mended["rules"]]
        wanted = [phrase for phrase in wanted if phrase[1] not in mended["reference"]]
        assert found == wanted, (item["text"], found, wanted)
        for phrase in phrases:
            probable(phrase["Score"])


def test_batches_of_readings_answer_what_each_text_answers_alone():
    texts = [item["text"] for item in READINGS]
    for single, batch, member in [
        (c.detect_entities, c.batch_detect_entities, "Entities"),
        (c.detect_key_phrases, c.batch_detect_key_phrases, "KeyPhrases"),
        (c.detect_syntax, c.batch_detect_syntax, "SyntaxTokens"),
    ]:
        answer = batch(TextList=texts + ["x" * 5001], LanguageCode="en")
        assert [result["Index"] for result in answer["ResultList"]] == list(range(len(texts))), member
        assert [error["Index"] for error in answer["ErrorList"]] == [len(texts)], answer["ErrorList"]
        for text, result in zip(texts, answer["ResultList"]):
            assert result[member] == single(Text=text, LanguageCode="en")[member], (member, text)


def test_languages_without_a_model_are_refused_by_name():
    for operation in [c.detect_entities, c.detect_key_phrases, c.detect_syntax, c.detect_pii_entities]:
        with raises(c.exceptions.UnsupportedLanguageException, "UnsupportedLanguageException", 400):
            operation(Text="Bonjour tout le monde", LanguageCode="fr")


def test_sizes_of_readings():
    with raises(c.exceptions.TextSizeLimitExceededException, "TextSizeLimitExceededException", 400):
        c.detect_syntax(Text="x " * 2501, LanguageCode="en")
    assert c.detect_syntax(Text="x " * 2500, LanguageCode="en")["SyntaxTokens"]
    with raises(c.exceptions.TextSizeLimitExceededException, "TextSizeLimitExceededException", 400):
        c.detect_entities(Text="x" * 100_001, LanguageCode="en")
    with raises(c.exceptions.ResourceUnavailableException, "ResourceUnavailableException", 400):
        arn = "arn:aws:comprehend:us-east-1:123456789012:entity-recognizer-endpoint/mine"
        c.detect_entities(Text="Ada lives in London.", EndpointArn=arn)


def test_targeted_sentiment():
    text = "The soup was great, but the waiter ignored us. 👋 It was delicious."
    answer = c.detect_targeted_sentiment(Text=text, LanguageCode="en")
    entities = answer["Entities"]
    found = [[(m["Text"], m["Type"], m["MentionSentiment"]["Sentiment"]) for m in e["Mentions"]] for e in entities]
    assert found == [
        [("soup", "OTHER", "POSITIVE"), ("It", "OTHER", "POSITIVE")],
        [("waiter", "PERSON", "NEGATIVE")],
        [("us", "PERSON", "NEUTRAL")],
    ], found
    assert [e["DescriptiveMentionIndex"] for e in entities] == [[0], [0], [0]]
    for mention in (m for e in entities for m in e["Mentions"]):
        placed(text, mention)
        probable(mention["Score"])
        probable(mention["GroupScore"])
        scores = mention["MentionSentiment"]["SentimentScore"]
        near(sum(scores.values()), 1.0, 1e-4, mention["Text"])
        best = max(scores, key=scores.get)
        assert best.upper() == mention["MentionSentiment"]["Sentiment"], mention
    batch = c.batch_detect_targeted_sentiment(TextList=[text, "x" * 5001], LanguageCode="en")
    (result,) = batch["ResultList"]
    assert [e["DescriptiveMentionIndex"] for e in result["Entities"]] == [[0], [0], [0]], result
    assert [error["ErrorCode"] for error in batch["ErrorList"]] == ["TEXT_SIZE_LIMIT_EXCEEDED"]
    with raises(c.exceptions.UnsupportedLanguageException, "UnsupportedLanguageException", 400):
        c.detect_targeted_sentiment(Text="Bonjour tout le monde", LanguageCode="fr")
    with raises(c.exceptions.TextSizeLimitExceededException, "TextSizeLimitExceededException", 400):
        c.detect_targeted_sentiment(Text="x" * 5001, LanguageCode="en")


def test_personal_data():
    text = (
        "My name is Jane Doe, I live at 100 Main Street, Seattle, WA 98121. 👋 Write to jane@example.com or call "
        "(206) 555-0100. Card 4111 1111 1111 1111, SSN 219-09-9999, key AKIAIOSFODNN7EXAMPLE."
    )
    entities = c.detect_pii_entities(Text=text, LanguageCode="en")["Entities"]
    found = {(e["Type"], text[e["BeginOffset"] : e["EndOffset"]]) for e in entities}
    wanted = {
        ("NAME", "Jane Doe"),
        ("ADDRESS", "100 Main Street, Seattle, WA 98121"),
        ("EMAIL", "jane@example.com"),
        ("PHONE", "(206) 555-0100"),
        ("CREDIT_DEBIT_NUMBER", "4111 1111 1111 1111"),
        ("SSN", "219-09-9999"),
        ("AWS_ACCESS_KEY", "AKIAIOSFODNN7EXAMPLE"),
    }
    assert found == wanted, found
    labels = c.contains_pii_entities(Text=text, LanguageCode="en")["Labels"]
    assert {label["Name"] for label in labels} == {kind for kind, _ in wanted}, labels
    for label in labels:
        probable(label["Score"])
    spanish = "Mi correo es ana@example.com y tengo 34 años."
    found = c.detect_pii_entities(Text=spanish, LanguageCode="es")["Entities"]
    assert [e["Type"] for e in found] == ["EMAIL", "AGE"], found
    # A number whose check digit is wrong is no card.
    assert c.contains_pii_entities(Text="Reference 4111 1111 1111 1112", LanguageCode="en")["Labels"] == []


TOXIC = golden("toxicity.json")
# The labels of the model behind those of Comprehend, written down a second time on purpose.
BEHIND = {
    "PROFANITY": ["obscene"],
    "HATE_SPEECH": ["identity_hate"],
    "INSULT": ["insult"],
    "HARASSMENT_OR_ABUSE": ["severe_toxic", "threat", "insult", "identity_hate"],
    "VIOLENCE_OR_THREAT": ["threat"],
}


def test_toxicity_is_the_reference_one():
    # Blank texts are refused, and of longer ones the reference reads the end only.
    items = [item for item in TOXIC["items"] if item["text"].strip() and len(item["ids"]) <= 100]
    assert len(items) >= 18, len(items)
    for start in range(0, len(items), 10):
        some = items[start : start + 10]
        segments = [{"Text": item["text"]} for item in some]
        results = c.detect_toxic_content(TextSegments=segments, LanguageCode="en")["ResultList"]
        assert len(results) == len(some), results
        for item, result in zip(some, results):
            scores = dict(zip(TOXIC["labels"], item["scores"]))
            # Two f32 implementations, a hundred steps.
            near(result["Toxicity"], scores["toxic"], 3e-6, item["text"])
            assert [label["Name"] for label in result["Labels"]] == list(BEHIND), result
            for label in result["Labels"]:
                near(label["Score"], max(scores[name] for name in BEHIND[label["Name"]]), 3e-6, item["text"])


def test_an_insult_in_a_long_segment_is_seen_wherever_it_stands():
    calm = "The garden is full of flowers and the birds sing in the morning. "
    (result,) = c.detect_toxic_content(TextSegments=[{"Text": calm * 14}], LanguageCode="en")["ResultList"]
    assert result["Toxicity"] < 0.05, result
    for before in [0, 5, 13]:
        text = calm * before + "You stupid idiot! " + calm * (13 - before)
        (result,) = c.detect_toxic_content(TextSegments=[{"Text": text}], LanguageCode="en")["ResultList"]
        # Diluted, but seen; the last hundred words alone have 0.002 where the insult is not among them.
        assert result["Toxicity"] > 0.3, (before, result)


def test_segments_that_are_refused():
    def detect(texts, language="en"):
        return c.detect_toxic_content(TextSegments=[{"Text": text} for text in texts], LanguageCode=language)

    assert len(detect(["x" * 1000] * 10)["ResultList"]) == 10
    with raises(c.exceptions.InvalidRequestException, "InvalidRequestException", 400):
        detect(["hello"] * 11)
    with raises(c.exceptions.InvalidRequestException, "InvalidRequestException", 400):
        detect(["hello", "  "])
    with raises(c.exceptions.TextSizeLimitExceededException, "TextSizeLimitExceededException", 400):
        detect(["hello", "x" * 1001])
    with raises(c.exceptions.TextSizeLimitExceededException):
        detect(["é" * 501])
    with raises(c.exceptions.UnsupportedLanguageException, "UnsupportedLanguageException", 400):
        detect(["Bonjour tout le monde"], "fr")


def test_an_operation_that_is_not_built_says_so():
    with raises(ClientError, "NotImplementedException", 501):
        c.list_endpoints()


run(globals())
