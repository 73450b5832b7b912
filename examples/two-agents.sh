#!/bin/sh
# Two agents that work on one project: a tmux session with a pane for each, who know of each other and how to talk.
#
#   examples/two-agents.sh [DIR]         Claude Code, twice, in DIR (default: here)
#   AGENT=codex examples/two-agents.sh
#   AGENT='claude --model sonnet' AGENT2=codex ROUTE=wake examples/two-agents.sh ~/project
#
# AGENT and AGENT2 are started with what examples/AGENTS.md says as their first prompt, where it is known how (claude, codex, gemini, opencode); any other program is
# started as it is. ROUTE says how messages reach them: pane (typed into the pane; the default) or wake (one line is typed, and they
# read their inbox themselves). NAMES says what they are called (default: agent-1 agent-2), SESSION how the tmux session is (default: swarm).
set -eu

fail() {
    echo "two-agents.sh: $1" >&2
    exit "${2:-2}"
}

here=$(cd "$(dirname "$0")" && pwd)
dir=${1:-.}
agent1=${AGENT:-claude}
agent2=${AGENT2:-$agent1}
session=${SESSION:-swarm}
names=${NAMES:-agent-1 agent-2}
name1=${names%% *} name2=${names##* }
route=${ROUTE:-pane}

for command in tmux swarm-agents swarm-send "${agent1%% *}" "${agent2%% *}"; do
    command -v "$command" >/dev/null || fail "no command $command"
done
cd "$dir" || fail "no directory $dir"
if tmux has-session -t "=$session" 2>/dev/null; then
    fail "there is a tmux session $session already: tmux attach -t $session, or another name: SESSION=..."
fi
# Beside .git the store makes itself.
git rev-parse --git-dir >/dev/null 2>&1 || mkdir -p -m 700 .swarm

# What kind of agent it is, by its program.
kind() { basename "${1%% *}"; }
# The command line of an agent with its first prompt.
first_prompt=$(cat "$here/AGENTS.md")
quoted=$(printf %s "$first_prompt" | sed "s/'/'\\\\''/g")
with_prompt() {
    case $(kind "$1") in
        claude | codex) printf '%s' "exec $1 '$quoted'" ;;
        gemini) printf '%s' "exec $1 --prompt-interactive '$quoted'" ;;
        opencode) printf '%s' "exec $1 --prompt '$quoted'" ;;
        *) printf '%s' "exec $1" ;;
    esac
}

# Both or none.
trap '[ "$?" -eq 0 ] || tmux kill-session -t "=$session" 2>/dev/null' EXIT
# A tmux server that runs already has an environment of its own.
set -- ${SWARM_STORE:+-e "SWARM_STORE=$SWARM_STORE"} -P -F '#{pane_id}'
# Each knows who it is by its pane, and by the environment where a sandbox keeps the pane from it.
pane1=$(tmux new-session -d -s "$session" -x 200 -y 50 "$@" -e SWARM_AGENT="$name1" "$(with_prompt "$agent1")")
pane2=$(tmux split-window -h -t "$pane1" "$@" -e SWARM_AGENT="$name2" "$(with_prompt "$agent2")")
swarm-agents register "$name1" --pane "$pane1" --route "$route" --kind "$(kind "$agent1")" >/dev/null
swarm-agents register "$name2" --pane "$pane2" --route "$route" --kind "$(kind "$agent2")" >/dev/null
# The human reads an inbox; no pane is typed into.
env -u TMUX -u TMUX_PANE swarm-agents register user --route inbox --description 'the human' >/dev/null

cat <<END
$name1 is in pane $pane1, $name2 in $pane2 of the tmux session $session. When they are ready for input:
  look at them:     tmux attach -t $session
  tell them:        swarm-send --as user --to $name1,$name2 'TEXT'
  what they say:    swarm-tail --inbox --as user -f | jq -r '"\(.sender_id): \(.content)"'
  end it all:       tmux kill-session -t $session
END
