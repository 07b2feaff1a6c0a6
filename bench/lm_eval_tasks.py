#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Task scores of `paring eval --tasks` beside lm-evaluation-harness', item by item, on the same model and items.

  run      the harness itself, its task definitions read from local JSON files, over llama.cpp with f32 weights
           and cache (an independent engine with exact logits); writes one JSON line an item.
  compare  those lines against the file of `paring eval MODEL --tasks TASK --numerics exact --samples FILE`.
  golden   some of them as a fixture for the tests.
  requests hashes of the prompts and continuations that the harness makes of the built-in slices: no model needed.

How to run, with lm_eval==0.4.13 and llama-cpp-python==0.3.36 installed, F32.gguf made by tools/decode_f32.py and
DATA as `paring eval --data` takes it:
  lm_eval_tasks.py run --model F32.gguf --task arc_easy --data DATA/arc_easy.jsonl --out oracle.jsonl
  paring eval F32.gguf --tasks arc_easy --data DATA --numerics exact --samples ours.jsonl
  lm_eval_tasks.py compare oracle.jsonl ours.jsonl
"""
import argparse
import hashlib
import json
import os
import sys
import tempfile
import time


def rows(path):
    with open(path, encoding="utf-8") as file:
        return [json.loads(line) for line in file if line.strip()]


def strip_prefix(text, prefix):
    assert text.startswith(prefix), text
    return text[len(prefix):]


def letters(count):
    return [chr(ord("A") + i) for i in range(count)]


def arc(row):
    labels = letters(len(row["choices"]))
    return {"question": strip_prefix(row["query"], "Question: "), "answerKey": labels[row["gold"]],
            "choices": {"text": row["choices"], "label": labels}}


def piqa(row):
    goal = strip_prefix(row["query"], "Question: ")
    return {"goal": goal[:-1] if goal.endswith("\n") else goal, "sol1": row["choices"][0], "sol2": row["choices"][1],
            "label": row["gold"]}


def openbookqa(row):
    labels = letters(len(row["choices"]))
    return {"question_stem": row["query"], "answerKey": labels[row["gold"]],
            "choices": {"text": row["choices"], "label": labels}}


def copa(row):
    premise, connector = row["query"].rsplit(", ", 1)
    return {"premise": premise + ".", "question": {"because": "cause", "therefore": "effect"}[connector],
            "choice1": row["choices"][0], "choice2": row["choices"][1], "label": row["gold"]}


def lambada(row):
    return {"text": row["context"] + " " + row["continuation"]}


def same(row):
    return row


# Rows as `paring eval --data` takes them, as the rows that the harness' task reads from its hub.
CONVERT = {"hellaswag": same, "arc_easy": arc, "arc_challenge": arc, "piqa": piqa, "openbookqa": openbookqa,
           "copa": copa, "lambada_openai": lambada, "gsm8k": same}


def make_model(path, threads, context):
    import llama_cpp
    from lm_eval.api.model import TemplateLM

    class ExactLlama(TemplateLM):
        """Log-likelihoods by llama.cpp; the cache keeps what consecutive requests share at their beginning."""

        def __init__(self):
            super().__init__()
            self.llama = llama_cpp.Llama(
                path, n_ctx=context, n_batch=context, n_ubatch=512, n_threads=threads, n_threads_batch=threads,
                logits_all=True, flash_attn=False, type_k=llama_cpp.GGML_TYPE_F32, type_v=llama_cpp.GGML_TYPE_F32,
                verbose=False)
            self.in_cache = []

        @property
        def eot_token_id(self):
            return self.llama.token_eos()

        @property
        def prefix_token_id(self):
            bos = self.llama.token_bos()
            return bos if bos >= 0 else self.llama.token_eos()

        def tok_encode(self, string, add_special_tokens=None, **_):
            wants_bos = bool(llama_cpp.llama_vocab_get_add_bos(self.llama._model.vocab))
            add = wants_bos if add_special_tokens is None else add_special_tokens
            return self.llama.tokenize(string.encode(), add_bos=add, special=False)

        def rows_of(self, tokens, first):
            """Logits of positions `first` to the end, [n, V] in float64."""
            import numpy as np
            llama = self.llama
            keep = 0
            while keep < min(first, len(self.in_cache)) and self.in_cache[keep] == tokens[keep]:
                keep += 1
            llama.n_tokens = keep
            llama._ctx.kv_cache_seq_rm(-1, keep, -1)
            llama.eval(tokens[keep:])
            self.in_cache = list(tokens)
            return np.array(llama.scores[first:len(tokens)], dtype=np.float64)

        def _loglikelihood_tokens(self, requests, **_):
            import numpy as np
            found, begun = [], time.time()
            for i, (_, before, after) in enumerate(requests):
                tokens = (before + after)[-(context + 1):][:-1]
                logits = self.rows_of(tokens, len(tokens) - len(after))
                peak = logits.max(axis=1, keepdims=True)
                logs = logits - peak - np.log(np.exp(logits - peak).sum(axis=1, keepdims=True))
                score = float(sum(logs[k, token] for k, token in enumerate(after)))
                found.append((score, bool((logits.argmax(axis=1) == np.array(after)).all())))
                if i % 400 == 399:
                    print(f"{i + 1} of {len(requests)}, {time.time() - begun:.0f} s", file=sys.stderr, flush=True)
            return found

        def loglikelihood_rolling(self, requests, disable_tqdm=False):
            raise NotImplementedError("no task here needs it")

        def generate_until(self, requests, disable_tqdm=False):
            texts = []
            for number, request in enumerate(requests):
                prompt, options = request.args
                limit = options.get("max_gen_toks", 256)
                tokens = self.tok_encode(prompt)[-(context - limit):]
                made, text = [], ""
                while len(made) < limit:
                    token = int(self.rows_of(tokens + made, len(tokens) + len(made) - 1)[-1].argmax())
                    if token == self.llama.token_eos():
                        break
                    made.append(token)
                    text = self.llama.detokenize(made, special=True).decode("utf-8", "ignore")
                    if any(stop in text for stop in options["until"]):
                        break
                for stop in options["until"]:
                    text = text.split(stop)[0]
                texts.append(text)
                print(f"{number + 1} of {len(requests)}", file=sys.stderr, flush=True)
            return texts

    return ExactLlama()


def harness_config(task):
    """The harness' own definition of a task."""
    from lm_eval.tasks import TaskManager
    from lm_eval.tasks._yaml_loader import load_yaml
    return load_yaml(TaskManager()._entry(task).yaml_path, resolve_func=True)


