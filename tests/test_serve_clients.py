# SPDX-License-Identifier: Apache-2.0
"""paring serve with the clients that people have: OpenAI's for Python and Node, Anthropic's, Ollama's, LangChain. None
is changed or told anything but the address; their own parsers and error classes judge what they get."""
import asyncio
import json
import os
import shutil
import signal
import subprocess
import time

import anthropic
import langchain_openai
import ollama
import openai
import pydantic
import pytest
from conftest import ROOT
from server_process import ServerProcess

SECRET = "a-secret-of-more-than-sixteen-letters"
QUESTION = [{"role": "user", "content": "What is the capital of France?"}]
NODE_CLIENT = "openai@6.30.1"


@pytest.fixture(scope="module")
def server(paring, model):
    with ServerProcess(paring.path, f"smol={model}", "--context-tokens", 1024) as running:
        yield running


def client_of(server, **more):
    return openai.OpenAI(base_url=server.url + "/v1", api_key=more.pop("key", "none"), timeout=120, **more)


@pytest.fixture(scope="module")
def client(server):
    with client_of(server, max_retries=0) as made:
        yield made


def ask(client, messages=None, **more):
    return client.chat.completions.create(model="smol", messages=messages or QUESTION,
                                          **{"temperature": 0, "max_tokens": 16, **more})


def middle_of(answer):
    """A few characters that a greedy answer is sure to come to."""
    return answer.choices[0].message.content[5:8]


def open_requests(server):
    return server.metric("vllm:num_requests_running") + server.metric("vllm:num_requests_waiting")


def wait_until(condition, seconds=30):
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.02)
    return condition()


# The openai package.

def test_a_chat(client):
    answer = ask(client)
    assert answer.object == "chat.completion" and answer.model == "smol" and answer.id.startswith("chatcmpl-")
    assert answer.choices[0].message.role == "assistant" and len(answer.choices[0].message.content) > 8
    usage = answer.usage
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens and usage.completion_tokens <= 16
    assert usage.prompt_tokens_details.cached_tokens >= 0 and len(answer.system_fingerprint) == 64


def test_a_stream_gives_the_same(client):
    whole = ask(client)
    chunks = list(ask(client, stream=True, stream_options={"include_usage": True}))
    assert {chunk.object for chunk in chunks} == {"chat.completion.chunk"} and len({chunk.id for chunk in chunks}) == 1
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == whole.choices[0].message.content
    assert chunks[-1].choices == [] and chunks[-1].usage.completion_tokens == whole.usage.completion_tokens
    assert all(chunk.usage is None for chunk in chunks[:-1])
    ends = [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices and chunk.choices[0].finish_reason]
    assert ends == [whole.choices[0].finish_reason]


def test_the_streaming_helper_puts_the_answer_together(client):
    stop = middle_of(ask(client))  # the helper wants answers that end by themselves
    with client.chat.completions.stream(model="smol", messages=QUESTION, temperature=0, max_tokens=16,
                                        stop=stop) as events:
        kinds = [event.type for event in events]
        final = events.get_final_completion()
    assert final.choices[0].message.content == ask(client, stop=stop).choices[0].message.content
    assert "content.delta" in kinds and kinds[-1] == "content.done"


def test_log_probabilities(client):
    answer = ask(client, logprobs=True, top_logprobs=2)
    content = answer.choices[0].logprobs.content
    assert b"".join(bytes(entry.bytes) for entry in content).decode() == answer.choices[0].message.content
    assert all(entry.logprob <= 0 and len(entry.top_logprobs) == 2 for entry in content)


