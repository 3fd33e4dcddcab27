#!/bin/sh
# Becomes the first process of a workstation's Docker Engine: run by workstation.py in fresh mount
# and process namespaces, over the machine's own file system.
#
#   workstation-init.sh FOLDER DOCKERD [OPTION]...
#
# What the Engine writes below /run, where containerd's paths are fixed, lands in FOLDER.
set -eu
folder=$1
shift
mount -t overlay -o "lowerdir=/run,upperdir=$folder/run,workdir=$folder/work" overlay /run
exec docker-init -- "$@"
