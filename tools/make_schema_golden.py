#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes tests/data/scorers/schemas.jsonl: schemas and values, and whether the package jsonschema finds them valid.

Usage: make_schema_golden.py FILE     Needs jsonschema. The same file each time.
"""
import json
import random
import sys

import jsonschema

COUNT = 800
NAMES = ["a", "b", "id", "tags"]
TEXTS = ["", "a", "ab", "xyz", "日本", "T-12", "2026-11-24"]
PATTERNS = ["^a", "[0-9]+", "^T-[0-9]{2}$", "b$"]


def value(rng, depth=0):
    kind = rng.choice(["null", "boolean", "integer", "number", "string", "array", "object"][:7 if depth < 3 else 5])
    if kind == "array":
        return [value(rng, depth + 1) for _ in range(rng.randrange(4))]
    if kind == "object":
        return {rng.choice(NAMES): value(rng, depth + 1) for _ in range(rng.randrange(4))}
    return {"null": None, "boolean": rng.random() < 0.5, "integer": rng.randrange(-3, 8),
            "number": rng.choice([-1.5, 0.0, 0.5, 1.0, 2.0, 3.75, 1e3]), "string": rng.choice(TEXTS)}[kind]


def schema(rng, depth=0):
    if depth > 3 or rng.random() < 0.05:
        return rng.random() < 0.7
    made = {}
    if rng.random() < 0.6:
        types = ["null", "boolean", "integer", "number", "string", "array", "object"]
        made["type"] = rng.choice(types) if rng.random() < 0.7 else rng.sample(types, rng.randrange(1, 4))
    deeper = [
        ("properties", lambda: {name: schema(rng, depth + 1) for name in rng.sample(NAMES, rng.randrange(1, 3))}),
        ("additionalProperties", lambda: schema(rng, depth + 1)),
        ("patternProperties", lambda: {rng.choice(PATTERNS): schema(rng, depth + 1)}),
        ("items", lambda: schema(rng, depth + 1)), ("contains", lambda: schema(rng, depth + 1)),
        ("prefixItems", lambda: [schema(rng, depth + 1) for _ in range(rng.randrange(1, 3))]),
        ("allOf", lambda: [schema(rng, depth + 1) for _ in range(2)]),
        ("anyOf", lambda: [schema(rng, depth + 1) for _ in range(2)]),
        ("oneOf", lambda: [schema(rng, depth + 1) for _ in range(2)]), ("not", lambda: schema(rng, depth + 1)),
        ("if", lambda: schema(rng, depth + 1)), ("then", lambda: schema(rng, depth + 1)),
        ("else", lambda: schema(rng, depth + 1)), ("propertyNames", lambda: {"maxLength": rng.randrange(1, 4)}),
        ("enum", lambda: [value(rng, 2) for _ in range(4)]), ("const", lambda: value(rng, 2)),
        ("minimum", lambda: rng.choice([0, 1, 2.0])), ("maximum", lambda: rng.choice([3, 5.5])),
        ("exclusiveMinimum", lambda: 0), ("exclusiveMaximum", lambda: rng.choice([3, 1000])),
        ("multipleOf", lambda: rng.choice([2, 0.5])), ("minLength", lambda: rng.randrange(3)),
        ("maxLength", lambda: rng.randrange(1, 5)), ("pattern", lambda: rng.choice(PATTERNS)),
        ("required", lambda: rng.sample(NAMES, rng.randrange(1, 3))), ("minProperties", lambda: rng.randrange(3)),
        ("maxProperties", lambda: rng.randrange(1, 4)), ("minItems", lambda: rng.randrange(3)),
        ("maxItems", lambda: rng.randrange(1, 4)), ("uniqueItems", lambda: True)]
    for name, make in rng.sample(deeper, rng.randrange(1, 4)):
        made[name] = make()
    if depth == 0 and rng.random() < 0.3:
        made["$defs"] = {"part": schema(rng, 2)}
        made.setdefault("properties", {})["a"] = {"$ref": "#/$defs/part"}
    return made


def main():
    rng = random.Random(7)
    lines, counts = [], {True: 0, False: 0}
    while len(lines) < COUNT:
        given, held = schema(rng), value(rng)
        is_valid = jsonschema.Draft202012Validator(given).is_valid(held)
        # As many of either.
        if counts[is_valid] >= COUNT // 2:
            continue
        counts[is_valid] += 1
        lines.append(json.dumps({"schema": given, "value": held, "valid": is_valid}, ensure_ascii=False))
    with open(sys.argv[1], "w", encoding="utf-8") as file:
        file.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
