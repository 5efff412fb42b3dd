#!/usr/bin/env bash
# Renders examples/failover into envoy/, its secrets left out; beside it what is made from the configuration's types, and
# the documents that say what translation does.
set -euo pipefail
cd "$(dirname "$0")/.."

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
OPENAI_API_KEY=none ANTHROPIC_API_KEY=none "$CARGO_TARGET_DIR/debug/attache" render envoy \
    -c examples/failover/attache.yaml -o "$dir" --at /etc/attache >/dev/null
rm -rf "$dir/sds"
cp -r "$dir/." envoy/
chmod -R u=rwX,go=rX envoy
"$CARGO_TARGET_DIR/debug/attache" schema > envoy/attache.schema.json
"$CARGO_TARGET_DIR/debug/attache" schema --markdown > filter/docs/configuration.md
ATTACHE_BLESS=1 cargo test --quiet -p wire --test laws documents >/dev/null
git status --short envoy filter/docs 2>/dev/null || true
