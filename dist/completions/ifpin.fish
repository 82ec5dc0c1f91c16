# fish completion for ifpin
function __ifpin_devices
    ip -o link 2>/dev/null | string replace -r '^\d+: ([^:@]+).*' '$1'
end
function __ifpin_names
    # A file name of bpffs has no dot: it is a plus there.
    for f in /sys/fs/bpf/ifpin/pin_*
        string replace -r '.*/pin_' '' $f | string replace -a + .
    end
end
complete -c ifpin -f
complete -c ifpin -n __fish_use_subcommand -a run -d 'run a command that can use one interface only'
complete -c ifpin -n __fish_use_subcommand -a attach -d 'confine a service that runs already'
complete -c ifpin -n __fish_use_subcommand -a detach -d 'end that'
complete -c ifpin -n __fish_use_subcommand -a list -d 'list all confinements'
complete -c ifpin -n __fish_use_subcommand -a status -d 'whether all is held, and what passed and did not'
complete -c ifpin -n __fish_use_subcommand -a watch -d 'tell what is denied, as it happens'
complete -c ifpin -n __fish_use_subcommand -a prove -d 'attempt every known leak and count frames'
complete -c ifpin -n __fish_use_subcommand -a audit -d 'say what of this host could let a leak through'
complete -c ifpin -n __fish_use_subcommand -a sockets -d 'list sockets: which interface each can use'
complete -c ifpin -n __fish_use_subcommand -a validate -d 'say what is wrong in files of pins'
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
complete -c ifpin -n $prove -l html -r -F -d 'page for people'
complete -c ifpin -n $prove -l pcapng -r -F -d 'captured frames'
complete -c ifpin -n $prove -l compare -r -F -d 'since this JSON report'
complete -c ifpin -n $prove -l here -x -a '(__ifpin_devices)' -d 'on this host, as it is'
complete -c ifpin -n $prove -l name -x -a '(__ifpin_names)'
complete -c ifpin -n $prove -l against -x -a '(__fish_complete_command)'
complete -c ifpin -n $prove -l control -d 'also without confinement'
complete -c ifpin -n $prove -l yes -d 'do not ask'
set -l audit '__fish_seen_subcommand_from audit'
complete -c ifpin -n $audit -a '(__ifpin_devices)' -d interface
complete -c ifpin -n $audit -l only -x -a "(ifpin audit --list 2>/dev/null | awk 'NR > 2 { print \$2; print \$4 }' | sort -u)"
complete -c ifpin -n $audit -l ignore -x -a "(ifpin audit --list 2>/dev/null | awk 'NR > 2 { print \$2 }')"
complete -c ifpin -n $audit -l ignore-file -r -F
complete -c ifpin -n $audit -l fix -d 'print a script that mends'
complete -c ifpin -n $audit -l json -d 'findings as JSON'
complete -c ifpin -n $audit -l list -d 'list the checks'
complete -c ifpin -n $audit -s h -l help -d 'help'
set -l sockets '__fish_seen_subcommand_from sockets'
complete -c ifpin -n $sockets -a '(__ifpin_devices)' -d interface
complete -c ifpin -n $sockets -s a -l all -d 'also without a process, of loopback, unused'
complete -c ifpin -n $sockets -l json -d 'write JSON'
set -l attach '__fish_seen_subcommand_from attach'
complete -c ifpin -n $attach -a '(__ifpin_devices)' -d interface
complete -c ifpin -n $attach -l cgroup -x -a '(__fish_complete_directories)'
complete -c ifpin -n $attach -l unit -x -a "(systemctl list-units --type=service --no-legend --plain 2>/dev/null | string match -r '^\S+')"
complete -c ifpin -n $attach -l pid -x -a '(__fish_complete_pids)'
complete -c ifpin -n $attach -l name -x
complete -c ifpin -n $attach -l existing -x -a 'refuse pin kill'
complete -c ifpin -n $attach -l loopback -x -a 'allow deny'
complete -c ifpin -n $attach -l dns -x -a 'guard system'
complete -c ifpin -n $attach -l rebind -x -a 'yes no'
complete -c ifpin -n $attach -l abort -x -a 'yes no'
complete -c ifpin -n $attach -l json -d 'what was done, as JSON'
complete -c ifpin -n $attach -s v -l verbose -d 'say what is done about each socket'
complete -c ifpin -n '__fish_seen_subcommand_from detach status watch' -a '(__ifpin_names)' -d confinement
complete -c ifpin -n '__fish_seen_subcommand_from list status watch detach gc validate' -l json -d 'write JSON'
complete -c ifpin -n $run -l control -r -F
complete -c ifpin -n '__fish_seen_subcommand_from validate' -F
complete -c ifpind -f
complete -c ifpind -l config -x -a '(__fish_complete_directories)' -d 'files of pins'
complete -c ifpind -l runtime -x -a '(__fish_complete_directories)' -d 'where the sockets are made'
complete -c ifpind -l group -x -a '(__fish_complete_groups)' -d 'who may use them'
complete -c ifpind -l cgroup -x -d "for users' commands"
complete -c ifpind -l metrics -x -a '127.0.0.1:' -d 'serve metrics there'
complete -c ifpind -l exporter -r -F
complete -c ifpind -l bpffs -x -a '(__fish_complete_directories)'
complete -c ifpind -s v -l verbose -d 'say each step'
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
