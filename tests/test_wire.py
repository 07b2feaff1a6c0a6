# SPDX-License-Identifier: Apache-2.0
"""What the server writes is what the official clients read: a socket gives them the bytes of tests/data/wire, which the
unit tests hold the writers to (src/serve/wire/golden_test.cc)."""
import base64
import contextlib
import json
import pathlib
import struct
import threading
import http.server

import anthropic
import ollama
import openai
import pytest

GOLDEN = pathlib.Path(__file__).resolve().parent / "data" / "wire"
TEXT = "Hello \"w\u00f6rld\"\u2028\n\u0085\t\U0001f600 \\done\x01"
TYPES = {".sse": "text/event-stream", ".ndjson": "application/x-ndjson", ".json": "application/json"}
MESSAGES = [{"role": "user", "content": "Hi"}]


@contextlib.contextmanager
def replaying(name, status=200):
    """A server that answers everything with one file, in pieces that cut it anywhere."""
    body = (GOLDEN / name).read_bytes()

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self):
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self.send_response(status)
            self.send_header("Content-Type", TYPES[pathlib.Path(name).suffix])
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for at in range(0, len(body), 61):
                piece = body[at:at + 61]
                self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            self.wfile.write(b"0\r\n\r\n")

        do_GET = do_POST = answer

        def log_message(self, *args):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextlib.contextmanager
def openai_client(name, status=200):
    with replaying(name, status) as url:
        yield openai.OpenAI(base_url=url + "/v1", api_key="none", max_retries=0)


@contextlib.contextmanager
def anthropic_client(name, status=200):
    with replaying(name, status) as url:
        yield anthropic.Anthropic(base_url=url, api_key="none", max_retries=0)


@contextlib.contextmanager
def ollama_client(name, status=200):
    with replaying(name, status) as url:
        yield ollama.Client(host=url)


def chat_stream(client, **options):
    return client.chat.completions.create(model="m", messages=MESSAGES, stream=True, **options)


def test_every_golden_file_is_read_here():
    text = pathlib.Path(__file__).read_text(encoding="utf-8")
    unread = [path.name for path in GOLDEN.iterdir() if path.suffix in TYPES and f'"{path.name}"' not in text]
    assert unread == []


def test_every_event_is_json():
    events = 0
    for path in GOLDEN.glob("*.sse"):
        for line in path.read_bytes().split(b"\n"):
            if line.startswith(b"data: ") and line != b"data: [DONE]":
                json.loads(line[6:])
                events += 1
    assert events > 50


def test_chat_stream():
    with openai_client("chat_text.sse") as client:
        chunks = list(chat_stream(client))
    assert {(chunk.id, chunk.model, chunk.created) for chunk in chunks} == {
        ("chatcmpl-0123456789abcdef", "smollm2", 1763799000)}
    assert chunks[0].choices[0].delta.role == "assistant"
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == TEXT
    assert [chunk.choices[0].finish_reason for chunk in chunks] == [None] * (len(chunks) - 1) + ["stop"]
    assert chunks[-1].timings["prompt_n"] == 4 and chunks[-1].timings["predicted_per_second"] == 4.0


def test_chat_stream_with_calls_and_reasoning():
    with openai_client("chat_calls.sse") as client:
        chunks = list(chat_stream(client))
    calls = {}
    for chunk in chunks:
        for call in chunk.choices[0].delta.tool_calls or []:
            known = calls.setdefault(call.index, {"id": call.id, "name": call.function.name, "arguments": ""})
            known["arguments"] += call.function.arguments
    assert calls == {0: {"id": "call_a", "name": "get_weather", "arguments": '{"city": "Bern"}'},
                     1: {"id": "call_b", "name": "get_time", "arguments": "{}"}}
    thoughts = [getattr(chunk.choices[0].delta, "reasoning_content", None) or "" for chunk in chunks]
    assert "".join(thoughts) == "Let me think."
    assert chunks[-1].choices[0].finish_reason == "tool_calls"


def test_chat_stream_helper_accumulates():
    with openai_client("chat_calls.sse") as client:
        with client.chat.completions.stream(model="m", messages=MESSAGES) as stream:
            final = stream.get_final_completion()
    assert final.choices[0].message.content == "I look it up."
    assert [call.function.name for call in final.choices[0].message.tool_calls] == ["get_weather", "get_time"]


