# SPDX-License-Identifier: Apache-2.0
"""`paring score` with models that judge, answer or do not, and how far they agree with people."""
import contextlib
import http.server
import importlib.util
import json
import random
import shutil
import subprocess
import threading

import pytest

import tiny_model
from raw_client import CHATML
from server_process import ServerProcess
from test_access import ask
from test_scores_datasets import rate, say, score

RUBRIC = "Whether the answer is right."


class Judge:
    """Stands in for a server with OpenAI's chat completions. `opinion(user)`: the text, a status, or None to hang."""

    def __init__(self, opinion):
        self.requests, self.at_once, self.at_once_most = [], 0, 0
        self.lock, self.let_go = threading.Lock(), threading.Event()
        judge = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                with judge.lock:
                    judge.requests.append((self.path, dict(self.headers), body))
                    judge.at_once += 1
                    judge.at_once_most = max(judge.at_once_most, judge.at_once)
                said = opinion(json.loads(body["messages"][1]["content"]))
                if said is None:
                    judge.let_go.wait(60)
                status = said if isinstance(said, int) else 200
                data = json.dumps({"choices": [{"message": {"role": "assistant", "content": said}}]}).encode()
                with judge.lock:
                    judge.at_once -= 1
                with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                    self.send_response(status)
                    self.send_header("content-length", str(len(data)))
                    self.end_headers()
                    self.wfile.write(data)

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/v1"

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.let_go.set()
        self.server.shutdown()
        self.server.server_close()


def stars(number):
    return json.dumps({"reason": f"worth {number}", "score": number})


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    path = tmp_path_factory.mktemp("judge") / "small.gguf"
    tiny_model.write(path, chat_template=CHATML)
    return path


@pytest.fixture(scope="module")
def answered(paring, small, tmp_path_factory):
    """A folder with answers "0" to "39"; people found even ones right, and gave the number modulo 5, plus 1, stars."""
    folder = tmp_path_factory.mktemp("judge-data")
    with ServerProcess(paring.path, f"small={small}", "--data-dir", folder, "--traffic", "sync", "--content",
                       "full") as server:
        for number in range(40):
            request = say(server, f"Question {number}?", str(number))
            rate(server, request, number % 2 == 0, name="thumb")
            rate(server, request, number % 5 + 1, name="stars")
    return folder


@pytest.fixture
def data(answered, tmp_path):
    shutil.copytree(answered, tmp_path / "data")
    return tmp_path / "data"


def scorers(folder, url, **more):
    path = folder / "judge.yaml"
    fields = {"kind": "judge", "rubric": RUBRIC, "url": url, "model": "judge", **more}
    path.write_text("scorers:\n  quality:\n" + "".join(f"    {name}: {json.dumps(value)}\n"
                                                       for name, value in fields.items()))
    return path


def test_a_judge_over_http_scores_each_answer_once(paring, data, tmp_path):
    with Judge(lambda user: stars(int(user["answer"]) % 5 + 1)) as judge:
        path = scorers(tmp_path, judge.url, key_env="JUDGE_KEY", parallel=3)
        report = paring("score", "--data-dir", data, "--scorers", path, "--json",
                        env={"JUDGE_KEY": "sk-judge"}).json()["scorers"][0]
        assert (report["scored"], report["failed"], report["mean"]) == (40, 0, 3)
        assert len(judge.requests) == 40 and judge.at_once_most <= 3
        again = paring("score", "--data-dir", data, "--scorers", path, "--json",
                       env={"JUDGE_KEY": "sk-judge"}).json()["scorers"][0]
        assert (again["scored"], again["there"]) == (0, 40) and len(judge.requests) == 40
        where, headers, body = judge.requests[0]
    assert where == "/v1/chat/completions" and headers["Authorization"] == "Bearer sk-judge"
    assert RUBRIC in body["messages"][0]["content"] and body["temperature"] == 0
    user = json.loads(body["messages"][1]["content"])
    assert user["conversation"][0]["content"] == f"Question {user['answer']}?"
    schema = body["response_format"]["json_schema"]["schema"]
    assert schema["required"] == ["reason", "score"] and schema["properties"]["score"]["maximum"] == 5


