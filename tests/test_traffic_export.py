# SPDX-License-Identifier: Apache-2.0
"""`paring traffic export`: what others read in its files, and in a real PostgreSQL server, is what is kept."""
import csv
import io
import json
import os
import pathlib
import pwd
import resource
import shutil
import subprocess
import tempfile

import pytest

import tiny_model
from raw_client import CHATML
from server_process import ServerProcess
from test_monitor_page import fill
from test_serve import post
from test_serve_traffic import rows_of

PROMPTS = ['Say "a, b"\nand more', "=SUM(A1)", "nothing \u0001 here", "日本 🎉"]
FIRST = 1_795_392_000  # midnight, 2026-11-23


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    path = tmp_path_factory.mktemp("export") / "small.gguf"
    tiny_model.write(path, chat_template=CHATML)
    return path


@pytest.fixture(scope="module")
def filled(paring, tmp_path_factory):
    folder = tmp_path_factory.mktemp("export-data")
    fill(paring, folder, 5000, FIRST - 86400, 2 * 86400)
    return folder


@pytest.fixture(scope="module")
def spoken(paring, small, tmp_path_factory):
    """A folder with a few requests and their content."""
    folder = tmp_path_factory.mktemp("export-spoken")
    with ServerProcess(paring.path, f"small={small}", "--data-dir", folder, "--traffic", "sync", "--content",
                       "full") as server:
        for text in PROMPTS:
            assert post(server, "/v1/completions", {"model": "small", "prompt": text, "max_tokens": 4,
                                                    "user": "=cmd|x"})[0] == 200
    return folder


def export(paring, folder, *words, check=True):
    done = subprocess.run([paring.path, "traffic", "export", "--data-dir", folder, *map(str, words)],
                          capture_output=True, text=True, timeout=300)
    assert not check or done.returncode == 0, done.stderr
    return done


def test_jsonl_and_csv_hold_every_row(paring, filled, tmp_path):
    export(paring, filled, "--out", tmp_path / "all.jsonl")
    lines = [json.loads(line) for line in (tmp_path / "all.jsonl").read_text().splitlines()]
    rows = rows_of(filled)
    assert len(lines) == len(rows) == 5000
    assert [line["started_s"] for line in lines] == sorted((row["started_s"] for row in rows), reverse=True)
    for mine, theirs in (("prompt_fresh", "prompt_fresh"), ("answer_visible", "answer_visible"),
                         ("total_seconds", "total_s"), ("operations", "operations"), ("status", "status")):
        assert sorted(line[mine] for line in lines if line[mine] is not None) == \
            sorted(row[theirs] for row in rows if row[theirs] is not None), mine
    export(paring, filled, "--out", tmp_path / "all.csv", "--format", "csv")
    with open(tmp_path / "all.csv", newline="", encoding="utf-8") as file:
        table = list(csv.DictReader(file, strict=True))
    assert [row["id"] for row in table] == [line["id"] for line in lines]
    assert [float(row["started_s"]) for row in table] == [line["started_s"] for line in lines]


def test_filters_choose_as_the_api_does(paring, filled):
    def count(*words):
        return len(export(paring, filled, "--out", "-", *words).stdout.splitlines())
    rows = rows_of(filled)
    assert count("--from", "2026-11-23") == sum(row["started_s"] >= FIRST for row in rows) > 0
    assert count("--to", "2026-11-23T00:00:00Z") == sum(row["started_s"] < FIRST for row in rows) > 0
    assert count("--from", FIRST - 3600, "--to", "2026-11-23 01:00") == \
        sum(FIRST - 3600 <= row["started_s"] < FIRST + 3600 for row in rows) > 0
    assert count("--status-class", 5) == sum(500 <= row["status"] < 600 for row in rows)
    model = rows[0]["model"]
    assert 0 < count("--model", model) == sum(row["model"] == model for row in rows)
    assert count("--min-seconds", 1) == sum((row["total_s"] or 0) >= 1 for row in rows)


def test_content_goes_where_it_is_asked_for(paring, spoken):
    lines = [json.loads(line) for line in export(paring, spoken, "--out", "-", "--with-content").stdout.splitlines()]
    assert [line["prompt"] for line in lines][::-1] == PROMPTS
    assert all(isinstance(line["answer"], str) for line in lines)
    assert '"prompt":' not in export(paring, spoken, "--out", "-").stdout
    text = export(paring, spoken, "--out", "-", "--with-content", "--format", "csv").stdout
    table = list(csv.DictReader(io.StringIO(text, newline=""), strict=True))
    assert json.loads(table[-1]["prompt"]) == 'Say "a, b"\nand more'
    # No field is a formula to a spreadsheet.
    assert {row["end_user"] for row in table} == {"'=cmd|x"}
    assert not any(value[:1] in "=+-@\t\r" for row in table for value in row.values() if value)


def test_a_file_is_whole_or_not_there(paring, filled, tmp_path):
    out = tmp_path / "out.jsonl"
    export(paring, filled, "--out", out)
    done = export(paring, filled, "--out", out, check=False)
    assert done.returncode != 0 and "--force" in done.stderr
    export(paring, filled, "--out", out, "--force", "--model", "none-such")
    assert out.read_text() == ""
    # A disk without room: the limit on file sizes stands in for it.
    done = subprocess.run([paring.path, "traffic", "export", "--data-dir", filled, "--out", tmp_path / "big.jsonl"],
                          capture_output=True, text=True, timeout=60,
                          preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000)))
    assert done.returncode != 0
    assert not (tmp_path / "big.jsonl").exists()


