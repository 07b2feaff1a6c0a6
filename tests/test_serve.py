# SPDX-License-Identifier: Apache-2.0
"""paring serve from the outside: what clients get is what the program says alone, whoever else asks."""
import concurrent.futures
import json
import re
import signal
import socket
import ssl
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request

import pytest
from prometheus_client.parser import text_string_to_metric_families

import tiny_model
from server_process import ServerProcess

QUESTIONS = ["What is the capital of France?", "Name three colours.", "Why is the sky blue?",
             "Write a sentence about a dog.", "How many legs has a spider?", "What is 2 + 2?"]


@pytest.fixture(scope="module")
def server(paring, model):
    with ServerProcess(paring.path, f"smol={model}", "--context-tokens", 2048, "--cache-bytes", 0) as running:
        yield running


def post(server, path, body, headers=None, timeout=60):
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    request = urllib.request.Request(server.url + path, data, {"content-type": "application/json", **(headers or {})})
    try:
        with urllib.request.urlopen(request, timeout=timeout) as response:
            return response.status, json.loads(response.read()), response.headers
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read()), error.headers


def chat(server, question, **more):
    body = {"model": "smol", "messages": [{"role": "user", "content": question}], "temperature": 0, "max_tokens": 24}
    status, answer, _ = post(server, "/v1/chat/completions", {**body, **more})
    assert status == 200, answer
    return answer


