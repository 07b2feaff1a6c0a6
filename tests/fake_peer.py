# SPDX-License-Identifier: Apache-2.0
"""Stands in for the interpreter of `paring bench --against`: started as `PATH -c SCRIPT`, it ignores the script and
speaks the protocol of docs/howto/compare-with-llama-cpp.md. FAKE_PEER says how it misbehaves, FAKE_PEER_LOG where it
writes down its process id and what it was asked."""
import json
import os
import sys
import time

MODE = os.environ.get("FAKE_PEER", "good")
likes_it = False  # the flags of the case at hand
VOCABULARY = int(os.environ.get("FAKE_PEER_VOCABULARY", "288"))


def note(text):
    if "FAKE_PEER_LOG" in os.environ:
        with open(os.environ["FAKE_PEER_LOG"], "a", encoding="utf-8") as log:
            log.write(text + "\n")


def spin(seconds):
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        pass


def compare(request):
    """All tokens are equally likely, as a model without weights has it."""
    row = b"\x00" * 4 * VOCABULARY
    if MODE == "disagrees":
        row = b"\x00\x00\x00\x42" + row[4:]  # 32 for token 0
    if MODE == "infinite":
        row = b"\x00\x00\x80\x7f" + row[4:]
    with open(request["logits"], "wb") as out:
        out.write(row * (request["rows"] - (1 if MODE == "short-logits" else 0)))
    tokens = [0] * request["steps"]
    if MODE == "parts":
        tokens[5] = 1
    if MODE == "alien-token":
        tokens[5] = VOCABULARY
    return {"tokens": tokens, "margins": [0.25] * request["steps"], "vocabulary": VOCABULARY}


def answer(request):
    kind = request["do"]
    if kind == "hello":
        name = sys.argv[-1] if sys.argv[-1].endswith(".cpp") else "llama.cpp"
        return {"protocol": 2 if MODE == "protocol" else 1, "name": name, "package": "fake 1.0", "build": "0",
                "features": "CPU : NONE = 1 |"}
    if kind == "prepare":
        global likes_it
        likes_it = MODE == "likes-q8" and request["flags"]["kv_type"] == "q8_0"
        refused = MODE == "refuses-flags" and not request["flags"]["flash_attention"]
        refused = refused or MODE == "refuses-flash" and request["flags"]["flash_attention"]
        return {"error": "no such flags"} if refused or MODE == "refuses" else {}
    if kind == "run":
        if MODE == "dies":
            print("error: out of luck", file=sys.stderr)
            sys.exit(3)
        if MODE == "negative":
            return {"seconds": -1.0}
        if MODE == "faster-than-time":
            return {"seconds": 1000.0}
        spin(0.05)
        return {"seconds": 0.02 if likes_it else 0.05}
    return compare(request)


def main():
    note(f"pid {os.getpid()}")
    if MODE == "silent":
        time.sleep(1000)
    if MODE == "chatty":
        print("Hello! How are you?", flush=True)
    if MODE == "no-package":
        print(json.dumps({"id": 0, "error": "cannot use llama-cpp-python: No module named 'llama_cpp'"}), flush=True)
        sys.exit(1)
    for line in sys.stdin:
        request = json.loads(line)
        note(line.strip() if len(line) < 400 else request["do"] + " " + json.dumps(request.get("flags", {})))
        if MODE == "hangs" and request["do"] == "run":
            time.sleep(1000)
        reply = answer(request)
        reply.update(id=request["id"] + (7 if MODE == "wrong-id" else 0), cpu_seconds=0.05, idle_cpu_seconds=0.0,
                     peak_bytes=50_000_000)
        print(json.dumps(reply), flush=True)


if __name__ == "__main__":
    main()
