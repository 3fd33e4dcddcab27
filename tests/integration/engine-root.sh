#!/bin/sh
# Runs a command in a root file system: run by engine_root.py in fresh mount and process namespaces.
#
#   engine-root.sh FOLDER SYSTEM COMMAND...
set -eu
folder=$1
system=$2
shift 2
root=$folder/root

mount -t overlay -o "lowerdir=$system,upperdir=$folder/upper,workdir=$folder/work" overlay "$root"
mount -t proc proc "$root/proc"
mount -t sysfs -o ro sysfs "$root/sys"
for part in dev tmp run var/lib sys/fs/cgroup; do # no cgroups: nothing runs in one
    mount -t tmpfs tmpfs "$root/$part"
done
mkdir "$root/dev/shm"
for device in null zero random urandom; do
    : > "$root/dev/$device"
    mount --bind "/dev/$device" "$root/dev/$device"
done
exec chroot "$root" "$@"
