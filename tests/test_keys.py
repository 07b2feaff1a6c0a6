# SPDX-License-Identifier: Apache-2.0
"""paring keys: what it prints, what it keeps, and that no secret stays anywhere."""
import json
import re
import sqlite3
import stat

import pytest

KEY = re.compile(r"pk-[0-9A-Za-z]{50}")


@pytest.fixture
def keys(paring, tmp_path):
    """`paring keys` with a folder of its own."""
    def run(*arguments, **options):
        return paring("keys", *arguments, "--data-dir", str(tmp_path / "data"), **options)
    return run


def made(keys, *arguments):
    result = keys("create", "--json", *arguments)
    assert result.code == 0, result.err
    return json.loads(result.out)


def test_a_key_is_shown_once_and_kept_as_a_hash_only(keys, tmp_path):
    created = keys("create", "--name", "laptop")
    assert created.code == 0 and len(KEY.findall(created.out)) == 1, created.err
    secret = KEY.search(created.out)[0]
    for command in (["list"], ["show", "laptop"], ["list", "--json"], ["show", "laptop", "--json"]):
        assert secret not in keys(*command).out
    for path in (tmp_path / "data").iterdir():
        assert secret[15:].encode() not in path.read_bytes()
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "data").stat().st_mode) == 0o700


def test_limits_and_budgets_are_kept(keys):
    made(keys, "--name", "ci", "--tenant", "team", "--scopes", "inference,metrics", "--expires-in", "12h",
         "--requests-per-minute", "60", "--tokens-per-minute", "1000", "--concurrent", "4", "--weight", "50",
         "--tokens-per-day", "7000", "--tokens-in-all", "90000")
    shown = json.loads(keys("show", "ci", "--json").out)
    assert shown["tenant"] == "team" and shown["scopes"] == "inference,metrics" and shown["state"] == "active"
    assert shown["expires_at"] - shown["created_at"] == 12 * 3600
    assert shown["limits"] == {"requests_per_minute": 60, "tokens_per_minute": 1000, "concurrent_requests": 4,
                               "weight": 50, "budget_tokens": {"day": 7000, "total": 90000}}
    assert shown["spend"]["day"]["settled_tokens"] == 0
    assert "7000 tokens, 0 used" in keys("show", "ci").out


def test_a_key_is_revoked_by_id_name_or_its_first_letters(keys):
    for which in ("id", "name", "begins_with", "key"):
        created = made(keys, "--name", f"by-{which}")
        assert keys("revoke", created[which]).code == 0
        assert json.loads(keys("show", created["id"], "--json").out)["state"] == "revoked"
        again = keys("revoke", created["id"], "--json")
        assert again.code == 0 and json.loads(again.out)["was_active"] is False


def test_what_was_done_is_in_the_audit_log(keys, tmp_path):
    created = made(keys, "--name", "a")
    keys("revoke", "a")
    with sqlite3.connect(tmp_path / "data" / "control.db") as database:
        rows = database.execute("SELECT actor, action, object, result FROM audit ORDER BY id").fetchall()
        assert rows == [("cli", "key.create", created["id"], "ok"), ("cli", "key.revoke", created["id"], "ok")]
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            database.execute("DELETE FROM audit")


def test_keys_of_a_file_and_of_the_environment_are_listed_without_their_text(keys, tmp_path):
    secret = "a-key-of-another-server"
    (tmp_path / "keys.txt").write_text(f"# ours\n{secret} name=old scopes=inference\n")
    listed = keys("list", "--json", "--api-key-file", str(tmp_path / "keys.txt"),
                  env={"PARING_API_KEY": "0123456789abcdef"})
    assert listed.code == 0, listed.err
    assert [key["id"] for key in json.loads(listed.out)["file_keys"]] == ["file:old", "file:environment"]
    assert secret not in listed.out + listed.err and "PARING_API_KEY" not in listed.err
    (tmp_path / "keys.txt").write_text(f"{secret} colour=red\n")
    refused = keys("list", "--api-key-file", str(tmp_path / "keys.txt"))
    assert refused.code == 2 and "keys.txt, line 1" in refused.err and secret not in refused.err


@pytest.mark.parametrize("arguments, text", [
    (["create"], "keys create NAME"),
    (["create", "--name", "a\nb"], "is no name of a key"),
    (["create", "--name", "a", "--scopes", "root"], "'root' is no scope"),
    (["create", "--name", "a", "--weight", "0"], "weight"),
    (["create", "--name", "a", "--expires-in", "soon"], "soon"),
    (["create", "--name", "a", "--tokens-per-day", "-1"], "tokens-per-day"),
    (["show"], "needs a KEY"),
    (["list", "a"], "takes no KEY"),
    (["create", "a", "--name", "b"], "two names"),
    (["create", "a", "--expires-in", "5"], "has no unit"),
    (["renew"], "create"),
])
def test_wrong_words_are_refused(keys, arguments, text):
    result = keys(*arguments)
    assert result.code == 2 and text in result.err and result.out == ""


def test_two_keys_of_one_name(keys):
    first = made(keys, "ci")
    second = keys("create", "ci")
    assert second.code == 2 and first["id"] in second.err and "revoke" in second.err and second.out == ""
    assert keys("revoke", "ci").code == 0
    assert made(keys, "ci")["id"] != first["id"]


def test_how_a_key_is_used_is_told_with_it(keys):
    result = keys("create", "laptop", env={"PARING_PORT": "8123"})
    assert "curl -H 'Authorization: Bearer KEY' http://127.0.0.1:8123/v1/models" in result.err


def test_a_key_that_is_not_there(keys):
    result = keys("revoke", "nobody")
    assert result.code == 3 and "there is no such key" in result.err


def test_a_damaged_database_is_an_error(keys, tmp_path):
    made(keys, "--name", "a")
    path = tmp_path / "data" / "control.db"
    path.write_bytes(b"x" * 5000)
    result = keys("list")
    assert result.code == 4 and "control.db" in result.err
    path.write_bytes(b"")
    path.unlink()
    with sqlite3.connect(path) as database:
        database.execute("PRAGMA application_id = 1349676647")
        database.execute("PRAGMA user_version = 999")
    result = keys("list")
    assert result.code == 5 and "version 999" in result.err and "newer" in result.err