def make_task(name, source, train=(), shots=0):
    """The harness' task `name` over rows in our layout."""
    from lm_eval.api.task import ConfigurableTask
    config = harness_config(name)
    folder = tempfile.mkdtemp(prefix="lm-eval-")
    files = {}
    for split, items in {"test": source, "train": train}.items():
        if items:
            files[split] = os.path.join(folder, split + ".jsonl")
            with open(files[split], "w", encoding="utf-8") as out:
                out.writelines(json.dumps(CONVERT[name](row)) + "\n" for row in items)
    for key in ("tag", "dataset_name", "training_split", "validation_split", "fewshot_split"):
        config.pop(key, None)
    config.update(dataset_path="json", dataset_kwargs={"data_files": files}, test_split="test", num_fewshot=shots)
    if shots:  # the first examples, always the same: the harness draws them at random otherwise
        config.update(fewshot_split="train", fewshot_config={"sampler": "first_n"})
    return ConfigurableTask(config=config)


def requests_sha256(name, path, shots=0, train=None):
    """Of what the harness asks for each item: see HarnessRequests in src/measure/tasks_test.cc."""
    source = rows(path)
    task = make_task(name, source, rows(train) if train else (), shots)
    task.build_all_requests(rank=0, world_size=1)
    digest = hashlib.sha256()
    for instance in sorted(task.instances, key=lambda i: (i.doc_id, i.idx)):
        context, continuation = instance.args
        text = continuation if isinstance(continuation, str) else ""
        digest.update(f"{instance.doc_id}\0{context}\0{text}\n".encode())
    return {"items": len(source), "sha256": digest.hexdigest()}


def requests(args):
    """For every file named <task>.jsonl in a folder."""
    found = {}
    for name in CONVERT:
        path = os.path.join(args.data, name + ".jsonl")
        if os.path.exists(path):
            examples = os.path.join(args.data, name + "_examples.jsonl")
            shots = len(rows(examples)) if os.path.exists(examples) else 0
            found[name] = requests_sha256(name, path, shots, examples if shots else None)
    with open(args.out, "w", encoding="utf-8") as out:
        out.write(json.dumps({"made_by": "bench/lm_eval_tasks.py requests", "tasks": found}, indent=1) + "\n")


