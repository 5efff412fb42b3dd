#!/usr/bin/env bash
# Runs the demo. KEEP=1 leaves it running in the background; STORY=outage tells another story.
set -euo pipefail
cd "$(dirname "$0")/.."

demo=$CARGO_TARGET_DIR/debug/demo
[ -z "${STORY:-}" ] || exec "$demo" --story "$STORY"
[ -n "${KEEP:-}" ] || exec "$demo"

mkdir -p .demo
if [ -s .demo/pid ]; then kill "$(cat .demo/pid)" 2>/dev/null || true; fi
: >.demo/log
setsid "$demo" --keep >.demo/log 2>&1 </dev/null &
echo $! >.demo/pid
# Its last line is the end of the curl command.
until grep -q '^ *-d ' .demo/log; do
    kill -0 "$(cat .demo/pid)" 2>/dev/null || { cat .demo/log && exit 1; }
    sleep 0.2
done
cat .demo/log
printf '\nStop it with:\n\n  kill %s\n' "$(cat .demo/pid)"
