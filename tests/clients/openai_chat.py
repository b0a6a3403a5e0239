"""The openai client, as users write it, in conversation with an endpoint named `tgi`."""

import openai

from checks import URL, raises, run

client = openai.OpenAI(base_url=f"{URL}/v1", api_key="x", max_retries=0)
MESSAGES = [{"role": "system", "content": "A"}, {"role": "user", "content": "da wrote"}]
ASKED = {"model": "tgi", "messages": MESSAGES, "max_tokens": 8, "temperature": 0}


def test_an_answer():
    answer = client.chat.completions.create(**ASKED)
    assert answer.object == "chat.completion" and answer.model == "tgi", answer
    choice = answer.choices[0]
    assert choice.message.role == "assistant" and choice.message.content, answer
    assert choice.finish_reason == "length", answer
    assert answer.usage.completion_tokens == 8, answer
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + 8, answer


def test_a_stream_says_the_same():
    whole = client.chat.completions.create(**ASKED)
    said, usage, reasons = "", None, []
    for part in client.chat.completions.create(**ASKED, stream=True, stream_options={"include_usage": True}):
        usage = part.usage or usage
        for choice in part.choices:
            said += choice.delta.content or ""
            reasons.append(choice.finish_reason)
    assert whole.choices[0].message.content.startswith(said.rstrip("\ufffd")), (said, whole)
    assert reasons[-1] == "length" and set(reasons[:-1]) == {None}, reasons
    assert usage == whole.usage, (usage, whole.usage)


def test_seeds_repeat_what_is_drawn():
    drawn = {**ASKED, "temperature": 1.5, "seed": 7}
    first, again = (client.chat.completions.create(**drawn).choices[0].message.content for _ in range(2))
    other = client.chat.completions.create(**{**drawn, "seed": 8}).choices[0].message.content
    assert first == again and first != other, (first, again, other)


def test_several_answers_to_parts():
    parts = [{"role": "user", "content": [{"type": "text", "text": "Ada "}, {"type": "text", "text": "wrote"}]}]
    answer = client.chat.completions.create(**{**ASKED, "messages": parts, "temperature": 1.5}, n=3, seed=1)
    assert [choice.index for choice in answer.choices] == [0, 1, 2], answer
    assert len({choice.message.content for choice in answer.choices}) == 3, answer
    assert answer.usage.completion_tokens == 24, answer


def test_endpoints_are_models():
    assert "tgi" in [model.id for model in client.models.list().data]
    assert client.models.retrieve("tgi").id == "tgi"


def test_errors_are_the_ones_of_the_client():
    with raises(openai.NotFoundError):
        client.chat.completions.create(**{**ASKED, "model": "gpt-4o"})
    with raises(openai.BadRequestError):
        client.chat.completions.create(**{**ASKED, "messages": []})
    # All would be the same one.
    with raises(openai.BadRequestError):
        client.chat.completions.create(**ASKED, n=2)


run(globals())
