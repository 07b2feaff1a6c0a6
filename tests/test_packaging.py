# SPDX-License-Identifier: Apache-2.0
"""What is installed and where, the container's list of libraries, completion in real shells, the manual page, and
that starting the program does not load what it may never need."""
import os
import pathlib
import re
import shutil
import subprocess

import pytest

# In every debian:12-slim: apt itself is linked with them.
IN_THE_BASE_IMAGE = {"libc6", "libgcc-s1", "libstdc++6"}
LOADED_LATER = {"libcurl4", "ca-certificates"}


@pytest.fixture(scope="module")
def build(paring):
    folder = pathlib.Path(paring.path).resolve().parent
    if not (folder / "CMakeCache.txt").exists():
        pytest.skip("the program under test does not lie in its build folder")
    return folder


@pytest.fixture(scope="module")
def installed(build, tmp_path_factory):
    place = tmp_path_factory.mktemp("installed")
    done = subprocess.run(["cmake", "--install", build, "--prefix", "/usr"], capture_output=True, text=True,
                          env={**os.environ, "DESTDIR": str(place)})
    assert done.returncode == 0, done.stderr
    return place / "usr"


def test_files_are_where_programs_look_for_them(installed, paring):
    files = {str(p.relative_to(installed)): p for p in installed.rglob("*") if p.is_file()}
    printed = {"share/bash-completion/completions/paring": ["completion", "bash"],
               "share/zsh/site-functions/_paring": ["completion", "zsh"],
               "share/fish/vendor_completions.d/paring.fish": ["completion", "fish"],
               "share/man/man1/paring.1": ["docs", "man"]}
    for name, words in printed.items():
        assert files[name].read_text() == paring(*words).out and files[name].stat().st_mode & 0o777 == 0o644
    assert os.access(files["bin/paring"], os.X_OK)
    assert {"share/doc/paring/README.md", "share/doc/paring/LICENSE", "share/doc/paring/CHANGELOG.md",
            "share/doc/paring/reference/commands.md", "share/doc/paring/howto/optimize-a-model.md"} <= set(files)
    outside = {name for name in files if not name.startswith(("bin/", "share/"))}
    units = {"lib/systemd/system/paring.service", "lib/sysusers.d/paring.conf"}
    assert outside == units, "headers and static libraries are nobody's business"
    done = subprocess.run([files["bin/paring"], "--version"], capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout == paring("--version").out


def packages_of(program):
    listed = subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout
    assert "not found" not in listed
    found = set()
    for path in re.findall(r"(/\S+) \(0x", listed):
        real = os.path.realpath(path)
        candidates = {path, real, real.removeprefix("/usr"), "/usr" + path}
        owners = [subprocess.run(["dpkg", "-S", each], capture_output=True, text=True) for each in candidates]
        names = {done.stdout.split(":")[0] for done in owners if done.returncode == 0}
        assert len(names) == 1, (path, names)
        found |= names
    return found


def test_the_image_holds_the_libraries_that_the_program_needs(paring, root):
    if shutil.which("dpkg") is None or "ID=debian" not in pathlib.Path("/etc/os-release").read_text():
        pytest.skip("names of packages are Debian's")
    final = (root / "Dockerfile").read_text().split("FROM debian:12-slim")[-1]
    block = re.search(r"install -y --no-install-recommends ((?:.*\\\n)+?) +&& rm", final).group(1)
    listed = set(re.findall(r"[a-z][a-z0-9.+-]+", block))
    assert listed == packages_of(paring.path) - IN_THE_BASE_IMAGE | LOADED_LATER


def test_the_image_is_small_and_not_root(root):
    text = (root / "Dockerfile").read_text()
    stages = text.split("FROM ")[1:]
    assert [stage.split()[0] for stage in stages] == ["debian:12-slim"] * 2
    final = stages[-1]
    assert "USER paring" in final and final.index("USER paring") > final.index("COPY --from=build")
    assert "COPY . ." not in final and "-dev" not in final
    assert text.count("rm -rf /var/lib/apt/lists/*") == text.count("apt-get update") == 2
    ignored = (root / ".dockerignore").read_text().split()
    assert {".git", "build", "models", ".venv"} <= set(ignored)


def test_libcurl_is_loaded_by_the_first_download_only(paring, tmp_path):
    listed = subprocess.run(["ldd", paring.path], capture_output=True, text=True, check=True).stdout
    assert "libcurl" not in listed and len(listed.splitlines()) <= 12, listed
    # A folder with a libcurl that is none stands for a machine without it.
    (tmp_path / "libcurl.so.4").write_text("not a library")
    env = {"LD_LIBRARY_PATH": str(tmp_path), "HF_HOME": str(tmp_path), "HF_ENDPOINT": "http://127.0.0.1:1"}
    assert paring("--version", env=env).code == 0 and paring("docs", "settings", env=env).code == 0
    refused = paring("pull", "hf:owner/name", env=env)
    assert refused.code == 7 and "libcurl.so.4" in refused.err and "libcurl4" in refused.err


def bash_words(paring, line):
    """What bash would offer for the last word of a line."""
    words = line.split(" ")
    script = f"""
source <({paring.path} completion bash)
COMP_WORDS=({" ".join(repr(w) for w in words)}) COMP_CWORD={len(words) - 1}
_paring
printf '%s\\n' "${{COMPREPLY[@]}}"
"""
    env = {key: value for key, value in os.environ.items() if not key.startswith("PARING_")}
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, env=env)
    assert done.returncode == 0 and done.stderr == "", done.stderr
    return done.stdout.split()