def test_options_that_shape_an_answer(client):
    plain = ask(client)
    text, stop = plain.choices[0].message.content, middle_of(plain)
    stopped = ask(client, stop=stop).choices[0]
    assert stopped.message.content == text[:text.index(stop)] and stopped.finish_reason == "stop"
    assert ask(client, max_tokens=openai.NOT_GIVEN, max_completion_tokens=2).usage.completion_tokens == 2
    several = ask(client, n=3, temperature=1.2, seed=11, top_p=0.95, frequency_penalty=0.5, presence_penalty=0.5)
    again = ask(client, n=3, temperature=1.2, seed=11, top_p=0.95, frequency_penalty=0.5, presence_penalty=0.5)
    texts = [choice.message.content for choice in several.choices]
    assert len(set(texts)) == 3 and texts == [choice.message.content for choice in again.choices]
    (token,) = client.post("/../tokenize", body={"prompt": text.split()[0]}, cast_to=object)["tokens"][:1]
    forbidden = ask(client, logit_bias={str(token): -100}).choices[0].message.content
    assert not forbidden.startswith(text.split()[0])


def test_what_a_schema_asks_for_is_parsed_into_it(client):
    class City(pydantic.BaseModel):
        model_config = pydantic.ConfigDict(extra="forbid")
        name: str = pydantic.Field(max_length=20)
        is_capital: bool

    parsed = client.chat.completions.parse(model="smol", messages=QUESTION, response_format=City, temperature=0,
                                           max_tokens=80)
    assert isinstance(parsed.choices[0].message.parsed, City)
    free = ask(client, response_format={"type": "json_object"}, max_tokens=200)
    if free.choices[0].finish_reason == "stop":
        assert isinstance(json.loads(free.choices[0].message.content), dict)


def test_models(client):
    assert [one.id for one in client.models.list()] == ["smol"]
    assert client.models.retrieve("smol").object == "model"


def test_errors_raise_the_classes_that_programs_catch(client):
    with pytest.raises(openai.NotFoundError) as unknown:
        client.chat.completions.create(model="other", messages=QUESTION)
    assert unknown.value.code == "model_not_found" and unknown.value.param == "model"
    with pytest.raises(openai.BadRequestError) as hot:
        ask(client, temperature=9)
    assert hot.value.param == "temperature" and hot.value.type == "invalid_request_error"
    with pytest.raises(openai.BadRequestError) as long:
        ask(client, [{"role": "user", "content": "word " * 2000}])
    assert long.value.code == "context_length_exceeded"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("other")
    with pytest.raises(openai.BadRequestError) as schema:
        strange = {"name": "x", "schema": {"type": "strange"}}
        ask(client, response_format={"type": "json_schema", "json_schema": strange})
    assert "type" in str(schema.value)


def test_a_wrong_key_and_a_right_one(paring, model):
    with ServerProcess(paring.path, f"smol={model}", env={"PARING_API_KEY": SECRET}) as server:
        with client_of(server, key="wrong", max_retries=0) as stranger:
            with pytest.raises(openai.AuthenticationError) as refused:
                ask(stranger)
        assert SECRET not in str(refused.value)
        with client_of(server, key=SECRET) as friend:
            assert ask(friend).choices[0].message.content
        assert server.end() == 0
        with client_of(server, key=SECRET, max_retries=0) as late:
            with pytest.raises(openai.APIConnectionError):
                ask(late)


def test_answers_have_the_request_ids_of_their_headers(client):
    raw = client.chat.completions.with_raw_response.create(model="smol", messages=QUESTION, max_tokens=1)
    assert raw.headers["x-request-id"] and raw.parse()._request_id == raw.headers["x-request-id"]


def test_a_stream_that_is_closed_frees_its_sequence(server, client):
    stream = ask(client, stream=True, max_tokens=900, extra_body={"ignore_eos": True})
    next(iter(stream))
    assert open_requests(server) >= 1
    stream.close()
    assert wait_until(lambda: open_requests(server) == 0)


def test_a_client_that_gives_up_waiting(server):
    with client_of(server, max_retries=0) as client:
        with pytest.raises(openai.APITimeoutError):
            ask(client.with_options(timeout=0.5), max_tokens=900, extra_body={"ignore_eos": True})
    assert wait_until(lambda: open_requests(server) == 0)


