"""The openai client, as users write it, against the server."""

import math

import openai

from checks import URL, golden, near, raises, run

client = openai.OpenAI(base_url=f"{URL}/v1", api_key="x", max_retries=0)
MODEL = "all-MiniLM-L6-v2"
# OpenAI's wire has no empty texts.
ITEMS = [item for item in golden("minilm.json")["items"] if item["text"]]
# Two f32 implementations sum in different orders; the file has six decimals.
TOLERANCE = 2e-5


def check(vector: list[float], item: dict) -> None:
    assert len(vector) == 384, len(vector)
    near(math.sqrt(sum(x * x for x in vector)), 1.0, 1e-5, "length")
    for got, want in zip(vector[:8] + vector[-4:], item["embedding_first8"] + item["embedding_last4"]):
        near(got, want, TOLERANCE, item["text"])


def test_one_text():
    item = ITEMS[0]
    answer = client.embeddings.create(model=MODEL, input=item["text"])
    assert answer.object == "list" and answer.model == MODEL, answer
    assert answer.usage.prompt_tokens == answer.usage.total_tokens == len(item["input_ids"]), answer.usage
    check(answer.data[0].embedding, item)


def test_a_list_of_texts_in_order():
    answer = client.embeddings.create(model=MODEL, input=[item["text"] for item in ITEMS])
    assert [entry.index for entry in answer.data] == list(range(len(ITEMS)))
    for entry, item in zip(answer.data, ITEMS):
        check(entry.embedding, item)
    assert answer.usage.total_tokens == sum(len(item["input_ids"]) for item in ITEMS)


def test_both_encodings_hold_the_same_numbers():
    # Without `encoding_format` the client asks for base64 and decodes it.
    packed = client.embeddings.create(model=MODEL, input=ITEMS[1]["text"])
    plain = client.embeddings.create(model=MODEL, input=ITEMS[1]["text"], encoding_format="float")
    for a, b in zip(packed.data[0].embedding, plain.data[0].embedding):
        near(a, b, 1e-7)


def test_models():
    assert MODEL in [model.id for model in client.models.list().data]
    assert client.models.retrieve(MODEL).id == MODEL


def test_errors_are_the_ones_of_the_client():
    with raises(openai.NotFoundError):
        client.embeddings.create(model="text-embedding-3-small", input="hello")
    with raises(openai.BadRequestError):
        client.embeddings.create(model=MODEL, input="")
    with raises(openai.BadRequestError):
        client.embeddings.create(model=MODEL, input="hello", dimensions=256)
    try:
        client.embeddings.create(model=MODEL, input=[])
    except openai.BadRequestError as error:
        assert error.type == "invalid_request_error" and error.param, error.body
    else:
        raise AssertionError("an empty list was accepted")


run(globals())
