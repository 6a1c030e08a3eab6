#!/usr/bin/env bash
# Installs what nnq needs and is not there yet: the Debian packages of scripts/packages.txt and, with --tests, Node.js and ONNX
# Runtime (the judge of the interchange tests). Says what it does; does nothing twice.
set -euo pipefail
cd "$(dirname "$0")/.."

as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }

missing=()
while read -r package; do
  case "$package" in
    '# from here on only for'*) [ "${1:-}" = --tests ] || break ;;
  esac
  case "$package" in ''|'#'*) continue ;; esac
  dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' || missing+=("$package")
done < scripts/packages.txt
if [ "${1:-}" = --tests ]; then
  command -v node >/dev/null || missing+=(nodejs)
  command -v npm >/dev/null || missing+=(npm)
fi

if [ ${#missing[@]} -gt 0 ]; then
  if [ "$(id -u)" != 0 ] && ! command -v sudo >/dev/null; then
    echo "setup: these packages are missing and need root to install: ${missing[*]}" >&2
    echo "setup: run as root:  apt-get install --no-install-recommends ${missing[*]}" >&2
    exit 2
  fi
  echo "setup: installing ${#missing[@]} Debian packages: ${missing[*]}"
  log=$(mktemp)
  if ! { as_root apt-get update -q && as_root env DEBIAN_FRONTEND=noninteractive \
         apt-get install -qy --no-install-recommends "${missing[@]}"; } >"$log" 2>&1; then
    tail -n 20 "$log" >&2
    echo "setup: apt-get failed; the whole log is in $log" >&2
    exit 2
  fi
  rm -f "$log"
else
  echo "setup: all Debian packages are there"
fi
if [ "${1:-}" = --tests ]; then scripts/install_onnxruntime.sh; fi