def test_bash_completes_commands_options_and_values(paring, tmp_path, monkeypatch):
    commands = bash_words(paring, "paring ")
    assert {"inspect", "run", "optimize", "completion"} <= set(commands) and "docs" not in commands
    assert bash_words(paring, "paring ins") == ["inspect"]
    assert {"--memory", "--gpu", "--threads", "--json"} <= set(bash_words(paring, "paring inspect --"))
    assert bash_words(paring, "paring inspect --mem") == ["--memory"]
    assert "--max-tokens" not in bash_words(paring, "paring inspect --")
    assert bash_words(paring, "paring run --kv-type ") == ["auto", "q8", "q4", "f16", "bf16", "f32"]
    types = bash_words(paring, "paring quantize model.gguf out.gguf --type Q4_")
    assert sorted(types) == ["Q4_0", "Q4_1", "Q4_K"]
    assert bash_words(paring, "paring completion ") == ["bash", "zsh", "fish"]
    (tmp_path / "model.gguf").touch()
    assert bash_words(paring, f"paring inspect {tmp_path}/mod") == [f"{tmp_path}/model.gguf"]
    assert bash_words(paring, "paring --version --") != []


def need(shell):
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")


def test_fish_completes(paring, tmp_path):
    need("fish")
    (tmp_path / "paring.fish").write_text(paring("completion", "fish").out)

    def words(line):
        done = subprocess.run(["fish", "--no-config", "-c", f"source {tmp_path}/paring.fish; complete -C {line!r}"],
                              capture_output=True, text=True, env={**os.environ, "HOME": str(tmp_path)})
        assert done.returncode == 0 and done.stderr == "", done.stderr
        return [text.split("\t")[0] for text in done.stdout.splitlines()]

    assert {"inspect", "run"} <= set(words("paring "))
    assert words("paring inspect --mem") == ["--memory"]
    assert words("paring run --kv-type ") == ["auto", "bf16", "f16", "f32", "q4", "q8"]
    assert words("paring completion ") == ["bash", "fish", "zsh"]


def need_a_terminal():
    try:
        for descriptor in os.openpty():
            os.close(descriptor)
    except OSError as error:  # a container or chroot without /dev/pts
        pytest.skip(f"this system gives no pseudo-terminal ({error}); mount devpts on /dev/pts")


