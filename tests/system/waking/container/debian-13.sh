#!/bin/bash
# Makes a Debian 13 root with systemd 257, polkit and Podman 5.4 (Quadlet, pasta) in DIR, unless DIR has them:
#   debian-13.sh DIR        as root
# The packages come from the mirror of this machine.
set -euo pipefail
[ $# = 1 ] || { echo "usage: $0 DIR" >&2; exit 2; }
[ "$(id -u)" = 0 ] || { echo "needs root to make the files of a system" >&2; exit 77; }
command -v mmdebstrap >/dev/null || { echo "mmdebstrap is missing: run scripts/test-deps.sh" >&2; exit 77; }
mkdir -p "$(dirname "$1")"
directory=$(realpath -m "$1")

# One process makes the files, concurrent ones wait.
exec 9>"$directory.lock"
flock 9
# The program of the package that was added last.
[ ! -e "$directory/usr/lib/polkit-1/polkitd" ] || exit 0
rm -rf --one-file-system "$directory"
unfinished=$directory.unfinished
rm -rf --one-file-system "$unfinished"
mirror=${DEBIAN_MIRROR:-$(apt-get indextargets --format '$(REPO_URI)' | head -n 1)}
# A new mount namespace, so that nothing stays mounted after a failure.
unshare --mount mmdebstrap --quiet --mode=root --variant=minbase --keyring=/usr/share/keyrings \
    --include=systemd,systemd-sysv,dbus,dbus-user-session,libpam-systemd,podman,crun,netavark,aardvark-dns,passt \
    --include=polkitd,slirp4netns,uidmap,fuse-overlayfs,busybox-static,curl,iproute2,nftables,procps,ca-certificates \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
    --dpkgopt='path-exclude=/usr/share/locale/*' \
    trixie "$unfinished" "$mirror" >&2
mv "$unfinished" "$directory"