def run(args):
    import lm_eval
    source = rows(args.data)
    if args.limit:
        source = source[:args.limit]
    task = make_task(args.task, source, rows(args.train) if args.shots else (), args.shots)
    begun = time.time()
    result = lm_eval.simple_evaluate(model=make_model(args.model, args.threads, args.context), tasks=[task],
                                     num_fewshot=args.shots, log_samples=True, bootstrap_iters=1000)
    name = next(iter(result["samples"]))
    merged = {}
    for sample in result["samples"][name]:
        line = merged.setdefault(sample["doc_id"], {"item": sample["doc_id"]})
        if sample["resps"] and isinstance(sample["resps"][0][0], str):
            line["text"] = sample["resps"][0][0]
            line[sample["filter"]] = sample["exact_match"]
        else:
            line["log_likelihoods"] = [float(r[0][0]) for r in sample["resps"]]
            line["greedy"] = [str(r[0][1]) == "True" for r in sample["resps"]]
            line.update({k: sample[k] for k in ("acc", "acc_norm") if k in sample})
    with open(args.out, "w", encoding="utf-8") as out:
        out.write(json.dumps({"task": args.task, "harness": lm_eval.__version__, "model": os.path.basename(args.model),
                              "data_sha256": hashlib.sha256(open(args.data, "rb").read()).hexdigest(),
                              "seconds": time.time() - begun,
                              "results": {k: v for k, v in result["results"][name].items() if "," in k}}) + "\n")
        out.writelines(json.dumps(merged[key]) + "\n" for key in sorted(merged))
    print(json.dumps(result["results"][name], indent=1, default=str))


METRICS = ("acc", "acc_norm", "strict-match", "flexible-extract")


def compare(args):
    head, *theirs = rows(args.oracle)
    ours = {row["item"]: row for row in rows(args.ours) if row["task"] == head["task"]}
    shared = [row for row in theirs if row["item"] in ours]
    print(f"{head['task']}: {len(shared)} items in both")
    worst = 0.0
    for metric in METRICS:
        pairs = [(row[metric], ours[row["item"]]["metrics"][metric]) for row in shared if metric in row]
        if pairs:
            differ = [row["item"] for row, (a, b) in zip(shared, pairs) if float(a) != float(b)]
            a, b = (100 * sum(p[k] for p in pairs) / len(pairs) for k in (0, 1))
            worst = max(worst, abs(a - b))
            print(f"  {metric}: harness {a:.3f}, ours {b:.3f}, difference {b - a:+.3f} points, "
                  f"items that differ: {differ}")
    errors = [abs(a - b) for row in shared if "log_likelihoods" in row
              for a, b in zip(row["log_likelihoods"], ours[row["item"]]["log_likelihoods"])]
    if errors:
        print(f"  log-likelihoods: {len(errors)}, largest difference {max(errors):.2e} nats, "
              f"mean {sum(errors) / len(errors):.2e}")
    sys.exit(0 if worst <= args.tolerance else 1)


def golden(args):
    fixture = {"made_by": "bench/lm_eval_tasks.py", "tasks": {}}
    for path in args.oracle:
        head, *items = rows(path)
        fixture.update(harness=head["harness"], model=head["model"])
        fixture["tasks"][head["task"]] = [
            {k: [round(v, 6) for v in row[k]] if k == "log_likelihoods" else row[k]
             for k in ("item", "log_likelihoods", "greedy", "acc", "acc_norm") if k in row}
            for row in items[:args.items]]
    text = json.dumps(fixture)
    with open(args.out, "w", encoding="utf-8") as out:
        out.write(text.replace('{"item"', '\n{"item"') + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(required=True)
    verb = verbs.add_parser("run")
    verb.add_argument("--model", required=True)
    verb.add_argument("--task", required=True, choices=CONVERT)
    verb.add_argument("--data", required=True)
    verb.add_argument("--train", help="examples for --shots")
    verb.add_argument("--shots", type=int, default=0)
    verb.add_argument("--limit", type=int, default=0)
    verb.add_argument("--threads", type=int, default=2)
    verb.add_argument("--context", type=int, default=2048)
    verb.add_argument("--out", required=True)
    verb.set_defaults(do=run)
    verb = verbs.add_parser("compare")
    verb.add_argument("oracle")
    verb.add_argument("ours")
    verb.add_argument("--tolerance", type=float, default=0.1, help="points")
    verb.set_defaults(do=compare)
    verb = verbs.add_parser("golden")
    verb.add_argument("oracle", nargs="+")
    verb.add_argument("--items", type=int, default=20)
    verb.add_argument("--out", required=True)
    verb.set_defaults(do=golden)
    verb = verbs.add_parser("requests")
    verb.add_argument("data", help="src/measure/tasks/data")
    verb.add_argument("--out", required=True)
    verb.set_defaults(do=requests)
    args = parser.parse_args()
    args.do(args)


if __name__ == "__main__":
    main()
