# SPDX-License-Identifier: Apache-2.0
"""Figures from answers: percentiles, speed, and how many requests were served well enough."""
import dataclasses
import math
import statistics


def percentile(values, percent):
    """The least value that `percent` of all do not exceed (nearest rank)."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(percent / 100 * len(ordered)) - 1)] if ordered else math.nan


@dataclasses.dataclass(frozen=True)
class Objective:
    """What a request must be to count: first token and mean gap between tokens at most so many seconds."""
    ttft: float
    gap: float

    def is_met(self, answer):
        return answer.failure is None and answer.ttft <= self.ttft and answer.mean_gap <= self.gap


def percentiles(values):
    return {f"p{percent}": percentile(values, percent) for percent in (50, 90, 99)}


def latencies(answers):
    good = [answer for answer in answers if answer.failure is None and answer.times]
    gaps = [gap for answer in good for gap in answer.gaps]
    return {"ttft": percentiles([answer.ttft for answer in good]),
            "itl": percentiles(gaps) | {"worst": max(gaps, default=math.nan)},
            "e2e": percentiles([answer.e2e for answer in good])}


def tokens_within(answers, begin, end):
    """Output tokens between two times. A token is dated by its event; an answer with fewer events than tokens spreads
    them evenly, one that was cut off has the tokens an event of the others."""
    finished = [answer for answer in answers if answer.is_complete and answer.times]
    events = sum(len(answer.times) for answer in finished)
    usual = sum(answer.tokens for answer in finished) / events if events else 1.0
    total = 0.0
    for answer in answers:
        inside = sum(1 for when in answer.times if begin <= when < end)
        total += inside * (answer.tokens / len(answer.times) if answer.is_complete and answer.times else usual)
    return total


def goodput(answers, objective):
    """Requests a second that met `objective`, from the first arrival to the last answer's end."""
    seconds = max(answer.ended for answer in answers) - min(answer.sent for answer in answers)
    return sum(map(objective.is_met, answers)) / seconds


def agreement(ours, theirs):
    """How far greedy texts agree: share of equal ones, and mean share of the text before the first difference."""
    equal, shares = 0, []
    for one, other in zip(ours, theirs):
        equal += one == other
        longest = max(len(one), len(other), 1)
        same = next((i for i, (a, b) in enumerate(zip(one, other)) if a != b), min(len(one), len(other)))
        shares.append(same / longest)
    return {"equal": equal / max(1, len(shares)), "prefix": statistics.fmean(shares) if shares else math.nan,
            "texts": len(shares)}
