# The learner's own .zprofile.
ZDOTDIR=$MESHCOURSE_ZDOTDIR
[[ -r $ZDOTDIR/.zprofile ]] && . "$ZDOTDIR/.zprofile"
MESHCOURSE_ZDOTDIR=$ZDOTDIR ZDOTDIR=$MESHCOURSE_SHELLS/zsh
