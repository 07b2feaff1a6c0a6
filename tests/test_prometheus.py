# SPDX-License-Identifier: Apache-2.0
"""/metrics as Prometheus, Grafana and promtool see it: the dashboard and the rules under deploy/ name what is there."""
import json
import pathlib
import re
import shutil
import subprocess
import sys
import threading

import pytest
from prometheus_client.parser import text_string_to_metric_families

import tiny_model
from raw_client import CHATML
from server_process import ServerProcess
from test_access import ask

ROOT = pathlib.Path(__file__).resolve().parent.parent
DASHBOARD = ROOT / "deploy/grafana/paring.json"
RULES = ROOT / "deploy/prometheus/rules.yml"
KEY = "one-key-of-many-letters"
CHAT = {"model": "small", "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 12, "temperature": 0}
# Of Prometheus itself.
BUILT_IN = {"up", "ALERTS"}
# Not on every machine: counters of hardware, limits of control groups, GPUs, a watched model, a certificate, a cache.
ABSENT_HERE = re.compile(
    r"paring:(gpu_|host_memory_(moved|limit|used)_bytes|host_cpu_(quota|frequency)|host_throttled_|certificate_|"
    r"quality_live_(kl|top1|drifted)|semantic_cache_(serving|false_hit_rate))")
promtool = pytest.mark.skipif(shutil.which("promtool") is None, reason="no promtool (Debian's package prometheus)")


@pytest.fixture(scope="module")
def page(paring, tmp_path_factory):
    """The text of /metrics after a few requests and scores, on a machine whose limits are known."""
    folder = tmp_path_factory.mktemp("prometheus")
    model = folder / "small.gguf"
    tiny_model.write(model, chat_template=CHATML)
    prices = folder / "prices.json"
    prices.write_text(json.dumps(json.loads((ROOT / "deploy/prices.json").read_text())))
    environment = {"XDG_CACHE_HOME": str(folder / "cache"), "PARING_API_KEY": f"{KEY} scopes=inference,metrics"}
    info = subprocess.run([paring.path, "info", "--json"], env={**environment, "PATH": "/usr/bin:/bin"}, cwd=ROOT,
                          capture_output=True, text=True, timeout=120, check=True)
    assert json.loads((folder / "cache/paring/machine.json").read_text())["read_bytes_per_second"] > 0, info.stderr
    with ServerProcess(paring.path, f"small={model}", "--price-book", prices, env=environment) as server:
        headers = {"authorization": f"Bearer {KEY}"}
        for number in range(3):
            body = {**CHAT, "messages": [{"role": "user", "content": f"Hello {number}"}]}
            status, _, text = ask(server, "POST", "/v1/chat/completions", body, headers=headers)
            assert status == 200, text
            score = {"response_id": json.loads(text)["id"], "name": "rating", "value": number}
            status, _, text = ask(server, "POST", "/v1/feedback", score, headers=headers)
            assert status == 200, text
        # The samplers wake once a second: the second sample is the first with rates.
        for _ in range(600):
            text = server.get("/metrics")
            if "paring:process_cpu_seconds_total " in text:
                break
            threading.Event().wait(0.05)
        yield text


@pytest.fixture(scope="module")
def families(page):
    return {family.name: family for family in text_string_to_metric_families(page)}


def names_on(page):
    return {re.match(r"[a-zA-Z_:][a-zA-Z0-9_:]*", line).group() for line in page.splitlines()
            if line and not line.startswith("#")}


def names_in(expression):
    """Names of metrics in PromQL: identifiers that are no functions, words, labels or strings."""
    expression = re.sub(r'"[^"]*"', '""', expression)
    expression = re.sub(r"\[[^\]]*\]", "", expression)
    expression = re.sub(r"\{[^}]*\}", "", expression)
    expression = re.sub(r"\b(by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)", " ", expression)
    words = re.finditer(r"(?<![\w:.$])[a-zA-Z_:][\w:]*(?!\s*\()(?![\w:])", expression)
    return {word.group() for word in words} - {"by", "on", "and", "or", "unless", "bool", "offset"}


def rules():
    text = RULES.read_text()
    records = set(re.findall(r"record: (\S+)", text))
    expressions = []
    for block in re.findall(r"expr: (>-\n(?: {10,}.*\n)+|.*\n)", text):
        expressions.append(block.removeprefix(">-"))
    return records, expressions


def expressions_of_dashboard():
    document = json.loads(DASHBOARD.read_text())
    found = [target["expr"] for panel in document["panels"] for target in panel.get("targets", [])]
    variables = [v["definition"] for v in document["templating"]["list"] if "definition" in v]
    return found + [re.search(r"label_values\(([^,]+),", definition).group(1) for definition in variables]


def test_names_are_found_in_promql():
    expression = ('histogram_quantile(0.95, sum by (le, job) (rate(a:b_bucket{c="d"}[5m]))) / '
                  'ignoring (x) group_left () e_f > 2 and on (job) ALERTS{alertname="X"} or 1e6 * clamp_max(g, 3)')
    assert names_in(expression) == {"a:b_bucket", "e_f", "ALERTS", "g"}


@pytest.mark.parametrize("what", ["dashboard", "rules"])
def test_every_name_is_on_the_page(page, what):
    records, expressions = rules()
    if what == "dashboard":
        expressions = expressions_of_dashboard()
    used = set().union(*map(names_in, expressions))
    assert len(used) > 10
    reference = set(re.findall(r"^\| `([^`{]+)", (ROOT / "docs/reference/metrics.md").read_text(), re.M))
    missing = used - records - BUILT_IN - names_on(page)
    assert {name for name in missing if not ABSENT_HERE.match(name)} == set()
    assert missing <= reference


def test_what_grafana_needs_of_a_dashboard():
    document = json.loads(DASHBOARD.read_text())
    assert document["uid"] and document["title"] and document["schemaVersion"] >= 36
    panels = document["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken = set()
    for panel in panels:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        cells = {(x, y) for x in range(place["x"], place["x"] + place["w"])
                 for y in range(place["y"], place["y"] + place["h"])}
        assert not cells & taken, f"{panel['title']} lies on another panel"
        taken |= cells
        if panel["type"] == "row":
            continue
        assert panel["type"] in ("timeseries", "stat", "heatmap", "table") and panel["title"]
        assert panel["datasource"]["uid"] == "${datasource}"
        references = [target["refId"] for target in panel["targets"]]
        assert references and len(set(references)) == len(references)
        for target in panel["targets"]:
            assert "$instance" in target["expr"]
            assert target["expr"].count("(") == target["expr"].count(")")
    made = subprocess.run([sys.executable, ROOT / "tools/make_dashboard.py"], capture_output=True, text=True,
                          check=True)
    assert made.stdout == DASHBOARD.read_text(), "run tools/make_dashboard.py"


def test_histograms_are_whole(families):
    for name in ("vllm:time_to_first_token_seconds", "vllm:inter_token_latency_seconds",
                 "vllm:e2e_request_latency_seconds", "vllm:request_queue_time_seconds",
                 "vllm:request_prefill_time_seconds", "vllm:request_decode_time_seconds",
                 "vllm:request_inference_time_seconds", "vllm:request_time_per_output_token_seconds",
                 "vllm:request_prompt_tokens", "vllm:request_generation_tokens", "vllm:request_params_n",
                 "vllm:request_params_max_tokens", "vllm:request_prefill_kv_computed_tokens",
                 "vllm:iteration_tokens_total"):
        samples = families[name].samples
        buckets = [s.value for s in samples if s.name == f"{name}_bucket"]
        (count,) = [s.value for s in samples if s.name == f"{name}_count"]
        assert families[name].type == "histogram" and buckets == sorted(buckets) and buckets[-1] == count > 0, name


def value(families, name, **labels):
    family = families[name.removesuffix("_total")]
    (sample,) = [s for s in family.samples if s.name == name and labels.items() <= s.labels.items()]
    return sample.value


def histogram(families, name):
    samples = families[name].samples
    return next(s.value for s in samples if s.name == f"{name}_sum"), \
        next(s.value for s in samples if s.name == f"{name}_count")


def test_histograms_agree_with_counters(families):
    tokens, requests = histogram(families, "vllm:request_generation_tokens")
    assert requests == 3 and tokens == value(families, "vllm:generation_tokens_total")
    prompt, _ = histogram(families, "vllm:request_prompt_tokens")
    computed = value(families, "vllm:prompt_tokens_by_source_total", source="local_compute")
    cached = value(families, "vllm:prompt_tokens_by_source_total", source="local_cache_hit")
    assert prompt == computed + cached
    assert cached == value(families, "vllm:prefix_cache_hits_total")
    assert histogram(families, "vllm:request_prefill_kv_computed_tokens")[0] == computed
    assert histogram(families, "vllm:request_params_max_tokens") == (36, 3)
    whole = histogram(families, "vllm:request_inference_time_seconds")[0]
    parts = sum(histogram(families, f"vllm:request_{part}_time_seconds")[0] for part in ("prefill", "decode"))
    assert whole == pytest.approx(parts)


def test_machine_and_roofline(families):
    assert value(families, "paring:machine_is_measured") == 1
    assert value(families, "paring:process_cpu_seconds_total") >= 0
    assert value(families, "paring:host_cpu_seconds_total") > 0
    assert value(families, "paring:process_resident_memory_bytes") > 1e6
    seconds = value(families, "paring:model_step_seconds_total", model_name="small")
    for limit, amount, peak in (("memory", "paring:model_read_bytes_total", "paring:machine_read_bytes_per_second"),
                                ("compute", "paring:model_operations_total", None)):
        peaks = [value(families, peak)] if peak else [
            s.value for s in families["paring:machine_operations_per_second"].samples]
        least = value(families, amount, model_name="small") / max(peaks)
        assert value(families, "paring:roofline_least_seconds_total", limit=limit) == pytest.approx(least)
        assert value(families, "paring:roofline_use", limit=limit) == pytest.approx(least / seconds)


def test_costs_and_scores(families):
    tokens = value(families, "vllm:generation_tokens_total")
    money = sum(s.value for s in families["paring:money"].samples if s.name == "paring:money_total")
    assert money > 0 and value(families, "paring:money_per_token") == pytest.approx(money / tokens)
    assert value(families, "paring:energy_joules_per_token") > 0
    assert value(families, "paring:score_count", score="rating", source="user") == 3
    assert value(families, "paring:score_mean", score="rating", source="user") == 1


def test_figures_of_another_machine_are_no_limits(paring, tmp_path):
    model = tmp_path / "small.gguf"
    tiny_model.write(model, chat_template=CHATML)
    figures = tmp_path / "paring/machine.json"
    figures.parent.mkdir()
    figures.write_text(json.dumps({"cpu": "another", "isa": "avx2", "threads": 1, "read_bytes_per_second": 1e9,
                                   "f32_operations_per_second": 1, "int8_operations_per_second": 1,
                                   "bf16_operations_per_second": 0, "own_time_share": 1}))
    with ServerProcess(paring.path, f"small={model}", env={"XDG_CACHE_HOME": str(tmp_path)}) as server:
        page = server.get("/metrics")
    assert "paring:machine_is_measured 0" in page
    assert not {name for name in names_on(page) if name.startswith(("paring:roofline_", "paring:machine_read"))}


def check(*words, given=None):
    done = subprocess.run(["promtool", *map(str, words)], input=given, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@promtool
def test_promtool_reads_the_page(page):
    # Its linter wants no colon and no _total in gauges and histograms: vLLM's names have both. Errors of syntax count.
    done = subprocess.run(["promtool", "check", "metrics"], input=page, capture_output=True, text=True, timeout=60)
    complaints = [line for line in (done.stdout + done.stderr).splitlines() if line]
    allowed = re.compile(r"^\S+ (metric names should not contain ':'|"
                         r"non-counter metrics should not have \"_total\" suffix|"
                         r"non-histogram and non-summary metrics should not have \"_count\" suffix)$")
    assert [line for line in complaints if not allowed.match(line)] == []


@promtool
def test_promtool_checks_rules_and_configuration():
    assert "20 rules found" in check("check", "rules", RULES)
    check("check", "config", ROOT / "deploy/prometheus/prometheus.yml")
    assert "SUCCESS" in check("test", "rules", ROOT / "deploy/prometheus/rules_test.yml")


@promtool
def test_promtool_parses_every_expression_of_the_dashboard(tmp_path):
    expressions = expressions_of_dashboard()
    lines = ["groups:", "- name: dashboard", "  rules:"]
    for i, expression in enumerate(expressions):
        given = expression.replace("$__rate_interval", "5m").replace("$instance", ".*")
        lines += [f"  - record: dashboard:panel_{i}", f"    expr: {json.dumps(given)}"]
    rules_file = tmp_path / "rules.yml"
    rules_file.write_text("\n".join(lines) + "\n")
    assert f"{len(expressions)} rules found" in check("check", "rules", rules_file)
