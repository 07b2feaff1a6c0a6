#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Seeded faults with a known axis, diagnosed: how often `paring diagnose` finds the axis, and the rule it decides by.

  diagnosis.py run  --half tune --seed 1 --work DIR --data xquad.en.json --paring BIN   replays, kept in DIR
  diagnosis.py fit  --work DIR --seed 1 --out src/advise/diagnosis/rule_weights.inc     the rule, from that half alone
  diagnosis.py run  --half test --seed 2 ...                                            the other half
  diagnosis.py ask   ...                          only the questions; `run` then finds the answers in DIR
  diagnosis.py score --work DIR --seed 2 [--half test]                     the rule as it is there: matrix, interval

Questions are XQuAD's English ones. The halves share no article, prompt template, bad instruction or seed. A fault
counts when the healthy model answers rightly with the right paragraph and a good prompt, and the faulty set-up answers
wrongly: answers that nobody would rate badly are not diagnosed. Rightness is checked here on its own (words, SQuAD).
Needs numpy and gguf, and about 4 GB in --work for damaged models.
"""
import argparse
import collections
import json
import math
import os
import pathlib
import random
import re
import shutil
import subprocess
import sys
import urllib.request

import numpy as np

import diagnosis_faults as faults

ROOT = pathlib.Path(__file__).resolve().parent.parent
ANSWER_TOKENS = 48


def words(text):
    return re.sub(r"\b(a|an|the)\b", " ", re.sub(r"[^\w\s]", " ", text.lower())).split()


def is_right(answer, reference):
    a, r = words(answer), words(reference)
    if any(a[i:i + len(r)] == r for i in range(len(a) - len(r) + 1)):
        return True
    common = sum((collections.Counter(a) & collections.Counter(r)).values())
    return common > 0 and 2 * common / (len(a) + len(r)) >= 0.6


class Server:
    """`paring serve` from the first question that was not asked before; answers are kept in a file of --work."""

    def __init__(self, paring, model, threads, work):
        self.paring, self.model, self.threads, self.work = paring, model, threads, work
        self.name = pathlib.Path(model).stem
        self.path = pathlib.Path(work) / f"answers-{self.name}.json"
        self.known = json.loads(self.path.read_text()) if self.path.exists() else {}
        self.process = None

    def start(self):
        self.process = subprocess.Popen(
            [self.paring, "serve", str(self.model), "--port", "0", "--threads", str(self.threads), "--quiet",
             "--traffic", "off", "--data-dir", str(pathlib.Path(self.work) / "data")],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        found = re.search(r" at (\S+)$", self.process.stdout.readline())
        if not found:
            sys.exit(f"the server of {self.model} did not start")
        self.url = found.group(1)

    def ask(self, messages):
        key = json.dumps(messages)
        if key not in self.known:
            if self.process is None:
                self.start()
            self.known[key] = self.request(messages)
            self.path.write_text(json.dumps(self.known))
        return self.known[key]

    def request(self, messages):
        body = json.dumps({"model": self.name, "messages": messages, "max_tokens": ANSWER_TOKENS, "temperature": 0})
        request = urllib.request.Request(self.url + "/v1/chat/completions", body.encode(),
                                         {"content-type": "application/json"})
        with urllib.request.urlopen(request, timeout=600) as response:
            return json.load(response)["choices"][0]["message"]["content"]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process is None:
            return
        self.process.terminate()
        self.process.wait()


def questions_of(path, half, seed):
    """(paragraph, question, answer) of the articles of a half, in an order of this seed."""
    articles = json.loads(pathlib.Path(path).read_text("utf-8"))["data"]
    chosen = [a for i, a in enumerate(articles) if (i % 2 == 0) == (half == "tune")]
    paragraphs = [p["context"] for a in chosen for p in a["paragraphs"]]
    items = [(p["context"], q["question"], q["answers"][0]["text"]) for a in chosen for p in a["paragraphs"]
             for q in p["qas"] if len(words(q["answers"][0]["text"])) > 0]
    random.Random(seed).shuffle(items)
    return paragraphs, items


def make_cases(args):
    """Faults that were asked of their models and answered wrongly, by pair of served model and original."""
    paragraphs, items = questions_of(args.data, args.half, args.seed)
    rng = random.Random(args.seed * 1000 + 7)
    setups = faults.setups(args.paring, ROOT / "models", pathlib.Path(args.work), args.half, args.seed)
    plan = faults.Plan(args.half, rng, paragraphs)
    healthy = {}  # (model, index) -> right
    cases = collections.defaultdict(list)
    for setup in setups:
        wanted = dict(setup.faults)
        asked = items[:args.questions]
        right = []
        with Server(args.paring, setup.healthy, args.threads, args.work) as server:
            for index, (paragraph, question, answer) in enumerate(asked):
                key = (str(setup.healthy), index)
                if key not in healthy:
                    prompt = plan.healthy(paragraph, question, index)
                    healthy[key] = is_right(server.ask(prompt), answer)
                if healthy[key]:
                    right.append(index)
        print(f"{setup.name}: the healthy model answers {len(right)} of {len(asked)} rightly", flush=True)
        # Each set-up begins elsewhere, so that faults meet different questions.
        start = rng.randrange(max(1, len(right)))
        right = right[start:] + right[:start]
        with Server(args.paring, setup.served, args.threads, args.work) as server:
            for fault, count in wanted.items():
                tried = kept = 0
                for index in right:
                    if kept >= math.ceil(count * args.scale):
                        break
                    # Of two faults each must be one by itself: the model alone fails, too.
                    if fault == "model_wrong_context" and is_right(
                            server.ask(plan.healthy(*asked[index][:2], index)), asked[index][2]):
                        continue
                    made = plan.make(fault, *asked[index], index, [i for i in asked if i is not asked[index]])
                    if made is None:
                        continue
                    tried += 1
                    answer = server.ask(made["messages"])
                    # A wrong label is a right answer that was rated badly.
                    if is_right(answer, asked[index][2]) != (fault == "wrong_label"):
                        continue
                    kept += 1
                    cases[(str(setup.served), str(setup.original))].append(
                        {"id": f"{setup.name}/{fault}/{index}", "messages": made["messages"], "answer": answer,
                         "reference": made.get("reference", asked[index][2]), "fault": fault,
                         "axis": faults.AXIS[fault], "setup": setup.name, "question_index": index})
                print(f"  {fault}: {kept} bad answers of {tried}", flush=True)
    return paragraphs, cases


def diagnose(args, paragraphs, cases):
    folder = pathlib.Path(args.work)
    documents = folder / f"documents-{args.half}.jsonl"
    documents.write_text("".join(json.dumps({"id": f"paragraph {i}", "text": p}) + "\n"
                                 for i, p in enumerate(paragraphs)))
    rows = []
    # Small models first.
    cases = dict(sorted(cases.items(), key=lambda pair: os.path.getsize(pair[0][1])))
    for with_reference in (True, False) if args.without_reference else (True,):
        for (served, original), group in cases.items():
            path = folder / f"cases-{args.half}.jsonl"
            fields = ["id", "messages", "answer"] + (["reference"] if with_reference else [])
            path.write_text("".join(json.dumps({k: c[k] for k in fields}) + "\n" for c in group))
            command = [args.paring, "diagnose", served, "--cases", str(path), "--documents", str(documents), "--json",
                       "--quiet", "--threads", str(args.threads), "--original", original]
            done = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
            for case, found in zip(group, done["cases"], strict=True):
                rows.append({**{k: case[k] for k in ("id", "fault", "axis", "setup", "question_index")},
                             "has_reference": with_reference, "found": found})
            print(f"{pathlib.Path(served).name}: {len(group)} diagnosed", flush=True)
            # What is done is kept: the rest may take long.
            (folder / f"{args.half}-{args.seed}.json").write_text(json.dumps(rows))


AXES = ["context", "model", "both", "neither"]
# Rows of a single fault weigh as much as those of the other axis; the few of two faults or none count less.
SHARE = {"context": 1.0, "model": 1.0, "both": 0.3, "neither": 0.3}
OF_ORIGINAL = ("original_", "model_")


def chances(z, w):
    score = z @ w
    score -= score.max(axis=1, keepdims=True)
    e = np.exp(score)
    return e / e.sum(axis=1, keepdims=True)


def train(z, y, weight, penalty):
    """Multinomial logistic regression by Newton's method over all classes' weights."""
    rows, width = z.shape
    classes = y.shape[1]
    w = np.zeros((width, classes))
    ridge = np.full(width, float(penalty))
    ridge[0] = 1e-3
    for _ in range(60):
        p = chances(z, w)
        gradient = z.T @ (weight[:, None] * (p - y)) + ridge[:, None] * w
        hessian = np.zeros((width * classes, width * classes))
        for a in range(classes):
            for b in range(classes):
                part = weight * p[:, a] * ((a == b) - p[:, b])
                hessian[a * width:(a + 1) * width, b * width:(b + 1) * width] = z.T @ (z * part[:, None])
        hessian += np.diag(np.tile(ridge, classes))
        step = np.linalg.solve(hessian, gradient.T.reshape(-1)).reshape(classes, width).T
        w -= step
        if np.abs(step).max() < 1e-8:
            break
    return w


def fitted(rows, names):
    """Weights in the signals' units, with the penalty that five folds over questions like best."""
    x = np.array([[row["found"]["signals"][n] for n in names] for row in rows])
    y = np.array([[float(row["axis"] == axis) for axis in AXES] for row in rows])
    fold = np.array([row["question_index"] % 5 for row in rows])
    scale, mean = x.std(axis=0), x.mean(axis=0)
    scale[scale == 0] = 1
    z = np.hstack([np.ones((len(x), 1)), (x - mean) / scale])
    weight = y @ np.array([SHARE[a] / max(1, n) for a, n in zip(AXES, y.sum(axis=0), strict=True)])
    weight *= len(rows) / weight.sum()
    single = y[:, 0] + y[:, 1] > 0

    def held_out(penalty):
        p = np.zeros_like(y)
        for k in range(5):
            p[fold == k] = chances(z[fold == k], train(z[fold != k], y[fold != k], weight[fold != k], penalty))
        return p

    def loss(penalty):
        return -(weight * np.log(np.clip((held_out(penalty) * y).sum(axis=1), 1e-6, 1))).sum()

    penalty = min((0.3, 1, 3, 10, 30), key=loss)
    hits = (held_out(penalty).argmax(axis=1) == y.argmax(axis=1))[single]
    print(f"{len(names)} signals, {len(rows)} cases, penalty {penalty}: single faults right in folds that were held "
          f"out {hits.sum()} of {len(hits)}")
    w = train(z, y, weight, penalty)
    raw = w[1:] / scale[:, None]
    bias = w[0] - mean @ raw
    return {axis: {"bias": bias[i], **dict(zip(names, raw[:, i], strict=True))} for i, axis in enumerate(AXES)}


