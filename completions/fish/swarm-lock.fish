# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_swarm_lock_global_optspecs
    string join \n h/help V/version
end

function __fish_swarm_lock_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_swarm_lock_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_swarm_lock_using_subcommand
    set -l cmd (__fish_swarm_lock_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c swarm-lock -n "__fish_swarm_lock_needs_command" -s h -l help -d 'this page'
complete -c swarm-lock -n "__fish_swarm_lock_needs_command" -s V -l version -d 'the version'
complete -c swarm-lock -n "__fish_swarm_lock_needs_command" -f -a "acquire" -d 'take a lease on all of these, or on none'
complete -c swarm-lock -n "__fish_swarm_lock_needs_command" -f -a "release" -d 'give back what one holds'
complete -c swarm-lock -n "__fish_swarm_lock_needs_command" -f -a "renew" -d 'hold one\'s leases for longer'
complete -c swarm-lock -n "__fish_swarm_lock_needs_command" -f -a "run" -d 'hold a lease while a command runs'
complete -c swarm-lock -n "__fish_swarm_lock_needs_command" -f -a "who" -d 'would anybody be in the way?'
complete -c swarm-lock -n "__fish_swarm_lock_needs_command" -f -a "list" -d 'the leases there are'
complete -c swarm-lock -n "__fish_swarm_lock_needs_command" -f -a "check" -d 'does that grant still stand?'
complete -c swarm-lock -n "__fish_swarm_lock_needs_command" -f -a "overlap" -d 'have two patterns a path in common?'
complete -c swarm-lock -n "__fish_swarm_lock_needs_command" -f -a "sweep" -d 'remove what has ended'
complete -c swarm-lock -n "__fish_swarm_lock_needs_command" -f -a "import" -d 'take over the locks of the Python program'
complete -c swarm-lock -n "__fish_swarm_lock_using_subcommand acquire" -l ttl -d 'for so long, unless it is renewed (default: 5m)' -r -f
complete -c swarm-lock -n "__fish_swarm_lock_using_subcommand acquire" -l wait -d 'wait until it is free, at most so long' -r -f
complete -c swarm-lock -n "__fish_swarm_lock_using_subcommand acquire" -l reason -d 'what for; others see it' -r -f
complete -c swarm-lock -n "__fish_swarm_lock_using_subcommand acquire" -l pid -d 'it ends with this process' -r -f
complete -c swarm-lock -n "__fish_swarm_lock_using_subcommand acquire" -l as -d 'who I am (default: $SWARM_AGENT, else this pane\'s agent)' -r -f
complete -c swarm-lock -n "__fish_swarm_lock_using_subcommand acquire" -l store -d 'the swarm\'s store (default: $SWARM_STORE, else .swarm)' -r -f -a "(__fish_complete_directories)"
complete -c swarm-lock -n "__fish_swarm_lock_using_subcommand acquire" -l shared -d 'others may hold it too, shared'
complete -c swarm-lock -n "__fish_swarm_lock_using_subcommand acquire" -l literal -d 'every character is itself: no globs'
complete -c swarm-lock -n "__fish_swarm_lock_using_subcommand acquire" -s 0 -l null -d '\'-\' reads names that end with a NUL'
complete -c swarm-lock -n "__fish_swarm_lock_using_subcommand acquire" -l force -d 'be another than this pane\'s agent all the same'
complete -c swarm-lock -n "__fish_swarm_lock_using_subcommand acquire" -s h -l help -d 'this page'
complete -c swarm-lock -n "__fish_swarm_lock_using_subcommand acquire" -s V -l version -d 'the version'
complete -c swarm-lock -n "__fish_swarm_lock_using_subcommand release" -l token -d 'the grant of this token' -r -f
complete -c swarm-lock -n "__fish_swarm_lock_using_subcommand release" -l reason -d 'why it is taken away' -r -f
complete -c swarm-lock -n "__fish_swarm_lock_using_subcommand release" -l as -d 'who I am (default: $SWARM_AGENT, else this pane\'s agent)' -r -f
complete -c swarm-lock -n "__fish_swarm_lock_using_subcommand release" -l store -d 'the swarm\'s store (default: $SWARM_STORE, else .swarm)' -r -f -a "(__fish_complete_directories)"
complete -c swarm-lock -n "__fish_swarm_lock_using_subcommand release" -s 0 -l null -d '\'-\' reads names that end with a NUL'
complete -c swarm-lock -n "__fish_swarm_lock_using_subcommand release" -l all -d 'all of them'
complete -c swarm-lock -n "__fish_swarm_lock_using_subcommand release" -l force -d 'take it from another, who is told; needs --reason'
complete -c swarm-lock -n "__fish_swarm_lock_using_subcommand release" -s h -l help -d 'this page'
complete -c swarm-lock -n "__fish_swarm_lock_using_subcommand release" -s V -l version -d 'the version'
complete -c swarm-lock -n "__fish_swarm_lock_using_subcommand renew" -l token -d 'the grant of this token' -r -f
complete -c swarm-lock -n "__fish_swarm_lock_using_subcommand renew" -l ttl -d 'for so long, unless it is renewed (default: 5m)' -r -f
complete -c swarm-lock -n "__fish_swarm_lock_using_subcommand renew" -l as -d 'who I am (default: $SWARM_AGENT, else this pane\'s agent)' -r -f
complete -c swarm-lock -n "__fish_swarm_lock_using_subcommand renew" -l store -d 'the swarm\'s store (default: $SWARM_STORE, else .swarm)' -r -f -a "(__fish_complete_directories)"
complete -c swarm-lock -n "__fish_swarm_lock_using_subcommand renew" -s 0 -l null -d '\'-\' reads names that end with a NUL'
complete -c swarm-lock -n "__fish_swarm_lock_using_subcommand renew" -l all -d 'all of them'
complete -c swarm-lock -n "__fish_swarm_lock_using_subcommand renew" -l force -d 'be another than this pane\'s agent all the same'
complete -c swarm-lock -n "__fish_swarm_lock_using_subcommand renew" -s h -l help -d 'this page'
complete -c swarm-lock -n "__fish_swarm_lock_using_subcommand renew" -s V -l version -d 'the version'
complete -c swarm-lock -n "__fish_swarm_lock_using_subcommand run" -l ttl -d 'for so long, unless it is renewed (default: 5m)' -r -f
complete -c swarm-lock -n "__fish_swarm_lock_using_subcommand run" -l wait -d 'wait until it is free, at most so long' -r -f
complete -c swarm-lock -n "__fish_swarm_lock_using_subcommand run" -l reason -d 'what for; others see it' -r -f
complete -c swarm-lock -n "__fish_swarm_lock_using_subcommand run" -l as -d 'who I am (default: $SWARM_AGENT, else this pane\'s agent)' -r -f
complete -c swarm-lock -n "__fish_swarm_lock_using_subcommand run" -l store -d 'the swarm\'s store (default: $SWARM_STORE, else .swarm)' -r -f -a "(__fish_complete_directories)"
complete -c swarm-lock -n "__fish_swarm_lock_using_subcommand run" -l shared -d 'others may hold it too, shared'
complete -c swarm-lock -n "__fish_swarm_lock_using_subcommand run" -l literal -d 'every character is itself: no globs'
complete -c swarm-lock -n "__fish_swarm_lock_using_subcommand run" -l force -d 'be another than this pane\'s agent all the same'
complete -c swarm-lock -n "__fish_swarm_lock_using_subcommand run" -s h -l help -d 'this page'
complete -c swarm-lock -n "__fish_swarm_lock_using_subcommand run" -s V -l version -d 'the version'
complete -c swarm-lock -n "__fish_swarm_lock_using_subcommand who" -l as -d 'who I am (default: $SWARM_AGENT, else this pane\'s agent)' -r -f
complete -c swarm-lock -n "__fish_swarm_lock_using_subcommand who" -l store -d 'the swarm\'s store (default: $SWARM_STORE, else .swarm)' -r -f -a "(__fish_complete_directories)"
complete -c swarm-lock -n "__fish_swarm_lock_using_subcommand who" -l shared -d 'ask for those who would not share it'
complete -c swarm-lock -n "__fish_swarm_lock_using_subcommand who" -l literal -d 'every character is itself: no globs'
complete -c swarm-lock -n "__fish_swarm_lock_using_subcommand who" -s 0 -l null -d '\'-\' reads names that end with a NUL'
complete -c swarm-lock -n "__fish_swarm_lock_using_subcommand who" -s h -l help -d 'this page'
complete -c swarm-lock -n "__fish_swarm_lock_using_subcommand who" -s V -l version -d 'the version'
complete -c swarm-lock -n "__fish_swarm_lock_using_subcommand list" -l agent -d 'those of one agent' -r -f
complete -c swarm-lock -n "__fish_swarm_lock_using_subcommand list" -l store -d 'the swarm\'s store (default: $SWARM_STORE, else .swarm)' -r -f -a "(__fish_complete_directories)"
complete -c swarm-lock -n "__fish_swarm_lock_using_subcommand list" -l expired -d 'those that have ended and lie there yet'
complete -c swarm-lock -n "__fish_swarm_lock_using_subcommand list" -s h -l help -d 'this page'
complete -c swarm-lock -n "__fish_swarm_lock_using_subcommand list" -s V -l version -d 'the version'
complete -c swarm-lock -n "__fish_swarm_lock_using_subcommand check" -l token -d 'the grant (default: $SWARM_LOCK_TOKEN)' -r -f
complete -c swarm-lock -n "__fish_swarm_lock_using_subcommand check" -l store -d 'the swarm\'s store (default: $SWARM_STORE, else .swarm)' -r -f -a "(__fish_complete_directories)"
complete -c swarm-lock -n "__fish_swarm_lock_using_subcommand check" -l literal -d 'every character is itself: no globs'
complete -c swarm-lock -n "__fish_swarm_lock_using_subcommand check" -s h -l help -d 'this page'
complete -c swarm-lock -n "__fish_swarm_lock_using_subcommand check" -s V -l version -d 'the version'
complete -c swarm-lock -n "__fish_swarm_lock_using_subcommand overlap" -l literal -d 'every character is itself: no globs'
complete -c swarm-lock -n "__fish_swarm_lock_using_subcommand overlap" -s h -l help -d 'this page'
complete -c swarm-lock -n "__fish_swarm_lock_using_subcommand overlap" -s V -l version -d 'the version'
complete -c swarm-lock -n "__fish_swarm_lock_using_subcommand sweep" -l store -d 'the swarm\'s store (default: $SWARM_STORE, else .swarm)' -r -f -a "(__fish_complete_directories)"
complete -c swarm-lock -n "__fish_swarm_lock_using_subcommand sweep" -l damaged -d 'forget what damaged files may have held'
complete -c swarm-lock -n "__fish_swarm_lock_using_subcommand sweep" -s h -l help -d 'this page'
complete -c swarm-lock -n "__fish_swarm_lock_using_subcommand sweep" -s V -l version -d 'the version'
complete -c swarm-lock -n "__fish_swarm_lock_using_subcommand import" -l store -d 'the swarm\'s store (default: $SWARM_STORE, else .swarm)' -r -f -a "(__fish_complete_directories)"
complete -c swarm-lock -n "__fish_swarm_lock_using_subcommand import" -s h -l help -d 'this page'
complete -c swarm-lock -n "__fish_swarm_lock_using_subcommand import" -s V -l version -d 'the version'
