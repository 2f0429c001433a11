#!/bin/bash -eu
# Does what the entry point of the official image is documented to do with what this project gives it, and no more:
#   https://neo4j.com/docs/operations-manual/current/docker/configuration/
#   https://github.com/neo4j/docker-neo4j/blob/master/docker-image-src/calver/coredb/docker-entrypoint.sh
# One thing is different: Neo4j Community has no clusters, and refuses the settings of them. Those that are listed in
# enterprise-settings beside this file are left out.
# The license is asked for before a command that has neo4j in its name.
[ "$NEO4J_EDITION" != enterprise ] || case $1:${NEO4J_ACCEPT_LICENSE_AGREEMENT:-} in
  *neo4j*:yes | *neo4j*:eval) ;;
  *neo4j*:*) echo 'the license is not accepted' >&2; exit 1 ;;
esac
configuration=$NEO4J_HOME/conf/neo4j.conf

# Folders that were mounted: certificates, logs and data, which are given to the user of Neo4j unless all of them is its own.
[ ! -d /ssl ] || ln -sfn /ssl "$NEO4J_HOME/certificates"
[ ! -d /logs ] || export NEO4J_server_directories_logs="${NEO4J_server_directories_logs:-/logs}"
for folder in /data /logs; do
  [ -z "$(su-exec neo4j:neo4j find $folder -not -writable)" ] || chown -R neo4j:neo4j $folder
done

# Every variable NEO4J_… is a setting: `_` stands for a dot, and `__` for an underscore. It replaces what is in the file, except
# for options of the JVM, which are added to it. The image's own values are only for what is not set.
settings=$(env | sed -n 's/^\(NEO4J_[^=]*\)=.*/\1/p' | sort -r)
for variable in $settings; do
  case $variable in
    NEO4J_ACCEPT_LICENSE_AGREEMENT | NEO4J_AUTH | NEO4J_EDITION | NEO4J_HOME) continue ;;
  esac
  setting=${variable#NEO4J_} value=${!variable}
  setting=${setting//__/:} && setting=${setting//_/.} && setting=${setting//:/_}
  [ -n "$value" ] || continue
  ! grep -qxF "$setting" /startup/enterprise-settings || continue
  [ "$setting" = server.jvm.additional ] || sed -i "/^$setting=/d" "$configuration"
  echo "$setting=$value" >> "$configuration"
done
for default in server.memory.pagecache.size=512M server.default_listen_address=0.0.0.0; do
  grep -q "^${default%=*}=" "$configuration" || echo "$default" >> "$configuration"
done

# A password is set at every start, and an existing one stays. What is refused is printed, as the image does: so nothing that it
# refuses may come this far.
case ${NEO4J_AUTH:-} in
  '') ;;
  neo4j/neo4j | neo4j/*/* | neo4j/) echo "the stand-in takes no password from $NEO4J_AUTH" >&2; exit 1 ;;
  neo4j/*)
    mkdir -p /data/dbms && chown neo4j:neo4j /data/dbms
    su-exec neo4j:neo4j neo4j-admin dbms set-initial-password "${NEO4J_AUTH#neo4j/}"
    ;;
  *) echo "the stand-in knows no user of $NEO4J_AUTH" >&2; exit 1 ;;
esac

# The last word before the start has the script that the task definition names.
script=${EXTENSION_SCRIPT-}
if [ -n "$script" ] && [ -e "$script" ]; then source "$script"; fi
[ "$1" = neo4j ] || exec su-exec neo4j:neo4j "$@"
command=$(su-exec neo4j:neo4j neo4j console --dry-run)
eval exec su-exec neo4j:neo4j "$command"
