# The learner's own .zshrc, then the chapter's cluster and namespace before each prompt and each command.
ZDOTDIR=$MESHCOURSE_ZDOTDIR
[[ -r $ZDOTDIR/.zshrc ]] && . "$ZDOTDIR/.zshrc"
MESHCOURSE_ZDOTDIR=$ZDOTDIR ZDOTDIR=$MESHCOURSE_SHELLS/zsh

# Take over what the chapter's first cell wrote, if it changed. Whoever has set another KUBECONFIG here keeps it.
__meshcourse_follow() {
    local wanted=
    [[ -r ${MESHCOURSE_TERMINAL:-} ]] && wanted=$(<"$MESHCOURSE_TERMINAL")
    [[ -z $wanted || $wanted == ${__meshcourse_seen:-} ]] && return
    [[ -n ${__meshcourse_kubeconfig:-} && ${KUBECONFIG:-} != $__meshcourse_kubeconfig ]] && return
    eval "$wanted"
    [[ $PATH: == $MESHCOURSE_PATH:* ]] || export PATH=$MESHCOURSE_PATH:$PATH
    [[ -n ${__meshcourse_seen:-} && $1 == command ]] && print -u2 "(now in namespace $NAMESPACE: the chapter whose first cell ran last)"
    __meshcourse_seen=$wanted __meshcourse_kubeconfig=$KUBECONFIG
}
__meshcourse_prompt() {
    __meshcourse_follow prompt
    PROMPT=${PROMPT#${__meshcourse_shown:-}} __meshcourse_shown=
    [[ ${KUBECONFIG:-} == ${__meshcourse_kubeconfig:-} ]] && __meshcourse_shown="($NAMESPACE) "
    PROMPT=$__meshcourse_shown$PROMPT
}
__meshcourse_before() { __meshcourse_follow command }
autoload -Uz add-zsh-hook
add-zsh-hook precmd __meshcourse_prompt
add-zsh-hook preexec __meshcourse_before

# kubectl's and istioctl's own completion, loaded at the first Tab.
(( $+functions[compdef] )) || { autoload -Uz compinit && compinit -u -D }
__meshcourse_complete() {
    local program=$words[1]
    . <($program completion zsh 2>/dev/null)
    (( $+functions[_$program] )) && _$program
}
compdef __meshcourse_complete kubectl istioctl
