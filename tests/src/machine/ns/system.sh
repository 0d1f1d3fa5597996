#!/bin/bash
# Runs COMMAND with a real `systemd --system` as process 1 of temporary namespaces (see root.sh).
#   system.sh [-d SECONDS] [-m FROM:TO]... COMMAND [ARGUMENT]...        as root
# COMMAND runs as root inside; `systemctl` and `journalctl` work there. The network has only a loopback interface.
# The exit status is that of COMMAND, or 137 if it ran out of time. If COMMAND fails, or if NS_JOURNAL=1, the script
# prints the journal at the end.
set -euo pipefail
here=$(dirname "$(readlink -f "$0")")
# shellcheck source=root.sh
. "$here/root.sh"
parse_options "$@"

machine=
finish() {
    # unshare --kill-child kills process 1, and the kernel kills all other processes of the namespace.
    [ -z "$machine" ] || { kill -KILL "$machine" 2>/dev/null && wait "$machine" 2>/dev/null; } || true
    release
}

case ${NS_STAGE:-host} in
host)
    need_root
    claim
    trap finish EXIT
    mkfifo "$scratch/up"
    exec 7<>"$scratch/up"
    NS_STAGE=cgroup NS_CGROUP=$cgroup NS_SCRATCH=$scratch setpriv --pdeathsig KILL \
        unshare --pid --mount --fork --kill-child "$0" "$@" </dev/null >"$scratch/log" 2>&1 7>&- 9>&- &
    machine=$!
    first=
    read -r -t 30 -u 7 first || true
    if [ -z "$first" ]; then
        echo "the machine did not come up:" >&2
        cat "$scratch/log" >&2
        exit 70
    fi
    exec 7>&-
    inside=(nsenter --target "$first" --all env --ignore-environment container=dormouse HOME=/root LANG=C.UTF-8
        PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin)
    state=$("${inside[@]}" timeout 60 sh -c \
        'until [ -S /run/systemd/private ]; do sleep 0.02; done; systemctl is-system-running --wait' || true)
    status=0
    case $state in
    running | degraded)
        timeout --signal=KILL "$deadline" "${inside[@]}" "${command[@]}" 9>&- || status=$?
        ;;
    *)
        echo "the system manager did not come up: $state" >&2
        status=70
        ;;
    esac
    if [ $status != 0 ] || [ -n "${NS_JOURNAL:-}" ]; then
        "${inside[@]}" timeout 20 journalctl --no-pager -b -o short-precise -n 400 >&2 || true
    fi
    # In a "container" process 1 stops its units and ends.
    "${inside[@]}" timeout 20 systemctl exit 0 2>/dev/null || true
    for _ in {1..100}; do
        kill -0 "$machine" 2>/dev/null || break
        sleep 0.05
    done
    exit $status
    ;;
cgroup)
    # The process id on the host, for nsenter: /proc is still the host's.
    read -r first _ </proc/self/stat
    echo 0 >"$NS_CGROUP/cgroup.procs"
    # The order matters: the current cgroup becomes the root of the cgroup namespace.
    NS_STAGE=inside NS_FIRST=$first exec unshare --cgroup --net --uts --ipc "$0" "$@"
    ;;
esac

# From here on this is process 1 of the new machine.
scratch=$NS_SCRATCH
exec 8>"$scratch/up"
make_root

# A small system: ignore the units that the host has enabled, and mask the units that access hardware, clock or
# files of
# the host.
units=/etc/systemd/system
rm -rf "$units"
mkdir -p "$units/systemd-tmpfiles-setup.service.d"
printf '[Unit]\nRequires=basic.target\nAfter=basic.target\nAllowIsolate=yes\n' >"$units/default.target"
printf '[Service]\nExecStart=\nExecStart=systemd-tmpfiles --create --prefix=/run\nSuccessExitStatus=65 73\n' \
    >"$units/systemd-tmpfiles-setup.service.d/run-only.conf"
for unit in apparmor console-setup e2scrub_reap keyboard-setup ldconfig networking systemd-binfmt systemd-firstboot \
    systemd-hwdb-update systemd-journal-catalog-update systemd-journal-flush systemd-machine-id-commit \
    systemd-modules-load systemd-pstore systemd-random-seed systemd-remount-fs systemd-resolved systemd-sysctl \
    systemd-sysusers systemd-timesyncd systemd-tmpfiles-clean systemd-tmpfiles-setup-dev \
    systemd-tmpfiles-setup-dev-early systemd-udev-trigger systemd-udevd systemd-update-done systemd-update-utmp; do
    ln -s /dev/null "$units/$unit.service"
done
for unit in dev-hugepages.mount proc-sys-fs-binfmt_misc.automount sys-fs-fuse-connections.mount \
    sys-kernel-config.mount sys-kernel-debug.mount sys-kernel-tracing.mount systemd-journald-audit.socket \
    systemd-tmpfiles-clean.timer systemd-udevd-control.socket systemd-udevd-kernel.socket tmp.mount; do
    ln -s /dev/null "$units/$unit"
done

echo "$NS_FIRST" >&8
exec 8>&-
exec setpriv --bounding-set -sys_time,-sys_module,-sys_rawio,-syslog,-wake_alarm \
    env --ignore-environment container=dormouse LANG=C.UTF-8 \
    PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    /usr/lib/systemd/systemd --system --log-target=journal --show-status=0
