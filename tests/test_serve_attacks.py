# SPDX-License-Identifier: Apache-2.0
"""What people do to a server on purpose. docs/attack-tests.md says which test stands for which known weakness."""
import concurrent.futures
import json
import re
import socket
import threading
import urllib.parse

import pytest

import raw_client
import tiny_model
from server_process import ServerProcess
from test_serve import post

# Where clouds keep secrets.
METADATA = "169.254.169.254"
KEYS = {"alice": "alice-has-a-key-of-letters", "bob": "bob-has-a-key-of-letters", "carl": "carl-has-a-key-of-letters",
        "dora": "dora-has-a-key-of-letters"}


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    path = tmp_path_factory.mktemp("attacks") / "hidden-folder" / "small.gguf"
    path.parent.mkdir()
    tiny_model.write(path, chat_template=raw_client.CHATML)
    return path


@pytest.fixture(scope="module")
def server(paring, small, root, tmp_path_factory):
    keys = tmp_path_factory.mktemp("keys") / "keys"
    keys.write_text(f"{KEYS['alice']} name=alice tenant=a scopes=inference,embeddings,metrics,batches,admin\n"
                    f"{KEYS['bob']} name=bob tenant=b\n{KEYS['carl']} name=carl tenant=a\n"
                    f"{KEYS['dora']} name=dora scopes=embeddings\n")
    keys.chmod(0o600)
    encoders = [f"{name}={root / 'tests/data/encoders' / name}" for name in ("bert-mean", "bert-rank",
                                                                             "bert-classes")]
    with ServerProcess(paring.path, f"small={small}", *encoders, "--threads", 1, "--context-tokens", 512,
                       "--api-key-file", keys) as running:
        running.key = KEYS["alice"]
        yield running
        assert "fatal" not in "".join(running.log).lower()
        assert running.end() == 0, "".join(running.log)


def ask(server, path, body, who="alice", **headers):
    return post(server, path, body, {"authorization": f"Bearer {KEYS[who]}", **headers})


def still_answers(server):
    status, answer, _ = ask(server, "/v1/chat/completions", chat("Hi"))
    assert status == 200, answer


def chat(text, **more):
    return {"messages": [{"role": "user", "content": text}], "temperature": 0, "max_tokens": 4, **more}


def raw(server, data, then=b"", timeout=30):
    """What comes back for bytes, as far as it comes."""
    parts = urllib.parse.urlsplit(server.url)
    with socket.create_connection((parts.hostname, parts.port), timeout=timeout) as connection:
        answer = b""
        try:
            connection.sendall(data)
            for _ in range(2000 if then else 0):
                connection.sendall(then)
            while piece := connection.recv(65536):
                answer += piece
        except (ConnectionError, TimeoutError):
            pass
        return answer


def head(length, more=b"", path=b"/v1/chat/completions"):
    return (b"POST " + path + b" HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Type: application/json\r\n"
            b"Authorization: Bearer " + KEYS["alice"].encode() + b"\r\n" + more +
            (b"Content-Length: %d\r\n\r\n" % length if length is not None else b"\r\n"))


def posts(server):
    """Every POST route of the document with the schema of its body."""
    document = json.loads(server.get("/openapi.json"))

    def resolved(schema):
        while "$ref" in schema:
            target = document
            for part in schema["$ref"].removeprefix("#/").split("/"):
                target = target[part]
            schema = target
        return schema

    found = {}
    for path, methods in document["paths"].items():
        content = methods.get("post", {}).get("requestBody", {}).get("content", {})
        if "application/json" in content:
            found[path] = resolved(content["application/json"]["schema"])
    assert len(found) >= 15, sorted(found)
    return found


# ---- Bombs

