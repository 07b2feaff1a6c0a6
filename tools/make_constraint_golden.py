#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes tests/data/constraints/golden.json: random answers to the schemas beside it, with the tokens that PyPI's
llguidance allows at each step, over SmolLM2's vocabulary. Each answer is checked by jsonschema.

    python -m venv V && V/bin/pip install llguidance==1.2.0 jsonschema==4.26.0 tokenizers==0.23.3
    V/bin/python tools/make_constraint_golden.py
"""
import hashlib
import json
import pathlib
import random

import jsonschema
import llguidance
import llguidance.numpy as masks
import numpy
import tokenizers
from tokenizers import decoders, models, pre_tokenizers

DATA = pathlib.Path(__file__).resolve().parent.parent / "tests/data"
FREE_STEPS = 40  # drawn among all allowed tokens; then what closes is preferred
STEPS_MAX = 1500
WALKS = 2


def read_vocabulary(path):
    """The format of tools/make_tokenizer_fixture.py."""
    values, lines = {}, path.read_text(encoding="utf-8").split("\n")
    at = 0
    while at < len(lines) and lines[at]:
        key, value = lines[at].split(" ", 1)
        at += 1
        if key in ("tokens", "merges"):
            values[key] = lines[at:at + int(value)]
            at += int(value)
        else:
            values[key] = value
    return values


def byte_alphabet():
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    alphabet = {chr(b): b for b in plain}
    alphabet.update({chr(256 + i): b for i, b in enumerate(b for b in range(256) if b not in plain)})
    return alphabet


class Vocabulary:
    """As llguidance.TokenizerWrapper wants it, and with the cuts of the model."""

    def __init__(self, values):
        texts = [line[2:] for line in values["tokens"]]
        kinds = [int(line[0]) for line in values["tokens"]]
        alphabet = byte_alphabet()
        self.special_token_ids = [i for i, kind in enumerate(kinds) if kind in (2, 3)]
        self.tokens = [text.encode() if kinds[i] != 1 else bytes(alphabet[c] for c in text)
                       for i, text in enumerate(texts)]
        self.eos_token_id, self.bos_token_id = int(values["eos"]), int(values["bos"])
        merges = [tuple(line.split(" ")) for line in values["merges"]]
        ids = {text: i for i, text in enumerate(texts)}
        self.encoder = tokenizers.Tokenizer(models.BPE(ids, merges))
        self.encoder.pre_tokenizer = pre_tokenizers.Sequence(
            [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)])
        self.encoder.decoder = decoders.ByteLevel()

    def __call__(self, text):
        return self.encoder.encode(text, add_special_tokens=False).ids


def allowed_ids(matcher, bits, count):
    masks.fill_next_token_bitmask(matcher, bits, 0)
    words = bits[0].view(numpy.uint32)
    return [i for i in range(count) if words[i // 32] >> (i % 32) & 1]


def is_in_string(text):
    inside, at = False, 0
    while at < len(text):
        if inside and text[at:at + 1] == b"\\":
            at += 1
        elif text[at:at + 1] == b'"':
            inside = not inside
        at += 1
    return inside


def chosen(allowed, vocabulary, step, before, draw):
    # White space is the most of what is allowed between two values.
    dark = [i for i in allowed if vocabulary.tokens[i].strip()]
    if step < FREE_STEPS:
        return draw.choice(dark if dark and draw.random() < 0.8 else allowed)
    if vocabulary.eos_token_id in allowed:
        return vocabulary.eos_token_id
    texts = {vocabulary.tokens[i]: i for i in allowed}
    for text in (b'"',) if is_in_string(before) else (b"}", b"]", b","):
        if text in texts:
            return texts[text]
    plain = [i for text, i in texts.items() if len(text) == 1 and text not in b" \t\n\r,[{\\"]
    opening = [texts[text] for text in (b"[", b"{") if text in texts]
    return draw.choice(plain or opening or allowed)


def walk(tokenizer, vocabulary, schema, draw):
    options = {"x-guidance": {"coerce_one_of": True}}
    given = schema if isinstance(schema, dict) else {}
    matcher = llguidance.LLMatcher(tokenizer, llguidance.LLMatcher.grammar_from_json_schema({**given, **options}))
    bits = masks.allocate_token_bitmask(1, len(vocabulary.tokens))
    ids, steps = [], []
    while len(ids) < STEPS_MAX:
        allowed = allowed_ids(matcher, bits, len(vocabulary.tokens))
        assert not matcher.get_error(), matcher.get_error()
        may_end = vocabulary.eos_token_id in allowed
        text = [i for i in allowed if i != vocabulary.eos_token_id]
        packed = b"".join(i.to_bytes(4, "little") for i in text)
        steps.append(hashlib.sha256(packed).hexdigest()[:12] + ("+" if may_end else ""))
        before = b"".join(vocabulary.tokens[i] for i in ids)
        token = chosen(allowed, vocabulary, len(ids), before, draw)
        if token == vocabulary.eos_token_id:
            break
        ids.append(token)
        assert matcher.consume_token(token)
        if matcher.is_stopped():
            break
    else:
        raise SystemExit(f"a walk does not end: {schema} {tokenizer.decode_str(ids)[:300]!r}")
    text = b"".join(vocabulary.tokens[i] for i in ids).decode()
    return ids, steps, text


def prepared(schema):
    """int32 as the bounds that it is: jsonschema and llguidance pass over it."""
    if isinstance(schema, dict):
        schema = {key: prepared(value) for key, value in schema.items()}
        if schema.get("format") == "int32":
            schema.update(minimum=-2**31, maximum=2**31 - 1)
        if schema.get("format") in ("int32", "double"):
            del schema["format"]
    elif isinstance(schema, list):
        schema = [prepared(value) for value in schema]
    return schema


def main():
    vocabulary = Vocabulary(read_vocabulary(DATA / "tokenizer/smollm2.txt"))
    tokenizer = llguidance.LLTokenizer(llguidance.TokenizerWrapper(vocabulary))
    draw = random.Random(29)
    walks = []
    for entry in json.loads((DATA / "constraints/schemas.json").read_text()):
        if entry.get("is_stricter"):  # than llguidance
            continue
        schema = prepared(entry["schema"])
        for _ in range(WALKS):
            ids, steps, text = walk(tokenizer, vocabulary, schema, draw)
            jsonschema.validate(json.loads(text), schema)
            walks.append({"name": entry["name"], "ids": ids, "steps": steps})
            print(f"{entry['name']}: {len(ids)} tokens, {text[:100]!r}")
    lines = ",\n".join(json.dumps(walk) for walk in walks)
    (DATA / "constraints/golden.json").write_text(f"[\n{lines}\n]\n")


if __name__ == "__main__":
    main()
