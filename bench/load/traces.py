# SPDX-License-Identifier: Apache-2.0
"""Requests as real services saw them, scaled to a small model, with prompts of real text of exactly so many tokens.

A trace tells when requests came and how long they were, and Mooncake's which of them begin alike. Prompts are divided
by 32 and answers by 4; a block of 512 shared tokens becomes one of 16, so that what could be reused stays the same part
of each prompt.
"""
import csv
import dataclasses
import datetime
import json
import pathlib
import random

BENCH = pathlib.Path(__file__).resolve().parent.parent
TEXT = BENCH.parent / "tests" / "data" / "wikitext2" / "wiki.test.head.raw"
SHIPPED = {"azure": BENCH / "data" / "azure_conversation_head.csv",
           "mooncake": BENCH / "data" / "mooncake_conversation_head.jsonl"}
PROMPT_DIVISOR = 32
OUTPUT_DIVISOR = 4
BLOCK_TOKENS = 512 // PROMPT_DIVISOR
SPREAD_MS = 3000  # Mooncake's clock ticks every three seconds


@dataclasses.dataclass(frozen=True)
class Arrival:
    at: float  # seconds, from the first
    prompt_tokens: int
    output_tokens: int
    blocks: tuple = ()  # ids of the blocks of BLOCK_TOKENS that the prompt is made of; empty: nothing is shared


def scaled(at, prompt, output, blocks=()):
    return Arrival(at, max(1, round(prompt / PROMPT_DIVISOR)), max(2, round(output / OUTPUT_DIVISOR)), tuple(blocks))


def read_azure(path):
    with open(path, encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    times = [datetime.datetime.fromisoformat(row["TIMESTAMP"][:26]).timestamp() for row in rows]
    return [scaled(at - times[0], int(row["ContextTokens"]), int(row["GeneratedTokens"]))
            for at, row in zip(times, rows)]


def read_mooncake(path):
    with open(path, encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    # Requests of one tick of its clock are spread over the tick, evenly and in order.
    at_tick = {}
    for row in rows:
        at_tick[row["timestamp"]] = at_tick.get(row["timestamp"], 0) + 1
    met, arrivals = {}, []
    for row in rows:
        tick = row["timestamp"]
        at = tick + SPREAD_MS * met.get(tick, 0) / at_tick[tick]
        met[tick] = met.get(tick, 0) + 1
        arrivals.append(scaled(at / 1000, row["input_length"], row["output_length"], row["hash_ids"]))
    return arrivals


def read(name):
    """`name` is "azure", "mooncake" or a file in the format of either."""
    path = pathlib.Path(SHIPPED.get(name, name))
    arrivals = read_mooncake(path) if path.suffix == ".jsonl" else read_azure(path)
    return sorted(arrivals, key=lambda arrival: arrival.at)


def tokenized(server):
    """The text as token ids of the model that `server`, a llama-server, has."""
    content = TEXT.read_text(encoding="utf-8")
    return {"ids": server.post("/tokenize", {"content": content, "add_special": False})["tokens"]}


def words_of_text():
    return TEXT.read_text(encoding="utf-8").split()


def phrase(words, seed, count):
    """`count` words that follow each other somewhere in the text."""
    begin = random.Random(seed).randrange(len(words) - count)
    return " ".join(words[begin:begin + count])


def shuffled(arrivals, seed):
    return random.Random(seed).sample(arrivals, len(arrivals))


class PromptText:
    """Real text as token ids. Windows of it, chosen by a seed, are prompts of exactly so many tokens."""

    def __init__(self, ids):
        self.ids = ids

    def window(self, seed, count):
        begin = random.Random(seed).randrange(len(self.ids))
        return [self.ids[(begin + i) % len(self.ids)] for i in range(count)]

    def prompt(self, arrival, seed):
        """Token ids. Arrivals that share blocks get the same ids there, under the same `seed`."""
        if not arrival.blocks:
            return self.window(f"{seed} {arrival.at}", arrival.prompt_tokens)
        ids = []
        for block in arrival.blocks:
            ids += self.window(f"{seed} block {block}", BLOCK_TOKENS)
        ids += self.window(f"{seed} {arrival.at} rest", max(0, arrival.prompt_tokens - len(ids)))
        return ids[:arrival.prompt_tokens]


def at_rate(arrivals, rate, seconds):
    """As many arrivals as `rate` a second brings in `seconds`, in the trace's rhythm. A trace that ends is begun again
    with other blocks."""
    count = max(2, round(rate * seconds))
    taken, start = [], 0.0
    for i in range(count):
        turn, place = divmod(i, len(arrivals))
        if place == 0 and turn > 0:
            start = taken[-1].at + 1e-3
        arrival = arrivals[place]
        blocks = tuple(f"{turn}.{block}" for block in arrival.blocks)
        taken.append(dataclasses.replace(arrival, at=start + arrival.at - arrivals[0].at, blocks=blocks))
    stretch = seconds / max(taken[-1].at, 1e-9)
    return [dataclasses.replace(arrival, at=arrival.at * stretch) for arrival in taken]