def test_bombs_of_heads_and_bodies_take_no_memory(server):
    still_answers(server)
    before = server.memory()
    codes = []
    for bomb in [b"x-bomb: " + b"a" * 4_000_000 + b"\r\n", b"".join(b"x-%d: a\r\n" % i for i in range(100_000)),
                 b"cookie: " + b"a=b; " * 400_000 + b"\r\n"]:
        codes.append(raw(server, head(2, bomb) + b"{}")[:12])
    assert all(code in (b"HTTP/1.1 431", b"") for code in codes) and b"HTTP/1.1 431" in codes, codes
    # A length that is announced is believed before a byte of it is stored, and refused.
    for length in (1 << 31, 1 << 40, (1 << 63) - 1):
        assert raw(server, head(length)).startswith(b"HTTP/1.1 413 "), length
    # One that is not ends when it is too long: 2,000 chunks of 64 KiB.
    chunk = b"10000\r\n" + b" " * 65536 + b"\r\n"
    answer = raw(server, head(None, b"Transfer-Encoding: chunked\r\n"), then=chunk)
    assert answer[:12] in (b"HTTP/1.1 413", b""), answer[:100]
    assert raw(server, head(30, b"Content-Encoding: gzip\r\n") + b"\x1f\x8b" * 15).startswith(b"HTTP/1.1 415 ")
    still_answers(server)
    assert server.memory() - before < 64 << 20, "a bomb left its bytes"


@pytest.mark.parametrize("deep", ["[" * 100_000, '{"a":' * 100_000, "[" * 100_000 + "]" * 100_000,
                                  '{"messages":' + "[" * 200 + "]" * 200 + "}",
                                  '{"a":1,' * 50_000])
def test_deep_json_is_refused_by_every_route(server, deep):
    for path in posts(server):
        status, answer, _ = ask(server, path, deep.encode())
        assert status == 400, (path, status)
    still_answers(server)


def test_deep_schemas_and_arguments_within_a_body_are_refused(server):
    deep = {}
    for _ in range(60):
        deep = {"type": "object", "properties": {"a": deep}, "items": [deep]} if len(str(deep)) < 200_000 else deep
    for body in [chat("x", response_format={"type": "json_schema", "json_schema": {"name": "n", "schema": deep}}),
                 chat("x", tools=[{"type": "function", "function": {"name": "f", "parameters": deep}}])]:
        assert ask(server, "/v1/chat/completions", body)[0] in (200, 400)
    still_answers(server)


# ---- Schemas, regular expressions, grammars

HOSTILE_PATTERNS = ["(a+)+$", "(a|a)*$", "((a{1,100}){1,100}){1,100}", "a{1000000}", "(?=a)b", "(?<!a)b",
                    r"(a)\1", "[",
                    "(" * 5000 + ")" * 5000, "(?P<n>", "\\", "a**", "(?:a{0,65535}){0,65535}", "\\u{110000}", "[z-a]",
                    "(.*a){40}", "[\\s\\S]{500}$|" * 50 + "x"]
