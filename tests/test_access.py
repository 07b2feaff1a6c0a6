# SPDX-License-Identifier: Apache-2.0
"""Who asked, what became of it, and that no secret is written down: trace ids, rate headers, the log, the audit log."""
import http.client
import json
import re
import sqlite3
import time
import urllib.parse

import pytest

from server_process import ServerProcess

SECRET = "sk-PLANTED0secret1that2must3not4appear"
PLAIN = "plantedsecretwithoutaprefix0123456789"
TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
CHAT = {"model": "tiny", "messages": [{"role": "user", "content": "words of the PROMPT"}], "max_tokens": 4}


def ask(server, method, path, body=None, headers=None):
    host = urllib.parse.urlparse(server.url).netloc
    connection = http.client.HTTPConnection(host, timeout=30)
    data = json.dumps(body).encode() if body is not None else None
    connection.request(method, path, data, {"content-type": "application/json", **(headers or {})})
    response = connection.getresponse()
    text = response.read().decode()
    connection.close()
    return response.status, response.headers, text


def lines_of(server, request_id, count=1):
    """The lines of the log about a request; they are written when all who worked on it are done."""
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        found = [dict(re.findall(r'(\w+)=("(?:[^"\\]|\\.)*"|\S+)', line)) for line in server.log
                 if f" request id={request_id} " in line]
        if len(found) >= count:
            return found
        time.sleep(0.01)
    raise AssertionError(f"no line of {request_id}: {server.log[-5:]}")


@pytest.fixture(scope="module")
def server(paring, model):
    with ServerProcess(paring.path, f"tiny={model}", "--context-tokens", 256) as running:
        yield running


def keyed(paring, folder, *arguments):
    made = paring("keys", "create", "--json", "--data-dir", folder, *arguments).json()
    return made["id"], {"authorization": f"Bearer {made['key']}"}


@pytest.mark.parametrize("given", [f"00-{TRACE}-{SPAN}-01", f"cc-{TRACE}-{SPAN}-01-more"])
def test_a_request_belongs_to_the_trace_of_its_caller(server, given):
    status, headers, _ = ask(server, "POST", "/v1/chat/completions", CHAT,
                             {"traceparent": given, "x-request-id": f"trace-{given[:2]}"})
    version, trace, span, flags = headers["traceresponse"].split("-")
    assert status == 200 and (version, trace, flags) == ("00", TRACE, "01") and span != SPAN
    line, = lines_of(server, f"trace-{given[:2]}")
    assert (line["trace"], line["parent"], line["span"]) == (TRACE, SPAN, span)
    assert headers["x-request-id"] == f"trace-{given[:2]}"


@pytest.mark.parametrize("given", ["", "nonsense", f"00-{TRACE}-{SPAN}", f"00-{TRACE.upper()}-{SPAN}-01",
                                   f"ff-{TRACE}-{SPAN}-01", f"00-{'0' * 32}-{SPAN}-01", f"00-{TRACE}-{SPAN}-01-x"])
def test_what_is_no_trace_is_not_taken(server, given):
    _, headers, _ = ask(server, "GET", "/v1/models", headers={"traceparent": given})
    assert re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-02", headers["traceresponse"])
    assert TRACE not in headers["traceresponse"]
    line, = lines_of(server, headers["x-request-id"])
    assert line["trace"] == headers["traceresponse"][3:35] and "parent" not in line


def test_a_line_for_each_request_without_its_text(server):
    for stream in (False, True):
        _, headers, text = ask(server, "POST", "/v1/chat/completions",
                               {**CHAT, "stream": stream, "temperature": 0})
        line, = lines_of(server, headers["x-request-id"])
        assert line["route"] == "/v1/chat/completions" and line["status"] == "200" and line["model"] == "tiny"
        assert line["method"] == "POST" and line["key"] == "anonymous" and line["from"] == "127.0.0.1"
        assert int(line["answer_tokens"]) > 0 and int(line["prompt_tokens"]) > 0
        assert 0 < float(line["first_token_ms"]) <= float(line["duration_ms"]) + 5
        assert line.get("given_again") == ("yes" if stream else None)
    for method, path, route, status in (("GET", "/v1/models/tiny", "/v1/models/{model}", 200),
                                        ("GET", "/v1/models/other", "/v1/models/{model}", 404),
                                        ("GET", "/no/where?x=y", "-", 404), ("DELETE", "/v1/models", "-", 405),
                                        ("POST", "/v1/chat/completions", "/v1/chat/completions", 400)):
        _, headers, _ = ask(server, method, path, {} if method == "POST" else None)
        line, = lines_of(server, headers["x-request-id"])
        assert (line["route"], line["status"]) == (route, str(status)), line
    assert line["key"] == "anonymous" and "answer_tokens" not in line
    server.get("/livez")
    log = "".join(server.log)
    assert "PROMPT" not in log and "/livez" not in log and "x=y" not in log and 'path=/no/where ' in log


