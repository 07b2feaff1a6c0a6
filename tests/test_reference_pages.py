# SPDX-License-Identifier: Apache-2.0
"""The reference pages are what the program prints. To renew one: paring docs PAGE > docs/reference/PAGE.md"""
import pytest


@pytest.mark.parametrize("page", ["settings", "commands", "formats", "architectures", "kernels", "routes", "metrics"])
def test_page_is_up_to_date(paring, root, page):
    printed = paring("docs", page)
    assert printed.code == 0, printed.err
    path = root / "docs" / "reference" / f"{page}.md"
    assert path.read_text() == printed.out, f"stale: renew it with 'paring docs {page} > {path}'"


def test_every_metric_of_a_server_is_in_the_reference(paring, root, model):
    from server_process import ServerProcess
    with ServerProcess(paring.path, f"smol={model}") as server:
        told = {line.split()[2] for line in server.get("/metrics").splitlines() if line.startswith("# TYPE")}
    rows = (root / "docs/reference/metrics.md").read_text().splitlines()
    listed = {line.split("`")[1].split("{")[0] for line in rows if line.startswith("| `")}
    assert told <= listed and len(told) > 30
    # Of the semantic cache, of an original model, of objectives and of content, which this server does not have.
    # Or that tests/test_prometheus.py makes: limits that were measured, prices, scores, and a second of samples.
    absent = ("paring:semantic_cache", "paring:quality_live", "paring:content_redactions", "paring:certificate_",
              "paring:gpu_", "paring:host_", "paring:process_", "paring:machine_", "paring:roofline_", "paring:money_",
              "paring:score_", "paring:energy_joules_per_token", "paring:slo_", "paring:alert")
    assert {name for name in listed - told if not name.startswith(absent)} == set()
