# Functions for processes that are to see a cgroup of their own as the only one there is.

# Makes this process a member of cgroup $1, in every hierarchy (version 1) or the single one.
join_cgroup() {
    for procs in /sys/fs/cgroup/"$1"/cgroup.procs /sys/fs/cgroup/*/"$1"/cgroup.procs; do
        [ ! -e "$procs" ] || echo 0 >"$procs"
    done
}

# Mounts cgroup $1 at folder $2 as the machine mounts its cgroups at /sys/fs/cgroup.
mount_cgroup() {
    if [ -d "/sys/fs/cgroup/$1" ]; then
        mount --bind "/sys/fs/cgroup/$1" "$2"
    else
        mount -t tmpfs tmpfs "$2"
        for hierarchy in /sys/fs/cgroup/*/"$1"; do
            seen=$2/$(basename "$(dirname "$hierarchy")")
            mkdir "$seen"
            mount --bind "$hierarchy" "$seen"
        done
    fi
}