def test_a_request_that_is_left_is_cut_in_the_log(server):
    host = urllib.parse.urlparse(server.url).netloc
    connection = http.client.HTTPConnection(host, timeout=30)
    connection.request("POST", "/v1/chat/completions",
                       json.dumps({**CHAT, "max_tokens": 200, "stream": True, "temperature": 1, "ignore_eos": True}),
                       {"content-type": "application/json", "x-request-id": "left"})
    connection.getresponse().read(1)
    connection.close()
    line, = lines_of(server, "left")
    assert line["cut"] == "yes" and line["status"] == "200" and int(line["answer_tokens"]) < 200


@pytest.mark.parametrize("which, statuses", [("failed", ["404"]), ("off", [])])
def test_the_log_of_requests_is_a_setting(paring, model, which, statuses):
    with ServerProcess(paring.path, f"tiny={model}", "--access-log", which, "--no-page") as server:
        assert ask(server, "GET", "/v1/models")[0] == 200
        assert ask(server, "GET", "/")[0] == 404 and ask(server, "GET", "/page/chat.js")[0] == 404 or which == "off"
        server.end()
        found = [re.search(r"status=(\d+)", line)[1] for line in server.log if " request id=" in line]
        assert sorted(set(found)) == statuses


def test_rates_are_told_in_the_headers_of_each_protocol(paring, model, tmp_path):
    _, limited = keyed(paring, tmp_path, "--name", "limited", "--requests-per-minute", 3, "--tokens-per-minute", 5000)
    _, free = keyed(paring, tmp_path, "--name", "free")
    with ServerProcess(paring.path, f"tiny={model}", "--data-dir", tmp_path, "--cache-bytes", 0) as server:
        status, headers, text = ask(server, "POST", "/v1/chat/completions", CHAT, limited)
        assert status == 200 and headers["x-ratelimit-limit-requests"] == "3"
        assert headers["x-ratelimit-remaining-requests"] == "2" and headers["x-ratelimit-limit-tokens"] == "5000"
        used = json.loads(text)["usage"]["prompt_tokens"] + 4  # what it may use is set aside when it begins
        assert headers["x-ratelimit-remaining-tokens"] == str(5000 - used)
        assert re.fullmatch(r"(\d+m)?(\d+(\.\d+)?s|\d+ms)", headers["x-ratelimit-reset-requests"])
        status, headers, _ = ask(server, "POST", "/v1/messages",
                                 {**CHAT, "stream": True}, {**limited, "anthropic-version": "2023-06-01"})
        assert status == 200 and headers["anthropic-ratelimit-requests-remaining"] == "1"
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", headers["anthropic-ratelimit-requests-reset"])
        assert headers["anthropic-ratelimit-tokens-limit"] == "5000" and "x-ratelimit-limit-requests" not in headers
        assert ask(server, "POST", "/v1/chat/completions", CHAT, limited)[0] == 200
        status, headers, _ = ask(server, "POST", "/v1/chat/completions", CHAT, limited)
        assert status == 429 and headers["x-ratelimit-remaining-requests"] == "0" and int(headers["retry-after"]) >= 1
        status, headers, _ = ask(server, "POST", "/v1/chat/completions", CHAT, free)
        assert status == 200 and not [name for name in headers if "ratelimit" in name]


def test_refusals_are_in_the_audit_log(paring, model, tmp_path):
    key, limited = keyed(paring, tmp_path, "--name", "limited", "--requests-per-minute", 1)
    poor_key, poor = keyed(paring, tmp_path, "--name", "poor", "--tokens-per-day", 5)
    with ServerProcess(paring.path, f"tiny={model}", "--data-dir", tmp_path) as server:
        expected = []

        def refused(status, result, actor, headers, path="/v1/chat/completions", method="POST"):
            got, answer, _ = ask(server, method, path, CHAT if method == "POST" else None, headers)
            assert got == status
            expected.append((actor, f"{method} {path}", answer["x-request-id"], result))

        refused(401, "missing_api_key", "127.0.0.1", {})
        refused(401, "invalid_api_key", "127.0.0.1", {"authorization": f"Bearer {SECRET}"})
        refused(403, "insufficient_permissions", key, limited, "/metrics", "GET")
        assert ask(server, "POST", "/v1/chat/completions", CHAT, limited)[0] == 200
        refused(429, "rate_limit_exceeded", key, limited)
        refused(429, "insufficient_quota", poor_key, poor)
        assert ask(server, "GET", "/no/where", headers={})[0] == 404  # nobody was refused
        assert server.end() == 0
    rows = paring("keys", "audit", "--json", "--data-dir", tmp_path).json()["rows"]
    assert [row["action"] for row in rows[:2]] == ["key.create", "key.create"]
    assert [(r["actor"], r["action"], r["object"], r["result"]) for r in rows[2:]] == expected
    assert paring("keys", "audit", "--last", 1, "--json", "--data-dir", tmp_path).json()["rows"] == rows[-1:]
    table = paring("keys", "audit", "--data-dir", tmp_path).out
    assert "insufficient_quota" in table and SECRET not in table