def test_chat_stream_with_usage_and_logprobs():
    with openai_client("chat_two_usage.sse") as client:
        chunks = list(chat_stream(client, n=2, logprobs=True, stream_options={"include_usage": True}))
    assert chunks[-1].choices == [] and chunks[-1].usage.total_tokens == 28
    assert chunks[-1].usage.prompt_tokens_details.cached_tokens == 16
    assert chunks[-1].usage.completion_tokens_details.reasoning_tokens == 3
    assert all(chunk.usage is None for chunk in chunks[:-1])
    ends = {chunk.choices[0].index: chunk.choices[0].finish_reason for chunk in chunks[:-1]}
    assert ends == {0: "stop", 1: "length"}
    tokens = [token for chunk in chunks[:-1] if chunk.choices[0].logprobs and chunk.choices[0].index == 0
              for token in chunk.choices[0].logprobs.content]
    assert bytes(byte for token in tokens for byte in token.bytes).decode() == "\u00e9"
    assert tokens[0].top_logprobs[1].token == " other"


@pytest.mark.parametrize("name", ["chat_error.sse", "completions_error.sse"])
def test_an_error_in_a_stream_is_raised(name):
    with openai_client(name) as client:
        stream = (chat_stream(client) if name.startswith("chat")
                  else client.completions.create(model="m", prompt="Hi", stream=True))
        with pytest.raises(openai.APIError, match="going down") as caught:
            list(stream)
    assert caught.value.code == "server_is_overloaded"
    assert caught.value.type == "service_unavailable_error"


def test_chat_whole():
    with openai_client("chat_text.json") as client:
        answer = client.chat.completions.create(model="m", messages=MESSAGES)
    assert answer.choices[0].message.content == TEXT
    assert answer.choices[0].finish_reason == "stop" and answer.system_fingerprint == "5eed"
    assert answer.usage.completion_tokens == 8
    with openai_client("chat_calls.json") as client:
        answer = client.chat.completions.create(model="m", messages=MESSAGES)
    call = answer.choices[0].message.tool_calls[0]
    assert call.type == "function" and json.loads(call.function.arguments) == {"city": "Bern"}
    # What the model said goes back into the next request as it came.
    assert answer.choices[0].message.model_dump()["reasoning_content"] == "Let me think."
    with openai_client("chat_logprobs.json") as client:
        answer = client.chat.completions.create(model="m", messages=MESSAGES)
    assert [choice.index for choice in answer.choices] == [0, 1]
    assert answer.choices[0].logprobs.content[1].bytes == [0xc3]
    assert answer.choices[0].logprobs.content[1].logprob == -9999
    with openai_client("chat_function.json") as client:
        answer = client.chat.completions.create(model="m", messages=MESSAGES)
    assert answer.choices[0].message.function_call.name == "get_weather"


def test_completions():
    with openai_client("completions_text.sse") as client:
        chunks = list(client.completions.create(model="m", prompt="Hi", stream=True))
    assert "".join(chunk.choices[0].text for chunk in chunks) == TEXT
    assert chunks[-1].choices[0].finish_reason == "stop"
    with openai_client("completions_logprobs.sse") as client:
        chunks = list(client.completions.create(model="m", prompt="Hi", stream=True))
    streamed = [chunk.choices[0].logprobs for chunk in chunks if chunk.choices and chunk.choices[0].logprobs]
    assert [offset for logprobs in streamed for offset in logprobs.text_offset] == [0, 2, 4, 4]
    with openai_client("completions_logprobs.json") as client:
        logprobs = client.completions.create(model="m", prompt="Hi").choices[0].logprobs
    assert logprobs.tokens == ["Hi", "bytes:\\x20\\xc3", "bytes:\\xa9", "!"]
    assert logprobs.token_logprobs == [None, -0.5, -0.25, -1.0]
    assert logprobs.top_logprobs[0] is None and logprobs.top_logprobs[3] == {"!": -1.0, " other": -2.5}


def test_responses_stream():
    with openai_client("responses_calls.sse") as client:
        events = list(client.responses.create(model="m", input="Hi", stream=True))
    assert [event.sequence_number for event in events] == list(range(len(events)))
    types = [event.type for event in events]
    assert types[:2] == ["response.created", "response.in_progress"] and types[-1] == "response.completed"
    assert types.count("response.output_item.added") == types.count("response.output_item.done") == 4
    final = events[-1].response
    assert [item.type for item in final.output] == ["reasoning", "message", "function_call", "function_call"]
    assert final.output_text == "I look it up." and final.instructions == 'Be "kind".'
    assert final.output[0].content[0].text == "Let me think."
    assert final.output[2].arguments == '{"city": "Bern"}' and final.output[2].call_id == "call_a"
    assert final.usage.input_tokens_details.cached_tokens == 16 and final.usage.total_tokens == 28
    deltas = "".join(e.delta for e in events if e.type == "response.function_call_arguments.delta")
    assert deltas == '{"city": "Bern"}{}'


