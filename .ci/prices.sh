#!/usr/bin/env bash
# Writes sidecar/prices/ anew from the newest litellm wheel, or the version given: .ci/prices.sh [VERSION]
# Run by hand, read the difference, commit it. Needs network; nothing else here does because of prices.
set -euo pipefail
cd "$(dirname "$0")/.."

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# pip checks the wheel's hash against the index's; prices.py checks the table's against the wheel's own list.
python3 -m pip download --quiet --no-deps --only-binary :all: --dest "$work" "litellm${1:+==$1}"
python3 .ci/prices.py "$work"/litellm-*.whl sidecar/prices