def test_memory_does_not_grow_with_the_rows(paring, tmp_path):
    fill(paring, tmp_path, 50_000, FIRST, 86000)

    def peak(*words):
        process = subprocess.Popen([paring.path, "traffic", "export", "--data-dir", tmp_path, "--out", tmp_path / "out",
                                    "--force", *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = status
        assert status == 0
        return used.ru_maxrss * 1024
    few = peak("--to", "2026-11-23T00:10:00Z")
    assert peak() - few < 10e6 < (tmp_path / "out").stat().st_size / 4


@pytest.mark.parametrize("words, told", [
    ([], "either --out FILE or --postgres"), (["--out", "x", "--postgres", "y"], "either"),
    (["--out", "-", "--from", "yesterday"], "--from"), (["--out", "-", "--to", "2026-02-30"], "2026-02-30"),
    (["--out", "-", "--project", "none"], "no traffic is kept")])
def test_wrong_words_are_told(paring, filled, words, told):
    done = export(paring, filled, *words, check=False)
    assert done.returncode != 0 and told in done.stderr


class Postgres:
    """A server of its own, of Debian's packages, on a socket in its folder; not run by root, which it refuses."""

    def __init__(self):
        programs = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin/initdb"))
        assert programs and shutil.which("psql"), "postgresql is missing: deps/apt-test.txt names it"
        self.programs = programs[-1].parent
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="paring-pg-", dir="/tmp"))
        self.user = None
        if os.geteuid() == 0:
            self.user = "nobody"
            os.chown(self.folder, pwd.getpwnam(self.user).pw_uid, -1)
        self.run("initdb", "-D", "data", "-U", "paring", "--auth=trust", "--no-sync", "-E", "UTF8")
        self.run("pg_ctl", "-D", "data", "-w", "-l", "log", "start", "-o",
                 f"-k {self.folder} -c listen_addresses= -c fsync=off")
        self.uri = f"postgresql://paring@/postgres?host={self.folder}"

    def run(self, program, *words):
        subprocess.run([self.programs / program, *words], cwd=self.folder, user=self.user, check=True,
                       stdout=subprocess.DEVNULL, timeout=120)

    def ask(self, sql):
        done = subprocess.run(["psql", self.uri, "--csv", "-q", "-v", "ON_ERROR_STOP=1", "-c", sql],
                              capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return list(csv.DictReader(io.StringIO(done.stdout, newline="")))

    def one(self, sql):
        row, = self.ask(sql)
        value, = row.values()
        return value

    def end(self):
        self.run("pg_ctl", "-D", "data", "-m", "immediate", "stop")
        shutil.rmtree(self.folder)


@pytest.fixture(scope="module")
def postgres():
    server = Postgres()
    yield server
    server.end()


def test_rows_go_to_postgresql_once(paring, filled, spoken, postgres):
    def send(folder, *words):
        return json.loads(export(paring, folder, "--postgres", postgres.uri, "--json", *words).stdout)
    assert send(filled, "--from", "2026-11-23")["rows"] > 0
    assert send(filled)["rows"] == 5000
    assert send(filled) == {"rows": 5000, "written": 0}
    rows = rows_of(filled)
    assert int(postgres.one("SELECT count(*) FROM paring.requests")) == 5000
    assert int(postgres.one("SELECT sum(answer_visible) FROM paring.requests")) == \
        sum(row["answer_visible"] for row in rows)
    assert float(postgres.one("SELECT max(total_seconds) FROM paring.requests")) == max(r["total_s"] or 0 for r in rows)
    assert int(postgres.one("SELECT count(*) FROM paring.requests WHERE started_at >= '2026-11-23Z'")) == \
        sum(row["started_s"] >= FIRST for row in rows)
    # Content comes later, and stays.
    assert send(spoken) == {"rows": 4, "written": 4}
    assert send(spoken, "--with-content") == {"rows": 4, "written": 4}
    assert send(spoken) == {"rows": 4, "written": 0}
    prompts = [row["prompt"] for row in
               postgres.ask("SELECT prompt FROM paring.requests WHERE prompt IS NOT NULL ORDER BY started_s")]
    assert [json.loads(prompt) for prompt in prompts] == PROMPTS


def test_tables_of_an_earlier_version_get_the_new_columns(paring, spoken, postgres):
    postgres.ask("CREATE DATABASE older")
    uri = postgres.uri.replace("/postgres?", "/older?")
    export(paring, spoken, "--postgres", uri)
    drops = ", ".join(f"DROP COLUMN {name}"
                      for name in ("prompt_version", "prefill_work_seconds", "decode_work_seconds"))
    subprocess.run(["psql", uri, "-q", "-c", f"ALTER TABLE paring.requests {drops}; TRUNCATE paring.requests; "
                                             "UPDATE paring.schema_version SET version = 1"], check=True)
    export(paring, spoken, "--postgres", uri)
    work = subprocess.run(["psql", uri, "-At", "-c", "SELECT sum(decode_work_seconds) FROM paring.requests"],
                          check=True, capture_output=True, text=True).stdout
    assert float(work) > 0


def test_tables_of_a_newer_version_are_left_alone(paring, spoken, postgres):
    postgres.ask("CREATE DATABASE newer")
    uri = postgres.uri.replace("/postgres?", "/newer?")
    export(paring, spoken, "--postgres", uri)
    subprocess.run(["psql", uri, "-q", "-c", "UPDATE paring.schema_version SET version = 99"], check=True)
    done = export(paring, spoken, "--postgres", uri, check=False)
    assert done.returncode != 0 and "version 99" in done.stderr


def test_a_server_that_is_not_there_is_told_without_the_password(paring, spoken):
    for uri in ("postgresql://u:hunter2secret@127.0.0.1:1/db", "host=/none/such password=hunter2secret"):
        done = export(paring, spoken, "--postgres", uri, check=False)
        assert done.returncode != 0 and "cannot be reached" in done.stderr and "hunter2secret" not in done.stderr
