#!/bin/busybox sh
# The guest's first process on its real root: mounts, modules, tests, power off.
# Lines that begin with WALLWATCH-VM- are read by console.rs.
export PATH=/usr/sbin:/usr/bin HOME=/root TMPDIR=/tmp LANG=C.UTF-8

echo "WALLWATCH-VM-KERNEL $(uname -r)"

warn() {
    echo "WALLWATCH-VM-WARNING $*"
}

mount_on() {
    mkdir -p "$3" && mount -t "$1" -o "$2" "$1" "$3" || warn "no $1 on $3"
}

mount_on proc nosuid,nodev,noexec /proc
mount_on sysfs nosuid,nodev,noexec /sys
mount_on devtmpfs mode=755,nosuid /dev
mount_on devpts gid=5,mode=620 /dev/pts
mount_on tmpfs mode=1777 /dev/shm
mount_on tmpfs mode=755 /run
mount_on tmpfs mode=1777 /tmp
mount_on tracefs nosuid,nodev,noexec /sys/kernel/tracing
mount_on securityfs nosuid,nodev,noexec /sys/kernel/security
mount_on bpf mode=700 /sys/fs/bpf
mount_on cgroup2 nosuid,nodev,noexec /sys/fs/cgroup
# As systemd leaves it.
mount --make-rshared /
mkdir -p /run/lock

hwclock --hctosys --utc || warn "clock not set"
hostname -F /etc/hostname
ip link set lo up || warn "no loopback interface"

while read -r module; do
    insmod "$module" || warn "module $module does not load"
done </wallwatch/modules
while read -r module; do
    warn "this kernel has no module $module"
done </wallwatch/modules.missing

cd /wallwatch || warn "no payload"
echo "WALLWATCH-VM-START"
./run
status=$?

# The kernel must not write into the middle of the verdict, and what the serial
# port still holds is lost with the power.
dmesg -n 1
echo
echo "WALLWATCH-VM-EXIT $status"
sleep 0.1
poweroff -f