@pytest.mark.parametrize("name", ["responses_text.sse", "responses_calls.sse"])
def test_responses_stream_helper_accumulates(name):
    with openai_client(name) as client:
        with client.responses.stream(model="m", input="Hi") as stream:
            final = stream.get_final_response()
    assert final.status == "completed"
    assert final.output_text == (TEXT if name == "responses_text.sse" else "I look it up.")


def test_responses_that_end_otherwise():
    with openai_client("responses_cut.sse") as client:
        last = list(client.responses.create(model="m", input="Hi", stream=True))[-1]
    assert last.type == "response.incomplete" and last.response.incomplete_details.reason == "max_output_tokens"
    assert last.response.output[0].status == "incomplete"
    seen = []
    with openai_client("responses_error.sse") as client:
        with pytest.raises(openai.APIError, match="going down"):
            for event in client.responses.create(model="m", input="Hi", stream=True):
                seen.append(event)
    assert seen[-1].type == "response.failed" and seen[-1].response.error.message == "the server is going down"


def test_responses_whole():
    with openai_client("responses_text.json") as client:
        answer = client.responses.create(model="m", input="Hi")
    assert answer.output_text == TEXT and answer.status == "completed" and answer.temperature == 0.5
    assert answer.tools[0].name == "get_weather" and answer.tool_choice.name == "get_weather"
    assert answer.output[0].content[0].logprobs[0].token == "Hello"
    with openai_client("responses_calls.json") as client:
        answer = client.responses.create(model="m", input="Hi")
    assert [item.type for item in answer.output] == ["reasoning", "message", "function_call", "function_call"]


def test_messages_stream():
    with anthropic_client("messages_calls.sse") as client:
        with client.messages.stream(model="m", max_tokens=9, messages=MESSAGES) as stream:
            types = [event.type for event in stream]
            final = stream.get_final_message()
    assert types[0] == "message_start" and types[-1] == "message_stop"
    assert [block.type for block in final.content] == ["thinking", "text", "tool_use", "tool_use"]
    assert final.content[0].thinking == "Let me think." and final.content[1].text == "I look it up."
    assert final.content[2].input == {"city": "Bern"} and final.content[2].id == "call_a"
    assert final.stop_reason == "tool_use"
    assert (final.usage.input_tokens, final.usage.cache_read_input_tokens, final.usage.output_tokens) == (4, 16, 8)
    with anthropic_client("messages_text.sse") as client:
        with client.messages.stream(model="m", max_tokens=9, messages=MESSAGES) as stream:
            assert "".join(stream.text_stream) == TEXT
            final = stream.get_final_message()
    assert (final.stop_reason, final.stop_sequence) == ("stop_sequence", "END")


def test_messages_error_in_a_stream_is_raised():
    with anthropic_client("messages_error.sse") as client:
        with pytest.raises(anthropic.APIStatusError, match="going down"):
            list(client.messages.create(model="m", max_tokens=9, messages=MESSAGES, stream=True))


def test_messages_whole():
    with anthropic_client("messages_text.json") as client:
        answer = client.messages.create(model="m", max_tokens=9, messages=MESSAGES)
    assert answer.content[0].text == TEXT and answer.stop_sequence == "END" and answer.role == "assistant"
    with anthropic_client("messages_calls.json") as client:
        answer = client.messages.create(model="m", max_tokens=9, messages=MESSAGES)
    assert answer.content[2].input == {"city": "Bern"} and answer.content[3].input == {}
    with anthropic_client("messages_count.json") as client:
        assert client.messages.count_tokens(model="m", messages=MESSAGES).input_tokens == 20


def test_ollama_streams():
    with ollama_client("ollama_chat_text.ndjson") as client:
        parts = list(client.chat(model="m", messages=MESSAGES, stream=True))
    assert "".join(part.message.content for part in parts) == TEXT
    assert [part.done for part in parts] == [False] * (len(parts) - 1) + [True]
    assert parts[-1].done_reason == "length" and parts[-1].eval_count == 8
    assert parts[-1].eval_duration == 2_000_000_000 and parts[-1].total_duration == 2_750_000_000
    with ollama_client("ollama_chat_calls.ndjson") as client:
        parts = list(client.chat(model="m", messages=MESSAGES, stream=True))
    calls = [call.function for part in parts for call in part.message.tool_calls or []]
    assert [(call.name, call.arguments) for call in calls] == [("get_weather", {"city": "Bern"}), ("get_time", {})]
    assert "".join(part.message.thinking or "" for part in parts) == "Let me think."
    with ollama_client("ollama_generate_text.ndjson") as client:
        parts = list(client.generate(model="m", prompt="Hi", stream=True))
    assert "".join(part.response for part in parts) == TEXT and parts[-1].done_reason == "stop"
    with ollama_client("ollama_chat_error.ndjson") as client:
        with pytest.raises(ollama.ResponseError, match="going down"):
            list(client.chat(model="m", messages=MESSAGES, stream=True))


