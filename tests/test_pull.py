# SPDX-License-Identifier: Apache-2.0
"""`paring pull` against a stand-in for the hub on this machine: its API, redirects to another host, and faults."""
import functools
import hashlib
import http.server
import json
import os
import threading
import urllib.parse

import http_answers
import pytest

COMMIT = "0123456789abcdef0123456789abcdef01234567"
TOKEN = "hf_secret"


def git_sha1(data):
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


class Hub:
    """One repository, owner/tiny. Large files are redirected to a second server on another port, as the hub does."""

    def __init__(self, files):
        self.files, self.seen, self.faults = files, [], {}
        self.is_gated = False
        self.ranges = True
        self.storage = self.start(self.storage_answer)
        self.front = self.start(self.front_answer)
        self.endpoint = f"http://127.0.0.1:{self.front.server_port}"

    def start(self, answer):
        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(handler):
                self.seen.append((handler.server.server_port, handler.path, dict(handler.headers)))
                answer(handler)

            def log_message(handler, *words):
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return server

    def close(self):
        for server in (self.front, self.storage):
            server.shutdown()
            server.server_close()

    def fault(self, name):
        """What is to go wrong this time, taken from a list."""
        return self.faults[name].pop(0) if self.faults.get(name) else None

    send = staticmethod(http_answers.send)

    def listing(self):
        siblings = []
        for path, data in self.files.items():
            entry = {"rfilename": path, "size": len(data), "blobId": git_sha1(data)}
            if not path.endswith(".json"):
                entry["lfs"] = {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data), "pointerSize": 130}
            siblings.append(entry)
        return {"id": "owner/tiny", "sha": COMMIT, "siblings": siblings}

    def front_answer(self, handler):
        if self.is_gated and handler.headers.get("Authorization") != f"Bearer {TOKEN}":
            return self.send(handler, 401)
        if status := self.fault("front"):
            return self.send(handler, status)
        if handler.path in (f"/api/models/owner/tiny/revision/{r}?blobs=true" for r in ("main", "v1", COMMIT)):
            listing = self.listing()
            return self.send(handler, 200, json.dumps(self.fault("listing") or listing).encode())
        prefix = f"/owner/tiny/resolve/{COMMIT}/"
        path = handler.path.removeprefix(prefix)
        if not handler.path.startswith(prefix) or path not in self.files:
            return self.send(handler, 404)
        if path.endswith(".json"):
            return self.send(handler, 200, self.files[path])
        storage = f"http://localhost:{self.storage.server_port}/{urllib.parse.quote(path)}?signature=x"
        return self.send(handler, 302, b"moved", [("Location", storage)])

    def storage_answer(self, handler):
        data = self.files[handler.path.split("?")[0].lstrip("/")]
        if status := self.fault("storage"):
            return self.send(handler, status)
        begin, status, headers = 0, 200, []
        if self.ranges and "Range" in handler.headers:
            begin = int(handler.headers["Range"].removeprefix("bytes=").rstrip("-"))
            status, headers = 206, [("Content-Range", f"bytes {begin}-{len(data) - 1}/{len(data)}")]
        body = data[begin:]
        body = self.fault("body") or body
        handler.send_response(status)
        for name, value in headers:
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        cut = self.fault("cut")
        handler.wfile.write(body[:cut] if cut else body)
        handler.wfile.flush()
        if cut:
            handler.close_connection = True
            handler.connection.close()


@pytest.fixture
def hub(tiny):
    server = Hub({"README.json": b"{}", "tiny-Q8_0.gguf": tiny.read_bytes(), "other-F16.gguf": b"GGUF not read here"})
    yield server
    server.close()


@pytest.fixture
def pull(paring, hub, tmp_path):
    settings = {"HF_ENDPOINT": hub.endpoint, "HF_HOME": str(tmp_path / "home"), "HF_TOKEN": "", "HF_HUB_OFFLINE": "",
                "HF_HUB_CACHE": "", "no_proxy": "*", "HUGGING_FACE_HUB_TOKEN": "", "HF_TOKEN_PATH": ""}
    return functools.partial(call, paring, settings)


def call(paring, settings, *words, **env):
    return paring(*words, env=settings | env, timeout=120)


def downloads(hub):
    return [path for port, path, _ in hub.seen if port == hub.storage.server_port]


def test_a_file_lands_in_the_shared_cache(pull, hub, tiny, tmp_path):
    done = pull("pull", "hf:owner/tiny:Q8_0", "--json").json()
    assert done["commit"] == COMMIT and done["downloaded_bytes"] == done["bytes"] == len(tiny.read_bytes())
    repository = tmp_path / "home/hub/models--owner--tiny"
    snapshot = repository / "snapshots" / COMMIT / "tiny-Q8_0.gguf"
    assert done["path"] == str(snapshot)
    digest = hashlib.sha256(tiny.read_bytes()).hexdigest()
    assert os.readlink(snapshot) == f"../../blobs/{digest}" and snapshot.read_bytes() == tiny.read_bytes()
    assert (repository / "refs/main").read_text() == COMMIT
    assert [p.name for p in (repository / "blobs").iterdir()] == [digest]
    again = pull("pull", "hf:owner/tiny:Q8_0", "--json").json()
    assert again["downloaded_bytes"] == 0 and len(downloads(hub)) == 1