def fit(args):
    rows = [row for row in load(args, "tune") if row["has_reference"]]
    every = list(rows[0]["found"]["signals"])
    alone = [n for n in every if not n.startswith(OF_ORIGINAL) and n not in ("agreed", "hopeless", "recovered")]
    lines = ["// SPDX-License-Identifier: Apache-2.0",
             "// Made by bench/diagnosis.py fit; do not edit. Weights are in the units of the signals."]
    for suffix, names in (("WithOriginal", every), ("Alone", alone)):
        for axis, weights in fitted(rows, names).items():
            lines.append(f"constexpr Weights k{axis.capitalize()}{suffix}{{")
            lines += [f"    .{n} = {weights.get(n, 0):.4f}," for n in ["bias", *every]]
            lines.append("};")
    pathlib.Path(args.out).write_text("\n".join(lines) + "\n")


def judge(path, signals, has_original):
    """The frozen rule, as the program applies it (tests/test_diagnose.py holds both together)."""
    suffix = "WithOriginal" if has_original else "Alone"
    scores = {}
    for name, body in re.findall(r"constexpr Weights k(\w+)\{(.*?)\};", pathlib.Path(path).read_text(), re.S):
        if name.endswith(suffix):
            weights = {k: float(v) for k, v in re.findall(r"\.(\w+) = ([-\d.e]+)", body)}
            scores[name.removesuffix(suffix).lower()] = weights.pop("bias") + sum(
                weight * signals[n] for n, weight in weights.items())
    most = max(scores.values())
    total = sum(math.exp(v - most) for v in scores.values())
    return {axis: math.exp(v - most) / total for axis, v in scores.items()}


