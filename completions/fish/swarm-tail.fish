complete -c swarm-tail -s n -l lines -d 'at the last N records, or lines of each FILE' -r -f
complete -c swarm-tail -l from-seq -d 'at the record with seq N' -r -f
complete -c swarm-tail -l since -d 'at a time: 2026-11-23T08:00:00Z, or 10m ago: 10m' -r -f
complete -c swarm-tail -l cursor -d 'go on behind what the reader NAME has had' -r -f
complete -c swarm-tail -l as -d 'who I am (default: $SWARM_AGENT, the pane\'s agent)' -r -f
complete -c swarm-tail -l limit -d 'N records; says how many remain' -r -f
complete -c swarm-tail -l max-bytes -d 'N bytes, but one record at least' -r -f
complete -c swarm-tail -l store -d 'the swarm\'s store (default: $SWARM_STORE or .swarm)' -r -f -a "(__fish_complete_directories)"
complete -c swarm-tail -s f -l follow -d 'go on with what comes (begins at the last 10)'
complete -c swarm-tail -l peek -d 'do not move the cursor'
complete -c swarm-tail -l inbox -d 'the messages to me that I have not read'
complete -c swarm-tail -l force -d 'read it though this pane is another agent\'s'
complete -c swarm-tail -s c -l count -d 'only how many there are; status 1 if none'
complete -c swarm-tail -s h -l help -d 'this page'
complete -c swarm-tail -s V -l version -d 'the version'
