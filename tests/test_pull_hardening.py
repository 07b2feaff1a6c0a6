# SPDX-License-Identifier: Apache-2.0
"""`paring pull` when the world gets in its way: full disks, cut connections, two processes at once, interruptions, odd
names, hostile listings; and the cache shared with the Python package huggingface_hub."""
import hashlib
import json
import os
import pathlib
import signal
import subprocess
import sys
import time
import urllib.parse

import pytest
from test_pull import COMMIT, Hub, call

CHUNK = 1 << 16


class SlowHub(Hub):
    """Sends bodies piece by piece; `at_half` is called when half of a body has gone out."""

    at_half, wait = None, 0.0

    def storage_answer(self, handler):
        data = self.files[urllib.parse.unquote(handler.path.split("?")[0].lstrip("/"))]
        begin, status, headers = 0, 200, []
        if "Range" in handler.headers:
            begin = int(handler.headers["Range"].removeprefix("bytes=").split("-")[0])
            status, headers = 206, [("Content-Range", f"bytes {begin}-{len(data) - 1}/{len(data)}")]
        handler.send_response(status)
        for name, value in [*headers, ("Content-Length", str(len(data) - begin))]:
            handler.send_header(name, value)
        handler.end_headers()
        try:
            for at in range(begin, len(data), CHUNK):
                if self.at_half and at >= (begin + len(data)) // 2:
                    handler.wfile.flush()
                    action, self.at_half = self.at_half, None
                    action()
                handler.wfile.write(data[at:at + CHUNK])
                time.sleep(self.wait)
        except OSError:
            handler.close_connection = True

    def front_answer(self, handler):
        handler.path = urllib.parse.unquote(handler.path)
        return super().front_answer(handler)


@pytest.fixture
def slow():
    data = os.urandom(40 * CHUNK + 123)
    hub = SlowHub({"big-Q8_0.gguf": data})
    yield hub
    hub.close()


def settings_of(hub, home):
    return {"HF_ENDPOINT": hub.endpoint, "HF_HOME": str(home), "HF_TOKEN": "", "HF_HUB_OFFLINE": "", "HF_HUB_CACHE": "",
            "no_proxy": "*", "HUGGING_FACE_HUB_TOKEN": "", "HF_TOKEN_PATH": ""}


def start(paring, hub, home):
    env = {k: v for k, v in os.environ.items() if not k.startswith("PARING_")} | settings_of(hub, home)
    return subprocess.Popen([paring.path, "pull", "hf:owner/tiny", "--json"], env=env, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, text=True)


def ranges(hub):
    return [headers.get("Range") for port, _, headers in hub.seen if port == hub.storage.server_port]


def blobs(home):
    return home / "hub/models--owner--tiny/blobs"


def test_a_disk_that_is_too_small_is_found_out_before_the_download(paring, slow, small_disk):
    refused = call(paring, settings_of(slow, small_disk), "pull", "hf:owner/tiny")
    assert refused.code == 6 and "needs" in refused.err and "HF_HOME" in refused.err
    assert ranges(slow) == []


def test_a_disk_that_fills_up_in_the_middle(paring, slow, small_disk):
    slow.files["big-Q8_0.gguf"] = data = os.urandom(20 * CHUNK)
    filler = small_disk / "filler"

    def fill():
        with open(filler, "wb") as file:
            try:
                while True:
                    file.write(bytes(CHUNK))
                    file.flush()
            except OSError:
                pass

    slow.at_half = fill
    slow.wait = 0.01
    refused = call(paring, settings_of(slow, small_disk), "pull", "hf:owner/tiny")
    assert refused.code == 6 and "space" in refused.err.lower(), refused.err
    assert not (small_disk / "hub/models--owner--tiny/snapshots").exists(), "half a file is nobody's model"
    filler.unlink()
    done = call(paring, settings_of(slow, small_disk), "pull", "hf:owner/tiny", "--json").json()
    assert 0 < done["downloaded_bytes"] < len(data), "what had arrived was kept"
    assert pathlib.Path(done["path"]).read_bytes() == data