def test_many_asynchronous_streams_each_say_what_they_say_alone(server, client):
    questions = [[{"role": "user", "content": f"Count from {i} to {i + 5}."}] for i in range(6)]
    alone = [ask(client, question).choices[0].message.content for question in questions]

    async def read(client, question):
        text = ""
        stream = await client.chat.completions.create(model="smol", messages=question, temperature=0, max_tokens=16,
                                                      stream=True)
        async for chunk in stream:
            text += chunk.choices[0].delta.content or ""
        return text

    async def all_of_them():
        async with openai.AsyncOpenAI(base_url=server.url + "/v1", api_key="none", timeout=120) as client:
            return await asyncio.gather(*(read(client, question) for question in questions * 2))

    assert asyncio.run(all_of_them()) == alone * 2


def test_a_cancelled_task_frees_its_sequence(server):
    async def run():
        async with openai.AsyncOpenAI(base_url=server.url + "/v1", api_key="none", timeout=120) as client:
            task = asyncio.create_task(client.chat.completions.create(
                model="smol", messages=QUESTION, max_tokens=900, extra_body={"ignore_eos": True}))
            while await asyncio.to_thread(open_requests, server) == 0:
                await asyncio.sleep(0.01)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(run())
    assert wait_until(lambda: open_requests(server) == 0)


def test_a_server_that_ends_tells_the_streams_so(paring, model):
    with ServerProcess(paring.path, f"smol={model}", "--drain-seconds", 0) as server:
        with client_of(server, max_retries=0) as client:
            stream = ask(client, stream=True, max_tokens=3000, extra_body={"ignore_eos": True})
            with pytest.raises(openai.APIError) as cut:
                for index, _ in enumerate(stream):
                    if index == 1:
                        server.process.send_signal(signal.SIGTERM)
            assert cut.value.message
        assert server.end() == 0


def test_completions_of_text(client):
    whole = client.completions.create(model="smol", prompt="One, two, three,", max_tokens=8, temperature=0)
    assert whole.object == "text_completion" and whole.usage.completion_tokens == 8
    question = {"model": "smol", "max_tokens": 8, "temperature": 0}
    chunks = client.completions.create(**question, prompt="One, two, three,", stream=True)
    assert "".join(chunk.choices[0].text for chunk in chunks if chunk.choices) == whole.choices[0].text
    both = client.completions.create(**question, prompt=["One, two, three,", "A, B, C,"])
    assert [choice.index for choice in both.choices] == [0, 1] and both.choices[0].text == whole.choices[0].text


def test_responses(client):
    question = {"model": "smol", "input": QUESTION[0]["content"], "max_output_tokens": 16, "temperature": 0}
    whole = client.responses.create(**question)
    assert whole.output_text == ask(client).choices[0].message.content
    assert whole.usage.total_tokens == whole.usage.input_tokens + whole.usage.output_tokens
    events = list(client.responses.create(**question, stream=True))
    assert events[0].type == "response.created" and events[-1].type in ("response.completed", "response.incomplete")
    text = "".join(event.delta for event in events if event.type == "response.output_text.delta")
    assert text == whole.output_text == events[-1].response.output_text


# The anthropic package.

def test_anthropic(server, client):
    text = ask(client).choices[0].message.content
    question = {"model": "smol", "messages": QUESTION, "max_tokens": 16, "extra_body": {"temperature": 0}}
    with anthropic.Anthropic(base_url=server.url, api_key="none", max_retries=0, timeout=120) as claude:
        whole = claude.messages.create(**question)
        assert whole.content[0].text == text and whole.stop_reason in ("max_tokens", "end_turn")
        assert whole.usage.output_tokens <= 16 and whole.role == "assistant"
        with claude.messages.stream(**question) as stream:
            assert "".join(stream.text_stream) == text
            assert stream.get_final_message().content[0].text == text
        count = claude.messages.count_tokens(model="smol", messages=QUESTION)
        assert count.input_tokens == ask(client).usage.prompt_tokens
        stop = text[5:8]
        stopped = claude.messages.create(**question, stop_sequences=[stop])
        assert stopped.stop_reason == "stop_sequence" and stopped.stop_sequence == stop
        with pytest.raises(anthropic.NotFoundError):
            claude.messages.create(**{**question, "model": "other"})
        with pytest.raises(anthropic.BadRequestError):
            claude.messages.create(**{**question, "extra_body": {"temperature": 9}})


