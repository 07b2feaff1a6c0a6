# SPDX-License-Identifier: Apache-2.0
"""Speculative decoding changes the speed of an answer and nothing else."""
import pytest

NOTICE = ("The library is closed from the 3rd to the 17th of August. Books can be given back at any hour through the "
          "flap beside the main entrance. Loans that would end in these two weeks are extended until the 24th of "
          "August. The opening hours do not change: Tuesday to Friday from ten to six, Saturday from ten to two.")
REPEAT = f"Repeat this notice word for word and write nothing else:\n\n{NOTICE}"
RUN = ("--max-tokens", 90, "--quiet", "--json")


def answer(paring, model, prompt, *words):
    return paring("run", model, prompt, *RUN, *words).json()


@pytest.mark.parametrize("sampling", [(), ("--temperature", 0.8, "--top-p", 0.9, "--seed", 3),
                                      ("--temperature", 1.0, "--repetition-penalty", 1.1, "--min-p", 0.05)])
def test_the_answer_is_that_of_plain_decoding(paring, reference, model, sampling):
    plain = answer(paring, reference, REPEAT, "--speculative", "off", *sampling)
    assert "speculation" not in plain
    ways = {"ngram": (), "auto": (), "draft": ("--draft-model", model)}
    for how, words in ways.items():
        guessed = answer(paring, reference, REPEAT, "--speculative", how, *words, *sampling)
        assert guessed["text"] == plain["text"], how
        assert guessed["generated_tokens"] == plain["generated_tokens"], how
        counts = guessed["speculation"]
        assert counts["accepted_tokens"] <= counts["drafted_tokens"]
        assert counts["steps"] + counts["accepted_tokens"] >= guessed["generated_tokens"] - 1
        assert counts["drafts"] <= counts["steps"]


def test_a_copy_is_guessed_from_the_prompt(paring, model):
    """A small model that is asked to repeat repeats: the guesses are right and save steps."""
    result = answer(paring, model, REPEAT, "--draft-tokens", 4)
    counts = result["speculation"]
    assert counts["accepted_tokens"] >= 20, result
    assert counts["steps"] <= result["generated_tokens"] - 20
    assert counts["acceptance_rate"] == pytest.approx(counts["accepted_tokens"] / counts["drafted_tokens"])
    assert counts["drafted_tokens"] <= 4 * counts["drafts"]
    text = paring("run", model, REPEAT, "--max-tokens", 90)
    assert "speculation: " in text.err and "accepted" in text.err


def test_another_vocabulary_is_refused(paring, model, tiny):
    done = paring("run", model, "Hello", "--draft-model", tiny)
    assert done.code != 0
    assert "another vocabulary" in done.err and "same family" in done.err


@pytest.mark.parametrize("words, message", [
    (("--speculative", "draft"), "--draft-model"),
    (("--speculative", "off", "--draft-model", "x.gguf"), "--speculative off"),
    (("--speculative", "ngram", "--draft-model", "x.gguf"), "--speculative ngram"),
    (("--speculative", "often"), "--speculative"),
    (("--draft-tokens", 0), "--draft-tokens"),
    (("--draft-tokens", 17), "--draft-tokens"),
    (("--draft-model", "no-such.gguf"), "no-such.gguf"),
])
def test_contradictions_are_told(paring, tiny, words, message):
    done = paring("run", tiny, "Hello", *words)
    assert done.code != 0
    assert message in done.err
    assert done.out == ""
