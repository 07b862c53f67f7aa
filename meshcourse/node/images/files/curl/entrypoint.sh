#!/bin/sh
# As the image's own: options alone are options of curl, anything else is a command.
case "$1" in
    -* | *://*) exec curl "$@" ;;
    *) exec "$@" ;;
esac
