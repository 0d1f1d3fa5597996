#!/bin/bash
# Installs the packages that the tests need beside cargo, on Debian 12; does nothing when all are installed.
# As root, or as a user who may use sudo.
#   scripts/test-deps.sh            install what is missing
#   scripts/test-deps.sh --check    only list what is missing; exit 1 if anything is
set -euo pipefail

# package               why
packages=$(sed 's/#.*//' <<'LIST'
systemd                 # service managers, systemd-socket-proxyd, and systemd-analyze as the reference for time spans
dbus                    # the system bus, for DynamicUser= and systemd-run
polkitd                 # permissions of the service manager for users other than root
util-linux              # unshare, nsenter, setpriv, mount: temporary namespaces
iproute2                # ip: links and addresses in these namespaces; ss: the options of a listener
nftables                # nft: lost and refused packets
curl                    # the client in the documents
nginx                   # a server behind units; a peer in the benchmarks
libnginx-mod-stream     # nginx as a TCP proxy: a peer in the benchmarks
haproxy                 # a peer in the benchmarks; a proxy before and behind dormouse in the tests
socat                   # a peer in the benchmarks; unusual sockets in the tests
redis-server            # a server on TCP and UNIX sockets whose client speaks first
postgresql              # a server with long sessions on TCP and UNIX sockets (its programs only; not started)
unbound                 # a DNS server whose records change during a test
podman                  # containers, rootless and rootful
crun                    # runs rootless containers
runc                    # runs rootful containers
conmon                  # monitors each container
netavark                # the network of rootful containers
aardvark-dns            # the DNS of rootful containers
slirp4netns             # the network of rootless containers
uidmap                  # the user namespace of rootless containers
fuse-overlayfs          # the files of rootless containers where the kernel's overlay cannot be used
dbus-user-session       # a user's bus, which gives a rootless container its cgroup
docker.io               # the other container engine
busybox-static          # the content of the containers, so that no registry is needed
mmdebstrap              # makes the files of a Debian 13, for its systemd, Podman with Quadlet, and Rust 1.85
gcc                     # links Rust programs
g++                     # builds the fuzzing engine
python3                 # small clients and servers
python3-prometheus-client # a strict reader of OpenMetrics
prometheus              # promtool, which checks metrics
prometheus-haproxy-exporter # reads HAProxy's statistics
hatop                   # shows HAProxy's statistics in a terminal
tmux                    # the terminal
chromium                # shows the web page
chromium-driver         # controls the browser and reads the page
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

# Debian starts a service when its package is installed, unless this file forbids it. An administrator's own file stays
# as it is; this one is removed at the end in any case.
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