def test_planted_secrets_are_nowhere(paring, model, tmp_path):
    """In headers, addresses, fields, names: whatever is refused or fails, no secret is repeated."""
    keys = tmp_path / "keys.txt"
    keys.write_text(f"{PLAIN}-file name=ops scopes=inference,metrics\n")
    with ServerProcess(paring.path, f"tiny={model}", "--data-dir", tmp_path / "data", "--api-key-file", keys,
                       "--log-level", "debug", env={"PARING_API_KEY": PLAIN}) as server:
        good = {"authorization": f"Bearer {PLAIN}"}
        said = []

        def send(method, path, body=None, headers=None):
            status, answer, text = ask(server, method, path, body, headers)
            said.append(f"{answer} {text}")
            return status

        for headers in ({"authorization": f"Bearer {SECRET}"}, {"authorization": f"Basic {SECRET}"},
                        {"authorization": SECRET}, {"x-api-key": SECRET}, {"authorization": f"Bearer {PLAIN}x"},
                        {"cookie": f"session={SECRET}"}, {"x-api-key": f"{PLAIN} {PLAIN}"},
                        {**good, "x-api-key": SECRET}, {"authorization": f"Bearer {PLAIN[:-1]}"}):
            for path in ("/v1/chat/completions", "/v1/messages", "/api/chat"):
                assert send("POST", path, CHAT, headers) == 401
        assert send("GET", f"/v1/models?api_key={SECRET}&key={PLAIN}") == 401
        assert send("GET", f"/v1/models/{SECRET}", headers=good) == 404
        assert send("GET", f"/{SECRET}/x", headers=good) == 404
        assert send("POST", "/v1/chat/completions", {**CHAT, "model": SECRET}, good) == 404
        assert send("POST", "/v1/chat/completions", {**CHAT, "api_key": SECRET}, good) == 400
        assert send("POST", "/v1/chat/completions", {**CHAT, SECRET: 1}, good) == 400
        assert send("POST", "/v1/messages", {**CHAT, "authorization": f"Bearer {SECRET}"}, good) == 400
        assert send("POST", "/v1/chat/completions", CHAT, {**good, "x-request-id": SECRET}) == 200
        assert send("POST", "/v1/chat/completions", CHAT, {**good, "x-request-timeout": SECRET}) == 400
        assert send("GET", "/metrics", headers={"x-api-key": f"{PLAIN}-file"}) == 200
        assert send("GET", "/openapi.json") == 200
        server.end()
    answers = "\n".join(said)
    # A client's own request id comes back to it: the header, and the id of the answer.
    assert answers.count(SECRET) == 2 and answers.count(f"chatcmpl-{SECRET}") == 1 and PLAIN not in answers
    log = "".join(server.log)
    assert log.count(" request id=") > 20 and "[redacted]" in log
    for secret in (SECRET, SECRET[3:], PLAIN):
        assert secret not in log
    with sqlite3.connect(tmp_path / "data" / "control.db") as database:
        rows = str(database.execute("SELECT * FROM audit").fetchall())
        assert rows.count("invalid_api_key") >= 12
    assert SECRET not in rows and PLAIN not in rows
    for path in (tmp_path / "data").rglob("*"):
        kept = path.read_bytes() if path.is_file() else b""
        assert SECRET.encode() not in kept and PLAIN.encode() not in kept


