#!/bin/sh
# Installs vidwatch as a systemd service, upgrades it, or removes it; README.md beside this file says more.
#
#   install.sh                       install, or upgrade: data and settings stay, the database is copied first
#   install.sh --uninstall           remove the program; clips, labels and predictions stay
#   install.sh --uninstall --purge   remove them too, after asking; with --yes, at once
#
# If systemd does not run, as in a chroot for an image, it does the same, but starts nothing.
# PYTHON is the Python to use, if it is not /usr/bin/python3.
set -eu
umask 022

source=$(cd "$(dirname "$0")/.." && pwd)
program=/opt/vidwatch
home=/var/lib/vidwatch
cache=/var/cache/vidwatch
units=/etc/systemd/system
python=${PYTHON:-/usr/bin/python3}
backup=

say() { echo "install.sh: $*"; }
fail() { echo "install.sh: $*" >&2; exit 1; }
as_service() { runuser --user vidwatch -- "$program/venv/bin/vidwatch" --home "$home" "$@"; }
is_booted() { [ -d /run/systemd/system ]; }

install_all() {
    check_python
    is_upgrade=$([ -e "$units/vidwatch.service" ] && echo yes || echo no)
    trap tell_way_back EXIT
    if is_booted && [ "$is_upgrade" = yes ]; then
        # In any state: systemd would restart a failed service in the middle of the upgrade.
        say "stopping the service; it finishes its batch first"
        systemctl stop vidwatch
    fi
    back_up
    put_program
    put_home
    put_unit
    trap - EXIT
    say "done: put videos into $home/inbox; the log is in: journalctl -u vidwatch"
}

check_python() {
    "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
        fail "$python is not Python 3.11 or newer: name another one, as in: PYTHON=/usr/bin/python3.11 $0"
    "$python" -m ensurepip --version >/dev/null 2>&1 || fail "$python cannot make environments: install python3-venv"
    case $(readlink -f "$(command -v "$python")") in
        /home/* | /root/*) fail "$python lies in somebody's home, which the service cannot read: name another one in PYTHON" ;;
    esac
}

back_up() {
    if [ ! -e "$home/vidwatch.db" ] || [ ! -x "$program/venv/bin/vidwatch" ]; then return; fi
    backup=$home/backups/before-upgrade-$(date -u +%Y%m%dT%H%M%SZ).db
    as_service backup --to "$backup"
}

put_program() {
    [ -x "$program/venv/bin/python" ] || "$python" -m venv "$program/venv"
    # /tmp is often in memory, and too small for PyTorch's gigabytes.
    TMPDIR=/var/tmp "$program/venv/bin/python" -m pip install --no-cache-dir "$source"
    install -m 644 "$source/README.md" "$program/README.md"
    mkdir -p /usr/local/bin
    ln -sfn "$program/venv/bin/vidwatch" /usr/local/bin/vidwatch
}

put_home() {
    install -D -m 644 "$source/deploy/sysusers.conf" /etc/sysusers.d/vidwatch.conf
    install -D -m 644 "$source/deploy/tmpfiles.conf" /etc/tmpfiles.d/vidwatch.conf
    systemd-sysusers vidwatch.conf
    # A link or a mounted share lies elsewhere: others set its owner and mode, and a share may refuse ours.
    set --
    for folder in "$home"/*; do
        if [ -L "$folder" ] || mountpoint --quiet "$folder"; then set -- "$@" "--exclude-prefix=$folder"; fi
    done
    systemd-tmpfiles --create "$@" vidwatch.conf
    (umask 027 && as_service init)
}

put_unit() {
    if [ -e /dev/nvidia0 ]; then
        say "found a GPU: the service may use it"
        install -D -m 644 "$source/deploy/gpu.conf" "$units/vidwatch.service.d/gpu.conf"
    fi
    install -D -m 644 "$source/deploy/vidwatch.service" "$units/vidwatch.service"
    # A service that somebody disabled stays disabled and stopped after an upgrade.
    [ "$is_upgrade" = yes ] || systemctl --quiet enable vidwatch
    if is_booted; then
        systemctl daemon-reload
        if systemctl --quiet is-enabled vidwatch; then systemctl restart vidwatch; fi
    fi
}

tell_way_back() {
    [ "$is_upgrade" = yes ] || { say "the installation failed; correct the error above, and run it again" >&2; exit 1; }
    cat >&2 <<END
install.sh: the upgrade failed, and the service is down. Clips wait in the inbox; no data is lost.
  To try again: correct the error above, or in "journalctl -u vidwatch", and run install.sh again.
  To go back: run install.sh of the version before. If it says that the database is of a newer version,
  first restore the copy: runuser -u vidwatch -- $program/venv/bin/vidwatch --home $home restore $backup
END
    exit 1
}

remove() {
    if is_booted; then systemctl --quiet stop vidwatch 2>/dev/null || true; fi
    systemctl --quiet disable vidwatch 2>/dev/null || true
    rm -f "$units/vidwatch.service" "$units/vidwatch.service.d/gpu.conf" /usr/local/bin/vidwatch
    rm -f /etc/sysusers.d/vidwatch.conf /etc/tmpfiles.d/vidwatch.conf
    rmdir "$units/vidwatch.service.d" 2>/dev/null || true
    rm -rf "$program"
    if is_booted; then systemctl daemon-reload; fi
    if [ "$purge" = no ]; then
        say "removed; clips, labels and predictions stay in $home, which belongs to the user vidwatch"
        return
    fi
    if [ "$yes" = no ]; then
        printf 'Remove all clips, labels, predictions and models in %s for good? Type "yes": ' "$home"
        read -r answer || answer=
        [ "$answer" = yes ] || fail "$home stays"
    fi
    # A mounted share, such as an inbox, is not ours to remove.
    rm -rf --one-file-system "$home" "$cache"
    if id vidwatch >/dev/null 2>&1; then
        userdel vidwatch
    fi
    say "removed, with all data"
}

uninstall=no purge=no yes=no
for option in "$@"; do
    case $option in
        --uninstall) uninstall=yes ;;
        --purge) purge=yes ;;
        --yes) yes=yes ;;
        *) sed -n '2,9s/^# \{0,1\}//p' "$0"; [ "$option" = --help ] && exit 0; exit 2 ;;
    esac
done
[ "$purge$yes" = nono ] || [ "$uninstall" = yes ] || fail "--purge and --yes go with --uninstall"
[ "$(id -u)" = 0 ] || fail "run it as root"
if [ "$uninstall" = yes ]; then remove; else install_all; fi
