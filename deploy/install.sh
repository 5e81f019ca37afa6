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
aside=$program/venv.before

say() { echo "install.sh: $*"; }
fail() { echo "install.sh: $*" >&2; exit 1; }
as_service() { runuser --user vidwatch -- "$program/venv/bin/vidwatch" --home "$home" "$@"; }
is_booted() { [ -d /run/systemd/system ]; }

install_all() {
    check_system
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
    if ! is_booted; then
        say "systemd does not run here, so the service was not started; it starts when this system boots with systemd"
    elif ! systemctl --quiet is-active vidwatch; then
        say "the service is disabled, so it was not started: systemctl enable --now vidwatch"
    fi
}

check_system() {
    [ -e "$source/pyproject.toml" ] || fail "$source is not the project's folder: run deploy/install.sh of a whole checkout"
    for tool in systemctl systemd-sysusers systemd-tmpfiles runuser mountpoint install; do
        command -v "$tool" >/dev/null || fail "$tool is not on this machine: a service needs systemd 252 or newer, and util-linux"
    done
    systemd=$(systemctl --version | sed -n '1s/^systemd \([0-9]*\).*/\1/p')
    [ "${systemd:-0}" -ge 252 ] ||
        say "systemd ${systemd:-of an unknown version} is older than 252: it may not know all limits of the service's sandbox"
}

check_python() {
    path=$(command -v "$python") || fail "$python is not there: install Python 3.11 or newer, or name it, as in: PYTHON=/usr/bin/python3.12 $0"
    case $(readlink -f "$path") in
        /home/* | /root/* | /tmp/* | /var/tmp/* | /run/user/*)
            fail "$python lies in $(readlink -f "$path"), which the service cannot read: name another one in PYTHON" ;;
    esac
    version=$(version_of "$python")
    [ -n "$version" ] || fail "$python does not run as Python: name another one in PYTHON"
    "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
        fail "$python is Python $version, and 3.11 or newer is needed: name another one, as in: PYTHON=/usr/bin/python3.12 $0"
    "$python" -c 'import ensurepip, venv' 2>/dev/null ||
        fail "$python (Python $version) cannot make environments: install python3-venv, or python$version-venv"
    "$python" -c 'import sqlite3, ssl' 2>/dev/null || fail "$python (Python $version) was built without sqlite3 or ssl: name another one in PYTHON"
}

# Such as 3.11; nothing if it does not run.
version_of() { "$1" -I -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null || true; }

# Why the environment that is there cannot be used; nothing if it can, or if there is none.
why_unusable() {
    [ -e "$program/venv" ] || [ -L "$program/venv" ] || return 0
    has=$(version_of "$program/venv/bin/python")
    if [ -z "$has" ]; then
        echo "its Python is gone"
    elif ! "$program/venv/bin/python" -I -c 'import pip' 2>/dev/null; then
        echo "it was made for another Python than $has, or is not complete"
    elif ! "$program/venv/bin/python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
        echo "its Python is $has, and 3.11 or newer is needed"
    elif [ -n "${PYTHON:-}" ] && [ "$has" != "$version" ]; then
        echo "its Python is $has, and PYTHON names $version"
    fi
}

back_up() {
    [ -e "$home/vidwatch.db" ] || return 0
    # Without the user, no version has run here: the home was carried here from another system.
    id vidwatch >/dev/null 2>&1 || return 0
    backup=$home/backups/before-upgrade-$(date -u +%Y%m%dT%H%M%SZ).db
    if as_service --version >/dev/null 2>&1; then
        as_service backup --to "$backup"
    else
        # The program does not run, or not any more; its database can be copied without it.
        (umask 027 && runuser --user vidwatch -- "$python" -c "$copy" "$home/vidwatch.db" "$backup")
    fi
}

copy='
import pathlib, sqlite3, sys
pathlib.Path(sys.argv[2]).parent.mkdir(exist_ok=True)
source, target = map(sqlite3.connect, sys.argv[1:])
source.backup(target)
'

put_program() {
    reason=$(why_unusable)
    if [ -n "$reason" ]; then
        say "the environment $program/venv cannot be used ($reason): making it anew with Python $version"
        rm -rf "$aside"
        mv "$program/venv" "$aside"
    fi
    [ -e "$program/venv" ] || "$python" -m venv "$program/venv"
    # /tmp is often in memory, and too small for PyTorch's gigabytes.
    TMPDIR=/var/tmp "$program/venv/bin/python" -m pip install --no-cache-dir "$source"
    rm -rf "$aside"
    install -m 644 "$source/README.md" "$program/README.md"
    mkdir -p /usr/local/bin
    if is_ours /usr/local/bin/vidwatch || [ ! -e /usr/local/bin/vidwatch ]; then
        ln -sfn "$program/venv/bin/vidwatch" /usr/local/bin/vidwatch
    else
        say "/usr/local/bin/vidwatch is not of this script, and stays as it is; the command is $program/venv/bin/vidwatch"
    fi
}

is_ours() { [ "$(readlink "$1")" = "$program/venv/bin/vidwatch" ]; }

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
    if [ -e "$aside" ]; then
        rm -rf "$program/venv"
        mv "$aside" "$program/venv"
    fi
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
    rm -f "$units/vidwatch.service" "$units/vidwatch.service.d/gpu.conf" "$units/vidwatch.service.d/network.conf"
    if is_ours /usr/local/bin/vidwatch; then rm -f /usr/local/bin/vidwatch; fi
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
