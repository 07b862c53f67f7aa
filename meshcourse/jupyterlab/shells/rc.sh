# sh, dash and ksh read this by $ENV. They know no hook for the prompt: such a shell keeps the chapter that it was opened in.
[ -r "${MESHCOURSE_TERMINAL:-}" ] && . "$MESHCOURSE_TERMINAL" && PATH="$MESHCOURSE_PATH:$PATH" && PS1='($NAMESPACE) $ '
