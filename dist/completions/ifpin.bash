# bash completion for ifpin
_ifpin() {
	local cur prev words cword
	_init_completion -s || return
	local devices='ip -o link 2>/dev/null | sed "s/^[0-9]*: \([^:@]*\).*/\1/"'
	if ((cword == 1)); then
		mapfile -t COMPREPLY < <(compgen -W "run prove fence gc --help --version" -- "$cur")
		return
	fi
	case ${words[1]} in
	prove)
		case $prev in
		--json | --junit) _filedir; return ;;
		--only)
			mapfile -t COMPREPLY < <(compgen -W \
				"$(ifpin prove --list 2>/dev/null | awk '{print $1; print $2}' | sort -u)" -- "$cur")
			return ;;
		esac
		mapfile -t COMPREPLY < <(compgen -W "--only= --with= --list --json= --junit= --help" -- "$cur")
		[[ ${COMPREPLY-} == *= ]] && compopt -o nospace
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
		--loopback | --user | --dns | --inherit | --keep-cap | --allow-family | --name) ((i++)) ;;
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
	--user) mapfile -t COMPREPLY < <(compgen -u -- "$cur"); return ;;
	--keep-cap | --allow-family | --name) return ;;
	esac
	if [[ $cur == -* ]]; then
		mapfile -t COMPREPLY < <(compgen -W "--loopback= --user= --dns= --inherit= --isolate
			--keep-cap= --allow-family= --name= --json --verbose --help --version" -- "$cur")
		[[ ${COMPREPLY-} == *= ]] && compopt -o nospace
	else
		mapfile -t COMPREPLY < <(compgen -W "$(eval "$devices")" -- "$cur")
	fi
} && complete -F _ifpin ifpin
