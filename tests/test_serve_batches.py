# SPDX-License-Identifier: Apache-2.0
"""Files and batches with OpenAI's own client: what a line is answered is what HTTP answers, nobody sees another's, and
a server that is killed in the middle loses no line and answers none twice."""
import json
import pathlib
import random
import signal
import time
import urllib.error
import urllib.request

import openai
import pytest
import raw_client
import tiny_model
from server_process import ServerProcess

CHAT = "/v1/chat/completions"
# A step of so small a model is over before a second thread has woken up. Answers are to be computed, each time.
PLAIN = ("--threads", 1, "--cache-bytes", 0)


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A model that answers in milliseconds, at length, and nonsense."""
    path = tmp_path_factory.mktemp("batches") / "small.gguf"
    tiny_model.write(path, chat_template=raw_client.CHATML)
    return path


@pytest.fixture(scope="module")
def server(paring, small, root):
    encoder = root / "tests/data/encoders/bert-mean"
    with ServerProcess(paring.path, f"small={small}", f"bert={encoder}", *PLAIN, "--file-bytes", 8_000_000,
                       "--context-tokens", 512) as running:
        yield running
        assert running.end() == 0, "".join(running.log)


def client_of(server, key="none"):
    return openai.OpenAI(base_url=server.url + "/v1", api_key=key, timeout=60, max_retries=0)


@pytest.fixture(scope="module")
def client(server):
    with client_of(server) as made:
        yield made


def chat(question, **more):
    return {"model": "small", "messages": [{"role": "user", "content": question}], "max_tokens": 12, "temperature": 0,
            "ignore_eos": True, **more}


def line(custom_id, body, url=CHAT, **more):
    return json.dumps({"custom_id": custom_id, "method": "POST", "url": url, "body": body, **more})


def upload(client, lines, name="in.jsonl"):
    return client.files.create(file=(name, "\n".join(lines).encode()), purpose="batch")


def run(client, lines, endpoint=CHAT, seconds=120, **more):
    """A batch that has ended."""
    batch = client.batches.create(input_file_id=upload(client, lines).id, endpoint=endpoint, completion_window="24h",
                                  **more)
    return wait_for(client, batch.id, seconds=seconds)


def wait_for(client, batch_id, states=("completed", "failed", "expired", "cancelled"), seconds=120):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        batch = client.batches.retrieve(batch_id)
        if batch.status in states:
            return batch
        time.sleep(0.05)
    raise AssertionError(f"the batch is {batch.status} after {seconds} s: {batch}")


def answers(client, file_id):
    return [json.loads(each) for each in client.files.content(file_id).text.splitlines()] if file_id else []


def text_of(answer):
    return answer["response"]["body"]["choices"][0]["message"]["content"]


def same_but_for_labels(body):
    return {**body, "id": None, "created": None, "timings": None}


def test_a_line_is_answered_as_http_answers(client):
    questions = {f"q-{i}": chat(f"Question {i}", seed=1, temperature=0.8, n=1 + i % 2) for i in range(6)}
    batch = run(client, [line(name, body) for name, body in questions.items()], metadata={"for": "test"})
    assert batch.status == "completed" and batch.error_file_id is None and batch.model == "small"
    assert (batch.request_counts.total, batch.request_counts.completed, batch.request_counts.failed) == (6, 6, 0)
    assert batch.metadata == {"for": "test"} and batch.completed_at >= batch.in_progress_at >= batch.created_at
    found = answers(client, batch.output_file_id)
    assert [each["custom_id"] for each in found] == list(questions)
    tokens = 0
    for each in found:
        assert each["error"] is None and each["response"]["status_code"] == 200
        extra = {k: v for k, v in questions[each["custom_id"]].items() if k == "ignore_eos"}
        asked = {k: v for k, v in questions[each["custom_id"]].items() if k != "ignore_eos"}
        alone = client.chat.completions.with_raw_response.create(**asked, extra_body=extra)
        alone = json.loads(alone.text)
        mine, other = same_but_for_labels(each["response"]["body"]), same_but_for_labels(alone)
        for body in (mine, other):
            body["usage"].pop("prompt_tokens_details", None)  # who came first computed the common beginning
        assert mine == other
        tokens += mine["usage"]["total_tokens"]
    assert batch.usage.total_tokens == tokens


@pytest.mark.parametrize("endpoint,body,field", [
    ("/v1/completions", {"model": "small", "prompt": "abc", "max_tokens": 4, "temperature": 0}, "choices"),
    ("/v1/embeddings", {"model": "bert", "input": ["a text", "another"]}, "data"),
    ("/v1/responses", {"model": "small", "input": "abc", "max_output_tokens": 16, "temperature": 0}, "output")])
def test_every_endpoint_of_batches(client, server, endpoint, body, field):
    batch = run(client, [line("a", body, endpoint), line("b", body, endpoint)], endpoint)
    assert batch.status == "completed" and batch.request_counts.completed == 2, batch
    request = urllib.request.Request(server.url + endpoint, json.dumps(body).encode(),
                                     {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as response:
        alone = json.loads(response.read())
    for each in answers(client, batch.output_file_id):
        mine = each["response"]["body"][field]
        assert len(mine) == len(alone[field])
        if endpoint != "/v1/responses":  # whose items have ids of their own
            assert mine == alone[field]
    assert batch.usage.input_tokens > 0


def test_lines_that_share_a_beginning_compute_it_once(client):
    shared = "Once upon a time there was a long beginning that all of them share. " * 2
    batch = run(client, [line(f"s-{i}", chat(shared + str(i), max_tokens=4)) for i in range(24)])
    assert batch.status == "completed"
    assert batch.usage.input_tokens_details.cached_tokens > 0.4 * batch.usage.input_tokens, batch.usage


def test_what_is_wrong_with_one_line_is_in_the_error_file(client):
    batch = run(client, [line("good", chat("Hi")), line("bad", chat("Hi", temperature=9)),
                         line("unknown-field", chat("Hi", no_such_field=1))])
    assert batch.status == "completed" and batch.request_counts.failed == 2
    assert [each["custom_id"] for each in answers(client, batch.output_file_id)] == ["good"]
    bad, unknown = answers(client, batch.error_file_id)
    assert bad["response"]["status_code"] == 400 and bad["response"]["body"]["error"]["param"] == "temperature"
    assert unknown["response"]["body"]["error"]["code"] == "unknown_parameter"


def test_an_unknown_model_is_answered_line_by_line(client):
    batch = run(client, [line("a", chat("Hi", model="nobody"))])
    assert batch.status == "completed" and batch.output_file_id is None
    (answer,) = answers(client, batch.error_file_id)
    assert answer["response"]["status_code"] == 404
    assert answer["response"]["body"]["error"]["code"] == "model_not_found"


def test_an_input_that_cannot_run_fails_with_its_lines(client):
    lines = [line("a", chat("Hi")), "{", line("a", chat("Hi")), line("b", chat("Hi"), "/v1/completions"),
             line("c", chat("Hi", stream=True)), line("d", chat("Hi", model="other")),
             json.dumps({"custom_id": "e", "method": "GET", "url": CHAT, "body": {}})]
    batch = run(client, lines)
    assert batch.status == "failed" and batch.output_file_id is None
    found = [(error.line, error.code) for error in batch.errors.data]
    assert found == [(2, "invalid_json_line"), (3, "duplicate_custom_id"), (4, "invalid_url"),
                     (5, "unsupported_parameter"), (6, "mismatched_model"), (7, "invalid_method")]
    assert run(client, [""]).errors.data[0].code == "empty_file"


def test_too_many_lines(client):
    batch = run(client, ["{}"] * 200_000)
    assert batch.status == "failed" and len(batch.errors.data) == 100  # it is given up long before the end
    body = {"model": "small", "prompt": "", "max_tokens": 1}
    batch = run(client, [line(str(i), body, "/v1/completions") for i in range(50_001)], "/v1/completions")
    assert batch.status == "failed" and [error.code for error in batch.errors.data] == ["too_many_lines"]


@pytest.mark.parametrize("spec,param", [
    ({"endpoint": "/v1/messages"}, "endpoint"), ({"completion_window": "1y"}, "completion_window"),
    ({"input_file_id": "file-none"}, "input_file_id"), ({"metadata": {"k": "x" * 600}}, "metadata.k"),
    ({"extra_body": {"other": 1}}, "other")])
def test_specs_are_refused_by_field(client, spec, param):
    good = upload(client, [line("a", chat("Hi"))]).id
    with pytest.raises(openai.BadRequestError) as refused:
        client.batches.create(**{"input_file_id": good, "endpoint": CHAT, "completion_window": "24h", **spec})
    assert refused.value.body["param"] == param
    other = client.files.create(file=b"text", purpose="user_data").id
    with pytest.raises(openai.BadRequestError):
        client.batches.create(input_file_id=other, endpoint=CHAT, completion_window="24h")


def test_a_batch_is_cancelled(client):
    batch = client.batches.create(input_file_id=upload(client, [line(str(i), chat("x", max_tokens=200))
                                                                for i in range(400)]).id,
                                  endpoint=CHAT, completion_window="24h")
    wait_for(client, batch.id, ["in_progress"])
    assert client.batches.cancel(batch.id).status in ("cancelling", "cancelled")
    ended = wait_for(client, batch.id)
    assert ended.status == "cancelled" and ended.cancelled_at
    assert ended.request_counts.completed + ended.request_counts.failed == 400
    left = answers(client, ended.error_file_id)
    assert left and all(each["error"]["code"] == "batch_cancelled" for each in left)
    assert client.batches.cancel(batch.id).status == "cancelled"  # twice is no mistake
    completed = run(client, [line("a", chat("Hi"))])
    with pytest.raises(openai.BadRequestError):
        client.batches.cancel(completed.id)
    with pytest.raises(openai.NotFoundError):
        client.batches.cancel("batch_none")


def test_files_are_listed_read_and_deleted(client):
    for file in client.files.list():
        try:
            client.files.delete(file.id)
        except openai.BadRequestError:
            pass  # a batch reads it
    made = [client.files.create(file=(f"{i}.txt", f"text {i}".encode()), purpose="user_data") for i in range(5)]
    assert made[0].bytes == 6 and made[0].object == "file" and made[0].expires_at is None
    listed = [file.id for file in client.files.list(purpose="user_data", order="asc", limit=2)]  # the client pages
    assert listed == [file.id for file in made]
    first = client.files.list(purpose="user_data", limit=2)
    assert [file.id for file in first.data] == [made[4].id, made[3].id] and first.has_more
    second = client.files.list(purpose="user_data", limit=2, after=made[3].id)
    assert [file.id for file in second.data] == [made[2].id, made[1].id]
    assert client.files.retrieve(made[1].id).filename == "1.txt"
    assert client.files.content(made[1].id).read() == b"text 1"
    assert client.files.delete(made[1].id).deleted
    for call in (client.files.retrieve, client.files.content, client.files.delete):
        with pytest.raises(openai.NotFoundError):
            call(made[1].id)
    expiring = client.files.create(file=b"x", purpose="batch", expires_after={"anchor": "created_at", "seconds": 3600})
    assert expiring.expires_at == expiring.created_at + 3600
    with pytest.raises(openai.BadRequestError) as refused:
        client.files.create(file=b"x", purpose="batch", expires_after={"anchor": "created_at", "seconds": 5})
    assert refused.value.body["param"] == "expires_after[seconds]"


def test_large_files_come_back_to_the_byte(client, server):
    content = random.Random(1).randbytes(7_900_000)
    held = server.memory()
    files = [client.files.create(file=("large \"1\".bin", content), purpose="user_data") for _ in range(3)]
    assert all(client.files.content(file.id).read() == content for file in files)
    assert files[0].filename == "large \"1\".bin"
    assert server.memory() - held < 6_000_000  # neither way holds a file in memory
    with pytest.raises(openai.APIStatusError) as refused:
        client.files.create(file=bytes(8_000_001), purpose="user_data")
    assert refused.value.status_code == 413
    for file in files:
        client.files.delete(file.id)


def post_form(server, data, content_type="multipart/form-data; boundary=B"):
    request = urllib.request.Request(server.url + "/v1/files", data, {"content-type": content_type})
    try:
        with urllib.request.urlopen(request, timeout=60) as response:
            return response.status, json.loads(response.read())
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())["error"]


def test_forms_that_are_none_are_refused(server):
    status, error = post_form(server, b"{}", "application/json")
    assert status == 400 and "multipart/form-data" in error["message"]
    assert post_form(server, b"")[0] == 400
    part = b"--B\r\nContent-Disposition: form-data; name=\"%b\"\r\n\r\n%b\r\n"
    status, error = post_form(server, part % (b"purpose", b"batch") + b"--B--\r\n")
    assert status == 400 and error["param"] == "file"
    status, error = post_form(server, part % (b"x", b"y") * 40 + b"--B--\r\n")
    assert status == 400 and "32 parts" in error["message"]
    status, error = post_form(server, b"--B\r\nX: " + b"x" * 100_000)
    assert status == 400 and "4096" in error["message"]


def make_key(paring, folder, tenant, *more):
    made = paring("keys", "create", "--json", "--name", tenant, "--tenant", tenant, *more, "--data-dir", folder)
    return made.json()["key"]


def test_tenants_see_their_own_only(paring, small, tmp_path):
    keys = {name: make_key(paring, tmp_path, name) for name in ("a", "b")}
    keys["chat"] = make_key(paring, tmp_path, "chat", "--scopes", "inference")
    keys["files"] = make_key(paring, tmp_path, "files", "--scopes", "batches")
    with ServerProcess(paring.path, f"small={small}", *PLAIN, "--data-dir", tmp_path) as running:
        mine, other, no_batches, no_chat = (client_of(running, keys[name]) for name in ("a", "b", "chat", "files"))
        batch = run(mine, [line("x", chat("Hi"))])
        assert batch.status == "completed"
        for call, name in [(other.files.retrieve, batch.input_file_id), (other.files.content, batch.output_file_id),
                           (other.files.delete, batch.output_file_id), (other.batches.retrieve, batch.id),
                           (other.batches.cancel, batch.id)]:
            with pytest.raises(openai.NotFoundError):
                call(name)
        assert other.files.list().data == [] and other.batches.list().data == []
        with pytest.raises(openai.BadRequestError):
            other.batches.create(input_file_id=batch.input_file_id, endpoint=CHAT, completion_window="24h")
        assert [each.id for each in mine.batches.list()] == [batch.id]
        with pytest.raises(openai.PermissionDeniedError):
            no_batches.files.list()
        with pytest.raises(openai.PermissionDeniedError):  # what the key may not do at once it may not do later
            no_chat.batches.create(input_file_id=upload(no_chat, [line("x", chat("Hi"))]).id, endpoint=CHAT,
                                   completion_window="24h")


def test_a_batch_is_charged_to_its_key(paring, small, tmp_path):
    key = make_key(paring, tmp_path, "a", "--tokens-in-all", 100_000)
    with ServerProcess(paring.path, f"small={small}", *PLAIN, "--data-dir", tmp_path) as running:
        batch = run(client_of(running, key), [line(str(i), chat(f"Hi {i}")) for i in range(5)])
        assert batch.request_counts.completed == 5
        used = f"{batch.usage.total_tokens} used"
        assert used in paring("keys", "show", "a", "--data-dir", tmp_path).out.replace(",", "")


def test_requests_are_served_while_a_batch_runs(client, server):
    batch = client.batches.create(input_file_id=upload(client, [line(str(i), chat("x", max_tokens=200))
                                                                for i in range(300)]).id,
                                  endpoint=CHAT, completion_window="24h")
    wait_for(client, batch.id, ["in_progress"])
    alone = [client.chat.completions.create(model="small", messages=[{"role": "user", "content": "Hi"}], max_tokens=12,
                                            temperature=0).choices[0].message.content for _ in range(5)]
    assert len(set(alone)) == 1
    assert client.batches.retrieve(batch.id).status == "in_progress"
    client.batches.cancel(batch.id)
    wait_for(client, batch.id)


def expected(paring, small, lines):
    with ServerProcess(paring.path, f"small={small}", *PLAIN) as running:
        client = client_of(running)
        return {each["custom_id"]: text_of(each) for each in answers(client, run(client, lines).output_file_id)}


LINES = [line(f"l-{i}", chat(f"Tell me {i}", max_tokens=60)) for i in range(240)]


def check_complete(client, batch, right):
    assert batch.status == "completed" and batch.request_counts.completed == len(right), batch
    found = answers(client, batch.output_file_id)
    assert [each["custom_id"] for each in found] == list(right)
    assert all(text_of(each) == right[each["custom_id"]] for each in found)


@pytest.mark.slow
def test_no_line_is_lost_or_answered_twice_when_the_server_is_killed(paring, small, tmp_path):
    right, chance, batch_id, kills = expected(paring, small, LINES), random.Random(7), None, 0
    seen = -1
    while True:
        with ServerProcess(paring.path, f"small={small}", *PLAIN, "--data-dir", tmp_path) as running:
            client = client_of(running)
            if batch_id is None:
                batch_id = client.batches.create(input_file_id=upload(client, LINES).id, endpoint=CHAT,
                                                 completion_window="24h").id
            if kills == 6:
                check_complete(client, wait_for(client, batch_id), right)
                break
            end = time.monotonic() + 60
            while time.monotonic() < end:  # some more answers than before, then at any moment
                now = client.batches.retrieve(batch_id)
                if now.request_counts.completed > seen or now.status == "completed":
                    break
            assert now.request_counts.completed >= max(seen, 0), "an answer was lost"
            seen = now.request_counts.completed
            time.sleep(chance.uniform(0, 0.15))
            running.end(signal.SIGKILL)
            kills += 1
    assert not any(pathlib.Path(tmp_path, "files", "uploads").iterdir())


def test_a_server_that_is_told_to_end_gives_its_lines_back(paring, small, tmp_path):
    right = expected(paring, small, LINES)
    with ServerProcess(paring.path, f"small={small}", "--threads", 1, "--data-dir", tmp_path) as running:
        client = client_of(running)
        batch = client.batches.create(input_file_id=upload(client, LINES).id, endpoint=CHAT, completion_window="24h")
        end = time.monotonic() + 60
        while client.batches.retrieve(batch.id).request_counts.completed < 5 and time.monotonic() < end:
            time.sleep(0.01)
        start = time.monotonic()
        assert running.end(signal.SIGTERM) == 0
        assert time.monotonic() - start < 10, "lines of batches hold the end up"
    with ServerProcess(paring.path, f"small={small}", "--threads", 1, "--data-dir", tmp_path) as running:
        client = client_of(running)
        check_complete(client, wait_for(client, batch.id), right)
