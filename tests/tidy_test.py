# SPDX-License-Identifier: Apache-2.0
"""Each rule of tidy.py must be able to fail: a bad sample for each, and a good one that none of them minds."""
import pytest
import tidy

SPDX = "// SPDX-License-Identifier: Apache-2.0\n"
GOOD = {
    "src/modules.txt": "base :\nquant : base\nio : quant\n",
    **{f"src/{m}/README.md": "# m\n" for m in ("base", "quant", "io")},
    **{f"src/{m}/CMakeLists.txt": f"paring_module({m})\n" for m in ("base", "quant", "io")},
    "src/base/result.h": SPDX + "#pragma once\n",
    "src/io/gguf.cc": SPDX + '#include "base/result.h"\n// printf( in a comment\nconst char* text = "new int";\n',
}

# rule, file, its text, a part of the finding
SAMPLES = [
    ("layers", "src/base/a.cc", SPDX + '#include "io/gguf.h"\n', "must not include io"),
    ("layers", "src/io/a.cc", SPDX + '#include "quant/detail/x.h"\n', "private"),
    ("layers", "src/io/a.cc", SPDX + '#include "gguf.h"\n', "does not begin with a module"),
    ("layers", "src/extra/a.cc", SPDX, "no line in src/modules.txt"),
    ("modules_are_acyclic", "src/modules.txt", "base : io\nio :\n", "not above"),
    ("licence_line", "src/io/a.cc", "int x;\n", "SPDX"),
    ("licence_line", "tools/a.py", "import os\n", "SPDX"),
    ("licence_line", "run", "#!/bin/bash\nset -e\n\n", "SPDX"),
    ("sizes", "src/io/a.cc", SPDX + "int x;\n" * 500, "502 lines"),
    ("sizes", "src/io/a_test.cc", SPDX + "int x;\n" * 1000, "limit is 1000"),
    ("sizes", "src/io/a.cc", SPDX + "x" * 101 + "\n", "101 columns"),
    ("function_sizes", "src/io/a.cc", SPDX + "int f(int x) {\n" + "  ++x;\n" * 80 + "}\n", "82 lines"),
    ("ascii_sources", "src/io/a.cc", SPDX + "// caf\u00e9\n", "ASCII"),
    ("banned_tokens", "src/io/a.cc", SPDX + "#include <iostream>\n", "only cli prints"),
    ("banned_tokens", "src/io/a.cc", SPDX + 'void f() { printf("x"); }\n', "only cli prints"),
    ("banned_tokens", "src/io/a.cc", SPDX + "void f() { abort(); }\n", "PARING_CHECK"),
    ("banned_tokens", "src/io/a.cc", SPDX + "auto* x = new Thing();\n", "make_unique"),
    ("banned_tokens", "src/io/a.cc", SPDX + "void f(int* x) { delete x; }\n", "unique_ptr"),
    ("banned_tokens", "src/io/a.cc", SPDX + "int x = rand();\n", "counter-based"),
    ("banned_tokens", "src/io/a.cc", SPDX + "std::regex r;\n", "parser"),
    ("banned_tokens", "src/io/a.cc", SPDX + "int r = system(command);\n", "no shell"),
    ("banned_tokens", "src/io/a.cc", SPDX + "int r = std::stoi(text);\n", "from_chars"),
    ("headers", "src/io/a.h", SPDX, "#pragma once"),
    ("headers", "src/io/a.h", SPDX + "#pragma once\nusing namespace std;\n", "using namespace"),
    ("one_baseline", "cmake/x.cmake", "add_compile_options(-march=native)\n", "ISA folder"),
    ("modules_are_complete", "src/modules.txt", GOOD["src/modules.txt"] + "text : base\n", "no README"),
    ("modules_are_complete", "src/io/README.md", "line\n" * 31, "more than 30"),
    ("modules_are_complete", "src/io/CMakeLists.txt", "\n", "paring_module(io)"),
    ("modules_are_complete", "src/odd/a_test.cc", SPDX, "never built"),
    ("links", "docs/a.md", "see [this](../src/io/nothing.h)\n", "leads nowhere"),
    ("speaks_of_itself", "docs/a.md", "run it in /work/main\n", "outside the project"),
    ("speaks_of_itself", "docs/a.md", "from https://mirror.internal.net/simple\n", "mirror.internal.net"),
]


@pytest.mark.parametrize("rule, path, text, expected", SAMPLES, ids=[f"{s[0]}-{i}" for i, s in enumerate(SAMPLES)])
def test_a_bad_sample_is_found(rule, path, text, expected):
    findings = list(getattr(tidy, rule)(tidy.Repository({**GOOD, path: text})))
    assert any(expected in finding.text for finding in findings), findings


def test_every_rule_has_a_bad_sample():
    assert {rule.__name__ for rule in tidy.RULES} == {sample[0] for sample in SAMPLES}


def test_a_good_repository_has_no_findings():
    repo = tidy.Repository(GOOD)
    assert [str(f) for rule in tidy.RULES for f in rule(repo)] == []


@pytest.mark.parametrize("line", [
    "std::unique_ptr<Pool> pool(new Pool(options));", "new (place) Cell();", "Cell(const Cell&) = delete;",
    "snprintf(buffer, sizeof buffer, format);", "int renew = 1;"])
def test_what_only_looks_banned_is_allowed(line):
    assert list(tidy.banned_tokens(tidy.Repository({**GOOD, "src/io/a.cc": SPDX + line + "\n"}))) == []


def test_the_transitive_closure_is_allowed():
    assert tidy.Repository(GOOD).closure["io"] == {"io", "quant", "base"}
