# SPDX-License-Identifier: Apache-2.0
"""The run of serve_load.py: which measurement comes when, and what is kept of it."""
import hashlib
import json
import statistics
import sys

from load import bars, machine, servers, traces, workloads
from load.statistics_of import Objective, agreement, goodput, latencies, percentile, tokens_within

NAMES = ("paring", "llama-server")
SEARCH_SECONDS = 6
UNLOADED_REQUESTS = 12
TTFT_FACTOR, GAP_FACTOR = 10, 3  # of the objective, over the peer's unloaded figures
CONTEXT_STEP = 256  # llama-server rounds up to it
SYSTEM_TOKENS = 400
QUESTION_TOKENS = 24
CHAT_OUTPUT_TOKENS = 48
CHAT_CONTEXT_TOKENS = 2048
STREAMS, STREAM_PROMPT_TOKENS, WARM_EVENTS = 4, 64, 24


def turn_order(repeats):
    """A B B A A B ...: who is measured in which repeat."""
    for repeat in range(repeats):
        for name in NAMES if repeat % 2 == 0 else NAMES[::-1]:
            yield repeat, name


def longest(arrivals):
    most = max(arrival.prompt_tokens + arrival.output_tokens for arrival in arrivals)
    return -(-(most + 1) // CONTEXT_STEP) * CONTEXT_STEP


class Comparison:
    def __init__(self, flags):
        self.flags = flags
        self.versions = {"paring": servers.version_of(flags.paring),
                         "llama-server": servers.version_of(flags.peer, servers.peer_environment(flags))}

    def run(self):
        flags = self.flags
        result = {"machine": machine.describe(), "versions": self.versions, "model": flags.model.name,
                  "model_bytes": flags.model.stat().st_size, "threads": flags.threads, "clients": flags.clients,
                  "seconds": flags.seconds, "repeats": flags.repeats}
        wanted = set(flags.parts)
        if wanted & {"bears", "arrivals"}:
            result["traces"] = {name: self.trace(name) for name in flags.trace}
        if "chats" in wanted:
            result["chats"] = self.chats()
        if "long" in wanted and flags.long_model:
            result["long"] = self.long()
        result["bars"] = bars.of(result)
        return result

    def kept(self, key, make):
        """What `make` returns, from --work when it is there for the same programs and settings. `key` names it."""
        identity = json.dumps([key, self.versions, self.flags.paring_flags, self.flags.peer_flags, self.flags.threads])
        name = "-".join(str(part) for part in key if isinstance(part, (str, int))).replace("/", "_")
        path = self.flags.work / f"{name}-{hashlib.sha256(identity.encode()).hexdigest()[:12]}.json"
        if path.exists():
            return json.loads(path.read_text())
        print(name, file=sys.stderr, flush=True)
        made = make()
        partial = path.with_suffix(".partial")
        partial.write_text(json.dumps(made, indent=1))
        partial.rename(path)
        return made

    def measured(self, key, shape, name, measure):
        """`measure(server)` on a fresh server of that name and Shape, with its command and memory; kept."""
        def make():
            with servers.start(self.flags, name, shape) as server:
                return measure(server) | {"peak_bytes": server.peak_bytes(), "command": " ".join(server.words[1:])}
        return self.kept([*key, name, shape.identity()], make)

    def in_turns(self, key, shape, measure):
        """`measure(server, repeat)` for both servers in turns: {name: [one a repeat]}."""
        found = {name: [] for name in NAMES}
        for repeat, name in turn_order(self.flags.repeats):
            found[name].append(self.measured([*key, repeat], shape, name,
                                             lambda server, repeat=repeat: measure(server, repeat)))
        return found

    def text_of(self, model):
        """Text as ids of this model, by the peer's tokenizer."""
        shape = servers.Shape(model, slots=1, context_tokens=512)
        return traces.PromptText(self.measured(["text"], shape, "llama-server", traces.tokenized)["ids"])

    # Traces.

    def trace(self, name):
        flags = self.flags
        arrivals = traces.read(name)
        context = longest(arrivals)
        text = self.text_of(flags.model)
        found = {"context_tokens": context, "requests": len(arrivals),
                 "prompt_tokens": statistics.fmean(arrival.prompt_tokens for arrival in arrivals),
                 "output_tokens": statistics.fmean(arrival.output_tokens for arrival in arrivals)}
        found["search"] = self.search(name, text, arrivals, context)
        best = max(found["search"], key=lambda row: row["tokens_per_second"])
        shape = servers.Shape(flags.model, best["slots"], context, best["layout"])
        found["bears"] = self.in_turns([name, "bears", flags.seconds, flags.clients], shape, lambda server, repeat:
                                       self.bears(server, text, arrivals, flags.seconds, f"bears {repeat}"))
        if "arrivals" in flags.parts:
            self.arrivals(name, text, arrivals, shape, found)
        return found

    def search(self, name, text, arrivals, context):
        """The peer's output tokens a second by its number of slots and layout of the cache."""
        rows = []
        for layout in servers.LAYOUTS:
            for slots in self.flags.slots:
                shape = servers.Shape(self.flags.model, slots, context, layout)
                row = self.measured([name, "search", layout, slots, self.flags.clients], shape, "llama-server",
                                    lambda server: self.bears(server, text, arrivals, SEARCH_SECONDS, "search"))
                rows.append({"slots": slots, "layout": layout, "tokens_per_second": row["tokens_per_second"]})
        return rows

    def bears(self, server, text, arrivals, seconds, seed):
        flags = self.flags
        # More than any server answers meanwhile, in another order each time.
        chosen = traces.shuffled(arrivals, seed)
        requests = workloads.completions(server, text, chosen, seed)
        answers, shares, (begin, end) = workloads.closed_loop(server, requests, flags.clients, seconds)
        tokens = tokens_within(answers, begin, end)
        return {"tokens_per_second": tokens / (end - begin), "shares": shares,
                "finished": sum(answer.is_complete for answer in answers),
                "failures": [answer.failure for answer in answers
                             if answer.failure and answer.ended < end and not answer.is_complete][:3]}

    def arrivals(self, name, text, arrivals, shape, found):
        flags = self.flags
        unloaded = self.measured([name, "unloaded"], shape, "llama-server", lambda server:
                                 self.unloaded(server, text, arrivals))
        objective = Objective(TTFT_FACTOR * unloaded["ttft"], GAP_FACTOR * unloaded["gap"])
        peer_bears = statistics.median(row["tokens_per_second"] for row in found["bears"]["llama-server"])
        if peer_bears <= 0:
            raise workloads.NotWhole(f"{name}: the peer gave no token in {flags.seconds} s; is the machine this busy?")
        found["requests_per_second_at_1"] = peer_bears / found["output_tokens"]
        found["objective"] = {"ttft": objective.ttft, "gap": objective.gap, "unloaded": unloaded}
        found["loads"] = []
        for load in flags.loads:
            rate = load * found["requests_per_second_at_1"]
            chosen = traces.at_rate(arrivals, rate, flags.seconds)
            key = [name, "load", load, flags.seconds, round(rate, 3), [objective.ttft, objective.gap]]
            rows = self.in_turns(key, shape, lambda server, repeat, chosen=chosen:
                                 self.offered(server, text, chosen, objective, repeat))
            equal = [agreement(ours.pop("texts"), theirs.pop("texts")) for ours, theirs in zip(*rows.values())]
            found["loads"].append({"load": load, "requests_per_second": rate, "requests": len(chosen),
                                   "agreement": equal, **rows})

    def unloaded(self, server, text, arrivals):
        requests = workloads.completions(server, text, arrivals[:UNLOADED_REQUESTS + 2], "unloaded")
        answers = workloads.one_by_one(server, requests)[2:]
        workloads.must_be_whole(answers)
        return {"ttft": statistics.median(answer.ttft for answer in answers),
                "gap": statistics.median(answer.mean_gap for answer in answers)}

    def offered(self, server, text, chosen, objective, repeat):
        requests = workloads.completions(server, text, chosen, f"offered {repeat}")
        answers, shares = workloads.open_loop(server, requests, [arrival.at for arrival in chosen])
        wrong = sum(answer.is_complete and (answer.usage.get("completion_tokens") != arrival.output_tokens or
                                            answer.usage.get("prompt_tokens") != arrival.prompt_tokens)
                    for answer, arrival in zip(answers, chosen))
        return latencies(answers) | {
            "goodput": goodput(answers, objective), "shares": shares, "other_lengths": wrong,
            "good": sum(map(objective.is_met, answers)) / len(answers),
            "cached": sum(answer.cached_tokens for answer in answers),
            "failures": [answer.failure for answer in answers if answer.failure],
            "texts": [answer.text for answer in answers]}

    # Conversations.

    def chats(self):
        flags = self.flags
        shape = servers.Shape(flags.model, flags.users, CHAT_CONTEXT_TOKENS)
        return self.in_turns(["chats", flags.users, flags.turns], shape, self.chat_once)

    def chat_once(self, server, repeat):
        flags = self.flags
        words = traces.words_of_text()
        count = flags.users * flags.turns
        system = traces.phrase(words, f"system {repeat}", SYSTEM_TOKENS)
        questions = [traces.phrase(words, f"question {repeat} {i}", QUESTION_TOKENS) for i in range(count)]
        rows, shares = workloads.chats(server, questions, system, flags.users, flags.turns, CHAT_OUTPUT_TOKENS)
        workloads.must_be_whole([answer for *_, answer in rows])
        before, turns = {}, []
        # What the first turns share; counted a few tokens too long.
        shared = workloads.prompt_tokens_of(server, system)
        for user, turn, answer in rows:
            prompt = answer.usage["prompt_tokens"]
            reusable = min(before.get(user, shared if user > 0 else 0), prompt - 1)
            before[user] = prompt + answer.tokens
            turns.append({"user": user, "turn": turn, "ttft": answer.ttft, "prompt_tokens": prompt,
                          "reusable_tokens": reusable, "cached_tokens": answer.cached_tokens})
        reusable = sum(row["reusable_tokens"] for row in turns)
        return {"turns": turns, "shares": shares, "reusable_tokens": reusable,
                "reused": sum(min(row["cached_tokens"], row["reusable_tokens"]) for row in turns) / reusable,
                "ttft": [statistics.median(row["ttft"] for row in turns if row["turn"] == turn)
                         for turn in range(flags.turns)]}

    # One very long prompt.

    def long(self):
        flags = self.flags
        shape = servers.Shape(flags.long_model, STREAMS + 1, flags.long_context_tokens)
        text = self.text_of(flags.long_model)
        return self.in_turns(["long", flags.long_model.name, flags.long_tokens], shape,
                             lambda server, repeat: self.long_once(server, text, repeat))

    def long_once(self, server, text, repeat):
        flags = self.flags
        room = flags.long_context_tokens - STREAM_PROMPT_TOKENS
        streams = [workloads.completion(server, text.window(f"stream {repeat} {i}", STREAM_PROMPT_TOKENS), room)
                   for i in range(STREAMS)]
        prompt = workloads.completion(server, text.window(f"long {repeat}", flags.long_tokens), 2)
        running, long, shares = workloads.long_prompt_beside_streams(server, streams, prompt, WARM_EVENTS)
        workloads.must_be_whole([long])
        first = long.times[0]
        beside = [gap for answer in running for gap, when in zip(answer.gaps, answer.times[1:])
                  if when > long.sent and when - gap < first]
        alone = [gap for answer in running for gap, when in zip(answer.gaps, answer.times[1:]) if when <= long.sent]
        if not beside:
            # Nothing came from any stream while the prompt was read.
            beside = [first - long.sent]
        median = statistics.median(beside)
        return {"ttft": long.ttft, "worst_gap": max(beside), "median_gap": median, "ratio": max(beside) / median,
                "p99_gap": percentile(beside, 99), "median_gap_before": statistics.median(alone),
                "tokens_beside": len(beside), "shares": shares, "prompt_tokens": long.usage.get("prompt_tokens")}