def test_pages_of_other_sites_use_no_server_without_keys(paring, server, model):
    host = urllib.parse.urlparse(server.url).netloc
    for headers in ({"origin": "https://evil.example.org"}, {"origin": "null"}, {"host": "evil.example.org"},
                    {"host": "evil.example.org", "origin": "http://evil.example.org"}, {"origin": "http://127.0.0.1:1"}):
        for path in ("/v1/chat/completions", "/v1/messages", "/api/chat", "/tokenize"):
            status, _, text = ask(server, "POST", path, CHAT, headers)
            assert status == 403 and "--cors-origins" in text, (headers, text)
    assert ask(server, "GET", "/livez", headers={"host": "evil.example.org"})[0] == 200
    for headers in ({}, {"origin": f"http://{host}"}, {"host": "localhost"}):
        assert ask(server, "POST", "/v1/chat/completions", CHAT, headers)[0] == 200
    with ServerProcess(paring.path, f"tiny={model}", "--cors-origins", "https://app.example.org") as opened:
        status, headers, _ = ask(opened, "POST", "/v1/chat/completions", CHAT, {"origin": "https://app.example.org"})
        assert status == 200 and "traceresponse" in headers["access-control-expose-headers"]
        assert ask(opened, "POST", "/v1/chat/completions", CHAT, {"origin": "https://evil.example.org"})[0] == 403
    with ServerProcess(paring.path, f"tiny={model}", env={"PARING_API_KEY": PLAIN}) as keyed_server:
        good = {"authorization": f"Bearer {PLAIN}", "origin": "https://evil.example.org", "host": "models.example.org"}
        assert ask(keyed_server, "POST", "/v1/chat/completions", CHAT, good)[0] == 200


def test_reasoning_is_counted(paring, tmp_path):
    """A model that never leaves its reasoning: all of its tokens count, in each protocol that has the field."""
    import tiny_model
    path = tmp_path / "thinks.gguf"
    template = ("{% for m in messages %}{{ m['content'].split('</think>')[-1] }}{% endfor %}"
                "{% if add_generation_prompt %}<think>\n{% endif %}")
    tiny_model.write(path, chat_template=template)
    with ServerProcess(paring.path, f"tiny={path}") as server:
        body = {**CHAT, "max_tokens": 12, "temperature": 0, "ignore_eos": True}
        answer = json.loads(ask(server, "POST", "/v1/chat/completions", body)[2])
        assert answer["choices"][0]["message"]["reasoning_content"] and not answer["choices"][0]["message"]["content"]
        assert answer["usage"]["completion_tokens"] == 12
        assert answer["usage"]["completion_tokens_details"]["reasoning_tokens"] >= 11
        body = {"model": "tiny", "input": "words", "max_output_tokens": 12, "temperature": 0}
        answer = json.loads(ask(server, "POST", "/v1/responses", body)[2])
        assert answer["usage"]["output_tokens_details"]["reasoning_tokens"] >= answer["usage"]["output_tokens"] - 1 > 0
        body = {"model": "tiny", "prompt": "words", "max_tokens": 5, "ignore_eos": True}
        answer = json.loads(ask(server, "POST", "/v1/completions", body)[2])
        assert answer["usage"]["completion_tokens_details"]["reasoning_tokens"] == 0


def test_rates_hold_before_the_body_and_for_tokenizing(paring, model, tmp_path):
    """What will be refused is not read: a head alone is answered. And tokenizing counts as a request."""
    _, alice = keyed(paring, tmp_path, "--name", "alice", "--requests-per-minute", "2")
    _, bob = keyed(paring, tmp_path, "--name", "bob")
    with ServerProcess(paring.path, f"tiny={model}", "--data-dir", tmp_path) as server:
        count = {"model": "tiny", "messages": CHAT["messages"]}
        assert ask(server, "POST", "/tokenize", {"prompt": "words"}, alice)[0] == 200
        assert ask(server, "POST", "/v1/messages/count_tokens", count, alice)[0] == 200
        for path in ("/tokenize", "/detokenize", "/v1/messages/count_tokens", "/v1/chat/completions", "/api/embed"):
            connection = http.client.HTTPConnection(urllib.parse.urlparse(server.url).netloc, timeout=10)
            connection.putrequest("POST", path)
            for name, value in {**alice, "content-length": "4000000"}.items():
                connection.putheader(name, value)
            connection.endheaders()
            response = connection.getresponse()  # no byte of the body was sent
            assert response.status == 429 and int(response.headers["retry-after"]) >= 1, path
            assert "requests a minute" in response.read().decode()
            connection.close()
        assert ask(server, "GET", "/v1/models", headers=alice)[0] == 200
        assert ask(server, "POST", "/tokenize", {"prompt": "words"}, bob)[0] == 200


@pytest.mark.parametrize("allows", [{}, {"truncation": "auto"}])
def test_a_text_that_cannot_fit_is_not_encoded(server, allows):
    text = "x" * 7_000_000
    for path, body in (("/v1/chat/completions", {"messages": [{"role": "user", "content": text}]}),
                       ("/v1/completions", {"prompt": text})):
        status, _, answer = ask(server, "POST", path, {"model": "tiny", "max_tokens": 1, **body, **allows})
        error = json.loads(answer)["error"]
        assert status == 400 and error["code"] == "context_length_exceeded", answer
        # No count of tokens: nobody has counted them.
        assert re.search(r"more than \d+ bytes, and this model's maximum context length is 256 tokens",
                         error["message"]), answer
