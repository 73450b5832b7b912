complete -c swarm-ratelimit -s n -l limit -d 'at most N records ...' -r -f
complete -c swarm-ratelimit -l per -d '... in this time: 500ms, 60s, 1h' -r -f
complete -c swarm-ratelimit -l by -d 'arrival (when a record comes) or timestamp' -r -f -a "arrival\t''
timestamp\t''"
complete -c swarm-ratelimit -l key -d 'records alike in FIELD, not in sender_id' -r -f
complete -c swarm-ratelimit -l max-keys -d 'keys beyond N share one window' -r -f
complete -c swarm-ratelimit -l over -d 'drop, delay, or mark with "over_limit":true' -r -f -a "drop\t''
delay\t''
mark\t''"
complete -c swarm-ratelimit -l reject -d 'append bad and dropped lines to FILE, raw' -r -F
complete -c swarm-ratelimit -l store -d 'the store (default: $SWARM_STORE, else .swarm)' -r -f -a "(__fish_complete_directories)"
complete -c swarm-ratelimit -l key-all -d 'all records'
complete -c swarm-ratelimit -l strict -d 'stop at the first bad line'
complete -c swarm-ratelimit -l shared -d 'keep the windows in the store'
complete -c swarm-ratelimit -l take -d 'check: count one, where it is allowed'
complete -c swarm-ratelimit -s h -l help -d 'this page'
complete -c swarm-ratelimit -s V -l version -d 'the version'
complete -c swarm-ratelimit -n __fish_is_first_token -f -a check
