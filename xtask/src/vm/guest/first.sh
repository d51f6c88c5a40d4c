#!/bin/busybox sh
# The kernel starts this in the initramfs. No real machine runs on an initramfs:
# pivot_root refuses to leave one, and the root of the mount tree is itself the
# root directory. So the files move to a tmpfs, mounted over it as a disk would be.
set -e
/bin/busybox mkdir /real
/bin/busybox mount -t tmpfs -o mode=755,size=80% root /real
for entry in /*; do
    [ "$entry" = /real ] || /bin/busybox cp -a "$entry" /real/
done
exec /bin/busybox switch_root /real /usr/sbin/init
