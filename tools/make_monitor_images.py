#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Renews docs/howto/images/monitor-*.png: a server with stored requests and some of its own, seen by Chromium.

    python tools/make_monitor_images.py build/ci/paring

store_test must be built beside the program: it stores the requests.
"""
import argparse
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

from playwright.sync_api import sync_playwright

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

import tiny_model  # noqa: E402
from raw_client import CHATML  # noqa: E402
from server_process import ServerProcess  # noqa: E402
from test_serve import post  # noqa: E402

IMAGES = ROOT / "docs/howto/images"
STORED = 20_000
ASKED = 12
WIDE = {"width": 1280, "height": 900}
PHONE = {"width": 360, "height": 800}


def fill(program, folder):
    """A day of requests in a data folder."""
    store_test = program.parent / "src/store/store_test"
    if not store_test.exists():
        sys.exit(f"{store_test} is missing: build the target store_test")
    fill_from = {"FILL_FOLDER": str(folder), "FILL_COUNT": str(STORED), "FILL_FROM": str(time.time() - 20 * 3600),
                 "FILL_SECONDS": str(20 * 3600 - 120)}
    subprocess.run([store_test, "--gtest_also_run_disabled_tests", "--gtest_filter=TrafficFill.*"],
                   env={**os.environ, **fill_from}, check=True, stdout=subprocess.DEVNULL)


def ask(server):
    """Requests with versions of a prompt, and what they were worth; the id of the last one."""
    for number in range(ASKED):
        body = {"messages": [{"role": "user", "content": "Hello"}], "max_tokens": 48, "temperature": 0, "seed": number,
                "metadata": {"prompt_version": f"v{number % 2 + 1}"}}
        status, answer, headers = post(server, "/v1/chat/completions", body)
        if status != 200:
            sys.exit(f"a request failed: {answer}")
        score = {"response_id": headers["x-request-id"], "name": "rating", "value": number % 3 != 0}
        post(server, "/v1/feedback", score)
    return headers["x-request-id"]


def take(browser, server, name, address, viewport, scheme="light"):
    context = browser.new_context(viewport=viewport, color_scheme=scheme)
    tab = context.new_page()
    tab.goto(f"{server.url}/monitor{address}")
    tab.wait_for_selector("#main[aria-busy=false]")
    tab.screenshot(path=IMAGES / f"monitor-{name}.png")
    context.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("program", type=pathlib.Path, help="paring, in a build tree")
    program = parser.parse_args().program.resolve()
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary)
        model = folder / "chat.gguf"
        tiny_model.write(model, chat_template=CHATML)
        fill(program, folder / "data")
        limits = {"XDG_CACHE_HOME": str(folder / "cache")}
        subprocess.run([program, "info"], env={**os.environ, **limits}, check=True, stdout=subprocess.DEVNULL)
        with ServerProcess(program, f"chat={model}", "--data-dir", folder / "data", "--traffic", "sync",
                           env=limits) as server, sync_playwright() as playwright:
            last = ask(server)
            browser = playwright.chromium.launch(executable_path=shutil.which("chromium"))
            take(browser, server, "overview", "#/overview?range=86400", WIDE)
            take(browser, server, "request", f"#/request?range=86400&id={last}", WIDE)
            take(browser, server, "roofline", "#/roofline?range=3600", WIDE)
            take(browser, server, "phone", "#/overview?range=86400", PHONE, "dark")
            browser.close()


if __name__ == "__main__":
    main()