def stream(server, question, **more):
    """The events of a streamed chat."""
    body = {"model": "smol", "messages": [{"role": "user", "content": question}], "temperature": 0, "max_tokens": 24,
            "stream": True, **more}
    request = urllib.request.Request(server.url + "/v1/chat/completions", json.dumps(body).encode(),
                                     {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        lines = response.read().decode().split("\n\n")
    assert lines[-1] == "" and lines[-2] == "data: [DONE]"
    return [json.loads(line.removeprefix("data: ")) for line in lines[:-2]]


def test_says_what_the_program_says_alone(server, paring, model):
    for question in QUESTIONS[:3]:
        alone = paring("run", model, question, "--max-tokens", 24, "--temperature", 0, "--json").json()
        answer = chat(server, question)
        assert answer["choices"][0]["message"]["content"] == alone["text"]
        assert answer["choices"][0]["message"]["role"] == "assistant"
        assert answer["usage"]["completion_tokens"] >= 1


def test_streams_the_same_text(server):
    whole = chat(server, QUESTIONS[0])
    events = stream(server, QUESTIONS[0], stream_options={"include_usage": True})
    text = "".join(e["choices"][0]["delta"].get("content") or "" for e in events if e["choices"])
    assert text == whole["choices"][0]["message"]["content"]
    assert events[0]["choices"][0]["delta"]["role"] == "assistant"
    assert events[-1]["choices"] == [] and events[-1]["usage"]["completion_tokens"] > 0
    assert len({e["id"] for e in events}) == 1
    ends = [e["choices"][0]["finish_reason"] for e in events if e["choices"] and e["choices"][0]["finish_reason"]]
    assert ends == [whole["choices"][0]["finish_reason"]]


def test_many_at_once_each_as_alone(server):
    alone = {question: chat(server, question)["choices"][0]["message"]["content"] for question in QUESTIONS}
    with concurrent.futures.ThreadPoolExecutor(12) as pool:
        jobs = [(question, pool.submit(chat, server, question)) for question in QUESTIONS * 4]
        for question, job in jobs:
            assert job.result()["choices"][0]["message"]["content"] == alone[question]


def test_prefixes_come_from_the_cache(server):
    long = "You are a careful assistant who answers in one word. " * 30
    body = {"model": "smol", "temperature": 0, "max_tokens": 4}
    shared = [{"role": "system", "content": long}]
    post(server, "/v1/chat/completions", {**body, "messages": [*shared, {"role": "user", "content": "One?"}]})
    _, answer, _ = post(server, "/v1/chat/completions",
                        {**body, "messages": [*shared, {"role": "user", "content": "Two?"}]})
    usage = answer["usage"]
    assert usage["prompt_tokens_details"]["cached_tokens"] >= 0.9 * (usage["prompt_tokens"] - 40)


def test_several_answers_and_seeds(server):
    answer = chat(server, "Tell me a story.", n=3, temperature=1.0, seed=7)
    texts = [choice["message"]["content"] for choice in answer["choices"]]
    assert len(set(texts)) == 3 and [c["index"] for c in answer["choices"]] == [0, 1, 2]
    again = chat(server, "Tell me a story.", n=3, temperature=1.0, seed=7)
    assert texts == [choice["message"]["content"] for choice in again["choices"]]


def test_logprobs(server):
    answer = chat(server, QUESTIONS[0], logprobs=True, top_logprobs=3)
    content = answer["choices"][0]["logprobs"]["content"]
    assert "".join(entry["token"] for entry in content) == answer["choices"][0]["message"]["content"]
    for entry in content:
        assert entry["logprob"] <= 0 and len(entry["top_logprobs"]) == 3
        assert entry["top_logprobs"][0]["token"] == entry["token"]  # greedy


def test_stop_strings(server):
    full = chat(server, QUESTIONS[0])["choices"][0]["message"]["content"]
    cut = chat(server, QUESTIONS[0], stop=[full[5:9]])
    assert cut["choices"][0]["message"]["content"] == full[:full.index(full[5:9])]
    assert cut["choices"][0]["finish_reason"] == "stop"


def test_schemas_hold(server):
    schema = {"type": "object", "properties": {"city": {"type": "string", "maxLength": 20}, "size": {"type": "integer",
              "minimum": 0, "maximum": 99}}, "required": ["city", "size"], "additionalProperties": False}
    answer = chat(server, "Describe Paris.", max_tokens=100, response_format={
        "type": "json_schema", "json_schema": {"name": "city", "schema": schema, "strict": True}})
    assert answer["choices"][0]["finish_reason"] == "stop"
    value = json.loads(answer["choices"][0]["message"]["content"])
    assert set(value) == {"city", "size"} and 0 <= value["size"] <= 99


@pytest.mark.parametrize("field, value", [("temperature", 9), ("top_p", 2), ("n", 0), ("max_tokens", -1),
                                          ("messages", []), ("model", "other"), ("nonsense", 1)])
def test_bad_requests_name_the_field(server, field, value):
    status, answer, _ = post(server, "/v1/chat/completions",
                             {"model": "smol", "messages": [{"role": "user", "content": "Hi"}], field: value})
    assert status == (404 if field == "model" else 400)
    assert field in json.dumps(answer["error"])


def test_a_prompt_that_does_not_fit(server):
    status, answer, _ = post(server, "/v1/chat/completions",
                             {"model": "smol", "messages": [{"role": "user", "content": "word " * 3000}]})
    assert status == 400 and answer["error"]["code"] == "context_length_exceeded"


def test_routes_that_are_none(server):
    status, answer, _ = post(server, "/v1/nothing", {})
    assert status == 404 and answer["error"]["code"] == "not_found"
    status, answer, headers = post(server, "/v1/models", {})
    assert status == 405 and headers["allow"] == "GET"


def test_models_and_health(server):
    models = json.loads(server.get("/v1/models"))
    assert [m["id"] for m in models["data"]] == ["smol"] and len(models["data"][0]["variant"]) == 64
    assert json.loads(server.get("/v1/models/smol")) == models["data"][0]
    for path in ("/health", "/livez", "/readyz"):
        assert json.loads(server.get(path)) == {"status": "ok"}
    assert server.metric("vllm:generation_tokens_total") > 0


def test_prometheus_reads_the_metrics(server):
    chat(server, QUESTIONS[0])
    families = {family.name: family for family in text_string_to_metric_families(server.get("/metrics"))}
    for name in ("vllm:num_requests_running", "vllm:num_requests_waiting", "vllm:kv_cache_usage_perc"):
        (sample,) = families[name].samples
        assert sample.labels == {"model_name": "smol"} and sample.value >= 0
    assert families["vllm:request_success"].type == "counter"
    ends = {sample.labels["finished_reason"]: sample.value for sample in families["vllm:request_success"].samples}
    assert ends["stop"] + ends["length"] > 0
    for name in ("vllm:time_to_first_token_seconds", "vllm:inter_token_latency_seconds",
                 "vllm:e2e_request_latency_seconds", "vllm:request_queue_time_seconds"):
        counts = {s.name: s.value for s in families[name].samples}
        assert families[name].type == "histogram" and counts[f"{name}_count"] > 0


def test_the_routes_that_openapi_tells_are_there(server):
    document = json.loads(server.get("/openapi.json"))
    assert document["openapi"].startswith("3.1")
    for path, methods in document["paths"].items():
        for method in methods:
            if "{" in path.replace("{model}", "smol"):  # of a file or a batch: there is none of this name
                with pytest.raises(urllib.error.HTTPError) as refused:
                    named = re.sub(r"{\w+}", "none", path)
                    request = urllib.request.Request(server.url + named, method=method.upper())
                    urllib.request.urlopen(request, timeout=60)
                told = (refused.value.code, b"_not_found" in refused.value.read())
                is_admins = path in ("/v1/alerts/{objective}/silence", "/v1/canaries/{canary_id}/stop")
                assert told == ((403, False) if is_admins else (404, True)), (path, method)
            elif method.upper() == "POST":
                status, answer, _ = post(server, path, {})
                # A body without what it must have, or nobody who may.
                wanted = 403 if path in ("/v1/models/load", "/v1/models/unload", "/v1/canaries") else 400
                if path in ("/v1/traces", "/v1/logs"):  # nothing is a list of none
                    wanted = 200
                assert status == wanted, (path, status, answer)
            elif path in ("/v1/advice", "/v1/scores/agreement"):  # an administrator's; without what it must have
                with pytest.raises(urllib.error.HTTPError, match="403" if path == "/v1/advice" else "400"):
                    server.get(path)
            else:
                assert server.get(path.replace("{model}", "smol"))


# As Qwen2.5's template, but short: each byte is a token, and there is room for 256.
HERMES = ('{% if tools %}{% for t in tools %}{{ t.function.name }}{% endfor %} <tool_call>\n{"name": <function-name>, '
          '"arguments": <args-json-object>}\n</tool_call>{% endif %}{% for m in messages %}<|im_start|>{{ m.role }}\n'
          '{{ m.content }}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}')
TOOL = {"type": "function", "function": {"name": "f", "parameters": {
    "type": "object", "properties": {"on": {"type": "boolean"}}, "required": ["on"], "additionalProperties": False}}}


@pytest.fixture(scope="module")
def caller(paring, tmp_path_factory):
    """A model with random weights whose template knows tools: what it says is what it must say."""
    path = tmp_path_factory.mktemp("caller") / "caller.gguf"
    tiny_model.write(path, chat_template=HERMES)
    with ServerProcess(paring.path, f"tiny={path}") as running:
        yield running


@pytest.mark.parametrize("choice", ["required", {"type": "function", "function": {"name": "f"}}])
@pytest.mark.parametrize("streams", [False, True])
def test_calls_of_tools_come_when_they_must(caller, choice, streams):
    body = {"model": "tiny", "messages": [{"role": "user", "content": "Hi"}], "tools": [TOOL], "tool_choice": choice,
            "parallel_tool_calls": False, "max_tokens": 100, "temperature": 1, "seed": 3}
    if not streams:
        status, answer, _ = post(caller, "/v1/chat/completions", body)
        assert status == 200, answer
        end, (call,) = answer["choices"][0]["finish_reason"], answer["choices"][0]["message"]["tool_calls"]
        name, arguments = call["function"]["name"], call["function"]["arguments"]
    else:
        events = stream(caller, "Hi", **body)
        deltas = [d for e in events for c in e["choices"] for d in c["delta"].get("tool_calls") or []]
        end, name = events[-1]["choices"][0]["finish_reason"], deltas[0]["function"]["name"]
        arguments = "".join(d["function"].get("arguments") or "" for d in deltas)
        assert deltas[0]["id"] and not any(c["delta"].get("content") for e in events for c in e["choices"])
    assert end == "tool_calls" and name == "f"
    assert set(json.loads(arguments)) == {"on"} and isinstance(json.loads(arguments)["on"], bool)


def test_tools_for_a_model_that_knows_none_are_refused(server):
    for choice in ("required", "auto"):
        body = {"model": "smol", "messages": [{"role": "user", "content": "Hi"}], "tools": [TOOL],
                "tool_choice": choice}
        status, answer, _ = post(server, "/v1/chat/completions", body)
        assert status == 400 and answer["error"]["param"] == "tools", answer
    assert post(server, "/v1/chat/completions", {**body, "tool_choice": "none", "max_tokens": 2})[0] == 200


def test_tls(paring, model, tmp_path):
    certificate, key = tmp_path / "c.pem", tmp_path / "k.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost",
                    "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", certificate], check=True,
                   capture_output=True)
    with ServerProcess(paring.path, f"smol={model}", "--tls-certificate", certificate, "--tls-key", key) as server:
        assert server.url.startswith("https://")
        context = ssl.create_default_context(cafile=str(certificate))
        with urllib.request.urlopen(server.url + "/health", context=context, timeout=20) as response:
            assert json.loads(response.read()) == {"status": "ok"}
    done = paring("serve", model, "--tls-key", key, "--data-dir", tmp_path / "data", timeout=20)
    assert done.code == 2 and "--tls-certificate" in done.err


