#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes tests/data/tokens/pre_tokenizers.{json,fnv}: the ids that llama.cpp gives for each kind of tokenizer.ggml.pre.

The vocabulary is tests/data/tokenizer/unsplit.txt with digit groups, whose merges cross all boundaries. A byte a line
of lines.jsonl is kept: FNV-1a of the ids, folded. bench/token_compare.py compares all names and whole ids.
Needs the packages gguf and numpy, and a shared library of llama.cpp.

usage: make_pre_tokenizer_golden.py LIBLLAMA.so
"""
import json
import pathlib
import sys
import tempfile

import gguf_vocabulary
import make_token_golden

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "bench"))
import token_compare  # noqa: E402

NAMES = ("default gpt-2 smollm llama-bpe jais-2 qwen2 qwen35 laguna ufakzeka minicpm5 bailingmoe "
         "seed-coder exaone-moe tekken gpt-4o granite-embed-multi-97m tiny_aya youtu kimi-k2 deepseek-llm "
         "deepseek-coder deepseek-v3 spark2_5 afmoe falcon bloom viking superbpe chameleon").split()


def folded(ids):
    value = make_token_golden.fnv1a(ids)
    return (value ^ value >> 8 ^ value >> 16 ^ value >> 24) & 0xFF


def main() -> int:
    llama = make_token_golden.Llama(sys.argv[1])
    vocabulary = token_compare.unsplit_vocabulary()
    texts = [text for _, text, parse in token_compare.read_lines() if not parse]
    data = b""
    with tempfile.TemporaryDirectory() as folder:
        for name in NAMES:
            path = pathlib.Path(folder) / "model.gguf"
            gguf_vocabulary.write(path, {**vocabulary, "pre": name})
            vocab = llama.load(path)
            data += bytes(folded(llama.tokenize(vocab, text, False)) for text in texts)
    target = ROOT / "tests/data/tokens"
    (target / "pre_tokenizers.fnv").write_bytes(data)
    (target / "pre_tokenizers.json").write_text(json.dumps({
        "made_with": "llama.cpp of llama-cpp-python 0.3.36", "names": NAMES}) + "\n")
    print(len(NAMES), "pre-tokenizers", len(texts), "lines")
    return 0


if __name__ == "__main__":
    sys.exit(main())