def test_a_judge_that_stumbles_is_asked_again_and_one_that_lies_is_not_believed(paring, data, tmp_path):
    seen, lock = {}, threading.Lock()

    def opinion(user):
        number = int(user["answer"])
        with lock:
            seen[number] = seen.get(number, 0) + 1
            tries = seen[number]
        if number == 7:
            return "It is fine."
        if number == 8:
            return stars(9)
        return 503 if number % 4 == 0 and tries < 3 else stars(2)

    with Judge(opinion) as judge:
        report = score(paring, data, scorers(tmp_path, judge.url, parallel=16))["scorers"][0]
    assert (report["scored"], report["failed"], report["not_asked"]) == (38, 2, 0)
    assert "no JSON object" in report["first_error"] or "scale" in report["first_error"]
    assert seen[4] == 3 and seen[5] == 1 and seen[7] == 1


def test_a_judge_that_hangs_or_refuses_is_given_up(paring, data, tmp_path):
    with Judge(lambda user: None) as judge:
        report = score(paring, data, scorers(tmp_path, judge.url, tries=1, seconds=0.2, parallel=16))["scorers"][0]
        assert (report["scored"], report["failed"], report["not_asked"]) == (0, 32, 8)
        assert "timeout" in report["first_error"] and "mean" not in report
    with Judge(lambda user: 401) as judge:
        report = score(paring, data, scorers(tmp_path, judge.url))["scorers"][0]
        assert report["failed"] == 32 and "401" in report["first_error"]
        assert len(judge.requests) == 32, "a refusal is not tried again"
    # Nobody listens there any more; what failed is tried again by the next run.
    gone = score(paring, data, scorers(tmp_path, judge.url, tries=1))["scorers"][0]
    assert gone["failed"] == 32 and gone["not_asked"] == 8


