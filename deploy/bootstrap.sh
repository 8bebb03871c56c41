#!/bin/sh
# Makes .venv with everything that the fleet needs. Quick where nothing has changed.
set -eu
cd "$(dirname "$0")/.."

stamp=.venv/installed
# The folder counts too: a copied environment still points to where it was made.
wanted="$(cksum requirements.lock pyproject.toml workers/pyproject.toml) $(pwd -P)"
if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ] && .venv/bin/python -c '' 2>/dev/null; then
    exit 0
fi

if [ -e .venv ] && [ ! -w .venv ]; then
    echo "$(pwd)/.venv belongs to another user: run as that user, or remove it." >&2
    exit 1
fi
echo "Setting up .venv (about a minute the first time)" >&2
rm -f "$stamp"
deploy/uv.sh venv --quiet --clear .venv
deploy/uv.sh pip install --quiet --python .venv/bin/python --require-hashes -r requirements.lock
deploy/uv.sh pip install --quiet --python .venv/bin/python --no-deps -e . -e ./workers
printf '%s' "$wanted" >"$stamp"