def test_two_processes_fetch_one_file_once(paring, slow, tmp_path):
    slow.wait = 0.02
    running = [start(paring, slow, tmp_path) for _ in range(2)]
    ended = [process.communicate(timeout=120) for process in running]
    assert [process.returncode for process in running] == [0, 0], ended
    found = [json.loads(out) for out, _ in ended]
    size = len(slow.files["big-Q8_0.gguf"])
    assert sorted(each["downloaded_bytes"] for each in found) == [0, size] and len(ranges(slow)) == 1
    assert any("another process" in err for _, err in ended)
    assert pathlib.Path(found[0]["path"]).read_bytes() == slow.files["big-Q8_0.gguf"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_an_interrupted_download_goes_on(paring, slow, tmp_path, number):
    slow.wait = 0.02
    process = start(paring, slow, tmp_path)
    slow.at_half = lambda: process.send_signal(number)
    out, err = process.communicate(timeout=120)
    assert process.returncode in (-number, 128 + number), (process.returncode, err)
    assert out == "" and [path.suffix for path in blobs(tmp_path).iterdir()] == [".incomplete"]
    assert ("what was fetched is kept" in err) == (number != signal.SIGKILL)
    slow.wait = 0
    done = call(paring, settings_of(slow, tmp_path), "pull", "hf:owner/tiny", "--json").json()
    assert 0 < done["downloaded_bytes"] < len(slow.files["big-Q8_0.gguf"])
    assert pathlib.Path(done["path"]).read_bytes() == slow.files["big-Q8_0.gguf"]


def test_a_damaged_beginning_is_found_out_and_fetched_anew(paring, slow, tmp_path):
    data = slow.files["big-Q8_0.gguf"]
    blobs(tmp_path).mkdir(parents=True)
    (blobs(tmp_path) / (hashlib.sha256(data).hexdigest() + ".incomplete")).write_bytes(bytes(CHUNK))
    done = call(paring, settings_of(slow, tmp_path), "pull", "hf:owner/tiny", "--json")
    assert done.code == 0 and "damaged" in done.err
    assert pathlib.Path(done.json()["path"]).read_bytes() == data
    assert ranges(slow) == [f"bytes={CHUNK}-", None]


def test_the_cache_may_lie_anywhere(paring, slow, tmp_path):
    settings = settings_of(slow, tmp_path / "home") | {"HF_HUB_CACHE": str(tmp_path / "some where")}
    done = call(paring, settings, "pull", "hf:owner/tiny", "--json").json()
    assert done["path"].startswith(str(tmp_path / "some where/models--owner--tiny/snapshots"))
    assert not (tmp_path / "home").exists()
    offline = call(paring, settings, "pull", "hf:owner/tiny", HF_HUB_OFFLINE="1")
    assert offline.code == 7 and "HF_HUB_OFFLINE" in offline.err


@pytest.mark.parametrize("name", ["a b.gguf", "a+b&c=d?e#f.gguf", "100%.gguf", "%2e%2e.gguf", "sub dir/x y.gguf",
                                  "\u00fc\u4e2d\u6587.gguf", "a'b\"c.gguf", "-rf.gguf", "~.gguf", "a;b|c$(d).gguf",
                                  "...gguf"])
def test_odd_names_are_names(paring, slow, tiny, tmp_path, name):
    slow.files = {name: tiny.read_bytes()}
    done = call(paring, settings_of(slow, tmp_path), "pull", "hf:owner/tiny", "--json").json()
    snapshot = tmp_path / "hub/models--owner--tiny/snapshots" / COMMIT
    assert [str(p.relative_to(snapshot)) for p in snapshot.rglob("*") if p.is_file()] == [name]
    assert pathlib.Path(done["path"]).read_bytes() == tiny.read_bytes()
    assert call(paring, settings_of(slow, tmp_path), "inspect", "hf:owner/tiny", HF_HUB_OFFLINE="1").code == 0


@pytest.mark.parametrize("name", ["../evil.gguf", "a/../../evil.gguf", "/tmp/evil.gguf", "..", ".", "", "a//b.gguf",
                                  "a/./b.gguf", "a\\..\\b.gguf", "a\nb.gguf", "a\0b.gguf", "a/",
                                  "x" * 2000 + ".gguf", "../../../refs/main", "\x1b[2J.gguf"])
def test_paths_that_lead_elsewhere_are_refused(paring, slow, tmp_path, name):
    slow.files = {name: b"GGUF"}
    refused = call(paring, settings_of(slow, tmp_path / "home"), "pull", "hf:owner/tiny")
    assert refused.code == 4 and "no safe name" in refused.err and "\x1b" not in refused.err
    assert list(tmp_path.iterdir()) == [] and ranges(slow) == []


def test_a_name_longer_than_the_disk_allows(paring, slow, tmp_path):
    slow.files = {"x" * 300 + ".gguf": b"GGUF"}
    refused = call(paring, settings_of(slow, tmp_path), "pull", "hf:owner/tiny")
    assert refused.code > 1 and "paring: error: " in refused.err


def test_links_in_the_cache_lead_nowhere_else(paring, slow, tmp_path):
    """Someone else's link in the place of a blob that is being written is not followed."""
    data = slow.files["big-Q8_0.gguf"]
    blobs(tmp_path).mkdir(parents=True)
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (blobs(tmp_path) / (hashlib.sha256(data).hexdigest() + ".incomplete")).symlink_to(victim)
    refused = call(paring, settings_of(slow, tmp_path), "pull", "hf:owner/tiny")
    assert refused.code not in (0, 1) and victim.read_text() == "precious"


# The other owner of the cache, in a process of its own: it reads its settings when it is imported.
LOOK = """
import json, sys, huggingface_hub as hub
path = hub.hf_hub_download("owner/tiny", sys.argv[1], local_files_only=True)
folder = hub.snapshot_download("owner/tiny", local_files_only=True)
scan = hub.scan_cache_dir()
repo, = scan.repos
print(json.dumps({"path": path, "folder": folder, "warnings": [str(w) for w in scan.warnings],
                  "size": repo.size_on_disk, "refs": sorted(repo.refs), "files": repo.nb_files}))
"""
FETCH = "import sys, huggingface_hub as hub; print(hub.hf_hub_download('owner/tiny', sys.argv[1]))"


def peer(script, hub, home, *words, offline=True):
    env = os.environ | settings_of(hub, home) | {"HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
    env = {key: value for key, value in env.items() if value != ""}  # to it, an empty path is a path
    if offline:
        env["HF_HUB_OFFLINE"] = "1"
    python = os.environ.get("PARING_HF_PYTHON", sys.executable)
    if subprocess.run([python, "-c", "import huggingface_hub"], capture_output=True).returncode != 0:
        pytest.skip("the package huggingface_hub is not installed")
    done = subprocess.run([python, "-c", script, *words], env=env, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_huggingface_hub_finds_what_we_fetched(paring, slow, tmp_path):
    name = "sub/big-Q8_0.gguf"
    slow.files = {name: slow.files["big-Q8_0.gguf"]}
    done = call(paring, settings_of(slow, tmp_path), "pull", "hf:owner/tiny", "--json").json()
    found = json.loads(peer(LOOK, slow, tmp_path, name))
    assert found["path"] == done["path"] and done["path"].startswith(found["folder"])
    assert found["warnings"] == [] and found["refs"] == ["main"] and found["files"] == 1
    assert found["size"] == len(slow.files[name])


class HeadHub(SlowHub):
    """Answers HEAD as the hub does, which huggingface_hub asks first."""

    def start(self, answer):
        server = super().start(answer)
        outer = self

        def do_HEAD(handler):
            path = urllib.parse.unquote(handler.path).removeprefix("/owner/tiny/resolve/main/")
            if path not in outer.files:
                return Hub.send(handler, 404)
            data = outer.files[path]
            digest = hashlib.sha256(data).hexdigest()
            storage = f"http://localhost:{outer.storage.server_port}/{urllib.parse.quote(path)}"
            handler.send_response(302)
            for name, value in [("Location", storage), ("X-Repo-Commit", COMMIT), ("X-Linked-Etag", f'"{digest}"'),
                                ("X-Linked-Size", str(len(data))), ("ETag", f'"{digest}"'), ("Content-Length", "0")]:
                handler.send_header(name, value)
            handler.end_headers()
            return None

        server.RequestHandlerClass.do_HEAD = do_HEAD
        return server


def test_we_find_what_huggingface_hub_fetched(paring, tiny, tmp_path):
    hub = HeadHub({"tiny-Q8_0.gguf": tiny.read_bytes()})
    try:
        path = peer(FETCH, hub, tmp_path, "tiny-Q8_0.gguf", offline=False).strip()
        offline = settings_of(hub, tmp_path) | {"HF_HUB_OFFLINE": "1"}
        found = call(paring, offline, "inspect", "hf:owner/tiny", "--json").json()
        assert found["file"] == path and found["origin"] == "file"
        before = len(hub.seen)
        done = call(paring, settings_of(hub, tmp_path), "pull", "hf:owner/tiny", "--json").json()
        assert done["path"] == path and done["downloaded_bytes"] == 0
        assert len(hub.seen) == before + 1, "the listing is asked for, the file is not"
    finally:
        hub.close()
