#!/bin/bash
# Tries the service under a real systemd, and prints a table of what was done to it and what came of it.
#
# Run it as root on a machine, or in a container, that may be spoilt: it installs vidwatch, adds a user, fills the inbox,
# and ends the service in several ways. CLIPS is a folder with a folder of videos for each class (35, as in ucf10).
#
#   debootstrap --include=systemd,systemd-sysv,dbus,python3,python3-venv,procps,sqlite3 bookworm root
#   systemd-nspawn --boot --directory root --bind-ro "$PWD:/source" --bind-ro "$CLIPS:/clips"   # as root without password
#   /source/tests/faults/real_systemd.sh /source /clips
# shellcheck disable=SC2317 # functions are called by name
set -u
source=$1 clips=$2
home=/var/lib/vidwatch
override=/etc/systemd/system/vidwatch.service.d/test.conf
failures=0

row() { printf '| %-4s | %-62s | %s |\n' "$1" "$2" "$3"; [ "$1" = ok ] || failures=$((failures + 1)); }
expect() { # WHAT EXPECTED ACTUAL
    if [ "$2" = "$3" ]; then row ok "$1" "$3"; else row FAIL "$1" "$3, not $2"; fi
}
within() { # SECONDS COMMAND...: until it succeeds
    local end=$((SECONDS + $1)); shift
    until "$@" >/dev/null 2>&1; do [ $SECONDS -lt $end ] || return 1; sleep 0.5; done
}
show() { systemctl show --property "$1" --value vidwatch; }
filed() { find "$home/classified" -type f | wc -l; }
are_filed() { [ "$(filed)" -ge "$1" ]; }
has_restarted() { [ "$(show NRestarts)" -gt "$1" ] && systemctl --quiet is-active vidwatch; }
as_alice() { runuser --user alice -- "$@"; }
logged() { journalctl --unit vidwatch --output cat --since "$began" "$@"; }
set_override() {
    mkdir -p "$(dirname $override)"
    printf '[Service]\n%s\n' "$@" >$override
    systemctl daemon-reload
}

began=$(date '+%F %T')
systemctl --version | head -1
"$source/deploy/install.sh" >/tmp/install.log 2>&1
expect "install.sh ends well, with a service that said it is ready" "0 active" "$? $(systemctl is-active vidwatch)"
id alice >/dev/null 2>&1 || useradd --create-home --groups vidwatch alice

main=$(show MainPID)
expect "one capability is left, and a filter of system calls" "0000000010000000 2" \
    "$(awk '/^CapEff/{c=$2} /^Seccomp:/{s=$2} END{print c, s}' "/proc/$main/status")"
expect "it sees no network but its own loopback" "lo" \
    "$(nsenter --target "$main" --net tail -n +3 /proc/net/dev | cut -d: -f1 | xargs)"
in_its_view() { nsenter --target "$main" --mount "$@" 2>/dev/null; }
expect "it can write to its home and its cache" "2" \
    "$(for place in $home /var/cache/vidwatch; do in_its_view mktemp "$place/try.XXXXXX"; done | wc -l)"
rm -f $home/try.* /var/cache/vidwatch/try.*
expect "and to nothing else" "0" \
    "$(for place in /usr /etc /opt/vidwatch /var/lib /srv; do in_its_view mktemp "$place/try.XXXXXX"; done | wc -l)"
expect "it sees no people's homes and no devices" "" \
    "$(in_its_view find /home /root -mindepth 1; in_its_view ls /dev | grep -E '^(sd|vd|nvidia|kvm)')"