def vanish(server, body):
    """A client that goes away while its answer comes."""
    address = urllib.parse.urlparse(server.url)
    with socket.create_connection((address.hostname, address.port)) as connection:
        data = json.dumps(body).encode()
        connection.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
                           + f"Content-Length: {len(data)}\r\n\r\n".encode() + data)
        if body.get("stream"):
            connection.recv(100)


def running(server):
    return server.metric("vllm:num_requests_running") + server.metric("vllm:num_requests_waiting")


@pytest.mark.parametrize("streams", [False, True])
def test_a_client_that_leaves_frees_its_sequence(server, streams):
    body = {"model": "smol", "messages": [{"role": "user", "content": "Count to a thousand."}], "max_tokens": 1800,
            "ignore_eos": True, "stream": streams}
    vanish(server, body)
    end = time.monotonic() + 5
    while running(server) > 0 and time.monotonic() < end:
        time.sleep(0.02)
    assert running(server) == 0


def test_sigterm_lets_answers_end(paring, model):
    with ServerProcess(paring.path, f"smol={model}", "--drain-seconds", 60) as server:
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            job = pool.submit(stream, server, "Tell me a long story.", max_tokens=150, ignore_eos=True)
            while running(server) == 0:
                time.sleep(0.01)
            server.process.send_signal(signal.SIGTERM)
            events = job.result()
            assert events[-1]["choices"][0]["finish_reason"] == "length"
        assert server.end() == 0


