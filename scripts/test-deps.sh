#!/bin/bash
# Installs what the tests need beside cargo, on Debian 12; does nothing when all of it is there.
# As root, or as a user who may use sudo.
#   scripts/test-deps.sh            install what is missing
#   scripts/test-deps.sh --check    only name what is missing; exit 1 if anything is
set -euo pipefail

# package               why
packages=$(sed 's/#.*//' <<'LIST'
systemd                 # the managers of tests/manager, the original, and systemd-analyze, the oracle of time spans
dbus                    # the system bus, which DynamicUser= look-ups and systemd-run need
util-linux              # unshare, nsenter, setpriv, mount: the throw-away namespaces
iproute2                # ip: links and addresses inside those namespaces; ss: what a listener is like
nftables                # nft: lost and refused packets
curl                    # the client that the documentation shows
nginx                   # the backend behind units; a peer in the benchmarks
libnginx-mod-stream     # nginx as a TCP proxy: a peer in the benchmarks
haproxy                 # a peer in the benchmarks; before and behind us in tests/edges
socat                   # a peer in the benchmarks; odd sockets in tests
redis-server            # a backend that speaks first-byte-from-client TCP and UNIX sockets
postgresql              # a backend with long sessions over TCP and UNIX sockets (server binaries; not started)
unbound                 # a DNS server whose records change while a test goes on
podman                  # containers, rootless and rootful
crun                    # runs rootless ones
runc                    # runs rootful ones
conmon                  # watches over each
netavark                # the network of rootful ones
aardvark-dns            # and its names
slirp4netns             # the network of rootless ones
uidmap                  # the user namespace of rootless ones
fuse-overlayfs          # their files where the kernel's overlay cannot be used
dbus-user-session       # a user's bus, by which a rootless container gets its cgroup
docker.io               # the other engine of containers
busybox-static          # what runs in the containers, so that no registry is needed
mmdebstrap              # makes the files of a Debian 13, for its systemd and Podman with Quadlet
gcc                     # links Rust programs
g++                     # builds the fuzzing engine
python3                 # clients and servers of a few lines
python3-prometheus-client # reads OpenMetrics strictly
prometheus              # promtool, which checks metrics
prometheus-haproxy-exporter # reads HAProxy's statistics
hatop                   # shows HAProxy's statistics in a terminal
tmux                    # the terminal
chromium                # shows the page
chromium-driver         # and tells what it shows
LIST
)

# shellcheck disable=SC2086 # a list of words
installed=$(dpkg-query --show --showformat='${Package} ${db:Status-Status}\n' $packages 2>/dev/null || true)
missing=()
for package in $packages; do
    grep -qx "$package installed" <<<"$installed" || missing+=("$package")
done
if [ ${#missing[@]} = 0 ]; then exit 0; fi
if [ "${1:-}" = --check ]; then
    echo "missing: ${missing[*]} (run scripts/test-deps.sh)" >&2
    exit 1
fi

as_root=()
if [ "$(id -u)" != 0 ]; then
    command -v sudo >/dev/null || { echo "needs root or sudo to install: ${missing[*]}" >&2; exit 1; }
    as_root=(sudo)
fi

# Debian starts a service when its package is installed, unless this file says no. Where an administrator has one
# already it stays; ours goes away again, whatever happens in between.
policy=/usr/sbin/policy-rc.d
if [ ! -e $policy ] && [ ! -L $policy ]; then
    trap '"${as_root[@]}" rm -f $policy' EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
    printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" install -m 755 /dev/stdin $policy
fi

quiet_apt() {
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
        apt-get -qq -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0 "$@"
}
echo "installing: ${missing[*]}" >&2
quiet_apt update
quiet_apt install --no-install-recommends "${missing[@]}"
