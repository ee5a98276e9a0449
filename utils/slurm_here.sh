#!/usr/bin/env bash
# A Slurm of one node on this machine, to try `--cluster` and for tests/test_cluster.py.
#
#   utils/slurm_here.sh start     installs Slurm from Debian's packages (root) and starts it
#   export SLURM_CONF=...         as it prints
#   utils/slurm_here.sh stop
#
# Its files are in /run/atat-slurm, or the folder ATAT_SLURM. Not for work: it has no accounting, and
# whoever is root here is root there.

set -euo pipefail
folder=${ATAT_SLURM:-/run/atat-slurm}

# Whether the folder is one that `start` has made.
is_ours() { grep -qsx ClusterName=here "$folder/slurm.conf"; }

refuse() {
  echo "error: $1" >&2
  exit 2
}

start() {
  [ "$(id -u)" = 0 ] || refuse "starting Slurm takes root"
  [ -z "$(ls -A "$folder" 2>/dev/null)" ] || is_ours ||
    refuse "$folder holds something else; name an empty folder: ATAT_SLURM=DIR"
  if ! command -v slurmctld >/dev/null || ! command -v munged >/dev/null; then
    apt-get update -q
    DEBIAN_FRONTEND=noninteractive apt-get install -y -q slurm-wlm munge
  fi
  mkdir -p "$folder"/{state,spool,log} /run/munge
  cat >"$folder/slurm.conf" <<END
ClusterName=here
SlurmctldHost=$(hostname -s)
SlurmUser=root
AuthType=auth/munge
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/slurmd.pid
SlurmctldLogFile=$folder/log/slurmctld.log
SlurmdLogFile=$folder/log/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
MpiDefault=none
ReturnToService=2
NodeName=$(hostname -s) CPUs=$(nproc) State=UNKNOWN
PartitionName=here Nodes=ALL Default=YES MaxTime=INFINITE State=UP
END
  chown munge: /run/munge
  [ -f /etc/munge/munge.key ] || mungekey --create
  pgrep -x munged >/dev/null || runuser -u munge -- munged
  export SLURM_CONF=$folder/slurm.conf
  pgrep -x slurmctld >/dev/null || slurmctld
  pgrep -x slurmd >/dev/null || slurmd
  for _ in {1..30}; do
    if [ "$(sinfo --noheader --format=%T 2>/dev/null)" = idle ]; then
      echo "export SLURM_CONF=$SLURM_CONF"
      return
    fi
    sleep 1
  done
  tail -n 20 "$folder"/log/*.log >&2
  echo "error: Slurm does not answer" >&2
  exit 1
}

stop() {
  is_ours || refuse "$folder: no Slurm that \`start\` has made; name its folder: ATAT_SLURM=DIR"
  for daemon in slurmd slurmctld; do
    [ ! -f "$folder/$daemon.pid" ] || kill "$(<"$folder/$daemon.pid")" || true
  done
  rm -rf "$folder"/{state,spool,log} "$folder"/{slurm.conf,slurmctld.pid,slurmd.pid}
  rmdir --ignore-fail-on-non-empty "$folder"
}

case ${1-} in
  start) start ;;
  stop) stop ;;
  *)
    sed -n '2,9s/^# \{0,1\}//p' "$0"
    exit 2
    ;;
esac
