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
mount --rbind /sys/fs/cgroup "$root/sys/fs/cgroup"
while read -r _ point _; do # the machine's: looked at, never changed
    case $point in
        "$root/sys/fs/cgroup"*) mount -o remount,bind,ro "$point" ;;
    esac
done </proc/self/mounts
for part in dev tmp run var; do
    mount -t tmpfs tmpfs "$root/$part"
done
mkdir "$root/dev/shm" "$root/var/lib" "$root/var/tmp"
ln -s /run "$root/var/run"
for device in null zero random urandom; do
    : > "$root/dev/$device"
    mount --bind "/dev/$device" "$root/dev/$device"
done
exec chroot "$root" "$@"
