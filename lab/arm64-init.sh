#!/bin/sh
# The init of an arm64 machine: mounts what a Linux has, and lets the building machine in.
set -eu
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin

mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mkdir -p /dev/pts /dev/shm
mount -t devpts -o gid=5,mode=620,ptmxmode=666 devpts /dev/pts
for folder in /dev/shm /run /tmp; do
    mount -t tmpfs tmpfs "$folder"
done
chmod 1777 /dev/shm /tmp
mount -t cgroup2 cgroup2 /sys/fs/cgroup
ln -s /proc/self/fd /dev/fd
mkdir /run/sshd

# There is no udev, which would load the driver of a network card.
modprobe virtio_net
ip link set lo up

# The wire is a serial line, the only one of its kind; the building machine has its other end.
wire=$(echo /dev/vport*)
/usr/sbin/sshd -i -e -f /etc/ssh/wire_config <>"$wire" >&0 2>/dev/console &
exec docker-init -- sleep infinity