def test_zsh_understands_its_script(paring, tmp_path):
    need("zsh")
    (tmp_path / "_paring").write_text(paring("completion", "zsh").out)
    done = subprocess.run(["zsh", "-f", "-n", tmp_path / "_paring"], capture_output=True, text=True)
    assert done.returncode == 0 and done.stderr == "", done.stderr
    need_a_terminal()
    # A terminal, two tabs: zsh itself says what it offers.
    script = f"""
zmodload zsh/zpty
zpty z "TERM=dumb zsh -f -i"
zpty -w z 'PS1=""; fpath=({tmp_path} $fpath); autoload -U compinit; compinit -u -d {tmp_path}/dump; print rea""dy'
zpty -r z seen '*ready*'
zpty -w -n z $'paring inspect --mem\t'
zpty -r z seen '*--memory*' && print -r -- "$seen"
"""
    done = subprocess.run(["zsh", "-f", "-c", script], capture_output=True, text=True, timeout=60)
    assert "--memory" in done.stdout, done.stdout + done.stderr


def test_the_manual_page_has_no_mistakes(paring, tmp_path):
    page = tmp_path / "paring.1"
    page.write_text(paring("docs", "man").out)
    text = page.read_text()
    for section in ("NAME", "SYNOPSIS", "COMMANDS", "SETTINGS", "ENVIRONMENT", "EXIT STATUS"):
        assert f"\n.SH {section}\n" in text
    for word in re.findall(r"^  (--[a-z-]+)", paring("run", "--help").out, re.M):
        assert word.replace("-", "\\-") in text
    if shutil.which("mandoc"):
        done = subprocess.run(["mandoc", "-T", "lint", "-W", "warning", page], capture_output=True, text=True)
        # A page that is made anew for each build has no date of its own.
        assert [line for line in done.stdout.splitlines() if "missing date" not in line] == []
    if shutil.which("groff"):
        done = subprocess.run(["groff", "-man", "-Tutf8", "-ww", "-z", page], capture_output=True, text=True)
        assert done.stderr == "", done.stderr


def test_starting_is_fast_because_little_is_loaded(paring):
    """Counted, not timed: what the loader maps decides how long a start takes."""
    done = subprocess.run(["strace", "-f", "-e", "trace=openat", paring.path, "--version"], capture_output=True,
                          text=True) if shutil.which("strace") else None
    if done is None:
        pytest.skip("strace is not installed")
    opened = set(re.findall(r'"([^"]+\.so[^"]*)", O_RDONLY\|O_CLOEXEC\) = \d', done.stderr))
    assert len(opened) <= 12, opened


def test_the_commit_is_that_of_the_sources_and_written_only_when_it_changes(root, tmp_path):
    source, header = tmp_path / "source", tmp_path / "out/commit.h"
    source.mkdir()
    (source / "a.txt").write_text("a")

    def git(*words):
        return subprocess.run(["git", "-c", "user.name=T", "-c", "user.email=t@example.org", "-C", source, *words],
                              check=True, capture_output=True, text=True).stdout.strip()

    def written():
        words = ["cmake", f"-DSOURCE={source}", f"-DOUT={header}", "-P", root / "cmake/commit.cmake"]
        subprocess.run(words, check=True, capture_output=True,
                       env={**os.environ, "GIT_CEILING_DIRECTORIES": str(tmp_path)})
        return re.fullmatch(r'#define PARING_COMMIT_TEXT "(.*)"\n', header.read_text()).group(1)

    assert written() == "unknown"
    git("init", "-q")
    git("add", ".")
    git("commit", "-q", "-m", "a")
    commit = git("rev-parse", "--short=12", "HEAD")
    assert written() == commit
    stamp = header.stat().st_mtime_ns
    (source / "a.txt").touch()
    assert written() == commit and header.stat().st_mtime_ns == stamp
    (source / "a.txt").write_text("b")
    assert written() == commit + "-dirty"
    git("commit", "-q", "-a", "-m", "b")
    assert written() == git("rev-parse", "--short=12", "HEAD") != commit
