#!/usr/bin/env bash
# Renders examples/failover into envoy/, its secrets left out.
set -euo pipefail
cd "$(dirname "$0")/.."

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
OPENAI_API_KEY=none ANTHROPIC_API_KEY=none "$CARGO_TARGET_DIR/debug/attache" render envoy \
    -c examples/failover/attache.yaml -o "$dir" --at /etc/attache >/dev/null
rm -rf "$dir/sds"
cp -r "$dir/." envoy/
chmod -R u=rwX,go=rX envoy
git status --short envoy 2>/dev/null || true
