complete -c swarm-filter -s t -l type -d 'of one of these types, in upper or lower case' -r -f -a "question\t''
review-request\t''
blocked\t''
completed\t''
challenge\t''
info\t''
ack\t''"
complete -c swarm-filter -l id -d 'with one of these message ids' -r -f
complete -c swarm-filter -l reply-to -d 'that answer one of these messages' -r -f
complete -c swarm-filter -l thread -d 'of this thread' -r -f
complete -c swarm-filter -l contains -d 'with this text in the content' -r -f
complete -c swarm-filter -l from -d 'sent by one of these agents' -r -f
complete -c swarm-filter -l to -d 'to one of these, or to @all' -r -f
complete -c swarm-filter -l agent -d 'from or to one of these, or to @all' -r -f
complete -c swarm-filter -l since -d 'not before; the time itself counts' -r -f
complete -c swarm-filter -l until -d 'not after; the time itself counts' -r -f
complete -c swarm-filter -s m -l max-count -d 'stop after N matches' -r -f
complete -c swarm-filter -l reject -d 'append bad lines to FILE, raw, and call it success' -r -F
complete -c swarm-filter -l requires-ack -d 'that ask for an acknowledgement'
complete -c swarm-filter -s v -l invert-match -d 'pass what does not match'
complete -c swarm-filter -s c -l count -d 'print only how many match'
complete -c swarm-filter -s q -l quiet -d 'print nothing; stop at the first match'
complete -c swarm-filter -l strict -d 'stop at the first bad line'
complete -c swarm-filter -s h -l help -d 'this page'
complete -c swarm-filter -s V -l version -d 'the version'
