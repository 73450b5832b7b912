#!/bin/sh
# Two agents that work on one project: a tmux session with a pane for each, who know of each other and how to talk.
#
#   examples/two-agents.sh [DIR]         Claude Code, twice, in DIR (default: here)
#   AGENT=codex examples/two-agents.sh
#   AGENT='claude --model sonnet' AGENT2=codex ROUTE=wake examples/two-agents.sh ~/project
#
# AGENT and AGENT2 are started with what examples/AGENTS.md says as their first prompt, where it is known how (claude, codex, gemini, opencode); any other program is
# started as it is. ROUTE says how messages reach them: pane (typed into the pane; the default) or wake (one line is typed, and they
# read their inbox themselves). SESSION is the name of the tmux session (default: swarm).
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

# The command line of an agent with its first prompt.
first_prompt=$(cat "$here/AGENTS.md")
quoted=$(printf %s "$first_prompt" | sed "s/'/'\\\\''/g")
with_prompt() {
    case $(basename "${1%% *}") in
        claude | codex) echo "exec $1 '$quoted'" ;;
        gemini) echo "exec $1 --prompt-interactive '$quoted'" ;;
        opencode) echo "exec $1 --prompt '$quoted'" ;;
        *) echo "exec $1" ;;
    esac
}

# A tmux server that runs already has an environment of its own.
set -- ${SWARM_STORE:+-e "SWARM_STORE=$SWARM_STORE"} -P -F '#{pane_id}'
# Each knows who it is by its pane, and by the environment where a sandbox keeps the pane from it.
pane1=$(tmux new-session -d -s "$session" -x 200 -y 50 "$@" -e SWARM_AGENT=agent-1 "$(with_prompt "$agent1")")
pane2=$(tmux split-window -h -t "$pane1" "$@" -e SWARM_AGENT=agent-2 "$(with_prompt "$agent2")")
swarm-agents register agent-1 --pane "$pane1" --route "$route" >/dev/null
swarm-agents register agent-2 --pane "$pane2" --route "$route" >/dev/null
# The human reads an inbox; no pane is typed into.
env -u TMUX -u TMUX_PANE swarm-agents register user --route inbox --description 'the human' >/dev/null

cat <<END
agent-1 is in pane $pane1, agent-2 in $pane2 of the tmux session $session.
  look at them:     tmux attach -t $session
  tell them:        swarm-send --as user --to agent-1,agent-2 'TEXT'
  what they say:    swarm-tail --inbox --as user -f | jq -r '"\(.sender_id): \(.content)"'
  end it all:       tmux kill-session -t $session
END
