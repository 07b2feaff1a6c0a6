#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the slices of evaluation tasks that are built into the program: the first items of each source file.

Usage: make_task_slices.py FOLDER OUT     FOLDER holds the files of SOURCES; OUT is src/measure/tasks/data.
"""
import argparse
import json
import pathlib

SOURCES = {  # slice: file below FOLDER, items
    "hellaswag": ("hellaswag/hellaswag.jsonl", 100),
    "arc_easy": ("arc/arc_easy.jsonl", 150),
    "piqa": ("piqa/piqa.jsonl", 150),
    "openbookqa": ("commonsense/openbook_qa.jsonl", 150),
    "copa": ("commonsense/copa.jsonl", 100),
    "lambada_openai": ("lambada/lambada_openai.jsonl", 100),
    "gsm8k": ("gsm8k/test.jsonl", 50),
}
KEPT = {"hellaswag": ("activity_label", "ctx_a", "ctx_b", "endings", "label")}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("out", type=pathlib.Path)
    args = parser.parse_args()
    for name, (source, count) in SOURCES.items():
        lines = (args.folder / source).read_text("utf-8").splitlines()[:count]
        rows = [json.loads(line) for line in lines]
        kept = [{key: row[key] for key in KEPT.get(name, row)} for row in rows]
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in kept)
        (args.out / f"{name}.jsonl").write_text(text, "utf-8")
        print(f"{name}: {len(kept)} items, {len(text.encode())} bytes")


if __name__ == "__main__":
    main()
