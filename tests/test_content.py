# SPDX-License-Identifier: Apache-2.0
"""Prompts and answers that are kept: off, redacted or full; what was to be taken out is in no byte of any file."""
import json
import pathlib
import re
import subprocess
import urllib.request

import pytest

import tiny_model
from raw_client import CHATML
from server_process import ServerProcess
from test_access import ask, keyed
from test_serve import post
from test_serve_traffic import rows_when

SEEDS = {"[EMAIL]": "zoe.quill@example.com", "[PHONE]": "+4915112345678", "[CARD]": "4111 1111 1111 1111",
         "[IBAN]": "DE89 3704 0044 0532 0130 00", "[IP]": "203.0.113.77", "[API_KEY]": "hf_qwertyuiopasdfghjkl123",
         "[CUSTOMER]": "C-83749201"}
RULES = """
rules:
  customer:
    pattern: 'C-[0-9]{8}'
"""


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    path = tmp_path_factory.mktemp("content") / "small.gguf"
    tiny_model.write(path, chat_template=CHATML)
    return path


def rules_in(folder):
    path = folder / "rules.yaml"
    path.write_text(RULES)
    return path


def chat(text, **more):
    return {"model": "small", "messages": [{"role": "user", "content": text}], "max_tokens": 4, **more}


def kept(server, request):
    row, = json.loads(server.get(f"/v1/traffic/requests/{request}"))["data"]
    return row.get("prompt"), row.get("answer")


def settle(server, folder, rows):
    assert len(rows_when(folder, rows)) == rows


def bytes_below(folder):
    """Of every file there is, write-ahead logs included."""
    return b"\n".join(path.read_bytes() for path in sorted(pathlib.Path(folder).rglob("*")) if path.is_file())


