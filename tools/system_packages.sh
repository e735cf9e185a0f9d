#!/usr/bin/env bash
# Installs the named Debian packages that are missing; where that is not possible, one line says which.
set -euo pipefail
missing=()
for package in "$@"; do
  case "$package" in  # a program or header that is already there, from wherever, is enough
    g++) command -v g++ >/dev/null || command -v clang++ >/dev/null || missing+=("$package") ;;
    libhwy-dev) test -e /usr/include/hwy/highway.h || test -e /usr/local/include/hwy/highway.h || missing+=("$package") ;;
    chromium) command -v chromium >/dev/null || command -v chromium-browser >/dev/null || missing+=("$package") ;;
    clang) command -v clang++ >/dev/null || missing+=("$package") ;;
    g++-aarch64-linux-gnu) command -v aarch64-linux-gnu-g++ >/dev/null || missing+=("$package") ;;
    qemu-user) command -v qemu-aarch64 >/dev/null || missing+=("$package") ;;
    jackd2) command -v jackd >/dev/null || missing+=("$package") ;;
    libportaudio2) ldconfig -p 2>/dev/null | grep -q libportaudio || missing+=("$package") ;;
    python3-dev) python3 -c 'import sysconfig, pathlib, sys; sys.exit(not (pathlib.Path(sysconfig.get_paths()["include"]) / "Python.h").exists())' || missing+=("$package") ;;
    python3-venv) python3 -c 'import venv, ensurepip' 2>/dev/null || missing+=("$package") ;;
    *) dpkg -s "$package" >/dev/null 2>&1 || missing+=("$package") ;;
  esac
done
[ ${#missing[@]} -eq 0 ] && exit 0
sudo=""
[ "$(id -u)" -eq 0 ] || sudo="sudo -n"
if command -v apt-get >/dev/null && { [ -z "$sudo" ] || sudo -n true 2>/dev/null; }; then
  echo "installing ${missing[*]}"
  export DEBIAN_FRONTEND=noninteractive
  $sudo apt-get update -qq >/dev/null
  $sudo apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
else
  echo "please install these packages first: ${missing[*]} (Debian, Ubuntu: sudo apt-get install ${missing[*]})" >&2
  exit 1
fi
