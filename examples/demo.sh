#!/bin/sh
# A short scene: agents in tmux panes are found, are told things, answer, and share a tree. Each command is printed before what it prints.
# `make demo` runs it; by hand: sh examples/demo.sh with the programs on PATH. It needs tmux and jq.
#
# The tmux server, the store and the stand-ins for agent CLIs are its own, in a temporary directory, and end with it.
set -eu

top=$(mktemp -d)
export TMUX_TMPDIR="$top"
server() { command tmux -L demo -f /dev/null "$@"; }
trap 'server kill-server 2>/dev/null || true; rm -rf "$top"' EXIT
# A shell that is ended by a signal does not do the above by itself.
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM
export SWARM_STORE="$top/.swarm"
unset SWARM_AGENT TMUX TMUX_PANE

if [ -t 1 ] && [ -z "${NO_COLOR-}" ]; then bold=$(printf '\033[1m') plain=$(printf '\033[0m'); else bold='' plain=''; fi

say() { printf '\n%s# %s%s\n' "$bold" "$*" "$plain"; }
run() {
    printf '%s$ %s%s\n' "$bold" "$1" "$plain"
    sh -c "$1"
}
# The id of the newest message of a type.
newest() { swarm-tail | swarm-filter --type "$1" | tail -n 1 | jq -r .msg_id; }
# Runs a command until it prints that, for 30 seconds at most.
until_shown() {
    tries=300
    until eval "$1" | grep -qF -e "$2"; do
        tries=$((tries - 1))
        [ "$tries" -gt 0 ] || { echo "demo.sh: in vain: $1 | grep '$2'" >&2 && exit 1; }
        sleep 0.1
    done
}
screen() { server capture-pane -p -J -t "$1"; }

# A stand-in has the name of an agent CLI, and prints what it is told. (awk, since a program of many names would look at its own.)
mkdir "$top/bin"
cd "$top"
for name in claude codex; do ln -s "$(readlink -f "$(command -v awk)")" "$top/bin/$name"; done
export PATH="$top/bin:$PATH"
prints="'{ print; fflush() }'"
server new-session -d -x 160 -y 40 "stty -echo; exec claude $prints" \; split-window "stty -echo; exec codex $prints" \; split-window sh \; \
    select-layout even-vertical
panes='tmux -L demo list-panes -F "#{pane_id} #{pane_current_command}"'
for pane in '%0 claude' '%1 codex' '%2 sh'; do until_shown "$panes" "$pane"; done

say 'Three panes of a tmux server: two agents (stand-ins, which print what they are told), and a shell.'
run "$panes"

say 'They are found by what runs in them, and registered. I am none of them: I read my inbox myself.'
run 'swarm-agents discover -L demo --register | jq -c "{agent_id, kind, pane, registered}"'
run 'swarm-agents register lead --route inbox | jq -c "{event, agent_id, route}"'

say 'A question for agent-1. It is on disk before the answer comes, and then in the pane: delivered.'
run "swarm-send --as lead --to agent-1 --type question --ack 'Which schema does auth use?' | jq -c '{seq, outcomes}'"
question=$(newest question)
until_shown 'screen %1' '| Which schema'
run 'tmux -L demo capture-pane -p -t %1 | sed "/^$/d"'

say 'The shell is made an agent too. Everybody is told; but nothing is typed at a prompt, where it would be run.'
run 'swarm-agents register shell-1 -L demo --pane %2 | jq -c [.agent_id,.pane]'
run "swarm-send --as lead --to @all --thread auth 'Please run: rm -rf build' | jq -c '.outcomes[]'"
until_shown 'screen %0' '| Please run'
until_shown 'screen %1' '| Please run'
run "for pane in %0 %1 %2; do echo \"-- \$pane\"; tmux -L demo capture-pane -p -t \$pane | sed '/^\$/d'; done"

say 'agent-1 acknowledges, and says more. It is my inbox that has it.'
run "swarm-ack --as agent-1 -m 'The one in db/auth.sql.' $question | jq -c '[.status,.seq]'"
run "swarm-send -q --as agent-1 --to lead --type completed --thread auth 'Login works.'"
run 'swarm-tail --inbox --as lead --count'
run 'swarm-tail --inbox --as lead --limit 1 | jq -r .content'
run "swarm-tail --inbox --as lead | jq -r '\"\\(.sender_id): \\(.content)\"'"
run 'swarm-tail --inbox --as lead --count || echo "nothing new"'

say 'The journal has it all. What was acknowledged? What became of each message?'
run 'swarm-tail | swarm-filter --type ack'
run 'swarm-tail | swarm-filter --type delivery | jq -c .data.counts'

say 'A question that nobody answers: it is sent again, with its number, and then brought before everyone. (After 30, 60 and 120 seconds; here it is shorter.)'
run "swarm-send --as lead --to agent-0 --type question --ack --retry 300ms,300ms --wait 'May I drop the old index?' | jq -c '[.status,.waiting]' || true"
until_shown 'screen %1' 'no acknowledgement of agent-0'
run 'tmux -L demo capture-pane -p -J -t %0 | grep -F -B 1 "| May I"'
run 'tmux -L demo capture-pane -p -J -t %1 | grep -F -B 1 -A 1 "no acknowledgement"'

say 'It can be acknowledged yet. All of it stands in the journal.'
late=$(newest question)
run 'swarm-ack pending | jq -c "[.agent_id,.state,.tries]"'
run "swarm-ack --as agent-0 -m 'Yes.' $late | jq -r .status"
run "swarm-ack status $late | jq -c '[.event,.agent_id,.outcome,.why]'"
run 'swarm-ack pending || echo "nothing waits"'

say 'A program talks too much: 1,000 messages at once. Ten a minute get through.'
flood='jq -nc "range(1000) | {content: \"flood \(.)\", recipients: [\"lead\"], sender_id: \"chatty\"}"'
run "$flood | swarm-ratelimit -n 10 --per 60s | swarm-send -q"
run 'swarm-tail | swarm-filter --from chatty --type info -c'

say 'A follower prints what comes as it comes, and ends by itself when it has what it wanted.'
run "(sleep 0.2; swarm-send -q --as agent-0 --to lead 'Are you there?') & swarm-tail -f -n 0 | swarm-filter --to lead -m 1 | jq -r .content; wait"

say 'Who edits what? agent-0 takes a lease on all of src/auth. What agent-1 wants meets it, and the answer names a path of both.'
run "swarm-lock acquire --as agent-0 --reason 'OAuth rewrite' 'src/auth/**'"
run "swarm-lock acquire --as agent-1 'src/**/l*.rs' || true"
run "swarm-lock acquire --as agent-1 'src/[a-m]*.rs'"

say 'It waits in the queue instead, and has it as soon as agent-0 gives it back. The lease is held while a command runs.'
run "(until swarm-lock list | grep -q '\"waiters\":1'; do :; done; swarm-lock release --as agent-0 --all) &
swarm-lock run --as agent-1 --wait=1m 'src/**/l*.rs' -- echo 'agent-1 works'; wait"

say 'agent-0 left something locked and went home. It is taken away, and agent-0 is told.'
run "swarm-lock acquire --as agent-0 --ttl 8h docs"
run "swarm-lock release --as agent-1 --force --reason 'agent-0 went home' docs"
run "swarm-lock renew --as agent-0 || true"
run "swarm-tail | swarm-filter --type stolen,locked | jq -r .content"

say 'All of it is plain text.'
run 'ls .swarm .swarm/agents .swarm/journal'
run 'tail -n 1 .swarm/journal/*.ndjson'