def test_an_idle_server_ends_at_once(paring, model):
    with ServerProcess(paring.path, f"smol={model}", "--drain-seconds", 60) as server:
        assert server.get("/health")
        start = time.monotonic()
        assert server.end() == 0
        assert time.monotonic() - start < 2


def test_what_is_not_over_in_time_ends_with_an_error(paring, model):
    with ServerProcess(paring.path, f"smol={model}", "--drain-seconds", 0) as server:
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            job = pool.submit(stream, server, "Tell me a long story.", max_tokens=3000, ignore_eos=True)
            while running(server) == 0:
                time.sleep(0.01)
            server.process.send_signal(signal.SIGTERM)
            with pytest.raises((AssertionError, urllib.error.HTTPError)):
                job.result()
        assert server.end() == 0


def test_no_public_address_without_a_key(paring, model, tmp_path):
    done = paring("serve", model, "--host", "0.0.0.0", "--port", 0, "--data-dir", tmp_path, timeout=20)
    assert done.code == 2 and "key" in done.err


def test_keys(paring, model):
    secret = "a-secret-of-more-than-sixteen-letters"
    with ServerProcess(paring.path, f"smol={model}", env={"PARING_API_KEY": secret}) as server:
        body = {"model": "smol", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 2}
        assert post(server, "/v1/chat/completions", body)[0] == 401
        wrong = {"authorization": "Bearer " + secret[:-1] + "x"}
        assert post(server, "/v1/chat/completions", body, wrong)[0] == 401
        for right in ({"authorization": "Bearer " + secret}, {"x-api-key": secret}):
            assert post(server, "/v1/chat/completions", body, right)[0] == 200
        assert server.get("/health")
        assert secret not in "".join(server.log)


@pytest.fixture(scope="module")
def encoder_server(paring, model, root):
    folder = root / "tests/data/encoders"
    models = [f"{name}={folder / name}" for name in ("bert-mean", "bert-rank", "bert-classes")]
    with ServerProcess(paring.path, f"smol={model}", *models) as running:
        yield running


