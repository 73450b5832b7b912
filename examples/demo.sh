#!/bin/sh
# A short scene: three agents talk through a store of their own, and share a tree. Each command is printed before what it prints.
# `make demo` runs it; by hand: sh examples/demo.sh with the programs on PATH.
set -eu

top=$(mktemp -d)
trap 'rm -rf "$top"' EXIT
cd "$top"
export SWARM_STORE="$top/.swarm"
unset SWARM_AGENT TMUX_PANE

if [ -t 1 ] && [ -z "${NO_COLOR-}" ]; then bold=$(printf '\033[1m') plain=$(printf '\033[0m'); else bold='' plain=''; fi

say() { printf '\n%s# %s%s\n' "$bold" "$*" "$plain"; }
run() {
    printf '%s$ %s%s\n' "$bold" "$1" "$plain"
    sh -c "$1"
}
# The id of the newest message of a type.
newest() { swarm-tail | swarm-filter --type "$1" | tail -n 1 | jq -r .msg_id; }

say 'agent-0 asks, agent-1 answers. Each line that comes back was on disk before it was printed.'
run "swarm-send --as agent-0 --to agent-1 --type question --ack 'Which schema does auth use?'"
question=$(newest question)
run "swarm-send --as agent-1 --to agent-0 --type ack --reply-to $question 'The one in db/auth.sql.'"

say 'agent-1 wants a review, and tells everybody that it is done.'
run "swarm-send --as agent-1 --to agent-2 --type review-request --thread auth --ack 'Please look at src/auth/login.rs'"
review=$(newest review-request)
run "swarm-send --as agent-1 --to @all --type completed --thread auth 'Login works.'"
run "swarm-send --as agent-2 --to agent-1 --type ack --reply-to $review 'Looks good.'"

say 'What was acknowledged?'
run 'swarm-tail | swarm-filter --type ack'

say 'The same through jq.'
run "swarm-tail | jq -r 'select(.msg_type == \"ACK\") | \"\\(.sender_id): \\(.content)\"'"

say 'agent-2 reads what is for it, at most two records at a time. Its cursor remembers.'
run 'swarm-tail --cursor agent-2 --limit 2 | swarm-filter --to agent-2 -c || true'
run "swarm-tail --cursor agent-2 | swarm-filter --to agent-2 | jq -r .content"
run "swarm-send --as agent-0 --to agent-2 'One more.'"
run "swarm-tail --cursor agent-2 | swarm-filter --to agent-2 | jq -r .content"

say 'A program talks too much: 1,000 messages at once. Ten a minute get through.'
flood='jq -nc "range(1000) | {content: \"flood \(.)\", recipients: [\"@all\"], sender_id: \"chatty\"}"'
run "$flood | swarm-ratelimit -n 10 --per 60s | swarm-send -q"
run 'swarm-tail | swarm-filter --from chatty -c'

say 'A follower prints what comes as it comes, and ends by itself when it has what it wanted.'
run "(sleep 0.2; swarm-send -q --as agent-0 --to agent-1 'Are you there?') & swarm-tail -f -n 0 | swarm-filter --to agent-1 -m 1 | jq -r .content"

say 'Who edits what? agent-1 takes a lease on all of src/auth. What agent-2 wants meets it, and the answer names a path of both.'
run "swarm-lock acquire --as agent-1 --reason 'OAuth rewrite' 'src/auth/**'"
run "swarm-lock acquire --as agent-2 'src/**/l*.rs' || true"
run "swarm-lock acquire --as agent-2 'src/[a-m]*.rs'"

say 'It waits in the queue instead, and has it as soon as agent-1 gives it back. The lease is held while a command runs.'
run "(until swarm-lock list | grep -q '\"waiters\":1'; do :; done; swarm-lock release --as agent-1 --all) &
swarm-lock run --as agent-2 --wait=1m 'src/**/l*.rs' -- echo 'agent-2 works'; wait"

say 'agent-1 left something locked and went home. It is taken away, and agent-1 is told.'
run "swarm-lock acquire --as agent-1 --ttl 8h docs"
run "swarm-lock release --as agent-2 --force --reason 'agent-1 went home' docs"
run "swarm-lock renew --as agent-1 || true"
run "swarm-tail | swarm-filter --type stolen,locked | jq -r .content"

say 'All of it is plain text.'
run 'ls .swarm .swarm/journal .swarm/locks/held'
run 'tail -n 1 .swarm/journal/*.ndjson'
