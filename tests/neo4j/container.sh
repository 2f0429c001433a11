#!/bin/bash
# Stands in for Docker: gives a container its root, and runs commands in it. Called by the tests of members, as root, in a mount
# namespace of their own.
#
# usage: container.sh lay-out ROOT LIB JAVA VOLUME DATA LOGS
#                                                      the root, with jars, a Java runtime, a volume at the path DATA,
#                                                      and an empty one at LOGS
#        container.sh run ROOT NETWORK HOST COMMAND…   as the first process of its own, in a named network, with the
#                                                      environment of the call, and with as many open files as NOFILE says,
#                                                      or as root may have
#        container.sh exec ROOT NETWORK COMMAND…       beside it, as `docker exec` and health checks do
set -euo pipefail
here=$(dirname "$0")

lay_out() {
  local root=$1 lib=$2 java=$3 volume=$4 data=$5 logs=$6 home=$1/var/lib/neo4j each
  mkdir -p "$root"/{data,logs,volume,startup,tmp,run,proc,dev,etc,usr,opt/java/openjdk} "$home"/{bin,conf,lib,run,import,plugins,licenses}
  chmod 1777 "$root/tmp"
  # Programs are those of this machine, read-only; what the image brings itself lies over them.
  for each in bin sbin lib lib64; do
    if [ -L /$each ]; then ln -s "$(readlink /$each)" "$root/$each"; elif [ -d /$each ]; then bound /$each "$root/$each"; fi
  done
  bound /usr "$root/usr"
  mount -t tmpfs none "$root/usr/local"
  mkdir "$root/usr/local/bin"
  cp "$here"/image/{tini,su-exec,neo4j} "$here/../../.tools/jdk/bin/dumb-init" "$root/usr/local/bin"
  ln -s neo4j "$root/usr/local/bin/neo4j-admin"
  cp "$here/image/docker-entrypoint.sh" "$root/startup"
  cp "$here/image/neo4j.conf" "$home/conf"
  bound "$lib" "$home/lib"
  bound "$java" "$root/opt/java/openjdk"
  mkdir -p "$root$data" "$root$logs"
  mount --bind "$volume" "$root$data"
  mount --bind "$root/volume" "$root$logs"
  ln -s /data "$home/data"
  ln -s /logs "$home/logs"
  for each in null zero random urandom; do
    touch "$root/dev/$each"
    mount --bind "/dev/$each" "$root/dev/$each"
  done
  ln -s /proc/self/fd "$root/dev/fd"
  echo $'root:x:0:0::/root:/bin/bash\nneo4j:x:7474:7474::/var/lib/neo4j:/bin/bash' > "$root/etc/passwd"
  echo $'root:x:0:\nneo4j:x:7474:' > "$root/etc/group"
  echo $'passwd: files\ngroup: files\nhosts: files dns' > "$root/etc/nsswitch.conf"
  for each in /etc/alternatives /etc/ld.so.cache; do
    [ ! -e $each ] || cp -r $each "$root/etc"
  done
  chown -R 7474:7474 "$home"/{bin,conf,run,import,plugins,licenses} "$root/logs"
}

bound() {
  mkdir -p "$2"
  mount --bind "$1" "$2"
  mount -o remount,bind,ro "$2"
}

start='mount -t proc none "$0/proc"; hostname "$1"; ulimit -n "$NOFILE" 2> /dev/null || ulimit -n "$(ulimit -Hn)"; unset NOFILE; root=$0; shift; exec chroot "$root" "$@"'
case $1 in
  lay-out) lay_out "${@:2}" ;;
  run) exec nsenter "--net=/run/netns/$3" unshare --mount --uts --pid --fork --kill-child /bin/bash -euc "$start" "$2" "${@:4}" ;;
  exec) exec nsenter "--net=/run/netns/$3" chroot "$2" "${@:4}" ;;
esac