def test_embeddings_are_those_of_the_program(encoder_server, paring, root):
    texts = ["hello world", "a second text", "the third " * 5]
    alone = paring("embed", root / "tests/data/encoders/bert-mean", *texts, "--json").json()["embeddings"]
    status, answer, _ = post(encoder_server, "/v1/embeddings", {"model": "bert-mean", "input": texts})
    assert status == 200, answer
    for ours, item in zip(alone, answer["data"]):
        assert max(abs(a - b) for a, b in zip(ours["embedding"], item["embedding"])) < 1e-6
    status, short, _ = post(encoder_server, "/v1/embeddings",
                            {"model": "bert-mean", "input": texts[0], "dimensions": 4})
    values = short["data"][0]["embedding"]
    assert status == 200 and len(values) == 4 and abs(sum(v * v for v in values) - 1) < 1e-5
    status, answer, _ = post(encoder_server, "/v1/embeddings", {"model": "smol", "input": "x"})
    assert status == 400 and answer["error"]["param"] == "model"
    status, answer, _ = post(encoder_server, "/v1/embeddings", {"model": "bert-mean", "input": "word " * 2000})
    assert status == 400 and answer["error"]["code"] == "context_length_exceeded"


def test_scores_ranks_and_classes(encoder_server):
    documents = ["Paris is the capital of France.", "Dogs bark at night.", "France lies in Europe."]
    for which in ("bert-mean", "bert-rank", "smol"):
        status, answer, _ = post(encoder_server, "/v1/rerank",
                                 {"model": which, "query": "What is the capital of France?", "documents": documents})
        assert status == 200, answer
        scores = [r["relevance_score"] for r in answer["results"]]
        assert scores == sorted(scores, reverse=True) and len(scores) == 3
    status, answer, _ = post(encoder_server, "/v1/score", {"model": "bert-mean", "text_1": documents[0],
                                                           "text_2": documents})
    assert status == 200 and abs(answer["data"][0]["score"] - 1) < 1e-5
    status, answer, _ = post(encoder_server, "/v1/classify", {"model": "bert-classes", "input": documents})
    assert status == 200
    for row in answer["data"]:
        assert abs(sum(row["probs"]) - 1) < 1e-5
    assert post(encoder_server, "/v1/classify", {"model": "smol", "input": "x"})[0] == 400


def test_tokens_and_back(server):
    status, answer, _ = post(server, "/tokenize", {"model": "smol", "prompt": "Hello wörld"})
    assert status == 200 and answer["count"] == len(answer["tokens"])
    status, text, _ = post(server, "/detokenize", {"model": "smol", "tokens": answer["tokens"]})
    assert status == 200 and text["prompt"] == "Hello wörld"
    status, answer, _ = post(server, "/detokenize", {"model": "smol", "tokens": [10 ** 8]})
    assert status == 400


def test_other_protocols_say_the_same(server):
    message = {"role": "user", "content": QUESTIONS[0]}
    want = chat(server, QUESTIONS[0])["choices"][0]["message"]["content"]
    status, answer, _ = post(server, "/v1/messages", {"model": "smol", "max_tokens": 24, "temperature": 0,
                                                      "messages": [message]})
    assert status == 200 and answer["content"][0]["text"] == want
    status, answer, _ = post(server, "/api/chat", {"model": "smol", "stream": False, "messages": [message],
                                                   "options": {"num_predict": 24, "temperature": 0}})
    assert status == 200 and answer["message"]["content"] == want
    status, answer, _ = post(server, "/v1/responses", {"model": "smol", "input": [message], "temperature": 0,
                                                       "max_output_tokens": 24})
    assert status == 200 and answer["output"][0]["content"][0]["text"] == want


def test_a_context_that_is_not_there_is_refused(server):
    body = {"model": "smol", "messages": [{"role": "user", "content": "Hi"}], "stream": False}
    status, answer, _ = post(server, "/api/chat", {**body, "options": {"num_ctx": 4096}})
    assert status == 400 and "4096" in answer["error"] and "2048" in answer["error"]
    assert post(server, "/api/chat", {**body, "options": {"num_ctx": 2048, "num_predict": 2}})[0] == 200


