#!/bin/sh
# Turns fresh namespaces into an isolated host: run as their first process, by host.py.
#
#   host-init.sh NAME FOLDER LOWER PROFILE
#
# FOLDER holds what this host changes, LOWER is overlayfs's list of what it starts from. Prints
# "ready" when all is in place, and then becomes the host's init.
set -eu
name=$1 folder=$2 lower=$3 profile=$4
root=$folder/root
cgroup=$(basename "$folder")

. "$(dirname "$0")/cgroups.sh"
join_cgroup "$cgroup"

mount --make-rprivate /
mount -t overlay -o "lowerdir=$lower,upperdir=$folder/upper,workdir=$folder/work" overlay "$root"

# An overlay cannot hold the overlays of containers: these are plain folders of the real disk.
for data in docker containerd airgap; do
    mkdir -p "$root/var/lib/$data"
    mount --bind "$folder/data/$data" "$root/var/lib/$data"
done

mount -t proc proc "$root/proc"
mount -t binfmt_misc binfmt_misc "$root/proc/sys/fs/binfmt_misc"
mount --rbind /dev "$root/dev"
mount -t tmpfs tmpfs "$root/run"
mount -t tmpfs tmpfs "$root/tmp"
mount -t sysfs sysfs "$root/sys"
mount_cgroup "$cgroup" "$root/sys/fs/cgroup"

hostname "$name"
printf '127.0.0.1\tlocalhost %s\n::1\tlocalhost\n' "$name" >"$root/etc/hosts"
echo "$name" >"$root/etc/hostname"
: >"$root/etc/resolv.conf"
ip link set lo up
if [ "$profile" = blackhole ]; then
    # Both ends of the cable are here, and the gateway is made up: what is sent there vanishes.
    ip link add eth0 type veth peer name nowhere
    ip link set nowhere up
    ip address add 198.51.100.2/24 dev eth0
    ip link set eth0 up
    ip neighbour add 198.51.100.1 lladdr 02:00:00:00:00:01 dev eth0 nud permanent
    ip route add default via 198.51.100.1
    echo "nameserver 198.51.100.1" >"$root/etc/resolv.conf"
fi

cd "$root"
mkdir -p mnt
pivot_root . mnt
umount -l /mnt
echo ready
exec unshare --cgroup chroot . /usr/bin/docker-init -- sleep infinity \
    </dev/null >/var/log/init.log 2>&1
