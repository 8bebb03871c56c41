#!/bin/sh
# Runs uv with the given arguments, and gets it through pip where it is not installed.
set -eu
cd "$(dirname "$0")/.."

say() { printf '%s\n' "$*" >&2; }

find_python() {
    for candidate in python3 python3.14 python3.13 python3.12 python3.11; do
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            command -v "$candidate"
            return
        fi
    done
    say "Python 3.11 or newer is needed and was not found. Install it, then run make again:"
    say "  Debian, Ubuntu: apt install python3        Fedora: dnf install python3"
    say "  macOS: brew install python                 Alpine: apk add python3"
    exit 1
}

install_uv() {
    say "Installing uv into .uv"
    mkdir -p .uv
    if "$python" -m pip --version >/dev/null 2>&1; then
        # A user's own rules about where packages go do not apply to a folder of ours.
        PIP_USER=0 PIP_REQUIRE_VIRTUALENV=0 \
            "$python" -m pip install --quiet --upgrade --target .uv uv >&2 && return
    elif "$python" -m venv .uv/pip >/dev/null 2>&1; then
        PIP_USER=0 .uv/pip/bin/python -m pip install --quiet uv >&2 && return
    else
        say "$python has no pip, and could not make one. Install pip, or uv itself:"
        say "  Debian, Ubuntu: apt install python3-pip    Fedora: dnf install python3-pip"
        say "  macOS: brew install uv                     Alpine: apk add py3-pip"
        exit 1
    fi
    say "uv could not be installed (see above). Behind a proxy or with a package index of your"
    say "own, set HTTPS_PROXY or PIP_INDEX_URL; or install uv yourself and run make again."
    exit 1
}

find_uv() {
    for candidate in uv .uv/bin/uv .uv/pip/bin/uv; do
        if "$candidate" --version >/dev/null 2>&1; then
            printf '%s\n' "$candidate"
            return
        fi
    done
}

python=$(find_python)
uv=$(find_uv)
if [ -z "$uv" ]; then
    install_uv
    uv=$(find_uv)
fi

# uv does not read pip's settings: an index or certificate set for pip alone holds for uv too.
if [ -z "${UV_DEFAULT_INDEX:-}${UV_INDEX_URL:-}" ]; then
    index=${PIP_INDEX_URL:-$("$python" -m pip config get global.index-url 2>/dev/null || true)}
    if [ -n "$index" ]; then export UV_DEFAULT_INDEX="$index"; fi
fi
if [ -z "${SSL_CERT_FILE:-}" ] && [ -n "${PIP_CERT:-}" ]; then
    export SSL_CERT_FILE="$PIP_CERT"
fi
export UV_PYTHON="${UV_PYTHON:-$python}"
exec "$uv" "$@"