def test_answers_end_at_their_deadline(server):
    body = {"model": "smol", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 1900, "ignore_eos": True}
    start = time.monotonic()
    status, answer, _ = post(server, "/v1/chat/completions", body, {"x-request-timeout": "0.3"})
    assert status == 504 and answer["error"]["code"] == "timeout" and time.monotonic() - start < 5
    for wrong in ("soon", "-1", "nan", "1e9", "0"):
        status, answer, _ = post(server, "/v1/chat/completions", body, {"x-request-timeout": wrong})
        assert status == 400 and answer["error"]["param"] == "x-request-timeout", wrong


def test_completions_with_echo_and_logprobs(server):
    status, answer, _ = post(server, "/v1/completions", {"model": "smol", "prompt": "The capital of France is",
                                                         "max_tokens": 3, "temperature": 0, "logprobs": 1,
                                                         "echo": True})
    assert status == 200
    choice = answer["choices"][0]
    assert choice["text"].startswith("The capital of France is")
    assert "".join(choice["logprobs"]["tokens"]) == choice["text"]
    assert choice["logprobs"]["token_logprobs"][0] is None and choice["logprobs"]["token_logprobs"][1] < 0


@pytest.fixture(scope="module")
def caching(paring, model):
    with ServerProcess(paring.path, f"smol={model}", 
                       env={"PARING_API_KEY": "one-key-of-many-letters scopes=inference,metrics"}) as running:
        yield running


def ask(server, question, headers=None, **more):
    body = {"model": "smol", "messages": [{"role": "user", "content": question}], "temperature": 0, "max_tokens": 20}
    return post(server, "/v1/chat/completions", {**body, **more},
                {"authorization": "Bearer one-key-of-many-letters", **(headers or {})})


def test_equal_requests_are_computed_once(caching):
    _, first, headers = ask(caching, "What is a cache?")
    assert headers["x-paring-cache"] == "miss"
    before = caching.metric("vllm:generation_tokens_total")
    _, second, headers = ask(caching, "What is a cache?")
    assert headers["x-paring-cache"].startswith("exact; age=")
    assert caching.metric("vllm:generation_tokens_total") == before
    assert second["choices"] == first["choices"] and second["usage"] == first["usage"]
    assert ask(caching, "What is a cache?", max_tokens=21)[2]["x-paring-cache"] == "miss"
    assert ask(caching, "What is a cache?", {"cache-control": "no-cache"})[2]["x-paring-cache"] == "miss"
    assert "x-paring-cache" not in ask(caching, "What is a cache?", {"cache-control": "no-store"})[2]
    assert "x-paring-cache" not in ask(caching, "What is a cache?", temperature=1)[2]
    assert ask(caching, "What is a cache?", temperature=1, seed=5)[2]["x-paring-cache"] == "miss"
    assert ask(caching, "What is a cache?", temperature=1, seed=5)[2]["x-paring-cache"].startswith("exact")


def test_equal_requests_at_the_same_time_are_computed_once(caching):
    before = caching.metric("vllm:generation_tokens_total")
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        jobs = [pool.submit(ask, caching, "Tell me of the sea.", max_tokens=60, ignore_eos=True) for _ in range(8)]
        answers = [job.result() for job in jobs]
    assert caching.metric("vllm:generation_tokens_total") == before + 60
    assert len({json.dumps(answer[1]["choices"]) for answer in answers}) == 1
    assert sum(answer[2]["x-paring-cache"] == "miss" for answer in answers) == 1


def test_who_asked_first_may_leave(caching):
    body = {"model": "smol", "messages": [{"role": "user", "content": "Tell me of the wind."}], "temperature": 0,
            "max_tokens": 300, "ignore_eos": True, "stream": True}
    address = urllib.parse.urlparse(caching.url)
    data = json.dumps(body).encode()
    with socket.create_connection((address.hostname, address.port)) as connection:
        connection.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
                           b"Authorization: Bearer one-key-of-many-letters\r\n"
                           + f"Content-Length: {len(data)}\r\n\r\n".encode() + data)
        connection.recv(100)
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            job = pool.submit(ask, caching, "Tell me of the wind.", max_tokens=300, ignore_eos=True)
            while caching.metric("paring:response_cache_hits_total") == 0:
                time.sleep(0.01)
            time.sleep(0.1)
            connection.close()
            _, answer, _ = job.result()
    assert answer["usage"]["completion_tokens"] == 300
