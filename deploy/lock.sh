#!/bin/sh
# Renews requirements.lock: exact versions and hashes for every platform, and no address, so that it
# installs from whatever package index the machine uses.
set -eu
uv=$(command -v uv || printf '%s' .uv/bin/uv)
[ -x "$uv" ] || .venv/bin/python -m pip install --quiet --target .uv uv
"$uv" lock --quiet --upgrade
"$uv" export --quiet --frozen --format requirements-txt --all-packages --all-extras --all-groups \
    --no-emit-workspace --no-header --output-file requirements.lock
