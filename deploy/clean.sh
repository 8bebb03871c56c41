#!/bin/sh
# Removes what make made: environment, data and logs of the fleet, caches.
set -eu
cd "$(dirname "$0")/.."

holder=$(cat .fleet/lock 2>/dev/null || true)
if [ -n "$holder" ] && kill -0 "$holder" 2>/dev/null; then
    echo "A fleet may be running here (process $holder): stop it first, or remove .fleet/lock." >&2
    exit 1
fi
if [ -f .fleet/postgres.json ]; then # under root, data may lie where an ordinary user can get to
    elsewhere=$(sed -n 's/.*"folder": "\(.*\)".*/\1/p' .fleet/postgres.json)
    case "$elsewhere" in
    /*/agent-fleet-postgres-*) rm -rf "$elsewhere" ;;
    esac
fi
rm -rf .venv .bench-venv .uv .fleet .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
find . -name __pycache__ -type d -prune -exec rm -rf {} +
