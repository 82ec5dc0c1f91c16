# bash completion for ifpin
_ifpin() {
	local cur prev words cword
	_init_completion -s || return
	local devices='ip -o link 2>/dev/null | sed "s/^[0-9]*: \([^:@]*\).*/\1/"'
	if ((cword == 1)); then
		mapfile -t COMPREPLY < <(compgen -W "run attach detach list status watch sockets audit fence prove validate gc --help --version" -- "$cur")
		return
	fi
	# A file name of bpffs has no dot: it is a plus there.
	local names='for f in /sys/fs/bpf/ifpin/pin_*; do f=${f##*/pin_}; [[ $f == "*" ]] || echo "${f//+/.}"; done 2>/dev/null'
	case ${words[1]} in
	attach)
		case $prev in
		--cgroup) _filedir -d; return ;;
		--unit)
			mapfile -t COMPREPLY < <(compgen -W "$(systemctl list-units --type=service --no-legend \
				--plain 2>/dev/null | awk '{print $1}')" -- "$cur")
			return ;;
		--pid) _pids; return ;;
		--existing) mapfile -t COMPREPLY < <(compgen -W "refuse pin kill" -- "$cur"); return ;;
		--loopback) mapfile -t COMPREPLY < <(compgen -W "allow deny" -- "$cur"); return ;;
		--dns) mapfile -t COMPREPLY < <(compgen -W "guard system" -- "$cur"); return ;;
		--rebind | --abort) mapfile -t COMPREPLY < <(compgen -W "yes no" -- "$cur"); return ;;
		--name) return ;;
		esac
		if [[ $cur == -* ]]; then
			mapfile -t COMPREPLY < <(compgen -W "--cgroup= --unit= --pid= --name= --existing=
				--loopback= --dns= --rebind= --abort= --json --verbose --help" -- "$cur")
			[[ ${COMPREPLY-} == *= ]] && compopt -o nospace
		else
			mapfile -t COMPREPLY < <(compgen -W "$(eval "$devices")" -- "$cur")
		fi
		return ;;
	list | gc)
		mapfile -t COMPREPLY < <(compgen -W "--json --help" -- "$cur")
		return ;;
	detach | status | watch)
		if [[ $cur == -* ]]; then
			mapfile -t COMPREPLY < <(compgen -W "--json --help" -- "$cur")
		else
			mapfile -t COMPREPLY < <(compgen -W "$(eval "$names")" -- "$cur")
		fi
		return ;;
	prove)
		case $prev in
		--json | --junit | --html | --pcapng | --compare) _filedir; return ;;
		--here) mapfile -t COMPREPLY < <(compgen -W "$(eval "$devices")" -- "$cur"); return ;;
		--name) mapfile -t COMPREPLY < <(compgen -W "$(eval "$names")" -- "$cur"); return ;;
		--against) mapfile -t COMPREPLY < <(compgen -c -- "$cur"); return ;;
		--with) return ;;
		--only)
			mapfile -t COMPREPLY < <(compgen -W \
				"$(ifpin prove --list 2>/dev/null | awk '{print $1; print $2}' | sort -u)" -- "$cur")
			return ;;
		esac
		mapfile -t COMPREPLY < <(compgen -W "--only= --with= --list --json= --junit= --html= --pcapng= --compare= --here=
			--name= --against= --control --yes --help" -- "$cur")
		[[ ${COMPREPLY-} == *= ]] && compopt -o nospace
		return ;;
	audit)
		case $prev in
		--ignore-file) _filedir; return ;;
		--only | --ignore)
			mapfile -t COMPREPLY < <(compgen -W "$(ifpin audit --list 2>/dev/null |
				awk -v both="$prev" 'NR > 2 { print $2; if (both == "--only") print $4 }' | sort -u)" -- "$cur")
			return ;;
		esac
		if [[ $cur == -* ]]; then
			mapfile -t COMPREPLY < <(compgen -W \
				"--only= --ignore= --ignore-file= --fix --json --list --help" -- "$cur")
			[[ ${COMPREPLY-} == *= ]] && compopt -o nospace
		else
			mapfile -t COMPREPLY < <(compgen -W "$(eval "$devices")" -- "$cur")
		fi
		return ;;
	sockets)
		if [[ $cur == -* ]]; then
			mapfile -t COMPREPLY < <(compgen -W "--all --json --help" -- "$cur")
		else
			mapfile -t COMPREPLY < <(compgen -W "$(eval "$devices")" -- "$cur")
		fi
		return ;;
	validate)
		if [[ $cur == -* ]]; then
			mapfile -t COMPREPLY < <(compgen -W "--json --help" -- "$cur")
		else
			_filedir conf
		fi
		return ;;
	fence)
		if ((cword == 2)); then
			mapfile -t COMPREPLY < <(compgen -W "apply show check remove --help" -- "$cur")
			return
		fi
		case $prev in
		--nat) mapfile -t COMPREPLY < <(compgen -W "auto on off" -- "$cur"); return ;;
		--prefix | --ethertype | --name) return ;;
		apply) mapfile -t COMPREPLY < <(compgen -W "$(eval "$devices")" -- "$cur"); return ;;
		esac
		if [[ ${words[2]} == apply ]]; then
			mapfile -t COMPREPLY < <(compgen -W "--prefix= --ethertype= --name= --nat= --dry-run
				--follow --help" -- "$cur")
		else
			mapfile -t COMPREPLY < <(compgen -W "--name= --json --help" -- "$cur")
		fi
		[[ ${COMPREPLY-} == *= ]] && compopt -o nospace
		return ;;
	run) ;;
	*) return ;;
	esac
	local i
	for ((i = 2; i < cword; i++)); do
		case ${words[i]} in
		--loopback | --user | --dns | --inherit | --keep-cap | --allow-family | --name | --control) ((i++)) ;;
		-*) ;;
		*)
			# Behind the device comes a command with its own completion.
			((i + 1 < cword)) && [[ ${words[i + 1]} == -- ]] && ((i++))
			((cword > i)) && _command_offset $((i + 1))
			return ;;
		esac
	done
	case $prev in
	--loopback) mapfile -t COMPREPLY < <(compgen -W "allow deny" -- "$cur"); return ;;
	--inherit) mapfile -t COMPREPLY < <(compgen -W "refuse close pin" -- "$cur"); return ;;
	--dns) mapfile -t COMPREPLY < <(compgen -W "auto system" -- "$cur"); return ;;
	--control) _filedir; return ;;
	--user) mapfile -t COMPREPLY < <(compgen -u -- "$cur"); return ;;
	--keep-cap | --allow-family | --name) return ;;
	esac
	if [[ $cur == -* ]]; then
		mapfile -t COMPREPLY < <(compgen -W "--loopback= --user= --dns= --inherit= --isolate
			--keep-cap= --allow-family= --name= --control= --json --verbose --help --version" -- "$cur")
		[[ ${COMPREPLY-} == *= ]] && compopt -o nospace
	else
		mapfile -t COMPREPLY < <(compgen -W "$(eval "$devices")" -- "$cur")
	fi
} && complete -F _ifpin ifpin

_ifpind() {
	local cur prev words cword
	_init_completion -s || return
	case $prev in
	--config | --runtime | --bpffs) _filedir -d; return ;;
	--exporter) _filedir; return ;;
	--group) mapfile -t COMPREPLY < <(compgen -g -- "$cur"); return ;;
	--metrics) mapfile -t COMPREPLY < <(compgen -W "127.0.0.1: [::1]:" -- "$cur"); return ;;
	--cgroup) return ;;
	esac
	mapfile -t COMPREPLY < <(compgen -W "--config= --runtime= --group= --cgroup= --metrics= --exporter=
		--bpffs= --verbose --help --version" -- "$cur")
	[[ ${COMPREPLY-} == *= ]] && compopt -o nospace
} && complete -F _ifpind ifpind
