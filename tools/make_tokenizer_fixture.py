#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the tokenizer of a GGUF file as text, for unit tests that must not need the model.

Format: `key value` lines, then `tokens N` and N lines `type token`, then `merges N` and N lines.
Tokens and merges of a byte-level vocabulary hold no line breaks. Needs the package gguf.

usage: make_tokenizer_fixture.py MODEL.gguf tests/data/tokenizer/smollm2.txt
"""
import sys

import gguf


def main() -> int:
    fields = gguf.GGUFReader(sys.argv[1]).fields

    def value(key):
        field = fields.get("tokenizer.ggml." + key)
        return None if field is None else field.contents()

    tokens, types, merges = value("tokens"), value("token_type"), value("merges")
    if any("\n" in text or "\r" in text for text in tokens + merges):
        print("a token holds a line break", file=sys.stderr)
        return 1
    with open(sys.argv[2], "w", encoding="utf-8", newline="\n") as out:
        out.write(f"pre {value('pre')}\n")
        for key, name in (("bos", "bos_token_id"), ("eos", "eos_token_id"),
                          ("unk", "unknown_token_id"), ("pad", "padding_token_id"),
                          ("eot", "eot_token_id")):
            if value(name) is not None:
                out.write(f"{key} {value(name)}\n")
        out.write(f"tokens {len(tokens)}\n")
        out.writelines(f"{kind} {token}\n" for kind, token in zip(types, tokens))
        out.write(f"merges {len(merges)}\n")
        out.writelines(merge + "\n" for merge in merges)
    return 0


if __name__ == "__main__":
    sys.exit(main())
