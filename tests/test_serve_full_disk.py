# SPDX-License-Identifier: Apache-2.0
"""paring serve on a disk without room: what must be stored is refused with 503 in a sentence that names no path, what
need not be goes on, and once there is room the same calls succeed."""
import asyncio
import contextlib
import json
import os
import sqlite3

import openai
import pytest
import raw_client
import tiny_model
from server_process import ServerProcess
from test_serve_batches import answers, chat, line, upload, wait_for

SECRET = "a-secret-of-more-than-sixteen-letters"
NO_ROOM = "the server has no room to store this at the moment; try again later"
CHAT = "/v1/chat/completions"


class Disk:
    """A small file system that is filled to its last byte and emptied again."""

    def __init__(self, point):
        self.point, self.ballast = point, point / "ballast"

    def fill(self):
        with open(self.ballast, "ab", buffering=0) as file:
            for size in (65536, 4096, 1):
                try:
                    while file.write(b"x" * size) == size:
                        pass
                except OSError:
                    pass
        assert os.statvfs(self.point).f_bavail == 0

    def make_room(self):
        self.ballast.unlink()


@pytest.fixture
def disk(small_disk):
    return Disk(small_disk)


@pytest.fixture
def server(paring, disk, tmp_path):
    model = tmp_path / "small.gguf"
    tiny_model.write(model, chat_template=raw_client.CHATML)
    with ServerProcess(paring.path, f"small={model}", "--threads", 1, "--cache-bytes", 0, "--data-dir",
                       disk.point / "data") as running:
        yield running
        assert running.end() == 0, "".join(running.log)


@pytest.fixture
def client(server):
    with openai.OpenAI(base_url=server.url + "/v1", api_key="none", timeout=60, max_retries=0) as made:
        yield made


def refused_for_room(disk, call):
    with pytest.raises(openai.APIStatusError) as refused:
        call()
    assert refused.value.status_code == 503 and NO_ROOM in str(refused.value), refused.value
    assert str(disk.point) not in refused.value.response.text and "control.db" not in refused.value.response.text
    assert refused.value.response.headers["retry-after"]


def content_files(disk):
    """Whole contents, and parts of uploads: all but the database and the lock, which lie in the folder itself, and the
    key under which prompts are hashed."""
    files = (path for path in (disk.point / "data").glob("*/**/*") if path.is_file())
    return sorted(path for path in files if path.name != "marks.key")


def test_an_upload_without_room_leaves_nothing_and_chats_go_on(server, client, disk):
    right = asyncio.run(raw_client.ask(server, "Hi", 20))
    disk.fill()
    for _ in range(3):
        refused_for_room(disk, lambda: upload(client, [line("a", chat("Hi" * 20000))]))
        assert asyncio.run(raw_client.ask(server, "Hi", 20)) == right
    assert content_files(disk) == [] and client.files.list().data == []
    disk.make_room()
    kept = upload(client, [line("a", chat("Hi" * 20000))])
    assert [one.id for one in client.files.list().data] == [kept.id] and len(content_files(disk)) == 1


def test_a_batch_without_room_is_refused_and_runs_later(server, client, disk):
    right = asyncio.run(raw_client.ask(server, "Hi", 20))
    source = upload(client, [line(f"q-{i}", chat(f"Question {i}")) for i in range(4)])
    before = content_files(disk)
    make = {"input_file_id": source.id, "endpoint": CHAT, "completion_window": "24h"}
    disk.fill()
    # The database keeps a little room of its own between its commits; it is used up by what asks for more.
    made = []
    with pytest.raises(openai.APIStatusError):
        for _ in range(2000):
            made.append(client.batches.create(**make, metadata={f"k{i}": "x" * 500 for i in range(16)}))
    refused_for_room(disk, lambda: client.batches.create(**make, metadata={f"k{i}": "x" * 500 for i in range(16)}))
    assert asyncio.run(raw_client.ask(server, "Hi", 20)) == right
    disk.make_room()
    made.append(client.batches.create(**make))
    assert {wait_for(client, one.id).status for one in made} <= {"completed", "failed"}  # none is stuck
    done = client.batches.retrieve(made[-1].id)
    assert done.status == "completed" and done.request_counts.completed == 4
    assert [each["custom_id"] for each in answers(client, done.output_file_id)] == [f"q-{i}" for i in range(4)]
    assert set(before) < set(content_files(disk))


def test_the_audit_log_and_the_access_log_without_room(paring, disk, tmp_path):
    model = tmp_path / "small.gguf"
    tiny_model.write(model, chat_template=raw_client.CHATML)
    keyed = {"PARING_API_KEY": f"{SECRET} scopes=inference,admin,metrics"}
    with ServerProcess(paring.path, f"small={model}", "--threads", 1, "--cache-bytes", 0, "--data-dir",
                       disk.point / "data", env=keyed) as server:
        body = {"model": "small", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 4, "temperature": 0}
        with openai.OpenAI(base_url=server.url + "/v1", api_key=SECRET, timeout=60, max_retries=0) as friend, \
                openai.OpenAI(base_url=server.url + "/v1", api_key="wrong" * 5, timeout=60, max_retries=0) as stranger:
            text = friend.chat.completions.create(**body).choices[0].message.content
            disk.fill()
            for _ in range(10):  # each is to be a row of the audit log
                with pytest.raises(openai.AuthenticationError):
                    stranger.chat.completions.create(**body)
            assert friend.chat.completions.create(**body).choices[0].message.content == text
            assert json.loads(server.get("/livez")) == {"status": "ok"}
            disk.make_room()
            with pytest.raises(openai.AuthenticationError):
                stranger.chat.completions.create(**body)
            assert friend.chat.completions.create(**body).choices[0].message.content == text
        assert server.end() == 0, "".join(server.log)
        log = "".join(server.log)
        assert log.count(" request id=") >= 14  # the access log goes on
        assert log.count("a refusal is not in the audit log") == 10
    with contextlib.closing(sqlite3.connect(disk.point / "data" / "control.db")) as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert database.execute("SELECT result FROM audit").fetchall() == [("invalid_api_key",)]
