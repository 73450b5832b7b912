# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_swarm_agents_global_optspecs
    string join \n h/help V/version
end

function __fish_swarm_agents_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_swarm_agents_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_swarm_agents_using_subcommand
    set -l cmd (__fish_swarm_agents_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c swarm-agents -n "__fish_swarm_agents_needs_command" -s h -l help -d 'this page'
complete -c swarm-agents -n "__fish_swarm_agents_needs_command" -s V -l version -d 'the version'
complete -c swarm-agents -n "__fish_swarm_agents_needs_command" -f -a "register" -d 'say who is in this pane'
complete -c swarm-agents -n "__fish_swarm_agents_needs_command" -f -a "unregister" -d 'forget an agent'
complete -c swarm-agents -n "__fish_swarm_agents_needs_command" -f -a "list" -d 'the agents there are'
complete -c swarm-agents -n "__fish_swarm_agents_needs_command" -f -a "whoami" -d 'which agent am I?'
complete -c swarm-agents -n "__fish_swarm_agents_needs_command" -f -a "beat" -d 'I am alive'
complete -c swarm-agents -n "__fish_swarm_agents_needs_command" -f -a "watch" -d 'tell of who comes, goes or changes'
complete -c swarm-agents -n "__fish_swarm_agents_needs_command" -f -a "prune" -d 'forget those who are gone'
complete -c swarm-agents -n "__fish_swarm_agents_needs_command" -f -a "discover" -d 'find the agents in tmux panes'
complete -c swarm-agents -n "__fish_swarm_agents_needs_command" -f -a "doctor" -d 'what is wrong, and what to do'
complete -c swarm-agents -n "__fish_swarm_agents_needs_command" -f -a "import" -d 'take over the registry of the Python program'
complete -c swarm-agents -n "__fish_swarm_agents_using_subcommand register" -l pane -d 'its tmux pane (default: this one)' -r -f
complete -c swarm-agents -n "__fish_swarm_agents_using_subcommand register" -s L -l tmux-name -d 'the tmux server of this name' -r -f
complete -c swarm-agents -n "__fish_swarm_agents_using_subcommand register" -s S -l tmux-socket -d 'the tmux server behind this socket' -r -F
complete -c swarm-agents -n "__fish_swarm_agents_using_subcommand register" -l route -d 'pane: typed there; wake: one line typed there; inbox: it looks itself' -r -f
complete -c swarm-agents -n "__fish_swarm_agents_using_subcommand register" -l pid -d 'the process that it lives as long as' -r -f
complete -c swarm-agents -n "__fish_swarm_agents_using_subcommand register" -s g -l group -d 'a group it belongs to; may be repeated' -r -f
complete -c swarm-agents -n "__fish_swarm_agents_using_subcommand register" -l description -d 'what it is there for' -r -f
complete -c swarm-agents -n "__fish_swarm_agents_using_subcommand register" -l kind -d 'which agent CLI it is, like claude' -r -f
complete -c swarm-agents -n "__fish_swarm_agents_using_subcommand register" -l store -d 'the swarm\'s store (default: $SWARM_STORE, else .swarm)' -r -f -a "(__fish_complete_directories)"
complete -c swarm-agents -n "__fish_swarm_agents_using_subcommand register" -l shell-ok -d 'what is typed may reach a shell'
complete -c swarm-agents -n "__fish_swarm_agents_using_subcommand register" -l force -d 'take an id or a pane from an agent that has it'
complete -c swarm-agents -n "__fish_swarm_agents_using_subcommand register" -s h -l help -d 'this page'
complete -c swarm-agents -n "__fish_swarm_agents_using_subcommand register" -s V -l version -d 'the version'
complete -c swarm-agents -n "__fish_swarm_agents_using_subcommand unregister" -l as -d 'who I am (default: $SWARM_AGENT, else this pane\'s agent)' -r -f
complete -c swarm-agents -n "__fish_swarm_agents_using_subcommand unregister" -l store -d 'the swarm\'s store (default: $SWARM_STORE, else .swarm)' -r -f -a "(__fish_complete_directories)"
complete -c swarm-agents -n "__fish_swarm_agents_using_subcommand unregister" -s h -l help -d 'this page'
complete -c swarm-agents -n "__fish_swarm_agents_using_subcommand unregister" -s V -l version -d 'the version'
complete -c swarm-agents -n "__fish_swarm_agents_using_subcommand list" -s g -l group -d 'those of this group alone' -r -f
complete -c swarm-agents -n "__fish_swarm_agents_using_subcommand list" -l store -d 'the swarm\'s store (default: $SWARM_STORE, else .swarm)' -r -f -a "(__fish_complete_directories)"
complete -c swarm-agents -n "__fish_swarm_agents_using_subcommand list" -l alive -d 'those alone who are not gone'
complete -c swarm-agents -n "__fish_swarm_agents_using_subcommand list" -s h -l help -d 'this page'
complete -c swarm-agents -n "__fish_swarm_agents_using_subcommand list" -s V -l version -d 'the version'
complete -c swarm-agents -n "__fish_swarm_agents_using_subcommand whoami" -l as -d 'who I am (default: $SWARM_AGENT, else this pane\'s agent)' -r -f
complete -c swarm-agents -n "__fish_swarm_agents_using_subcommand whoami" -l store -d 'the swarm\'s store (default: $SWARM_STORE, else .swarm)' -r -f -a "(__fish_complete_directories)"
complete -c swarm-agents -n "__fish_swarm_agents_using_subcommand whoami" -s h -l help -d 'this page'
complete -c swarm-agents -n "__fish_swarm_agents_using_subcommand whoami" -s V -l version -d 'the version'
complete -c swarm-agents -n "__fish_swarm_agents_using_subcommand beat" -l as -d 'who I am (default: $SWARM_AGENT, else this pane\'s agent)' -r -f
complete -c swarm-agents -n "__fish_swarm_agents_using_subcommand beat" -l store -d 'the swarm\'s store (default: $SWARM_STORE, else .swarm)' -r -f -a "(__fish_complete_directories)"
complete -c swarm-agents -n "__fish_swarm_agents_using_subcommand beat" -s h -l help -d 'this page'
complete -c swarm-agents -n "__fish_swarm_agents_using_subcommand beat" -s V -l version -d 'the version'
complete -c swarm-agents -n "__fish_swarm_agents_using_subcommand watch" -l store -d 'the swarm\'s store (default: $SWARM_STORE, else .swarm)' -r -f -a "(__fish_complete_directories)"
complete -c swarm-agents -n "__fish_swarm_agents_using_subcommand watch" -l list -d 'begin with those who are there'
complete -c swarm-agents -n "__fish_swarm_agents_using_subcommand watch" -s h -l help -d 'this page'
complete -c swarm-agents -n "__fish_swarm_agents_using_subcommand watch" -s V -l version -d 'the version'
complete -c swarm-agents -n "__fish_swarm_agents_using_subcommand prune" -l store -d 'the swarm\'s store (default: $SWARM_STORE, else .swarm)' -r -f -a "(__fish_complete_directories)"
complete -c swarm-agents -n "__fish_swarm_agents_using_subcommand prune" -s h -l help -d 'this page'
complete -c swarm-agents -n "__fish_swarm_agents_using_subcommand prune" -s V -l version -d 'the version'
complete -c swarm-agents -n "__fish_swarm_agents_using_subcommand discover" -s L -l tmux-name -d 'the tmux server of this name; may be repeated' -r -f
complete -c swarm-agents -n "__fish_swarm_agents_using_subcommand discover" -s S -l tmux-socket -d 'the tmux server behind this socket; may be repeated' -r -F
complete -c swarm-agents -n "__fish_swarm_agents_using_subcommand discover" -s g -l group -d 'a group that the new ones belong to; may be repeated' -r -f
complete -c swarm-agents -n "__fish_swarm_agents_using_subcommand discover" -l route -d 'how they get their messages: pane, wake or inbox' -r -f
complete -c swarm-agents -n "__fish_swarm_agents_using_subcommand discover" -l store -d 'the swarm\'s store (default: $SWARM_STORE, else .swarm)' -r -f -a "(__fish_complete_directories)"
complete -c swarm-agents -n "__fish_swarm_agents_using_subcommand discover" -l all -d 'the other panes too, and why they are none'
complete -c swarm-agents -n "__fish_swarm_agents_using_subcommand discover" -l register -d 'take them into the registry'
complete -c swarm-agents -n "__fish_swarm_agents_using_subcommand discover" -l dry-run -d 'only show what --register would do'
complete -c swarm-agents -n "__fish_swarm_agents_using_subcommand discover" -s h -l help -d 'this page'
complete -c swarm-agents -n "__fish_swarm_agents_using_subcommand discover" -s V -l version -d 'the version'
complete -c swarm-agents -n "__fish_swarm_agents_using_subcommand doctor" -s L -l tmux-name -d 'the tmux server of this name; may be repeated' -r -f
complete -c swarm-agents -n "__fish_swarm_agents_using_subcommand doctor" -s S -l tmux-socket -d 'the tmux server behind this socket; may be repeated' -r -F
complete -c swarm-agents -n "__fish_swarm_agents_using_subcommand doctor" -l store -d 'the swarm\'s store (default: $SWARM_STORE, else .swarm)' -r -f -a "(__fish_complete_directories)"
complete -c swarm-agents -n "__fish_swarm_agents_using_subcommand doctor" -s h -l help -d 'this page'
complete -c swarm-agents -n "__fish_swarm_agents_using_subcommand doctor" -s V -l version -d 'the version'
complete -c swarm-agents -n "__fish_swarm_agents_using_subcommand import" -s L -l tmux-name -d 'the tmux server of this name' -r -f
complete -c swarm-agents -n "__fish_swarm_agents_using_subcommand import" -s S -l tmux-socket -d 'the tmux server behind this socket' -r -F
complete -c swarm-agents -n "__fish_swarm_agents_using_subcommand import" -l store -d 'the swarm\'s store (default: $SWARM_STORE, else .swarm)' -r -f -a "(__fish_complete_directories)"
complete -c swarm-agents -n "__fish_swarm_agents_using_subcommand import" -s h -l help -d 'this page'
complete -c swarm-agents -n "__fish_swarm_agents_using_subcommand import" -s V -l version -d 'the version'
