#!/bin/sh
# What JupyterLab's terminals run, in place of $SHELL: the learner's own shell with the learner's own files, then the course's additions.
# MESHCOURSE_TERMINAL names a file of export lines, written anew by each chapter's first cell; MESHCOURSE_SHELLS is this folder.
# The exports below reach a shell that is started inside this one too, such as `bash --login` or `zsh`.
export MESHCOURSE_SHELLS="$1"
export ENV="$1/rc.sh"
export MESHCOURSE_ZDOTDIR="${ZDOTDIR:-$HOME}" ZDOTDIR="$1/zsh"
export XDG_DATA_DIRS="$1:${XDG_DATA_DIRS:-/usr/local/share:/usr/share}"
shell=${SHELL:-/bin/bash}
case ${shell##*/} in
    bash) exec "$shell" --rcfile "$1/bashrc" -i ;;
    zsh | fish | sh | dash | ash | ksh | mksh) exec "$shell" -l -i ;;
esac
command -v bash >/dev/null && exec bash --rcfile "$1/bashrc" -i
exec sh -l -i