def test_the_token_stays_with_its_host(pull, hub):
    hub.is_gated = True
    refused = pull("pull", "hf:owner/tiny:Q8_0")
    assert refused.code == 3 and "HF_TOKEN" in refused.err
    assert pull("pull", "hf:owner/tiny:Q8_0", HF_TOKEN="hf_wrong").code == 3
    assert pull("pull", "hf:owner/tiny:Q8_0", HF_TOKEN=TOKEN).code == 0
    sent = [headers.get("Authorization") for port, _, headers in hub.seen if port == hub.storage.server_port]
    assert sent == [None]


def test_a_broken_download_goes_on_where_it_ended(pull, hub, tiny, tmp_path):
    size = len(tiny.read_bytes())
    hub.faults = {"cut": [size // 3, size // 4], "storage": [503]}
    done = pull("pull", "hf:owner/tiny:Q8_0", "--json").json()
    assert done["downloaded_bytes"] == size
    ranges = [h.get("Range") for port, _, h in hub.seen if port == hub.storage.server_port]
    assert ranges[:2] == [None, None]  # the first attempt got a 503
    assert ranges[2:] == [f"bytes={size // 3}-", f"bytes={size // 3 + size // 4}-"]


def test_a_killed_download_goes_on_in_another_process(pull, hub, tiny, tmp_path):
    data = tiny.read_bytes()
    blobs = tmp_path / "home/hub/models--owner--tiny/blobs"
    blobs.mkdir(parents=True)
    (blobs / (hashlib.sha256(data).hexdigest() + ".incomplete")).write_bytes(data[:1000])
    assert pull("pull", "hf:owner/tiny:Q8_0", "--json").json()["downloaded_bytes"] == len(data) - 1000


def test_a_server_without_ranges_starts_over(pull, hub, tiny):
    hub.ranges = False
    hub.faults = {"cut": [5000]}
    done = pull("pull", "hf:owner/tiny:Q8_0", "--json").json()
    assert done["downloaded_bytes"] == len(tiny.read_bytes()) + 5000


def test_what_has_another_hash_is_not_kept(pull, hub, tiny, tmp_path):
    wrong = bytearray(tiny.read_bytes())
    wrong[-1] ^= 1
    hub.faults = {"body": [bytes(wrong)]}
    refused = pull("pull", "hf:owner/tiny:Q8_0")
    assert refused.code == 4 and "hash" in refused.err
    repository = tmp_path / "home/hub/models--owner--tiny"
    assert list((repository / "blobs").iterdir()) == [] and not (repository / "snapshots").exists()
    # A file of git itself is named by its SHA-1.
    hub.files["config.json"] = b'{"a": 1}'
    assert pull("pull", "hf:owner/tiny:config.json").code == 0


def test_a_body_longer_than_announced_is_refused(pull, hub, tiny):
    hub.faults = {"body": [tiny.read_bytes() + b"more"]}
    refused = pull("pull", "hf:owner/tiny:Q8_0")
    assert refused.code == 4 and "more than" in refused.err


def test_models_are_fetched_by_name_and_then_found_offline(pull, hub):
    assert pull("run", "hf:owner/tiny:Q8_0", "hello", "--max-tokens", "2").code == 0
    requests = len(hub.seen)
    first = pull("inspect", "hf:owner/tiny:Q8_0", "--json").json()
    assert first["origin"] == "file"
    assert pull("inspect", "hf:owner/tiny:Q8_0", "--json").json() == first
    assert len(hub.seen) == requests  # the cache holds it, nobody was asked
    assert pull("run", "hf:owner/tiny:Q8_0", "hello", "--max-tokens", "2", HF_HUB_OFFLINE="1").code == 0
    missing = pull("inspect", "hf:owner/tiny:F16", HF_HUB_OFFLINE="1")
    assert missing.code == 7 and "HF_HUB_OFFLINE" in missing.err


def test_choices_are_named(pull, hub):
    refused = pull("pull", "hf:owner/tiny")
    assert refused.code == 2 and "tiny-Q8_0.gguf" in refused.err and "other-F16.gguf" in refused.err
    assert pull("pull", "hf:owner/tiny:Q4_K_M").code == 3
    listed = pull("pull", "hf:owner/tiny@v1", "--list", "--json").json()
    assert {f["path"] for f in listed["files"]} == set(hub.files)
    assert downloads(hub) == []


def test_a_missing_repository_and_a_dead_server(pull, hub, tmp_path):
    refused = pull("pull", "hf:owner/nothing")
    assert refused.code == 3 and "404" in refused.err
    hub.close()
    # Nobody listens there any more.
    gone = pull("pull", "hf:owner/tiny:Q8_0")
    assert gone.code == 7 and "try again" in gone.err


@pytest.mark.parametrize("answer", [{"sha": "../../x", "siblings": []}, [1], {"sha": COMMIT, "siblings": [
    {"rfilename": "../../../../tmp/evil.gguf", "size": 1, "blobId": "0" * 40}]}])
def test_a_hostile_listing_writes_nothing(pull, hub, tmp_path, answer):
    hub.faults = {"listing": [answer]}
    refused = pull("pull", "hf:owner/tiny:Q8_0")
    assert refused.code == 4 and refused.err.startswith("paring: error: ")
    assert not (tmp_path / "home").exists()