for class in "$clips"/*/; do
    as_alice cp "$(find "$class" -type f | sort | head -1)" "$home/inbox/"
done
count=$(find "$clips" -mindepth 1 -maxdepth 1 -type d | wc -l)
within 300 are_filed "$count"
right=$(find "$home/classified" -type f | awk -F/ '{split($NF, part, "_"); right += part[2] == $(NF - 1)} END{print right + 0}')
expect "clips that a member of the group dropped are classified" "$count of $count" "$(filed) of $count"
row ok "of these, in the folder of their class" "$right"
tells() { show StatusText | grep -q "$count filed"; }
within 30 tells
expect "systemctl status says how it goes" "0 queued 0 in hand $count filed 0 failed" "$(show StatusText)"

first=$(find "$clips" -type f | sort | tail -1)
as_alice sh -c "exec 3>$home/inbox/slow.avi; cat '$first' >&3; sleep 20" &
sleep 12
expect "a file that somebody else has open for writing waits" "yes" "$([ -e $home/inbox/slow.avi ] && echo yes)"
wait
within 300 are_filed $((count + 1))
expect "... and is classified when it is closed" "$((count + 1))" "$(filed)"

mount -t tmpfs -o mode=2770,uid="$(id -u vidwatch)",gid="$(id -g vidwatch)" tmpfs $home/inbox
as_alice cp "$(find "$clips" -type f | sort | sed -n 2p)" "$home/inbox/mounted.avi"
within 300 are_filed $((count + 2))
expect "an inbox mounted while it runs is seen, and files leave it" "$((count + 2))" "$(filed)"
umount $home/inbox

mkdir -p $home/labelled
for class in Biking Drumming; do
    as_alice mkdir -p "$home/labelled/$class"
    find "$clips/$class" -type f | sort | sed -n '3,16p' | while read -r clip; do as_alice cp "$clip" "$home/labelled/$class/"; done
done
has_trained() { sqlite3 "file:$home/vidwatch.db?mode=ro" "SELECT state FROM trainings WHERE state NOT IN ('asked', 'training')" | grep -q .; }
within 300 sh -c "[ \$(sqlite3 'file:$home/vidwatch.db?mode=ro' 'SELECT count(*) FROM predictions') -ge 38 ]"
runuser --user vidwatch -- vidwatch --home $home retrain >/dev/null
within 900 has_trained
expect "a training in the service ends well" "trained" \
    "$(sqlite3 "file:$home/vidwatch.db?mode=ro" 'SELECT state FROM trainings ORDER BY id DESC LIMIT 1')"

expect "nothing that systemd refused is in the log" "" "$(logged --grep 'not permitted|Permission denied|Traceback' | grep -v loopback | head -1)"

set_override 'WatchdogSec=20s'
systemctl restart vidwatch
sleep 45
expect "the watchdog leaves a daemon alone that goes on" "0 active" "$(show NRestarts) $(systemctl is-active vidwatch)"
kill -STOP "$(show MainPID)"
within 300 has_restarted 0
expect "one that is stopped dead is ended and started again" "1 active" "$(show NRestarts) $(systemctl is-active vidwatch)"
expect "... and its stacks are in the journal" "yes" "$(logged --priority err --grep 'most recent call first' --quiet | grep -q . && echo yes)"

kill -KILL "$(show MainPID)"
within 300 has_restarted 1
expect "one that is killed is started again" "2 active" "$(show NRestarts) $(systemctl is-active vidwatch)"
expect "... and none of its processes is left" "0" "$(($(systemctl show --property ControlGroup --value vidwatch | xargs -I{} cat /sys/fs/cgroup{}/cgroup.procs /sys/fs/cgroup/unified{}/cgroup.procs 2>/dev/null | wc -l) - 1))"

before=$(filed)
as_alice cp "$(find "$clips" -type f | sort -r | sed -n 3p)" "$home/inbox/after.avi"
"$source/deploy/install.sh" >/tmp/upgrade.log 2>&1
expect "an upgrade of the running service ends well" "0 active" "$? $(systemctl is-active vidwatch)"
expect "... with a copy of the database" "yes" "$(find $home/backups -name 'before-upgrade-*' | grep -q . && echo yes)"
within 300 are_filed $((before + 1))
expect "... and takes up what came meanwhile" "$((before + 1))" "$(filed)"

kill -KILL "$(show MainPID)"
within 5 [ "$(systemctl is-active vidwatch)" = activating ]
"$source/deploy/install.sh" >/tmp/again.log 2>&1
expect "an upgrade while it is about to be started again stops it first" "0 yes active" \
    "$? $(grep -q 'stopping the service' /tmp/again.log && echo yes) $(systemctl is-active vidwatch)"

began_stop=$SECONDS
systemctl stop vidwatch
expect "systemctl stop ends it in time, well" "success" "$(show Result)"
row ok "... seconds that took" "$((SECONDS - began_stop))"

echo 'batch_size = 0' >>$home/vidwatch.toml
systemctl start vidwatch 2>/dev/null
sleep 12
expect "a wrong setting is told once, and it stays down" "failed 0" "$(systemctl is-active vidwatch) $(show NRestarts)"
expect "... at a level that 'journalctl -p err' shows" "yes" "$(logged --priority err --grep batch_size --quiet | grep -q . && echo yes)"
sed -i '$d' $home/vidwatch.toml
rm -f $override
rmdir --ignore-fail-on-non-empty "$(dirname $override)"
systemctl daemon-reload
systemctl start vidwatch
expect "mended, it starts" "active" "$(systemctl is-active vidwatch)"
echo "$failures failed"
exit $((failures > 0))