HOSTILE_SCHEMAS = [
    {"$ref": "#"}, {"$ref": f"http://{METADATA}/latest/meta-data"}, {"$ref": "file:///etc/passwd"},
    {"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}},
    {"type": "string", "minLength": 10**9}, {"type": "array", "minItems": 2**40}, {"type": "string", "maxLength": -1},
    {"enum": []}, {"enum": ["x" * 100_000]}, {"enum": [str(i) for i in range(50_000)]}, {"type": "no-such"},
    {"type": 7},
    {"properties": {str(i): {} for i in range(20_000)}}, {"allOf": [{"type": "string"}, {"type": "number"}]},
    {"anyOf": [{"$ref": "#"}] * 2000}, {"not": {}}, {"pattern": "(?=x)"}, {"format": "no-such-format",
                                                                           "type": "string"},
    {"type": "number", "minimum": 1, "maximum": 0}, {"type": "integer", "multipleOf": 0}, {"multipleOf": 1e-300},
    False, 7,
    "schema", []]


@pytest.mark.parametrize("where", ["response_format", "tools", "regex"])
def test_hostile_limits_end_in_a_sentence_and_hold_nobody_up(server, where):
    """Each is refused by name or computed; meanwhile somebody else is answered."""
    stop, answered = threading.Event(), []

    def witness():
        while not stop.is_set() or not answered:
            answered.append(ask(server, "/v1/chat/completions", chat("witness"), "bob")[0])

    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        job = pool.submit(witness)
        try:
            for hostile in HOSTILE_PATTERNS if where == "regex" else HOSTILE_SCHEMAS:
                if where == "regex":
                    body = chat("x", structured_outputs={"regex": hostile})
                elif where == "tools":
                    body = chat("x", tool_choice="required", tools=[
                        {"type": "function", "function": {"name": "f", "parameters": hostile}}])
                else:
                    body = chat("x", response_format={"type": "json_schema",
                                                      "json_schema": {"name": "n", "schema": hostile}})
                status, answer, headers = ask(server, "/v1/chat/completions", body)
                # On a machine that others use as well the time to compile may run out: come again.
                is_busy = status == 503 and "compile" in answer["error"]["message"] and headers["retry-after"]
                assert status in (200, 400) or is_busy, (str(hostile)[:200], status, answer)
                if status == 400:
                    # Found while an answer was computed, it is said of the format as a whole.
                    named = answer["error"]["param"] or "the format that is asked for" in answer["error"]["message"]
                    assert named, (str(hostile)[:200], answer)
        finally:
            stop.set()
        job.result()
    assert set(answered) == {200}


# ---- Numbers

EXTREMES = [-1, 0, 1, -2**31, 2**31, 2**32, -2**63, 2**63 - 1, 2**63, 2**64, 10**30, -10**30, 0.5, -0.0, 1e-320,
            1e308,
            -1e308, "1e999", "-1e999", "NaN", "Infinity", "1" + "0" * 5000, "0." + "0" * 5000 + "1", "1e-99999"]


def numbers_of(schema, path=()):
    """Where a body takes a number: paths of names."""
    for name, field in (schema.get("properties") or {}).items():
        kinds = field.get("type", [])
        choices = [field, *field.get("anyOf", []), *field.get("oneOf", [])]
        if any(kind in ("integer", "number") for choice in choices
               for kind in ([choice.get("type")] if isinstance(choice.get("type"),
                                                               str) else choice.get("type") or [])):
            yield (*path, name), field
        if len(path) < 2 and "object" in (kinds if isinstance(kinds, list) else [kinds]):
            yield from numbers_of(field, (*path, name))


MINIMAL = {"/v1/completions": {"prompt": "x"}, "/v1/responses": {"input": "x"}, "/v1/embeddings": {"input": "x"},
           "/v1/rerank": {"query": "x", "documents": ["y"]}, "/v1/score": {"text_1": "x", "text_2": "y"},
           "/v1/classify": {"input": "x"}, "/tokenize": {"prompt": "x"}, "/detokenize": {"tokens": [5]},
           "/api/generate": {"prompt": "x"}, "/api/embed": {"input": "x"}, "/api/show": {"model": "small"}}
MODEL_OF = {"/v1/embeddings": "bert-mean", "/api/embed": "bert-mean", "/v1/rerank": "bert-rank",
            "/v1/score": "bert-rank",
            "/v1/classify": "bert-classes"}


@pytest.mark.slow
def test_extremes_of_every_number_are_taken_or_named(server):
    """A value within the declared range is taken or refused with a reason; one beyond it is always a 400."""
    tried = 0
    for path, schema in posts(server).items():
        base = MINIMAL.get(path, {"messages": [{"role": "user", "content": "x"}]})
        base = {**base, "model": MODEL_OF.get(path, "small")}
        if "stream" in (schema.get("properties") or {}):
            base["stream"] = False  # Ollama's routes stream otherwise
        if "max_tokens" in (schema.get("properties") or {}):
            base["max_tokens"] = 1
        for names, field in numbers_of(schema):
            for value in EXTREMES:
                text = json.dumps(base)[:-1]
                inner = value if isinstance(value, str) else json.dumps(value)
                for name in reversed(names):
                    inner = "{" + json.dumps(name) + ": " + inner + "}"
                body = text + ", " + inner[1:-1] + "}"
                status, answer, _ = ask(server, path, body.encode())
                tried += 1
                assert status in (200, 400), (path, names, value, status, answer)
                beyond = isinstance(value, (int, float)) and (
                    value < field.get("minimum", value) or value > field.get("maximum", value))
                if beyond or isinstance(value, str) and not value[0].isdigit() and value[0] != "-":
                    assert status == 400, (path, names, value, answer)
    assert tried > 1000, tried
    still_answers(server)


# ---- Paths and addresses

@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/passwd", "..", "%2e%2e/x", "small\0", "small\n",
                                  "~/x", "a" * 5000,
                                  "file:///etc/passwd", "hf:owner/name", "${HOME}", "small/../small", "\ud7ff\u202e"])
