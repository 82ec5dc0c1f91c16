# fish completion for ifpin
function __ifpin_devices
    ip -o link 2>/dev/null | string replace -r '^\d+: ([^:@]+).*' '$1'
end
complete -c ifpin -f
complete -c ifpin -n __fish_use_subcommand -a run -d 'run a command that can use one interface only'
complete -c ifpin -n __fish_use_subcommand -a prove -d 'attempt every known leak and count frames'
complete -c ifpin -n __fish_use_subcommand -a gc -d 'remove what a killed ifpin left behind'
set -l run '__fish_seen_subcommand_from run'
complete -c ifpin -n $run -a '(__ifpin_devices)' -d interface
complete -c ifpin -n $run -a '(__fish_complete_command)'
complete -c ifpin -n $run -l loopback -x -a 'allow deny'
complete -c ifpin -n $run -l user -x -a '(__fish_complete_users)'
complete -c ifpin -n $run -l dns -x -a 'auto system'
complete -c ifpin -n $run -l inherit -x -a 'refuse close pin'
complete -c ifpin -n $run -l isolate -d 'for hostile programs'
complete -c ifpin -n $run -l keep-cap -x
complete -c ifpin -n $run -l allow-family -x -a 'vsock can bluetooth'
complete -c ifpin -n $run -l name -x
complete -c ifpin -n $run -l json -d 'summary at the end'
complete -c ifpin -n $run -s v -l verbose -d 'say each step'
set -l prove '__fish_seen_subcommand_from prove'
complete -c ifpin -n $prove -l only -x -a "(ifpin prove --list 2>/dev/null | string match -rg '^\S+\s+(\S+)')"
complete -c ifpin -n $prove -l with -x
complete -c ifpin -n $prove -l list
complete -c ifpin -n $prove -l json -r -F
complete -c ifpin -n $prove -l junit -r -F
complete -c ifpin -n __fish_use_subcommand -a fence -d 'keep the traffic of some networks on one interface'
set -l fence '__fish_seen_subcommand_from fence'
complete -c ifpin -n "$fence; and not __fish_seen_subcommand_from apply show check remove" -a 'apply show check remove'
complete -c ifpin -n "$fence; and __fish_seen_subcommand_from apply" -a '(__ifpin_devices)' -d interface
complete -c ifpin -n "$fence" -l prefix -x
complete -c ifpin -n "$fence" -l ethertype -x
complete -c ifpin -n "$fence" -l name -x
complete -c ifpin -n "$fence" -l nat -x -a 'auto on off'
complete -c ifpin -n "$fence" -l dry-run
complete -c ifpin -n "$fence" -l follow
complete -c ifpin -n "$fence" -l json
