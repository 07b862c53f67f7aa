# The chapter's cluster and namespace, before each prompt and each command of an interactive fish. fish finds this file by XDG_DATA_DIRS.
status is-interactive; and set -q MESHCOURSE_TERMINAL; or exit

# Take over what the chapter's first cell wrote, if it changed. Whoever has set another KUBECONFIG here keeps it.
function __meshcourse_follow
    test -r "$MESHCOURSE_TERMINAL"; or return
    set -l wanted (string collect < $MESHCOURSE_TERMINAL)
    test "$wanted" = "$__meshcourse_seen"; and return
    if set -q __meshcourse_kubeconfig; and test "$KUBECONFIG" != "$__meshcourse_kubeconfig"
        return
    end
    source $MESHCOURSE_TERMINAL
    for folder in (string split : -- $MESHCOURSE_PATH)[-1..1]
        set -gx PATH $folder (string match -v -- $folder $PATH)
    end
    if set -q __meshcourse_seen; and test "$argv[1]" = command
        echo "(now in namespace $NAMESPACE: the chapter whose first cell ran last)" >&2
    end
    set -g __meshcourse_seen $wanted
    set -g __meshcourse_kubeconfig $KUBECONFIG
end
function __meshcourse_before --on-event fish_preexec
    __meshcourse_follow command
end

# At the first prompt: by then config.fish has had its say about the prompt and about PATH.
function __meshcourse_begin --on-event fish_prompt
    functions -e __meshcourse_begin
    functions -c fish_prompt __meshcourse_own_prompt
    function fish_prompt
        set -l before $status
        if test "$KUBECONFIG" = "$__meshcourse_kubeconfig"
            printf '(%s) ' $NAMESPACE
        end
        __meshcourse_return $before
        __meshcourse_own_prompt
    end
    function __meshcourse_return
        return $argv[1]
    end
    function __meshcourse_at_prompt --on-event fish_prompt
        __meshcourse_follow prompt
    end
    __meshcourse_follow prompt
end
