# shellcheck shell=bash
# Sourced by user.sh and system.sh: the functions that set up the namespaces for a service manager.
#
# The machine is a set of namespaces whose root is an overlay over the host's root. Writes go to a tmpfs that
# disappears
# with the namespaces. /proc, /sys, /dev, /run and the cgroup tree are fresh.
#
# Do not bind anything of the host writable: systemd-tmpfiles empties /tmp because of Debian's "D /tmp", and a chmod
# on
# a device node of the host changes the host.

# -d SECONDS    kill all processes after SECONDS (default 120)
# -m FROM:TO    bind the host's file FROM to TO, read-only; repeatable. Other users need no access to FROM.
# -t TREE       use the directory TREE as the root instead of the host's
# -u UID        the user and group that the user manager and the command run as (user.sh only)
parse_options() {
    deadline=120 user=1000 files=() tree=/
    local option
    while getopts d:m:t:u: option; do
        case $option in
        d) deadline=$OPTARG ;;
        m) files+=("$OPTARG") ;;
        t) tree=$OPTARG ;;
        u) user=$OPTARG ;;
        *) exit 2 ;;
        esac
    done
    shift $((OPTIND - 1))
    command=("$@")
}

need_root() {
    [ "$(id -u)" = 0 ] || { echo "needs root: namespaces, mounts and a cgroup of its own" >&2; exit 77; }
    local tool
    for tool in unshare nsenter setpriv ip /usr/lib/systemd/systemd /usr/lib/systemd/systemd-journald; do
        command -v "$tool" >/dev/null || { echo "$tool is missing: run scripts/test-deps.sh" >&2; exit 77; }
    done
}

# On the host. Makes the cgroup and the scratch directory of this run, and locks the latter on descriptor 9. A later run
# removes the remains of a killed run, whose lock is free. A process id would say nothing: another run may be in a process
# namespace of its own.
claim() {
    local tree old
    tree=$(awk '$3 == "cgroup2" { print $2; exit }' /proc/mounts)
    [ -n "$tree" ] || { echo "no cgroup2 hierarchy is mounted" >&2; exit 77; }
    for old in "${TMPDIR:-/tmp}"/dormouse-ns.*; do
        if [ -f "$old/lock" ] && flock --nonblock "$old/lock" true; then
            find "$tree/${old##*/}" -depth -type d -exec rmdir {} + 2>/dev/null || true
            rm -rf --one-file-system "$old"
        fi
    done
    scratch=$(mktemp -d "${TMPDIR:-/tmp}/dormouse-ns.XXXXXXXX")
    # Locked before other runs look at it.
    exec 9>"$scratch/lock.new"
    flock 9
    mv "$scratch/lock.new" "$scratch/lock"
    cgroup=$tree/${scratch##*/}
    mkdir "$cgroup"
}

# On the host, when all processes are dead. Retries, because the kernel empties a killed cgroup with a delay.
release() {
    local try
    for try in {1..100}; do
        find "$cgroup" -depth -type d -exec rmdir {} + 2>/dev/null && break
        sleep 0.05
    done
    [ "$try" -lt 100 ] || echo "could not remove $cgroup" >&2
    rm -rf --one-file-system "$scratch"
}

# In the new namespaces: makes the root and enters it.
make_root() {
    local root=$scratch/root layers=$scratch/layers entry name major minor from to
    mkdir -p "$root" "$layers"
    mount --make-rprivate /
    mount -t tmpfs tmpfs "$layers"
    mkdir "$layers/upper" "$layers/work"
    mount -t overlay overlay -o "lowerdir=$tree,upperdir=$layers/upper,workdir=$layers/work" "$root"

    mount -t proc proc "$root/proc"
    # Kernel settings are the host's and read-only, except for the settings of the network namespace.
    for entry in sys sys/net sysrq-trigger; do
        [ ! -e "$root/proc/$entry" ] || mount --bind "$root/proc/$entry" "$root/proc/$entry"
    done
    for entry in sys sysrq-trigger; do
        [ ! -e "$root/proc/$entry" ] || mount -o remount,bind,ro "$root/proc/$entry"
    done
    mount -t sysfs -o ro,nosuid,nodev,noexec sysfs "$root/sys"
    mount -t cgroup2 none "$root/sys/fs/cgroup"

    mount -t tmpfs -o mode=755,nosuid tmpfs "$root/dev"
    mkdir "$root/dev/net" "$root/dev/pts" "$root/dev/shm" "$root/dev/mqueue"
    while read -r name major minor; do
        mknod -m 666 "$root/dev/$name" c "$major" "$minor"
    done <<'NODES'
null 1 3
zero 1 5
full 1 7
random 1 8
urandom 1 9
tty 5 0
fuse 10 229
net/tun 10 200
NODES
    # The manager writes to the console before the journal runs: this console is /dev/null.
    mknod -m 600 "$root/dev/console" c 1 3
    mount -t devpts -o newinstance,mode=620,ptmxmode=666,gid=5 devpts "$root/dev/pts"
    mount -t tmpfs -o mode=1777,nosuid,nodev tmpfs "$root/dev/shm"
    mount -t mqueue mqueue "$root/dev/mqueue"
    # The kernel lets an unprivileged user mount /proc only if a /proc without hidden parts is visible.
    mkdir -m 700 "$root/dev/.proc"
    mkdir "$root/dev/.proc/whole"
    mount -t proc proc "$root/dev/.proc/whole"
    ln -s pts/ptmx "$root/dev/ptmx"
    ln -s /proc/self/fd "$root/dev/fd"
    for entry in 0:stdin 1:stdout 2:stderr; do ln -s "/proc/self/fd/${entry%:*}" "$root/dev/${entry#*:}"; done

    mount -t tmpfs -o mode=755,nosuid,nodev tmpfs "$root/run"
    mkdir "$root/run/lock" "$root/run/user" "$root/run/host"
    for entry in "${files[@]}"; do
        from=${entry%%:*} to=$root${entry#*:}
        mkdir -p "$(dirname "$to")"
        rm -f "$to"
        : >"$to"
        mount --bind "$from" "$to"
        mount -o remount,bind,ro "$to"
    done

    : >"$root/etc/fstab"
    rm -f "$root/etc/resolv.conf"
    : >"$root/etc/resolv.conf"
    mkdir -p "$root/etc/systemd/journald.conf.d"
    printf '[Journal]\nStorage=volatile\nReadKMsg=no\nAudit=no\nRateLimitBurst=0\nRuntimeMaxUse=64M\n' \
        >"$root/etc/systemd/journald.conf.d/50-tests.conf"
    ip link set lo up

    cd "$root"
    pivot_root . run/host
    cd /
    umount -l /run/host
    rmdir /run/host
    mount --make-rshared /
}