def test_ollama_whole():
    with ollama_client("ollama_chat_calls.json") as client:
        answer = client.chat(model="m", messages=MESSAGES)
    assert answer.message.thinking == "Let me think." and answer.message.tool_calls[0].function.name == "get_weather"
    with ollama_client("ollama_generate_text.json") as client:
        answer = client.generate(model="m", prompt="Hi")
    assert answer.response == TEXT and answer.created_at == "2025-11-22T08:10:00Z"
    with ollama_client("ollama_embed.json") as client:
        assert client.embed(model="m", input=["a", "b"]).embeddings[0][:2] == [0.5, -0.25]
    with ollama_client("ollama_tags.json") as client:
        models = client.list().models
    assert models[0].model == "smollm2" and models[0].details.parameter_size == "134.5M"
    with ollama_client("ollama_ps.json") as client:
        running = client.ps().models
    assert running[0].size == 150000000 and running[0].expires_at.year == 2026 and running[0].context_length == 8192
    with ollama_client("ollama_show.json") as client:
        shown = client.show("smollm2")
    assert shown.modelinfo["llama.context_length"] == 8192 and shown.capabilities == ["completion"]
    assert json.loads((GOLDEN / "ollama_version.json").read_text()) == {"version": "0.1.0"}


def test_errors_are_raised_as_what_they_are():
    with openai_client("error_openai.json", 400) as client:
        with pytest.raises(openai.BadRequestError, match="it must be") as caught:
            client.chat.completions.create(model="m", messages=MESSAGES)
    assert (caught.value.param, caught.value.code) == ("top_p", "decimal_above_max_value")
    with anthropic_client("error_anthropic.json", 400) as client:
        with pytest.raises(anthropic.BadRequestError, match="it must be"):
            client.messages.create(model="m", max_tokens=9, messages=MESSAGES)
    with ollama_client("error_ollama.json", 400) as client:
        with pytest.raises(ollama.ResponseError, match="it must be") as caught:
            client.chat(model="m", messages=MESSAGES)
    assert caught.value.status_code == 400


def test_openai_models_that_are_not_in_memory():
    for name, model_id, state in (("model_unloaded.json", "later", "unloaded"),
                                  ("model_unload.json", "smollm2", "unloading")):
        with openai_client(name) as client:
            model = client.models.retrieve(model_id)
        assert (model.id, model.object, model.state) == (model_id, "model", state)


def test_vectors_and_models():
    with openai_client("embeddings.json") as client:
        plain = client.embeddings.create(model="m", input=["a", "b"], encoding_format="float")
    assert plain.data[1].embedding == [1.0, 0.0, -1.0] and plain.usage.prompt_tokens == 20
    with openai_client("embeddings_base64.json") as client:
        packed = client.embeddings.create(model="m", input=["a", "b"])
    assert packed.data[0].embedding == list(struct.unpack("<3f", struct.pack("<3f", 0.5, -0.25, 1e-7)))
    raw = json.loads((GOLDEN / "embeddings_base64.json").read_text())["data"][1]["embedding"]
    assert struct.unpack("<3f", base64.b64decode(raw, validate=True)) == (1.0, 0.0, -1.0)
    with openai_client("models.json") as client:
        models = list(client.models.list())
    assert [model.id for model in models] == ["smollm2", "smollm2:poet"]
    assert models[0].certificate == {"version": 1} and models[1].parent == "smollm2"
    with openai_client("model.json") as client:
        assert client.models.retrieve("smollm2").variant == "5eed"


def test_answers_without_a_client_of_their_own():
    read = {name: json.loads((GOLDEN / name).read_text())
            for name in ["rerank.json", "score.json", "classify.json", "tokenize.json", "detokenize.json"]}
    assert [result["index"] for result in read["rerank.json"]["results"]] == [1, 2]
    assert read["rerank.json"]["results"][0] == {"index": 1, "relevance_score": 0.75, "document": {"text": "b"}}
    assert read["score.json"]["data"][1]["score"] == -3
    assert read["classify.json"]["data"][0] == {"index": 0, "label": "good", "probs": [0.75, 0.25], "num_classes": 2}
    assert read["tokenize.json"]["tokens"] == [1, 2] and read["tokenize.json"]["token_strs"] == ["a", "\ufffd"]
    assert read["detokenize.json"] == {"prompt": 'a"b'}
