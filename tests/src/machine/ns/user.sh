#!/bin/bash
# Runs COMMAND with a real `systemd --user` in temporary namespaces (see root.sh).
#   user.sh [-d SECONDS] [-m FROM:TO]... [-u UID] COMMAND [ARGUMENT]...        as root
# COMMAND runs as UID (default 1000) with HOME and XDG_RUNTIME_DIR set to empty directories; `systemctl --user`
# works
# there. The network has only a loopback interface. The exit status is that of COMMAND, or 137 if it ran out of
# time. If
# COMMAND fails, or if NS_JOURNAL=1, the script prints the journal at the end.
set -euo pipefail
here=$(dirname "$(readlink -f "$0")")
# shellcheck source=root.sh
. "$here/root.sh"
parse_options "$@"

case ${NS_STAGE:-host} in
host)
    need_root
    claim
    trap release EXIT
    # Give the cgroup to the user, as Delegate=yes in user@.service does.
    chown "$user:$user" "$cgroup" "$cgroup"/cgroup.{procs,threads,subtree_control}
    status=0
    NS_STAGE=cgroup NS_CGROUP=$cgroup NS_SCRATCH=$scratch \
        setpriv --pdeathsig KILL timeout --signal=KILL "$deadline" \
        setpriv --pdeathsig KILL unshare --pid --mount --fork --kill-child "$0" "$@" 9>&- || status=$?
    exit $status
    ;;
cgroup)
    # The order matters: the current cgroup becomes the root of the cgroup namespace, and the manager refuses a root
    # with processes of other process namespaces.
    echo 0 >"$NS_CGROUP/cgroup.procs"
    NS_STAGE=inside exec unshare --cgroup --net --uts --ipc "$0" "$@"
    ;;
esac

# From here on this is process 1 of the new machine.
scratch=$NS_SCRATCH
make_root
# The directory that sd_booted() checks, and the one in which ProtectSystem= and similar options build their roots.
mkdir -p /run/systemd/system /run/systemd/journal /run/systemd/unit-root
/usr/lib/systemd/systemd-journald >/dev/null 2>&1 &
for _ in {1..1000}; do
    [ ! -S /run/systemd/journal/stdout ] || break
    sleep 0.01
done

getent passwd "$user" >/dev/null || {
    echo "tester:x:$user:$user::/run/home:/bin/bash" >>/etc/passwd
    echo "tester:x:$user:" >>/etc/group
}
# Id ranges for the user namespaces of containers. Mask the unit in which Quadlet waits for the system's network.
echo "$user:200000:65536" >/etc/subuid
echo "$user:200000:65536" >/etc/subgid
ln -sf /dev/null /etc/systemd/user/podman-user-wait-network-online.service
home=/run/home runtime=/run/user/$user
mkdir -m 700 $home "$runtime"
chown "$user:$user" $home "$runtime"
cd $home
as_user=(setpriv --reuid "$user" --regid "$user" --clear-groups env --ignore-environment HOME=$home
    XDG_RUNTIME_DIR="$runtime" LANG=C.UTF-8 PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin)
"${as_user[@]}" mkdir -p $home/.config/systemd/user

# Not as process 1, where systemd would be a system manager.
"${as_user[@]}" /usr/lib/systemd/systemd --user --log-target=journal --log-level=info &
manager=$!
state=
for _ in {1..500}; do
    state=$("${as_user[@]}" systemctl --user is-system-running 2>/dev/null || true)
    case $state in running | degraded) break ;; esac
    sleep 0.02
done

status=0
case $state in
running | degraded) "${as_user[@]}" "${command[@]}" || status=$? ;;
*)
    echo "the user manager did not come up: $state" >&2
    status=70
    ;;
esac
"${as_user[@]}" systemctl --user exit 2>/dev/null || true
wait "$manager" || true
if [ $status != 0 ] || [ -n "${NS_JOURNAL:-}" ]; then journalctl --no-pager -o short-precise -n 400 >&2; fi
exit $status
