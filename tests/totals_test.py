# SPDX-License-Identifier: Apache-2.0
"""The closing line of ./test can be trusted: failures, crashes and silence are all counted."""
import pathlib
import platform
import re
import subprocess
import sys

import pytest

SCRIPT = pathlib.Path(__file__).with_name("totals.py")
PASSES = '<testcase name="works" status="run" result="completed" classname="A"/>'
FAILS = '<testcase name="breaks" status="run" classname="A"><failure message="no"/></testcase>'
SKIPS = '<testcase name="avx512" status="run" result="skipped" classname="A"><skipped/></testcase>'


def suite(*rows):
    return f"<testsuites><testsuite>{''.join(rows)}</testsuite></testsuites>"


@pytest.fixture
def results(tmp_path):
    (tmp_path / "ci").mkdir()
    (tmp_path / "ci/io_test.xml").write_text(suite(PASSES, PASSES))
    (tmp_path / "ci-ctest.xml").write_text(suite('<testcase name="io_test" classname="io_test"/>'))
    (tmp_path / "pytest.xml").write_text(suite(PASSES))
    (tmp_path / "checks.txt").write_text("passed tidy\n")
    return tmp_path


def run(folder):
    done = subprocess.run([sys.executable, SCRIPT, folder, "--cpu"], capture_output=True, text=True)
    return done.returncode, done.stdout.splitlines()[-1], done.stdout


def test_all_passed(results):
    assert run(results)[:2] == (0, "4 passed, 0 failed")


def test_a_failed_unit_test_counts(results):
    (results / "ci/io_test.xml").write_text(suite(PASSES, FAILS))
    assert run(results)[:2] == (1, "3 passed, 1 failed")


def test_a_failed_check_counts(results):
    (results / "checks.txt").write_text("passed tidy\nfailed isa-symbols\n")
    assert run(results)[:2] == (1, "4 passed, 1 failed")


def test_a_failed_system_test_counts(results):
    (results / "pytest.xml").write_text(suite(FAILS))
    assert run(results)[:2] == (1, "3 passed, 1 failed")


def test_a_program_that_crashed_without_a_report_counts(results):
    (results / "ci/io_test.xml").unlink()
    (results / "ci-ctest.xml").write_text(suite('<testcase name="io_test"><failure message="SEGFAULT"/></testcase>'))
    assert run(results)[0] == 1


def test_a_leak_after_the_last_test_counts(results):
    (results / "ci-ctest.xml").write_text(suite('<testcase name="io_test"><failure message="leak"/></testcase>'))
    assert run(results)[:2] == (1, "4 passed, 1 failed")


@pytest.mark.parametrize("path, text", [
    ("ci/io_test.xml", suite()), ("ci/io_test.xml", suite(SKIPS)), ("ci-ctest.xml", suite()), ("pytest.xml", suite()),
    ("checks.txt", "")])
def test_a_suite_that_ran_nothing_fails(results, path, text):
    (results / path).write_text(text)
    code, last, output = run(results)
    assert code == 1 and last.endswith("1 failed") and "no test ran" in output


def test_levels_are_those_that_the_kernel_tests_printed(results):
    (results / "ci/kernels_test.xml").write_text(suite(PASSES))
    printed = "kernels: level avx2 is exercised\nkernels: level avx512 cannot run on this CPU and is NOT exercised\n"
    row = f'<testcase name="kernels_test"><system-out>{printed}</system-out></testcase>'
    (results / "ci-ctest.xml").write_text(suite(row))
    assert re.search(r"exercised: avx2( \(under qemu\))?;", run(results)[2])


def test_a_level_whose_tiles_were_emulated_says_so(results):
    printed = "kernels: level amx is exercised by emulation\nkernels: level reference is exercised\n"
    row = f'<testcase name="kernels_test"><system-out>{printed}</system-out></testcase>'
    (results / "ci-ctest.xml").write_text(suite(row))
    assert re.search(r"exercised: reference amx( \(tiles emulated\))?;", run(results)[2])


@pytest.mark.parametrize("outcome, ran", [("", True), ("<failure/>", False)])
def test_a_level_of_another_architecture_ran_under_qemu(results, outcome, ran):
    printed = "kernels: level neon is exercised\nkernels: level reference is exercised\n"
    row = f'<testcase name="kernels_test"><system-out>{printed}</system-out>{outcome}</testcase>'
    (results / "neon-ctest.xml").write_text(suite(row))
    other = "neon" if platform.machine() == "aarch64" else "neon (under qemu)"
    line = next(line for line in run(results)[2].splitlines() if line.startswith("instruction sets"))
    assert line.startswith(f"instruction sets exercised: reference {other};") == ran
    assert ("neon" in line.split(";")[1]) == (not ran and platform.machine() != "aarch64")
