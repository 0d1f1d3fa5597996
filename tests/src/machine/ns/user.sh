#!/bin/bash
# Runs COMMAND beside a real `systemd --user` in namespaces that are thrown away afterwards (see root.sh).
#   user.sh [-d SECONDS] [-m FROM:TO]... [-u UID] COMMAND [ARGUMENT]...        as root
# COMMAND runs as UID (1000 unless told) with HOME and XDG_RUNTIME_DIR set, both empty; `systemctl --user` works there.
# The network has a loopback and nothing else. The exit status is COMMAND's, 137 when time was up. When COMMAND fails,
# or NS_JOURNAL=1, the journal is printed at the end.
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
    # The cgroup becomes the user's, as Delegate=yes in user@.service would make it.
    chown "$user:$user" "$cgroup" "$cgroup"/cgroup.{procs,threads,subtree_control}
    status=0
    NS_STAGE=cgroup NS_CGROUP=$cgroup NS_SCRATCH=$scratch \
        setpriv --pdeathsig KILL timeout --signal=KILL "$deadline" \
        setpriv --pdeathsig KILL unshare --pid --mount --fork --kill-child "$0" "$@" || status=$?
    exit $status
    ;;
cgroup)
    # The order matters: the cgroup namespace takes the cgroup we are in as its root, and the manager refuses a root
    # that holds processes of other process namespaces.
    echo 0 >"$NS_CGROUP/cgroup.procs"
    NS_STAGE=inside exec unshare --cgroup --net --uts --ipc "$0" "$@"
    ;;
esac

# From here on this is process 1 of the new machine.
scratch=$NS_SCRATCH
make_root
# What sd_booted() looks for; and where ProtectSystem= and its kin build their roots.
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
# Ranges for the user namespaces of containers; and Quadlet's units wait here for the network of a system manager.
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

# Not process 1 itself: there it would be a system manager.
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
