# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_swarm_ack_global_optspecs
    string join \n seq= m/message= as= force store= h/help V/version
end

function __fish_swarm_ack_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_swarm_ack_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_swarm_ack_using_subcommand
    set -l cmd (__fish_swarm_ack_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c swarm-ack -n "__fish_swarm_ack_needs_command" -l seq -d 'the message of this number' -r -f
complete -c swarm-ack -n "__fish_swarm_ack_needs_command" -s m -l message -d 'a text that goes with it' -r -f
complete -c swarm-ack -n "__fish_swarm_ack_needs_command" -l as -d 'who I am (default: $SWARM_AGENT, else this pane\'s agent)' -r -f
complete -c swarm-ack -n "__fish_swarm_ack_needs_command" -l store -d 'the swarm\'s store (default: $SWARM_STORE, else .swarm)' -r -f -a "(__fish_complete_directories)"
complete -c swarm-ack -n "__fish_swarm_ack_needs_command" -l force -d 'be another than this pane\'s agent; the record says so'
complete -c swarm-ack -n "__fish_swarm_ack_needs_command" -s h -l help -d 'this page'
complete -c swarm-ack -n "__fish_swarm_ack_needs_command" -s V -l version -d 'the version'
complete -c swarm-ack -n "__fish_swarm_ack_needs_command" -f -a "pending" -d 'what waits, for whom'
complete -c swarm-ack -n "__fish_swarm_ack_needs_command" -f -a "status" -d 'the whole story of a message'
complete -c swarm-ack -n "__fish_swarm_ack_needs_command" -f -a "wait" -d 'wait until all have acknowledged a message'
complete -c swarm-ack -n "__fish_swarm_ack_needs_command" -f -a "tick" -d 'do what is due, once: send again, escalate'
complete -c swarm-ack -n "__fish_swarm_ack_needs_command" -f -a "watch" -d 'do what falls due, as long as it runs'
complete -c swarm-ack -n "__fish_swarm_ack_needs_command" -f -a "import" -d 'take over what waits in the Python program'
complete -c swarm-ack -n "__fish_swarm_ack_using_subcommand pending" -l for -d 'what waits for this agent alone' -r -f
complete -c swarm-ack -n "__fish_swarm_ack_using_subcommand pending" -l from -d 'what this agent sent alone' -r -f
complete -c swarm-ack -n "__fish_swarm_ack_using_subcommand pending" -l store -d 'the swarm\'s store (default: $SWARM_STORE, else .swarm)' -r -f -a "(__fish_complete_directories)"
complete -c swarm-ack -n "__fish_swarm_ack_using_subcommand pending" -l overdue -d 'what is late alone'
complete -c swarm-ack -n "__fish_swarm_ack_using_subcommand pending" -s h -l help -d 'this page'
complete -c swarm-ack -n "__fish_swarm_ack_using_subcommand pending" -s V -l version -d 'the version'
complete -c swarm-ack -n "__fish_swarm_ack_using_subcommand status" -l store -d 'the swarm\'s store (default: $SWARM_STORE, else .swarm)' -r -f -a "(__fish_complete_directories)"
complete -c swarm-ack -n "__fish_swarm_ack_using_subcommand status" -s h -l help -d 'this page'
complete -c swarm-ack -n "__fish_swarm_ack_using_subcommand status" -s V -l version -d 'the version'
complete -c swarm-ack -n "__fish_swarm_ack_using_subcommand wait" -l timeout -d 'wait no longer than this' -r -f
complete -c swarm-ack -n "__fish_swarm_ack_using_subcommand wait" -l store -d 'the swarm\'s store (default: $SWARM_STORE, else .swarm)' -r -f -a "(__fish_complete_directories)"
complete -c swarm-ack -n "__fish_swarm_ack_using_subcommand wait" -s h -l help -d 'this page'
complete -c swarm-ack -n "__fish_swarm_ack_using_subcommand wait" -s V -l version -d 'the version'
complete -c swarm-ack -n "__fish_swarm_ack_using_subcommand tick" -l max -d 'no more than so many messages (default: 1000)' -r -f
complete -c swarm-ack -n "__fish_swarm_ack_using_subcommand tick" -l store -d 'the swarm\'s store (default: $SWARM_STORE, else .swarm)' -r -f -a "(__fish_complete_directories)"
complete -c swarm-ack -n "__fish_swarm_ack_using_subcommand tick" -s h -l help -d 'this page'
complete -c swarm-ack -n "__fish_swarm_ack_using_subcommand tick" -s V -l version -d 'the version'
complete -c swarm-ack -n "__fish_swarm_ack_using_subcommand watch" -l store -d 'the swarm\'s store (default: $SWARM_STORE, else .swarm)' -r -f -a "(__fish_complete_directories)"
complete -c swarm-ack -n "__fish_swarm_ack_using_subcommand watch" -s h -l help -d 'this page'
complete -c swarm-ack -n "__fish_swarm_ack_using_subcommand watch" -s V -l version -d 'the version'
complete -c swarm-ack -n "__fish_swarm_ack_using_subcommand import" -l store -d 'the swarm\'s store (default: $SWARM_STORE, else .swarm)' -r -f -a "(__fish_complete_directories)"
complete -c swarm-ack -n "__fish_swarm_ack_using_subcommand import" -s h -l help -d 'this page'
complete -c swarm-ack -n "__fish_swarm_ack_using_subcommand import" -s V -l version -d 'the version'
