# SPDX-License-Identifier: Apache-2.0
"""The reference pages are what the program prints. To renew one: paring docs PAGE > docs/reference/PAGE.md"""
import pytest


@pytest.mark.parametrize("page", ["settings", "commands", "formats", "architectures", "kernels", "routes"])
def test_page_is_up_to_date(paring, root, page):
    printed = paring("docs", page)
    assert printed.code == 0, printed.err
    path = root / "docs" / "reference" / f"{page}.md"
    assert path.read_text() == printed.out, f"stale: renew it with 'paring docs {page} > {path}'"
