# Before each prompt and each command of an interactive bash: the chapter's cluster and namespace, as its first cell last wrote them.
if ! declare -F __meshcourse_follow >/dev/null; then
    # Take over what the chapter's first cell wrote, if it changed. Whoever has set another KUBECONFIG here keeps it.
    __meshcourse_follow() {
        local wanted=
        [[ -r ${MESHCOURSE_TERMINAL:-} ]] && IFS= read -r -d '' wanted <"$MESHCOURSE_TERMINAL"
        [[ -z $wanted || $wanted == "${__meshcourse_seen:-}" ]] && return
        [[ -n ${__meshcourse_kubeconfig:-} && ${KUBECONFIG:-} != "$__meshcourse_kubeconfig" ]] && return
        eval "$wanted"
        [[ $PATH: == "$MESHCOURSE_PATH":* ]] || export PATH="$MESHCOURSE_PATH:$PATH"
        [[ -n ${__meshcourse_seen:-} && $1 == command ]] && echo "(now in namespace $NAMESPACE: the chapter whose first cell ran last)" >&2
        __meshcourse_seen=$wanted __meshcourse_kubeconfig=$KUBECONFIG
    }

    __meshcourse_prompt() {
        PS1=${PS1#"${__meshcourse_shown:-}"} __meshcourse_shown=
        [[ ${KUBECONFIG:-} == "${__meshcourse_kubeconfig:-}" ]] && __meshcourse_shown="($NAMESPACE) "
        PS1=$__meshcourse_shown$PS1
    }

    # kubectl's and istioctl's own completion, loaded at the first Tab.
    __meshcourse_complete() {
        . <("$1" completion bash 2>/dev/null) && return 124
    }
    complete -F __meshcourse_complete kubectl istioctl
    if ! declare -F _get_comp_words_by_ref >/dev/null; then # the package bash-completion is not installed
        COMP_WORDBREAKS=${COMP_WORDBREAKS//[:=]/}
        _get_comp_words_by_ref() {
            cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]} cword=$COMP_CWORD
            words=("${COMP_WORDS[@]}")
        }
        __ltrim_colon_completions() { :; }
    fi

    [[ -z $(trap -p DEBUG) ]] && trap '__meshcourse_before "$_"' DEBUG
    __meshcourse_before() {
        [[ $BASH_COMMAND == *prompt.bash* || -n ${COMP_LINE:-} ]] || __meshcourse_follow command
        : "$1" # keeps $_
    }
fi
__meshcourse_follow prompt
__meshcourse_prompt
