#!/bin/busybox sh
# The first program of an arm64 machine, in its initramfs: makes its disk the root file system.
/bin/busybox mount -t devtmpfs devtmpfs /dev
for module in /modules/*; do
    /bin/busybox insmod "$module"
done
/bin/busybox mount -t ext4 /dev/vda /disk
exec /bin/busybox switch_root /disk /usr/sbin/machine-init
