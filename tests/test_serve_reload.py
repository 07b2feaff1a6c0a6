# SPDX-License-Identifier: Apache-2.0
"""A changed configuration while the server runs: all of it or nothing, and the log says which."""
import concurrent.futures
import json
import signal
import socket
import ssl
import subprocess
import time
import urllib.error
import urllib.request

import pytest

import tiny_model
from server_process import ServerProcess
from test_serve import post

KEY, OTHER = "the-first-key-of-this-test", "the-other-key-of-this-test"


def reload(server, says, seconds=20):
    """Sends SIGHUP and waits for a line of the log; what was logged since."""
    before = len(server.log)
    server.process.send_signal(signal.SIGHUP)
    end = time.monotonic() + seconds
    while not any(says in line for line in server.log[before:]):
        assert time.monotonic() < end, (says, server.log[before:])
        time.sleep(0.02)
    return "".join(server.log[before:])


def ask(server, key=None, headers=None, **more):
    body = {"model": "tiny", "prompt": "x", "max_tokens": 2, "temperature": 0, **more}
    return post(server, "/v1/completions", body, {**({"authorization": f"Bearer {key}"} if key else {}),
                                                 **(headers or {})})


@pytest.fixture
def setup(tiny, tmp_path):
    class Setup:
        model, path, keys = tiny, tmp_path / "paring.yaml", tmp_path / "keys"

        def write(self, text="", keys=None):
            if keys is not None:
                self.keys.write_text(keys)
                self.keys.chmod(0o600)
            self.path.write_text(text)
            return self.path
    return Setup()


DONE = "the configuration was read again"
KEPT = "the configuration stays as it was"


def test_what_can_change_changes_at_once(paring, setup):
    setup.write(f"api_key_file: {setup.keys}\nserve:\n  cache_seconds: 100\n", f"{KEY} name=one\n")
    with ServerProcess(paring.path, f"tiny={setup.model}", "--config", setup.path) as server:
        assert ask(server, KEY)[0] == 200 and ask(server, OTHER)[0] == 401
        assert ask(server, KEY, {"origin": "https://app.example.org"})[2]["access-control-allow-origin"] is None
        assert ask(server, KEY, unknown=1)[0] == 400
        setup.write(f"api_key_file: {setup.keys}\nlog_level: debug\nserve:\n  cors_origins: https://app.example.org\n"
                    "  lenient: true\n  cache_bytes: 0\n  sequences_max: 7\n", f"{OTHER} name=two\n")
        log = reload(server, DONE)
        assert ask(server, KEY)[0] == 401 and ask(server, OTHER, unknown=1)[0] == 200
        headers = ask(server, OTHER, {"origin": "https://app.example.org"})[2]
        assert headers["access-control-allow-origin"] == "https://app.example.org" and "x-paring-cache" not in headers
        assert "serve_cors_origins is https://app.example.org now, it was none" in log and "paring.yaml, line" in log
        assert "serve_sequences_max is 7 now and stays 64 until the next start" in log
        assert "serve_cache_seconds is 3600 now, it was 100 (default)" in log and "6 settings changed" in log
        # Flags outrank the file, then as now.
        assert "serve_port" not in log


def test_what_is_wrong_changes_nothing(paring, setup):
    setup.write(f"api_key_file: {setup.keys}\n", f"{KEY} name=one\n")
    with ServerProcess(paring.path, f"tiny={setup.model}", "--config", setup.path) as server:
        for text, keys, says in (("serve:\n  lenient: maybe\n", None, "'serve_lenient' cannot be 'maybe'"),
                                 ("serve:\n  leniemt: true\n", None, "did you mean"),
                                 ("serve: [\n", None, "line"),
                                 (f"api_key_file: {setup.keys}\nserve: {{lenient: true}}\n", "short\n", "line 1"),
                                 ("models:\n  more: {source: missing.gguf}\n", None, "missing.gguf"),
                                 ("models:\n  tiny: {source: x}\n", None, "are named 'tiny'"),
                                 ("api_key_file: /missing/keys\n", None, "/missing/keys")):
            setup.write(text, keys)
            log = reload(server, KEPT)
            assert says in log, log
            assert ask(server, KEY)[0] == 200 and ask(server, OTHER)[0] == 401 and ask(server, KEY, unknown=1)[0] == 400


