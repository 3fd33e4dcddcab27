#!/bin/sh
# Becomes the first process of a workstation's Docker Engine: run by workstation.py in fresh mount
# and process namespaces, over the machine's own file system.
#
#   workstation-init.sh FOLDER DOCKERD [OPTION]...
#
# What the Engine writes below /run, where containerd's paths are fixed, lands in FOLDER, and the
# cgroup of FOLDER's name is the only one it sees.
set -eu
folder=$1
shift
cgroup=$(basename "$folder")
. "$(dirname "$0")/cgroups.sh"

join_cgroup "$cgroup"
mount_cgroup "$cgroup" "$folder/cgroup"
mount --rbind "$folder/cgroup" /sys/fs/cgroup
mount -t overlay -o "lowerdir=/run,upperdir=$folder/run,workdir=$folder/work" overlay /run
exec unshare --cgroup docker-init -- "$@"
