complete -c swarm-send -l to -d 'who gets it: agents, @GROUP, or @all' -r -f
complete -c swarm-send -s t -l type -d 'its type: question, review-request, blocked, completed, challenge, info (default), ack, or another word' -r -f -a "question\t''
review-request\t''
blocked\t''
completed\t''
challenge\t''
info\t''
ack\t''"
complete -c swarm-send -l thread -d 'the conversation it belongs to' -r -f
complete -c swarm-send -l reply-to -d 'the message that it answers' -r -f
complete -c swarm-send -l retry -d 'send it again after each of these, while it is not acknowledged: 10s,30s' -r -f
complete -c swarm-send -l escalate -d 'tell these when it was not acknowledged after that: agents, @groups' -r -f
complete -c swarm-send -l wait -d 'wait until all have acknowledged it' -r -f
complete -c swarm-send -l data -d 'a JSON object that goes with the text' -r -f
complete -c swarm-send -l id -d 'its id: sent again under the same id, it is stored once' -r -f
complete -c swarm-send -l as -d 'who I am (default: $SWARM_AGENT, else this pane\'s agent)' -r -f
complete -c swarm-send -l route -d 'pane, wake or inbox, whatever the recipients\' own routes are' -r -f
complete -c swarm-send -l store -d 'the swarm\'s store (default: $SWARM_STORE, else .swarm)' -r -f -a "(__fish_complete_directories)"
complete -c swarm-send -l reject -d 'append refused lines to FILE, raw, and call it success' -r -F
complete -c swarm-send -l ack -d 'ask for an acknowledgement'
complete -c swarm-send -l force -d 'send a record of another sender all the same; the record says so'
complete -c swarm-send -l no-deliver -d 'journal only: type nothing, and write down no outcome'
complete -c swarm-send -l allow-unknown -d 'take recipients that nobody has registered yet'
complete -c swarm-send -l dry-run -d 'store nothing, type nothing: say who would get it, and how'
complete -c swarm-send -l retry-queued -d 'deliver now what is queued, and say what became of it'
complete -c swarm-send -l strict -d 'stop at the first refused line'
complete -c swarm-send -s q -l quiet -d 'no answers on standard output'
complete -c swarm-send -s h -l help -d 'this page'
complete -c swarm-send -s V -l version -d 'the version'