def load(args, half):
    rows = json.loads((pathlib.Path(args.work) / f"{half}-{args.seed}.json").read_text())
    return [row for row in rows if "error" not in row["found"]]


def wilson(hits, count):
    z, p = 1.959964, hits / count
    middle, spread = p + z * z / (2 * count), z * math.sqrt(p * (1 - p) / count + z * z / (4 * count * count))
    return (middle - spread) / (1 + z * z / count), (middle + spread) / (1 + z * z / count)


def score(args):
    everything = load(args, args.half)
    for has_original, has_reference, title in ((True, True, "with the original"), (False, True, "without an original"),
                                               (True, False, "without a reference")):
        rows = [dict(r) for r in everything if r["has_reference"] == has_reference]
        if not rows:
            continue
        for row in rows:
            p = judge(args.out, row["found"]["signals"], has_original)
            row["said"] = max(p, key=p.get)
            row["sure"] = p[row["said"]]
        single = [r for r in rows if r["axis"] in ("context", "model")]
        hits = sum(r["said"] == r["axis"] for r in single)
        low, high = wilson(hits, len(single))
        print(f"\n{title}: {hits} of {len(single)} on the right axis, {100 * hits / len(single):.1f} % "
              f"(95 % interval {100 * low:.1f} to {100 * high:.1f})\n")
        print("| truth | fault | set-up | cases | " + " | ".join(f"said {a}" for a in AXES) + " |")
        print("|---|---|---|---|" + "---|" * len(AXES))
        groups = collections.defaultdict(list)
        for row in rows:
            groups[(row["axis"], row["fault"], row["setup"])].append(row)
        for (axis, fault, setup), group in sorted(groups.items(), key=lambda g: (AXES.index(g[0][0]), g[0])):
            counts = collections.Counter(r["said"] for r in group)
            cells = [f"**{counts[a]}**" if a == axis else str(counts[a]) for a in AXES]
            print(f"| {axis} | {fault} | {setup} | {len(group)} | " + " | ".join(cells) + " |")
        for least in (0.5, 0.7, 0.9):
            sure = [r for r in single if r["sure"] >= least]
            right = sum(r["said"] == r["axis"] for r in sure)
            print(f"at least {100 * least:.0f} % sure: {right} of {len(sure)}")
        # Twenty at a time, in an order of the seed: what a user sees.
        random.Random(args.seed).shuffle(single)
        print("in twenties:", *[f"{sum(r['said'] == r['axis'] for r in single[i:i + 20])}"
                                for i in range(0, len(single) - 19, 20)])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("step", choices=["ask", "run", "fit", "score"])
    parser.add_argument("--paring", default=str(ROOT / "build/release/paring"))
    parser.add_argument("--data", help="xquad.en.json")
    parser.add_argument("--work", required=True)
    parser.add_argument("--half", choices=["tune", "test"], default="test")
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--questions", type=int, default=80, help="of the half that the healthy models are asked")
    parser.add_argument("--scale", type=float, default=1, help="of the number of cases")
    parser.add_argument("--without-reference", action="store_true", help="also without telling the right answer")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", default=str(ROOT / "src/advise/diagnosis/rule_weights.inc"))
    args = parser.parse_args()
    args.paring = os.path.abspath(args.paring)
    pathlib.Path(args.work).mkdir(parents=True, exist_ok=True)
    if args.step == "fit":
        return fit(args)
    if args.step == "score":
        return score(args)
    paragraphs, cases = make_cases(args)
    if args.step == "ask":
        return None
    diagnose(args, paragraphs, cases)
    shutil.rmtree(pathlib.Path(args.work) / "data", ignore_errors=True)
    return None


if __name__ == "__main__":
    main()
