#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Builds the texts that are compiled into the binary: calibration (statistics, sensitivity) and holdout (the last
check of a search, on text that the search never saw).

Every prefix of a text has about the same mix: encyclopedic prose, instructions, code, stories, mathematics and other
languages. A document that shares 13 consecutive words with an evaluation text, or with a document chosen before it,
is left out. The result depends on the sources alone.

Usage: make_calibration.py --sources FOLDER [--against FILE_OR_FOLDER ...] [--out src/measure/data]
FOLDER holds wikitext2/wikitext2_train_5k.txt, alpaca-seed/seed_tasks.jsonl, tinystories-sample/tiny_stories.txt and
tinyshakespeare/input.txt; code, mathematics and the multilingual part lie in tools/calibration/.
"""
import argparse
import gzip
import hashlib
import json
import pathlib
import re
import sys

WORDS_SHARED = 13  # as in the contamination check of arXiv:2005.14165, appendix C
SIZES = {"calibration": 300_000, "holdout": 64_000}

# part: (share of the text, licence, attribution)
PARTS = {
    "wikitext": (0.60, "CC-BY-SA-3.0", "WikiText-2 train split (Merity et al. 2016), text of Wikipedia authors"),
    "instructions": (0.15, "Apache-2.0", "175 seed tasks of Self-Instruct, as published with Stanford Alpaca"),
    "code": (0.10, "Apache-2.0", "written for Paring"),
    "stories": (0.09, "CDLA-Sharing-1.0", "TinyStories (Eldan and Li 2023)"),
    "drama": (0.02, "public domain", "William Shakespeare, as in the tiny Shakespeare sample"),
    "math": (0.015, "Apache-2.0", "written for Paring"),
    "multilingual": (0.025, "Apache-2.0", "written for Paring"),
}


def words(text):
    return re.findall(r"\w+", text.lower())


def grams(text):
    """Hashes of all runs of WORDS_SHARED words."""
    tokens = words(text)
    return {hash(tuple(tokens[i:i + WORDS_SHARED])) for i in range(len(tokens) - WORDS_SHARED + 1)}


def texts_of(path):
    """The plain text in a file: every string of a JSON document, or the file as it is."""
    raw = gzip.open(path).read() if path.suffix == ".gz" else path.read_bytes()
    content = raw.decode("utf-8", "replace")
    name = path.name.removesuffix(".gz")
    try:
        if name.endswith(".jsonl"):
            values = [json.loads(line) for line in content.splitlines() if line.strip()]
        elif name.endswith(".json"):
            values = [json.loads(content)]
        else:
            return [content]
    except json.JSONDecodeError:  # an archive under a wrong name: still compared, as plain text
        return [content]
    found, stack = [], values
    while stack:
        value = stack.pop()
        if isinstance(value, str):
            found.append(value)
        elif isinstance(value, dict):
            stack.extend(value.values())
        elif isinstance(value, list):
            stack.extend(value)
    return found


def files_below(paths):
    for path in map(pathlib.Path, paths):
        if not path.exists():
            raise SystemExit(f"{path} does not exist")
        yield from sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]


def grouped(pieces, size):
    """Joins pieces to documents of at least `size` characters."""
    documents, current = [], ""
    for piece in pieces:
        current += piece
        if len(current) >= size:
            documents.append(current)
            current = ""
    return documents


def read_parts(sources):
    own = pathlib.Path(__file__).parent / "calibration"
    lines = (sources / "wikitext2/wikitext2_train_5k.txt").read_text("utf-8").split("\n")
    tasks = []
    for line in (sources / "alpaca-seed/seed_tasks.jsonl").read_text("utf-8").splitlines():
        task = json.loads(line)
        instance = task["instances"][0]
        question = "\n".join(x for x in (task["instruction"], instance["input"]) if x)
        tasks.append(f"User: {question}\nAssistant: {instance['output']}\n\n")
    stories = (sources / "tinystories-sample/tiny_stories.txt").read_text("utf-8").replace("\r", "")
    drama = (sources / "tinyshakespeare/input.txt").read_text("utf-8")
    parts = {
        "wikitext": grouped([f" {x.strip()} \n" for x in lines if len(x) > 120], 2400),
        "instructions": grouped(tasks, 1600),
        "stories": grouped([x.strip() + "\n\n" for x in re.split(r"\n\s*\n", stories)], 1800),
        "drama": grouped([x + "\n\n" for x in drama.split("\n\n")], 1500),
    }
    for name in ("code", "math", "multilingual"):
        blocks = re.split(r"^%%\n", (own / f"{name}.txt").read_text("utf-8"), flags=re.M)
        parts[name] = [block.rstrip("\n") + "\n\n" for block in blocks]
    return parts


def spread(documents, size):
    """Documents evenly spaced over the source, enough for `size` characters, the others after them."""
    count = min(len(documents), max(1, round(size / (sum(map(len, documents)) / len(documents)) * 1.15)))
    first = [i * len(documents) // count for i in range(count)]
    return [documents[i] for i in first + [i for i in range(len(documents)) if i not in set(first)]]


def split(documents, name):
    """The last sixth of a source is for the holdout: whole articles stay on one side. Short sources take turns."""
    if len(documents) < 60:
        return [d for i, d in enumerate(documents) if (i % 6 == 5) == (name == "holdout")]
    edge = len(documents) * 5 // 6
    return documents[edge:] if name == "holdout" else documents[:edge]


def build(name, parts, taken):
    """Adds the document of the part that is furthest behind its share, until the text is long enough."""
    size = SIZES[name]
    queues = {p: spread(split(parts[p], name), size * PARTS[p][0]) for p in PARTS}
    done = {p: 0 for p in PARTS}
    data, rows, left_out = b"", [], 0
    while len(data) < size:
        part = min((p for p in PARTS if queues[p]), key=lambda p: done[p] / PARTS[p][0])
        document = queues[part].pop(0)
        own = grams(document)
        if own & taken:
            left_out += 1
            continue
        taken |= own
        encoded = document.encode()
        rows.append({"begin": len(data), "end": len(data) + len(encoded), "part": part})
        data += encoded
        done[part] += len(encoded)
    shares = ", ".join(f"{p} {done[p] / len(data):.1%}" for p in PARTS)
    print(f"{name}: {len(data)} bytes, {len(rows)} documents, {left_out} left out ({shares})")
    return data, rows


def joins(data, rows):
    """Where two documents meet, words of both could form a shared run; the seams are checked like documents."""
    seams = [row["begin"] for row in rows[1:]]
    return [data[max(0, s - 400):s + 400].decode("utf-8", "ignore") for s in seams]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sources", type=pathlib.Path, required=True)
    parser.add_argument("--against", nargs="*", default=["tests/data"], help="evaluation texts to keep away from")
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("src/measure/data"))
    args = parser.parse_args()

    used = {"wikitext2_train_5k.txt", "seed_tasks.jsonl", "tiny_stories.txt", "input.txt"}
    judged = set()
    for path in files_below(args.against):
        if path.name not in used and path.suffix in {".txt", ".raw", ".jsonl", ".json", ".gz", ".tsv"}:
            for text in texts_of(path):
                judged |= grams(text)
    print(f"{len(judged)} runs of {WORDS_SHARED} words in the evaluation texts")

    parts = read_parts(args.sources)
    manifest = {"words_shared_max": WORDS_SHARED - 1,
                "parts": {p: {"licence": lic, "attribution": who} for p, (_, lic, who) in PARTS.items()}, "texts": {}}
    taken = set(judged)
    for name in SIZES:
        data, rows = build(name, parts, taken)
        if any(grams(seam) & judged for seam in joins(data, rows)):
            raise SystemExit(f"{name}: the seam between two documents repeats an evaluation text")
        (args.out / f"{name}.txt").write_bytes(data)
        manifest["texts"][name] = {"file": f"{name}.txt", "bytes": len(data),
                                   "sha256": hashlib.sha256(data).hexdigest(), "documents": rows}
    text = json.dumps(manifest, indent=1, ensure_ascii=True)
    text = re.sub(r'\{\s+("begin": \d+),\s+("end": \d+),\s+("part": "\w+")\s+\}', r"{\1, \2, \3}", text)
    (args.out / "manifest.json").write_text(text + "\n")


if __name__ == "__main__":
    sys.exit(main())