# The ollama package.

def test_ollama(server, client):
    text = ask(client).choices[0].message.content
    lama = ollama.Client(host=server.url, timeout=120)
    options = {"temperature": 0, "num_predict": 16}
    whole = lama.chat(model="smol", messages=QUESTION, options=options)
    assert whole.message.content == text and whole.done and whole.eval_count <= 16
    parts = list(lama.chat(model="smol", messages=QUESTION, options=options, stream=True))
    assert "".join(part.message.content or "" for part in parts) == text and parts[-1].done
    made = lama.generate(model="smol", prompt=QUESTION[0]["content"], options=options)
    assert made.response == text and made.done_reason in ("length", "stop")
    assert [one.model.split(":")[0] for one in lama.list().models] == ["smol"]
    with pytest.raises(ollama.ResponseError) as unknown:
        lama.chat(model="other", messages=QUESTION)
    assert unknown.value.status_code == 404


# LangChain.

def test_langchain(server, client):
    chat = langchain_openai.ChatOpenAI(base_url=server.url + "/v1", api_key="none", model="smol", temperature=0,
                                       max_tokens=16)
    answer = chat.invoke("What is the capital of France?")
    assert answer.content == ask(client).choices[0].message.content and answer.usage_metadata["output_tokens"] > 0
    assert "".join(chunk.content for chunk in chat.stream("What is the capital of France?")) == answer.content
    assert [one.content for one in chat.batch(["What is the capital of France?"] * 3)] == [answer.content] * 3

    class City(pydantic.BaseModel):
        model_config = pydantic.ConfigDict(extra="forbid")
        name: str = pydantic.Field(max_length=20)

    shaped = chat.model_copy(update={"max_tokens": 60}).with_structured_output(City, method="json_schema")
    assert isinstance(shaped.invoke("Name a city."), City)


# The openai package of Node.

@pytest.fixture(scope="module")
def node_modules():
    """A folder with OpenAI's client for Node in it, which npm fetches once."""
    if not shutil.which("node") or not shutil.which("npm"):
        pytest.skip("node and npm are not installed")
    folder = ROOT / "build" / "node-clients" / NODE_CLIENT
    if not (folder / "node_modules" / "openai" / "package.json").exists():
        folder.mkdir(parents=True, exist_ok=True)
        done = subprocess.run(["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", folder,
                               NODE_CLIENT], capture_output=True, text=True, timeout=300)
        if done.returncode != 0:
            pytest.skip(f"npm could not fetch {NODE_CLIENT}: {done.stderr[-300:]}")
    return folder / "node_modules"


def test_the_client_of_node(server, client, node_modules):
    script = node_modules.parent / "openai_suite.mjs"
    shutil.copy(ROOT / "tests" / "clients" / "openai_suite.mjs", script)  # modules are found beside the script
    done = subprocess.run(["node", script], capture_output=True, text=True, timeout=300,
                          env=os.environ | {"BASE_URL": server.url + "/v1", "API_KEY": "none"})
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    text = ask(client).choices[0].message.content
    assert found["chat"] == found["stream"] == found["helper"] == text
    assert found["usage_chunk"]["choices"] == [] and found["usage_chunk"]["usage"]["completion_tokens"] > 0
    assert found["models"] == ["smol"]
    assert found["errors"] == {"model": ["NotFoundError", "model_not_found"], "temperature": ["BadRequestError", None],
                               "timeout": ["APIConnectionTimeoutError", None]}
    assert wait_until(lambda: open_requests(server) == 0)  # the one that it aborted, and the one it gave up
