#!/bin/bash
# Runs a command in an arm64 machine, over the connection that it shares.
#
#   arm64-enter.sh SOCKET COMMAND...
#
# ssh hands one line to a shell there, so each word is quoted for that.
set -eu
socket=$1
shift
terminal=-T
[ ! -t 0 ] || terminal=-t
exec ssh -q -F none -S "$socket" "$terminal" root@machine "${*@Q}"