def test_models_of_the_file_come_and_go(paring, setup, tmp_path):
    second = tmp_path / "second.gguf"
    tiny_model.write(second, seed=3)
    setup.write(f"models:\n  tiny: {{source: {setup.model}}}\n  old: {{source: {setup.model}}}\n")
    with ServerProcess(paring.path, "--config", setup.path) as server:
        first = ask(server, max_tokens=8)[1]["choices"][0]["text"]
        assert ask(server, model="old")[0] == 200
        setup.write(f"models:\n  tiny: {{source: {second}}}\n  new: {{source: {setup.model}, load: at_start}}\n")
        log = reload(server, DONE)
        assert "the model old was taken away" in log and "the model new is known now" in log
        assert ask(server, model="old")[0] == 404
        assert ask(server, model="new", max_tokens=8)[1]["choices"][0]["text"] == first
        assert ask(server, max_tokens=8)[1]["choices"][0]["text"] != first
        names = [model["id"] for model in json.loads(server.get("/v1/models"))["data"]]
        assert [name for name in names if name != "old"] == ["tiny", "new"]


def certificate(folder, name):
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", folder / "key.pem", "-out",
                    folder / "cert.pem", "-days", "1", "-subj", f"/CN={name}"], check=True, capture_output=True)


def test_certificates_are_read_again(paring, setup, tmp_path):
    def serial(server):
        host, port = server.url.removeprefix("https://").split(":")
        return ssl.get_server_certificate((host, int(port)))

    certificate(tmp_path, "first")
    with ServerProcess(paring.path, f"tiny={setup.model}", "--tls-certificate", tmp_path / "cert.pem", "--tls-key",
                       tmp_path / "key.pem") as server:
        first = serial(server)
        certificate(tmp_path, "second")
        reload(server, "the TLS certificate was read again")
        second = serial(server)
        assert first != second
        (tmp_path / "key.pem").write_text("no key")
        reload(server, "the TLS certificate stays as it was")
        assert serial(server) == second


def test_reload_under_load_loses_nothing(paring, setup):
    with ServerProcess(paring.path, f"tiny={setup.model}", "--config", setup.write(), "--cache-bytes", 0) as server:
        right = ask(server, max_tokens=16)[1]["choices"][0]["text"]
        stop = time.monotonic() + 3

        def client(_):
            count = 0
            while time.monotonic() < stop:
                status, answer, _headers = ask(server, max_tokens=16)
                assert status == 200 and answer["choices"][0]["text"] == right
                count += 1
            return count

        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            jobs = [pool.submit(client, i) for i in range(4)]
            for round_ in range(12):
                setup.write(f"serve:\n  lenient: {'true' if round_ % 2 else 'false'}\n  requests_max: {100 + round_}\n")
                reload(server, DONE)
            assert sum(job.result() for job in jobs) > 10
        # A hang-up is no end, not even while the server drains.
        server.process.send_signal(signal.SIGHUP)
        assert server.end() == 0


def test_slow_clients_and_proxies_are_settings(paring, setup):
    with ServerProcess(paring.path, f"tiny={setup.model}", "--header-seconds", 1, "--trusted-proxies", "10.0.0.0/8",
                       "--connections-per-address-max", 2) as server:
        host, port = server.url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port))) as one, socket.create_connection((host, int(port))) as two:
            with pytest.raises(urllib.error.HTTPError) as refused:
                urllib.request.urlopen(server.url + "/health", timeout=10)
            assert refused.value.code == 429
            one.sendall(b"GET /health HTTP/1.1\r\n")
            start = time.monotonic()
            one.settimeout(10)
            assert b" 408 " in one.recv(100) and time.monotonic() - start < 5
            two.close()
    done = paring("serve", setup.model, "--trusted-proxies", "10.0.0.0/99", "--data-dir", setup.path.parent,
                  "--port", 0)
    assert done.code == 2 and "10.0.0.0/99" in done.err