def say_seeds(server):
    """Requests with something to hide in the prompt or the answer, in every protocol; how many."""
    for seed in SEEDS.values():
        assert post(server, "/v1/chat/completions", chat(f"I have {seed}."))[0] == 200
    mail = SEEDS["[EMAIL]"]
    hidden = json.dumps({"to": mail}).replace("@", "\\u0040")
    calls = [{"role": "user", "content": "Go"},
             {"role": "assistant", "content": None, "tool_calls": [
                 {"id": "call_1", "type": "function", "function": {"name": "send", "arguments": hidden}}]},
             {"role": "tool", "tool_call_id": "call_1", "content": SEEDS["[IP]"]}]
    assert post(server, "/v1/chat/completions", {"model": "small", "messages": calls, "max_tokens": 2})[0] == 200
    assert post(server, "/v1/completions", {"model": "small", "prompt": f"{mail} is", "max_tokens": 4})[0] == 200
    assert post(server, "/v1/messages", {"model": "small", "max_tokens": 4,
                                         "messages": [{"role": "user", "content": mail}]})[0] == 200
    assert post(server, "/api/chat", {"model": "small", "stream": False, "options": {"num_predict": 4},
                                      "messages": [{"role": "user", "content": mail}]})[0] == 200
    # The answer is told what it has to be, whole and as a stream.
    wanted = chat("Answer", guided_choice=[mail], max_tokens=40)
    status, answer, _ = post(server, "/v1/chat/completions", wanted)
    assert status == 200 and answer["choices"][0]["message"]["content"] == mail
    body = json.dumps({**wanted, "stream": True}).encode()
    request = urllib.request.Request(server.url + "/v1/chat/completions", body, {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as stream:
        assert stream.read().endswith(b"data: [DONE]\n\n")
    return len(SEEDS) + 6


def test_nothing_that_was_taken_out_is_in_any_byte(paring, small, tmp_path):
    data = tmp_path / "data"
    with ServerProcess(paring.path, f"small={small}", "--data-dir", data, "--content", "redacted",
                       "--redact", rules_in(tmp_path)) as server:
        count = say_seeds(server)
        settle(server, data, count)
        page = server.get("/metrics")
        alive = bytes_below(data)
        server.process.kill()  # the write-ahead log stays
        server.process.wait(30)
        log = "".join(server.log).encode()
    for place, seed in SEEDS.items():
        for where in (alive, bytes_below(data), log):
            assert seed.encode() not in where, place
            assert seed.replace(" ", "").replace("@", "\\u0040").encode() not in where, place
        assert place.encode() in alive, place
    assert alive.count(b"[EMAIL]") >= 7
    counted = {rule: int(places) for rule, places in
               re.findall(r'^paring:content_redactions_total\{rule="(\w+)"\} (\d+)$', page, re.M)}
    assert counted["email"] >= 7 and counted["customer"] == 1 and counted["jwt"] == 0
    assert "# TYPE paring:content_redactions_total counter" in page


def test_full_keeps_all_and_off_nothing(paring, small, tmp_path):
    for content, is_there in (("full", True), ("off", False)):
        data = tmp_path / content
        with ServerProcess(paring.path, f"small={small}", "--data-dir", data, "--content", content) as server:
            settle(server, data, say_seeds(server))
            found = bytes_below(data)
        for seed in SEEDS.values():
            assert (seed.encode() in found) == is_there, seed


def test_what_is_kept_is_what_was_said(paring, small, tmp_path):
    with ServerProcess(paring.path, f"small={small}", "--data-dir", tmp_path, "--traffic", "sync", "--content",
                       "full") as server:
        asked = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Zoë, 日本?"}]
        _, answer, headers = post(server, "/v1/chat/completions", {**chat(""), "messages": asked})
        prompt, said = kept(server, headers["x-request-id"])
        assert json.loads(prompt) == asked
        assert json.loads(said) == {"role": "assistant", "content": answer["choices"][0]["message"]["content"]}
        # Given again by the cache, and of several answers the first.
        again = chat("again", temperature=0)
        for _ in range(2):
            _, answer, headers = post(server, "/v1/chat/completions", again)
            assert json.loads(kept(server, headers["x-request-id"])[1])["content"] == \
                answer["choices"][0]["message"]["content"]
        assert headers["x-paring-cache"].startswith("exact")
        _, answer, headers = post(server, "/v1/chat/completions", chat("many", n=3, temperature=1, seed=1))
        said = json.loads(kept(server, headers["x-request-id"])[1])
        assert said["content"] == answer["choices"][0]["message"]["content"]
        _, answer, headers = post(server, "/v1/completions", {"model": "small", "prompt": "Say", "max_tokens": 5})
        prompt, said = kept(server, headers["x-request-id"])
        assert (json.loads(prompt), json.loads(said)) == ("Say", answer["choices"][0]["text"])
        # What was refused has none.
        status, _, headers = post(server, "/v1/chat/completions", chat("no", max_tokens=-1))
        assert status == 400 and kept(server, headers["x-request-id"]) == (None, None)


def named(server, request):
    """Asks for an answer under an id of the client's own."""
    body = json.dumps({"model": "small", "prompt": "x", "max_tokens": 1}).encode()
    asked = urllib.request.Request(server.url + "/v1/completions", body,
                                   {"content-type": "application/json", "x-request-id": request})
    urllib.request.urlopen(asked, timeout=30).read()


def test_texts_are_cut_and_shares_taken(paring, small, tmp_path):
    with ServerProcess(paring.path, f"small={small}", "--data-dir", tmp_path, "--traffic", "sync", "--content", "full",
                       "--content-bytes", "1KiB", "--content-share", "0.5") as server:
        # Tokens by number, which are 12 letters each.
        for number in range(8):
            _, _, headers = post(server, "/v1/completions", {"model": "small", "prompt": [1] * 150, "max_tokens": 1})
            prompt, _ = kept(server, headers["x-request-id"])
            if prompt is not None:
                break
        else:
            pytest.fail("a share of a half took none of 8")
        left, cut, right = re.fullmatch(r"(.*)\[\.\.\. (\d+) bytes cut \.\.\.\](.*)", json.loads(prompt)).groups()
        whole = "<|im_start|>" * 150
        assert whole.startswith(left) and whole.endswith(right) and len(left) + int(cut) + len(right) == len(whole)
        assert 1000 < len(left) + len(right) <= 1024
        taken = []
        for number in range(24):
            named(server, f"share-{number}")
            taken.append(kept(server, f"share-{number}")[0] is not None)
        assert 3 < sum(taken) < 21
    # The same ids are chosen by any server.
    with ServerProcess(paring.path, f"small={small}", "--data-dir", tmp_path / "other", "--traffic", "sync",
                       "--content", "redacted", "--content-share", "0.5") as server:
        for number, was_taken in enumerate(taken[:8]):
            named(server, f"share-{number}")
            assert (kept(server, f"share-{number}")[0] is not None) == was_taken


@pytest.mark.parametrize("text, told", [
    ("rules:\n  a:\n    pattern: '('\n", ["line 3", "'a'", "regular expression"]),
    ("rules:\n  a:\n    pattern: 'x*'\n", ["line 3", "'a'", "empty text"]),
    ("rules:\n  a:\n    replacement: 'x'\n", ["line 3", "'a'", "no pattern"]),
    ("rules:\n  a:\n    patern: 'x'\n", ["line 3", "rules.a.patern"]),
    ("built_in:\n  emial: off\n", ["line 2", "'emial'", "email"]),
    ("built_in:\n  email: maybe\n", ["line 2", "maybe", "on or off"]),
    ("rules: [1\n", ["line "]),
])
def test_a_rule_file_that_is_wrong_refuses_the_start(paring, small, tmp_path, text, told):
    rules = tmp_path / "rules.yaml"
    rules.write_text(text)
    done = subprocess.run([paring.path, "serve", f"small={small}", "--data-dir", tmp_path / "data", "--port", "0",
                           "--redact", rules], capture_output=True, text=True, timeout=60)
    assert done.returncode != 0 and not done.stdout
    for each in [str(rules), *told]:
        assert each in done.stderr, done.stderr


@pytest.mark.parametrize("words, told", [(["--content-share", "0"], "share"), (["--content-share", "x"], "'x'"),
                                         (["--redact", "/none/such"], "/none/such")])
def test_settings_that_are_wrong_refuse_the_start(paring, small, tmp_path, words, told):
    done = subprocess.run([paring.path, "serve", f"small={small}", "--data-dir", tmp_path, "--port", "0", "--content",
                           "redacted", *words], capture_output=True, text=True, timeout=60)
    assert done.returncode != 0 and told in done.stderr


def test_keys_read_their_own_and_others_with_the_scope(paring, small, tmp_path):
    def key(name, scopes, tenant="red"):
        return keyed(paring, tmp_path, "--name", name, "--tenant", tenant, "--scopes", scopes)[1]
    author = key("author", "inference,metrics")
    seen = {"author": (author, True), "other": (key("other", "inference,metrics"), False),
            "reviewer": (key("reviewer", "content,metrics"), True),
            "admin": (key("admin", "admin,metrics", "ops"), False),
            "auditor": (key("auditor", "admin,metrics,content", "ops"), True)}
    stranger = key("stranger", "content,metrics", "blue")
    with ServerProcess(paring.path, f"small={small}", "--data-dir", tmp_path, "--traffic", "sync", "--content",
                       "redacted") as server:
        status, headers, _ = ask(server, "POST", "/v1/chat/completions", chat("Hello"), author)
        assert status == 200
        path = "/v1/traffic/requests/" + headers["x-request-id"]
        for name, (who, may) in seen.items():
            status, _, text = ask(server, "GET", path, headers=who)
            row, = json.loads(text)["data"]
            assert status == 200 and ("prompt" in row) == may, name
        assert ask(server, "GET", path, headers=stranger)[0] == 404
    audited = paring("keys", "audit", "--data-dir", tmp_path, "--json").json()["rows"]
    actions = [one for one in audited if one["action"] == "content.read"]
    assert [one["object"] for one in actions] == [headers["x-request-id"]] * 2


@pytest.mark.parametrize("content, is_there", [("redacted", False), ("full", True)])
def test_a_proxy_keeps_what_passed_it(paring, small, tmp_path, content, is_there):
    with ServerProcess(paring.path, f"small={small}") as behind, \
            ServerProcess(paring.path, "--upstream", behind.url, "--data-dir", tmp_path, "--content", content,
                          "--redact", rules_in(tmp_path.parent), command="monitor") as proxy:
        settle(proxy, tmp_path, say_seeds(proxy))
        found = bytes_below(tmp_path)
        counted = proxy.metric("paring:content_redactions_total")
    for place, seed in SEEDS.items():
        assert (seed.encode() in found) == is_there, place
        assert (place.encode() in found) != is_there, place
    # Both answers that had to be an address, whole and streamed; in the file, its log or both.
    said = SEEDS["[EMAIL]"] if is_there else "[EMAIL]"
    assert found.count(f'{{"role":"assistant","content":"{said}"}}'.encode()) >= 2
    assert (counted > 0) != is_there
