# SPDX-License-Identifier: Apache-2.0
"""Random answers under JSON schemas (text_test draws them) against an independent validator."""
import json
import pathlib
import subprocess

import jsonschema
import pytest

SCHEMAS = "tests/data/constraints/schemas.json"


@pytest.mark.slow
def test_every_random_answer_follows_its_schema(paring, root, tmp_path):
    program = pathlib.Path(paring.path).parent / "src/text/text_test"
    answers = tmp_path / "answers.jsonl"
    done = subprocess.run([program, "--gtest_filter=ConstraintWalk.*"], cwd=root, capture_output=True, text=True,
                          timeout=900, env={"PARING_CONSTRAINT_WALKS": str(answers)})
    assert done.returncode == 0, done.stdout[-2000:]
    schemas = {entry["name"]: entry["schema"] for entry in json.loads((root / SCHEMAS).read_text())}
    checker = jsonschema.FormatChecker()
    del checker.checkers["time"]  # wants a time without its zone, which RFC 3339 and JSON Schema demand
    seen = set()
    for line in answers.read_text().splitlines():
        answer = json.loads(line)
        schema = schemas[answer["name"]]
        kind = jsonschema.validators.validator_for(schema, default=jsonschema.Draft202012Validator)
        kind.check_schema(schema)
        errors = kind(schema, format_checker=checker).iter_errors(json.loads(answer["text"]))
        found = [error.message for error in errors]
        assert not found, f"{answer['name']}: {found} in {answer['text']}"
        seen.add(answer["name"])
    assert seen == set(schemas)
