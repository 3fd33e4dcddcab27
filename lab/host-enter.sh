#!/bin/sh
# Runs a command in an isolated host, as one of its own processes.
#
#   host-enter.sh CGROUP PID COMMAND...
#
# nsenter(1) enters the namespaces but not the cgroups, so this joins them first.
set -eu
cgroup=$1 pid=$2
shift 2
. "$(dirname "$0")/cgroups.sh"
join_cgroup "$cgroup"
exec nsenter --target "$pid" --mount --uts --ipc --net --pid --cgroup -- "$@"
