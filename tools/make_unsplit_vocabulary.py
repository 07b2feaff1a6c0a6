#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes tests/data/tokenizer/unsplit.txt: a byte-level BPE vocabulary whose merges go across everything.

It is trained on tests/data/tokens/lines.jsonl without any splitting into words, so that a pre-tokenizer that cuts in
a wrong place changes the ids; vocabularies of real models have no merge there and would not show it.
Needs the package tokenizers.

usage: make_unsplit_vocabulary.py tests/data/tokens/lines.jsonl tests/data/tokenizer/unsplit.txt
"""
import json
import sys

import tokenizers
from tokenizers import models, pre_tokenizers, trainers

TOKENS = 6000


def main() -> int:
    lines = [json.loads(line)["text"] for line in open(sys.argv[1], encoding="utf-8", newline="\n")]
    tokenizer = tokenizers.Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    trainer = trainers.BpeTrainer(vocab_size=TOKENS, show_progress=False, max_token_length=16,
                                  initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    # Twice: merges of what occurs once are as good for this purpose.
    tokenizer.train_from_iterator(lines + lines, trainer)
    model = json.loads(tokenizer.to_str())["model"]
    tokens = sorted(model["vocab"], key=model["vocab"].get)
    merges = [" ".join(pair) if isinstance(pair, list) else pair for pair in model["merges"]]
    with open(sys.argv[2], "w", encoding="utf-8", newline="\n") as out:
        out.write(f"pre gpt-2\ntokens {len(tokens)}\n")
        out.writelines(f"1 {token}\n" for token in tokens)
        out.write(f"merges {len(merges)}\n")
        out.writelines(f"{merge}\n" for merge in merges)
    print(len(tokens), "tokens", len(merges), "merges")
    return 0


if __name__ == "__main__":
    sys.exit(main())