def test_names_of_models_are_names_and_never_paths(server, name):
    for path, more in [("/v1/chat/completions", {"messages": [{"role": "user", "content": "x"}]}),
                       ("/v1/embeddings", {"input": "x"}), ("/api/show", {}), ("/tokenize", {"prompt": "x"})]:
        status, answer, _ = ask(server, path, {"model": name, **more})
        assert status in (400, 404), (path, status, answer)
        assert "root:" not in json.dumps(answer)
    quoted = urllib.parse.quote(name, safe="")
    answer = raw(server, b"GET /v1/models/" + quoted.encode() + b" HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"
                 b"Authorization: Bearer " + KEYS["alice"].encode() + b"\r\n\r\n")
    assert answer[9:12] in (b"400", b"404", b"414"), answer[:200]


@pytest.mark.parametrize("target", ["http://127.0.0.1:{port}/x.png", "http://2130706433:{port}/",
                                    "http://[::ffff:127.0.0.1]:{port}/",
                                    "http://" + "0x7f.1:{port}/", f"http://{METADATA}/latest/", "file:///etc/passwd",
                                    "http://localhost:{port}@" + METADATA])
def test_no_request_makes_the_server_call_an_address(server, target):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.2)
        target = target.format(port=listener.getsockname()[1])
        image = {"type": "image_url", "image_url": {"url": target}}
        bodies = [("/v1/chat/completions", {"messages": [{"role": "user", "content": [image]}]}),
                  ("/v1/chat/completions", chat("x", response_format={"type": "json_schema", "json_schema": {
                      "name": "n", "schema": {"$ref": target}}})),
                  ("/v1/chat/completions", chat("x", api_base=target)),
                  ("/v1/responses", {"input": [{"role": "user", "content": [{"type": "input_image",
                                                                             "image_url": target}]}]}),
                  ("/v1/responses", {"input": "x", "tools": [{"type": "mcp", "server_label": "m",
                                                              "server_url": target}]}),
                  ("/v1/messages", {"max_tokens": 1, "messages": [{"role": "user", "content": [
                      {"type": "image", "source": {"type": "url", "url": target}}]}]}),
                  ("/api/show", {"model": target})]
        for path, body in bodies:
            status, answer, _ = ask(server, path, body)
            assert status in (400, 404), (path, status, answer)
        with pytest.raises(TimeoutError):
            listener.accept()


# ---- Other people's answers

def test_a_tenants_prompts_are_not_in_the_cache_of_another(server):
    """Neither the number of cached tokens nor the header tells whether somebody else asked the same."""
    secret = "The merger will be announced on " + "Friday, and not before. " * 4

    def cached(who, **more):
        _, answer, headers = ask(server, "/v1/chat/completions", chat(secret, **more), who)
        return answer["usage"]["prompt_tokens_details"]["cached_tokens"], headers["x-paring-cache"]

    assert cached("alice")[1] == "miss"
    assert cached("bob") == (0, "miss")
    # Carl is of Alice's tenant: he has both.
    tokens, how = cached("carl", max_tokens=5)
    assert tokens > 0 and how == "miss"
    assert cached("carl")[1].startswith("exact")
    for path in ("/v1/completions", "/v1/responses", "/v1/messages"):
        another = path + secret  # what nobody has asked on any route
        body = {"/v1/completions": {"prompt": another}, "/v1/responses": {"input": another}}.get(
            path, {"messages": [{"role": "user", "content": another}]})
        body = {"model": "small", "temperature": 0, **body,
                **({"max_output_tokens": 16} if path == "/v1/responses" else {"max_tokens": 4})}
        usages = []
        for who in ("alice", "bob"):
            status, answer, _ = ask(server, path, body, who, **{"cache-control": "no-store"})
            assert status == 200, answer
            usages.append(json.dumps(answer["usage"]))
        numbers = re.findall(r'"(?:cached_tokens|cache_read_input_tokens)": (\d+)', usages[1])
        assert numbers and all(n == "0" for n in numbers), (path, usages)


# ---- Secrets

def every_error(server):
    """Answers to things that go wrong, on every route."""
    wrong = [b"", b"{", b"[]", b"null", b'"text"', b"\xff\xfe", b'{"model": "no-such"}', b'{"model": 5}',
                     b'{"unknown": 1}',
             json.dumps({"model": KEYS["alice"]}).encode(), b'{"messages": "' + b"A" * 3000 + b'"}']
    for path in posts(server):
        for body in wrong:
            # To OTLP fields that nobody knows are nothing wrong.
            if path in ("/v1/traces", "/v1/logs") and body.startswith(b'{"'):
                continue
            yield ask(server, path, body)
            yield post(server, path, body, {"authorization": "Bearer wrong-" + KEYS["bob"][::-1]})
    yield post(server, "/v1/no/such/route", {}, {"x-api-key": KEYS["bob"]})