def test_a_killed_run_goes_on_where_it_was(paring, data, tmp_path):
    asked = threading.Semaphore(0)

    def opinion(user):
        asked.release()
        return stars(3)

    with Judge(opinion) as judge:
        path = scorers(tmp_path, judge.url, parallel=1)
        run = subprocess.Popen([paring.path, "score", "--data-dir", data, "--scorers", path, "--json"],
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for _ in range(20):  # in the second sixteen
            assert asked.acquire(timeout=30)
        run.kill()
        run.wait(30)
        report = score(paring, data, path)["scorers"][0]
        assert report["there"] >= 16 and report["scored"] + report["there"] == 40
        assert len(judge.requests) <= 40 + 16


def test_pairs_are_judged_in_either_place(paring, small, tmp_path):
    data = tmp_path / "data"
    with ServerProcess(paring.path, f"small={small}", "--data-dir", data, "--traffic", "sync", "--content",
                       "full") as server:
        for answer in ("best", "worst", "middle"):
            rate(server, say(server, f"How is {answer}?", answer), "reference", type="correction", name="correction")
        say(server, "Nobody corrects this?", "best")

    def opinion(user):
        mine = "A" if user["B"] == "reference" else "B"
        other = "B" if mine == "A" else "A"
        # About the one in the middle it prefers what stands first.
        better = {"best": mine, "worst": other, "middle": "A"}[user[mine]]
        return json.dumps({"reason": "", "better": better})

    with Judge(opinion) as judge:
        report = score(paring, data, scorers(tmp_path, judge.url, compare="reference"))["scorers"][0]
        assert (report["scored"], report["not_about"], len(judge.requests)) == (3, 1, 6)
    assert report["mean"] == pytest.approx(0.5)


def kappa_of(pairs, weight):
    """Cohen's kappa as its definition has it."""
    people, judge = [a for a, _ in pairs], [b for _, b in pairs]
    observed = sum(weight(a, b) for a, b in pairs) / len(pairs)
    expected = sum(weight(a, b) for a in people for b in judge) / len(pairs) ** 2
    return 1 - observed / expected


def agreement(paring, data, *words):
    return paring("score", "agreement", "--data-dir", data, "--json", *words).json()


def test_agreement_with_people_is_cohens_kappa(paring, data, tmp_path):
    noise = random.Random(3)
    said = {number: min(5, max(1, number % 5 + 1 + noise.choice([-1, 0, 0, 0, 1]))) for number in range(40)}
    with Judge(lambda user: stars(said[int(user["answer"])])) as judge:
        score(paring, data, scorers(tmp_path, judge.url))
    stars_told = agreement(paring, data, "--judge", "quality", "--human", "stars")
    pairs = [(number % 5 + 1, said[number]) for number in range(40)]
    assert stars_told["count"] == 40 and stars_told["enough"]
    assert stars_told["equal"] == pytest.approx(sum(a == b for a, b in pairs) / 40)
    assert stars_told["kappa"] == pytest.approx(kappa_of(pairs, lambda a, b: a != b))
    assert stars_told["weighted_kappa"] == pytest.approx(kappa_of(pairs, lambda a, b: (a - b) ** 2))
    low, high = stars_told["kappa_interval"]
    assert low < stars_told["kappa"] < high and high - low < 0.5
    assert sum(map(sum, stars_told["table"])) == 40
    thumbs = agreement(paring, data, "--judge", "quality>=3")
    good = [(number % 2 == 0, said[number] >= 3) for number in range(40)]
    assert thumbs["kappa"] == pytest.approx(kappa_of(good, lambda a, b: a != b))
    assert thumbs["true_good"] == pytest.approx(sum(a and b for a, b in good) / 20)
    few = agreement(paring, data, "--judge", "quality", "--human", "stars", "--min-seconds", "1000")
    assert few["count"] == 0 and not few["enough"]
    if importlib.util.find_spec("sklearn") is None:
        return
    sklearn = importlib.import_module("sklearn.metrics")
    assert stars_told["kappa"] == pytest.approx(sklearn.cohen_kappa_score(*zip(*pairs)))
    assert stars_told["weighted_kappa"] == pytest.approx(sklearn.cohen_kappa_score(*zip(*pairs), weights="quadratic"))


def test_a_server_tells_the_same_of_its_scores(paring, small, data, tmp_path):
    with Judge(lambda user: stars(int(user["answer"]) % 4 + 1)) as judge:
        score(paring, data, scorers(tmp_path, judge.url))
    with ServerProcess(paring.path, f"small={small}", "--data-dir", data) as server:
        for query, words in (("judge=quality&human=stars", ["--judge", "quality", "--human", "stars"]),
                             ("judge=quality%3E%3D3", ["--judge", "quality>=3"])):
            told, wanted = json.loads(server.get("/v1/scores/agreement?" + query)), agreement(paring, data, *words)
            for name in ("count", "enough", "judged", "equal", "ratings", "table"):
                assert told[name] == wanted[name], name
            assert told["kappa"]["value"] == pytest.approx(wanted["kappa"])
            # Intervals draw from the answers in another order.
            assert told["kappa"]["lower"] == pytest.approx(wanted["kappa_interval"][0], abs=0.05)
        newest = json.loads(server.get("/v1/scores/agreement?judge=quality&human=stars&limit=5"))
        assert newest["judged"] == newest["count"] == 5 and not newest["enough"]
        for query, param in (("", "judge"), ("?judge=quality", "judge"), ("?judge=%3E3", "judge"),
                             ("?judge=quality&human=stars%3E", "human"), ("?judge=a&limit=0", "limit")):
            status, _, text = ask(server, "GET", "/v1/scores/agreement" + query, None, {})
            assert status == 400 and json.loads(text)["error"]["param"] == param, text


def test_few_labels_are_said_to_be_few(paring, small, tmp_path):
    data = tmp_path / "data"
    with ServerProcess(paring.path, f"small={small}", "--data-dir", data, "--traffic", "sync", "--content",
                       "full") as server:
        request = say(server, "One?", "1")
        rate(server, request, True)
        status, _, _ = ask(server, "POST", "/v1/feedback", {"response_id": request, "value": 4, "name": "quality",
                                                            "source": "judge"}, {})
        assert status == 200
    told = paring("score", "agreement", "--data-dir", data, "--judge", "quality>=3").out
    assert "too few labels" in told and "1 of at least 30" in told
    wrong = paring("score", "agreement", "--data-dir", data, "--judge", "quality")
    assert wrong.code == 2 and "quality>=4" in wrong.err
    assert paring("score", "agreement", "--data-dir", data).code == 2


def test_a_model_of_this_process_judges_to_the_letter(paring, model, data, tmp_path):
    path = tmp_path / "judge.yaml"
    path.write_text(f"scorers:\n  quality:\n    kind: judge\n    rubric: {RUBRIC}\n    model: {model}\n"
                    "    scale: 0-3\n    answer_tokens: 300\n  near:\n    kind: length\n    max: 9\n")
    report = score(paring, data, path, "--limit", "3")["scorers"][0]
    assert report["scored"] + report["failed"] == 3 and report["scored"] >= 1, report
    assert 0 <= report["mean"] <= 3
