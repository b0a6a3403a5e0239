"""boto3's Comprehend client, as users write it, against the server."""

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


def test_an_operation_that_is_not_built_says_so():
    with raises(ClientError, "NotImplementedException", 501):
        c.detect_entities(Text="Ada Lovelace lived in London.", LanguageCode="en")


run(globals())