def test_errors_tell_no_secret(server, small, root):
    forbidden = [str(small.parent), str(root), "hidden-folder", "/proc/", ".cc:", ".h:", "std::", "nlohmann",
                 "sqlite", "0x7f"]
    count = 0
    for status, answer, headers in every_error(server):
        text = json.dumps(answer) + str(headers)
        count += 1
        assert 400 <= status < 500, (status, text)
        for word in forbidden:
            assert word.lower() not in text.lower(), (word, text)
        assert not re.search(r"0x[0-9a-fA-F]{6,}", text), text
        assert KEYS["bob"] not in text and KEYS["carl"] not in text
    assert count > 100
    log = "".join(server.log)
    assert not any(key in log for key in KEYS.values())


def test_nothing_but_health_is_there_without_a_key(server):
    document = json.loads(server.get("/openapi.json"))
    open_paths = set()
    for path, methods in document["paths"].items():
        for method in methods:
            target = path.replace("{", "").replace("}", "").encode()
            answer = raw(server,
                         method.upper().encode() + b" " + target + b" HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"
                         b"Content-Length: 0\r\n\r\n")
            code = int(answer[9:12])
            assert code < 500 and code != 404, (method, path, answer[:300])
            if code != 401:
                open_paths.add(path)
    assert open_paths <= {"/health", "/livez", "/readyz", "/ping", "/openapi.json", "/api/version", "/"}, open_paths
    for spelling in (b"//v1/models", b"/v1/models/", b"/V1/models", b"/v1/./models", b"/v1%2fmodels",
                     b"/health/../v1/models",
                     b"/health%2f..%2fv1/models", b"/v1/models;a=b", b"/v1/models%00", b"http://a/v1/models"):
        answer = raw(server, b"GET " + spelling + b" HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        assert int(answer[9:12]) in (400, 401, 404, 421), (spelling, answer[:200])


def test_a_key_opens_what_its_scopes_say(server):
    """Dora embeds and does nothing else; who may not read the metrics is told so before any work."""
    assert ask(server, "/v1/embeddings", {"model": "bert-mean", "input": "x"}, "dora")[0] == 200
    for path in posts(server):
        status, answer, _ = ask(server, path, {}, "dora")
        assert status in (400, 403), (path, status)
        if path in ("/v1/chat/completions", "/v1/completions", "/v1/responses", "/v1/messages", "/api/generate"):
            assert status == 403, (path, answer)
    for who, code in (("dora", 403), ("alice", 200)):
        answer = raw(server, b"GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\nx-api-key: "
                     + KEYS[who].encode() + b"\r\n\r\n")
        assert int(answer[9:12]) == code, answer[:200]


def test_a_grammar_is_followed_and_a_wrong_one_is_named(server):
    grammar = 'start: "yes" | "no"'
    for more in ({"guided_grammar": grammar}, {"structured_outputs": {"grammar": grammar}}):
        status, answer, _ = ask(server, "/v1/chat/completions", chat("Is it?", **{**more, "max_tokens": 20}))
        assert status == 200, answer
        assert answer["choices"][0]["message"]["content"] in ("yes", "no")
    status, answer, _ = ask(server, "/v1/chat/completions", chat("Is it?", guided_grammar="start: ( unheard"))
    assert (status, answer["error"]["param"]) == (400, "guided_grammar"), answer
    still_answers(server)


def test_of_a_long_conversation_the_fewest_turns_are_dropped(server):
    """Each dropped turn used to cost a rendering of all that was left: minutes for thousands of messages."""
    turns = [{"role": "user" if i % 2 == 0 else "assistant", "content": f"Message {i}."} for i in range(1001)]

    def tokens_of(messages, **more):
        status, answer, _ = ask(server, "/v1/chat/completions", {**chat(""), "messages": messages, **more})
        return answer["usage"]["prompt_tokens"] if status == 200 else None

    system = {"role": "system", "content": "Be short."}
    shortened = tokens_of([system, *turns], truncation="auto")
    kept = next(n for n in range(1, 1001, 2) if tokens_of([system, *turns[-n - 2:]]) is None)
    assert shortened == tokens_of([system, *turns[-kept:]])
    assert tokens_of([system, *turns]) is None
